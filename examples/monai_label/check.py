"""Does MONAI Label, with a localisation bundle of ours and a real PACS, mark what ``mammo process`` tells?

`make label-check` runs this with the toolkit's own environment; MONAI Label runs in another. Four phantom views go into
Orthanc, a classifier of fixed random weights is exported, MONAI Label is asked to mark each view, and the mask that
comes back is laid on the regions of ``result.json`` for the same files. Exit status 0 if all agree.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any, NamedTuple, cast

import itk
import nibabel
import numpy as np
import pydicom
import torch
import yaml
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.cli import main as mammo
from mammo.pipeline.packaging.export import export_bundle
from mammo.pipeline.packaging.localisation import export_localisation
from mammo.pipeline.phantom import write_study
from numpy.typing import NDArray
from servers import CheckError, alone, label_server, orthanc, request

LEAST_OVERLAP = 0.99
"""Intersection over union of mask and regions; 1 where both environments hold equal versions of everything."""

OPTIONS = {"size": "micro", "tasks": ["pathology"], "pooling": "mask", "tokens": "all", "image_size": [160, 96]}
SEED = 1
"""Of the weights; such that the map is not 0 throughout, as that of random weights may be."""

ASKED = {"result_extension": ".nii.gz", "result_dtype": "uint8"}


class Line(NamedTuple):
    """What came of one view."""

    view: str
    shape: tuple[int, ...]
    stored: tuple[int, int]
    share: float
    overlap: float
    same_place: bool

    @property
    def passed(self) -> bool:
        """Right size, neither empty nor everything, over the regions, and where ITK puts the mammogram."""
        return self.shape == self.stored and 0 < self.share < 1 and self.overlap >= LEAST_OVERLAP and self.same_place


def main() -> int:
    """Run the check and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, default=Path(".venv-label"), help="that holds MONAI Label")
    environment = parser.parse_args().environment.absolute()
    try:
        _check_environment(environment)
        alone()
        with tempfile.TemporaryDirectory(prefix="label-check-") as folder:
            lines = compare(Path(folder), environment)
    except CheckError as error:
        print(f"label-check: {error}", file=sys.stderr)
        return 1
    print(f"{'view':6}  {'mask':>11}  {'image':>11}  {'marked':>7}  {'IoU':>6}  {'place':5}  result")
    for line in lines:
        sizes = "  ".join(f"{' x '.join(map(str, shape)):>11}" for shape in (line.shape, line.stored))
        place, result = ("same" if line.same_place else "other"), ("ok" if line.passed else "FAILED")
        print(f"{line.view:6}  {sizes}  {line.share:7.2%}  {line.overlap:6.4f}  {place:5}  {result}")
    return 0 if len(lines) == 4 and all(line.passed for line in lines) else 1


def compare(folder: Path, environment: Path) -> list[Line]:
    """One line for each view of a phantom exam."""
    views = [written.path for written in write_study(folder / "exam", index=1, seed=77, preset="demo")]
    classifier = export_classifier(folder / "run")
    bundle = export_localisation(classifier, folder / "breast_segmentation")
    if mammo(["process", str(folder / "exam"), str(folder / "results"), "--checkpoint", str(classifier)]):
        raise CheckError("mammo process did not analyse the phantom; see above")
    told = {view["path"]: view for view in json.loads((folder / "results" / "result.json").read_text())["views"]}
    lines = []
    with orthanc(folder / "pacs") as pacs:
        for path in views:
            request(f"{pacs}/instances", path.read_bytes())
        with label_server(folder / "label", environment, pacs, bundle) as server:
            check_model(json.loads(request(f"{server}/info/")), bundle.name)
            for path in views:
                mask = ask_mask(server, bundle.name, path, folder / f"{path.stem}.nii.gz")
                lines.append(judge(path, told[str(path)], mask))
    return lines


def export_classifier(run: Path) -> Path:
    """An exported classifier of random weights: what it says is arbitrary, where it looks is not."""
    torch.manual_seed(SEED)
    network = MammogramClassifier(SwinEncoder(size="micro"))
    torch.nn.init.normal_(network.head.weight)
    (run / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), run / "checkpoints" / "best.pt")
    root = {"bundle_root": "$str(bundles.bundle_root('swin_mim'))"}
    (run / "config.yaml").write_text(yaml.safe_dump(root | OPTIONS))
    licences = {"weights_licence": "CC0-1.0", "data_licence": "none: the weights are random"}
    out = run / "breast_classification"
    return export_bundle(run / "checkpoints" / "best.pt", out, forms=["torchscript"], **licences)


def check_model(info: dict[str, Any], name: str) -> None:
    """MONAI Label knows the bundle as a 2-D segmentation with one label.

    Raises:
        CheckError: it does not.
    """
    found = info["models"].get(name, {})
    expected = {"type": "segmentation", "dimension": 2, "labels": {"selected region": 1}}
    differing = {key: found.get(key) for key, value in expected.items() if found.get(key) != value}
    if differing:
        raise CheckError(f"MONAI Label takes {name} for {differing}; expected {expected}")


def ask_mask(server: str, model: str, path: Path, out: Path) -> Path:
    """Have a view marked, by the series that holds it; the file of the mask."""
    series = str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)
    query = urllib.parse.urlencode({"image": series, "output": "image"})
    body = urllib.parse.urlencode({"params": json.dumps(ASKED)}).encode()
    out.write_bytes(request(f"{server}/infer/{model}?{query}", body))
    return out


def judge(path: Path, view: dict[str, Any], file: Path) -> Line:
    """Lay a mask on the regions that were told of its image."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    stored = int(header.Rows), int(header.Columns)
    read = cast(nibabel.Nifti1Image, nibabel.load(file))
    values = np.squeeze(np.asarray(read.dataobj)).T  # NIfTI's first axis runs along columns
    name = f"{view['laterality']} {view['view']}"
    if values.shape != stored:
        return Line(name, values.shape, stored, float((values > 0).mean()), 0.0, False)
    mask, regions = values == 1, drawn([region["box"] for region in view["regions"]], stored)
    together = int((mask | regions).sum())
    overlap = int((mask & regions).sum()) / together if together else 0.0
    return Line(name, values.shape, stored, float((values > 0).mean()), overlap, same_place(path, file))


def drawn(boxes: list[list[float]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Boxes in rows and columns as the pixels whose centre is inside."""
    rows, columns = (np.arange(length) + 0.5 for length in shape)
    mask = np.zeros(shape, dtype=bool)
    for r0, c0, r1, c1 in boxes:
        mask |= ((rows >= r0) & (rows < r1))[:, None] & ((columns >= c0) & (columns < c1))
    return mask


def same_place(image: Path, mask: Path) -> bool:
    """Whether ITK, and so 3D Slicer, puts both at the same place: a viewer lays them over each other by it."""
    told = []
    for path in (image, mask):
        read = itk.imread(str(path))
        direction = itk.array_from_matrix(read.GetDirection())[:2, :2]
        told.append(np.concatenate([list(read.GetSpacing())[:2], list(read.GetOrigin())[:2], direction.ravel()]))
    return bool(np.allclose(told[0], told[1], atol=1e-4))


def _check_environment(environment: Path) -> None:
    needed = [environment / "bin" / name for name in ("python", "itkimage2segimage")]
    needed.append(environment / "monailabel" / "sample-apps" / "monaibundle")
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        raise CheckError(f"{missing[0]} is missing; `make label-check` installs MONAI Label into {environment}")


if __name__ == "__main__":
    sys.exit(main())
