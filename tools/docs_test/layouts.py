"""Phantoms in layouts that the package itself does not write: small stand-ins for datasets that pages name.

python -m mammo.tools.docs_test.layouts {exam,archive,cesm,mias,mammo_clip_weights} OUT
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from pydicom import dcmread

from ...pipeline.datasets.adapters.cdd_cesm import COLUMNS
from ...pipeline.phantom import View, patient, write_study

__all__ = ["archive", "cesm", "exam", "mammo_clip_weights", "mias"]

PATIENTS = 30


def exam(out: Path) -> None:
    """Four views of one patient as ``left_cc.dcm`` and so on."""
    out.mkdir(parents=True)
    for path, view in write_study(out, index=1, seed=0, preset="demo", device="digital"):
        path.rename(out / f"{view.laterality.lower()}_{view.view.lower()}.dcm")


def archive(out: Path, index: int = 3) -> None:
    """Four views of one patient without a marker: nothing beside the breast, and no text declared."""
    for path, view in write_study(out, index=index, seed=0, preset="demo", device="digital"):
        dataset = dcmread(path)
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress()
        air = 2**dataset.BitsStored - 1 if dataset.PhotometricInterpretation == "MONOCHROME1" else 0
        dataset.PixelData = np.where(view.breast, dataset.pixel_array, air).astype(np.uint16).tobytes()
        dataset.BurnedInAnnotation = "NO"
        dataset.save_as(path)


def cesm(out: Path) -> None:
    """CDD-CESM: ``metadata.csv`` and pictures; low-energy and subtracted images are the same picture."""
    (out / "images").mkdir(parents=True)
    rows = []
    for number, view in _views():
        side = view.laterality[0]
        pathology = view.case.pathology.split("_")[0].capitalize() if view.lesion else "Normal"
        for kind in ("DM", "CM"):
            name = f"P{number + 1}_{side}_{kind}_{view.view}"
            _write(out / "images" / f"{name}.png", view)
            rows.append(
                dict.fromkeys(COLUMNS, "")
                | {"image": f"images/{name}.png", "image_name": name, "patient_id": f"P{number + 1}", "view": view.view}
                | {"laterality": side, "pathology": pathology, "age": "46", "density_acr": "B"}
                | {"birads": "5" if pathology == "Malignant" else "2"}
            )
    with open(out / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        writer.writerows(rows)


def mias(out: Path) -> None:
    """mini-MIAS: ``Info.txt`` and the MLO views as PGM, odd films of right breasts."""
    (out / "images").mkdir(parents=True)
    lines = []
    for number, view in _views():
        if view.view != "MLO":
            continue
        film = 2 * number + (1 if view.laterality.upper().startswith("R") else 2)
        _write(out / "images" / f"mdb{film:03}.pgm", view)
        lines.append(f"mdb{film:03} {'FD'[number % 2]} NORM")
    (out / "Info.txt").write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")


def mammo_clip_weights(out: Path) -> None:
    """Mammo-CLIP's file with random weights: EfficientNet-B2 and a small text encoder."""
    import torch

    from ...networks import EfficientNetEncoder, ImageTextModel, small_text_encoder
    from ...networks.public_mammo_clip import export_mammo_clip

    torch.manual_seed(0)
    text = small_text_encoder(40, width=16, depth=1)
    encoder = EfficientNetEncoder(size="b2")
    model = ImageTextModel(encoder, text, embed_dim=8)
    released = export_mammo_clip(encoder.state_dict())
    released |= {f"text_encoder.text_encoder.{name}": value for name, value in text.model.state_dict().items()}
    released |= {
        name.replace("_projection.", "_projection.projection."): value
        for name, value in model.state_dict().items()
        if "_projection." in name
    }
    torch.save({"model": released, "epoch": 10}, out)


def _views() -> Iterator[tuple[int, View]]:
    for number in range(PATIENTS):
        for view in patient(number, seed=0, preset="demo"):
            yield number, view


def _write(path: Path, view: View) -> None:
    pixels = np.asarray(view.image, np.float32)
    if not cv2.imwrite(str(path), np.rint(255 * pixels / max(float(pixels.max()), 1e-6)).astype(np.uint8)):
        raise OSError(f"{path} could not be written")


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
