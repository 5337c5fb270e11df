"""Pictures with known breasts for the benchmark of masks: outlines drawn on real images, and phantoms made harder."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mammo.pipeline.phantom import patient
from mammo.pipeline.phantom.views import View
from mammo.transforms import LoadMammogramd

OUTLINES = Path(__file__).parents[1] / "tests" / "real" / "outlines.json"
MIAS_SPACING_MM = 0.2
_SEED = 11
_BORDER_PX = 20  # 8 mm

Altered = tuple[np.ndarray, np.ndarray]
"""A picture, and where it still shows what was there before."""


class Case(NamedTuple):
    """One picture and the truth about it.

    Attributes:
        group: row of the table.
        name: what it is called in messages.
        patient: whom it shows; whole patients are drawn by the bootstrap.
        image: ``(H, W)`` float32 in [0, 1].
        breast: ``(H, W)`` uint8 {0, 1}; None where nobody outlined it.
        muscle: ``(H, W)`` uint8 {0, 1}; zero where there is none, None where nobody knows.
        view: CC or MLO.
        spacing_mm: side of a pixel; None where it is not known.
    """

    group: str
    name: str
    patient: str
    image: np.ndarray
    breast: np.ndarray | None
    muscle: np.ndarray | None
    view: str
    spacing_mm: float | None


def pixels(path: Path) -> np.ndarray:
    """Read one mammogram as float32 ``(H, W)`` in [0, 1]."""
    return np.asarray(LoadMammogramd()({"image": path})["image"][0], dtype=np.float32)


def filled(outline: list[list[float]], shape: tuple[int, ...]) -> np.ndarray:
    """Fill an outline of ``[row, column]``, pixel (0, 0) spanning 0 to 1: uint8 {0, 1} of ``shape``."""
    points = np.rint((np.array(outline)[:, ::-1] - 0.5) * 16).astype(np.int32)
    return cv2.fillPoly(np.zeros(shape, np.uint8), [points], 1, shift=4)


def real_images(root: Path) -> list[Path]:
    """All real mammograms of the folder, each once; pictures in the same pixels in another encoding included."""
    folders = ("mini_mias/images", "cdd_cesm/images", "nyu_gmic/dicom", "dicom/real", "dicom/derived")
    paths = (path for folder in folders for path in sorted((root / folder).rglob("*")))
    return [path for path in paths if path.suffix in (".png", ".dcm") and "tomosynthesis" not in path.name]


def source_of(name: str) -> str:
    """Where a path below the data folder comes from."""
    if "cesm" in name:
        return "CDD-CESM"
    return {"mini_mias": "mini-MIAS", "nyu_gmic": "NYU digital"}.get(name.split("/")[0], "DDSM film")


def patient_of(name: str) -> str:
    """Whom a path below the data folder shows."""
    stem = Path(name).stem
    if stem.startswith("mdb"):
        return f"MIAS{(int(stem[3:]) + 1) // 2}"
    return stem.split("_")[0] if stem.startswith("P") else name.split("/")[-2]


def outlined(root: Path, every: int = 1) -> Iterator[Case]:
    """Real images with hand-checked outlines, each ``every``-th of the list."""
    entries: dict[str, dict[str, Any]] = json.loads(OUTLINES.read_text(encoding="utf-8"))
    for name, entry in list(entries.items())[::every]:
        image = pixels(root / name)
        source = source_of(name)
        hard = ", hard" if entry["chosen"] == "hard" else ""
        breast, muscle = (filled(entry[key], image.shape) if key in entry else None for key in ("polygon", "pectoral"))
        spacing_mm = MIAS_SPACING_MM if source == "mini-MIAS" else None
        view = "CC" if "CC" in Path(name).stem else "MLO"
        yield Case(source + hard, name, patient_of(name), image, breast, muscle, view, spacing_mm)


def phantoms(patients: int) -> Iterator[Case]:
    """Phantom views, as they are and with what hospitals add to them."""
    for index in range(patients):
        for view in patient(index, seed=_SEED, preset="standard"):
            for change, alter in CHANGES.items():
                image, shown = alter(view)
                yield Case(
                    f"phantom {view.case.device}{change}",
                    f"{index} {view.laterality} {view.view}",
                    f"phantom{index}",
                    image.astype(np.float32),
                    (view.breast & shown).astype(np.uint8),
                    (view.muscle & shown).astype(np.uint8),
                    view.view,
                    view.pixel_mm,
                )


def framed(view: View) -> Altered:
    """A white film border on three sides, a strip of tape and a label in the air."""
    image, air = (_facing_right(part, view).copy() for part in (view.image, _far_air(view)))
    height = image.shape[0]
    for rows, columns, level in (
        (slice(height - 180, height - 60), slice(-90, -40), 0.5),
        (slice(70, 110), slice(-120, -35), 0.8),
    ):
        image[rows, columns][air[rows, columns]] = level
    shown = np.zeros(image.shape, bool)
    shown[_BORDER_PX:-_BORDER_PX, :-_BORDER_PX] = True
    image[~shown] = 0.97
    return _facing_right(image, view), _facing_right(shown, view)


def with_implant(view: View) -> Altered:
    """A big, bright, smooth disc inside the breast."""
    height, width = view.image.shape
    depth = int(view.breast.any(axis=0).sum())
    centre = float(np.nonzero(view.breast)[0].mean()), 0.42 * depth
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - centre[0], columns - centre[1]) / (0.42 * depth)
    share = _facing_right(1 / (1 + np.exp(40 * (away - 1))), view) * view.breast
    return view.image * (1 - share) + share * 0.9, np.ones_like(view.breast)


def fogged(view: View) -> Altered:
    """Fog that grows downwards, as bright as the fat of a film."""
    rows = np.linspace(0, 1, view.image.shape[0])[:, None]
    return np.clip(0.12 + 0.8 * view.image + 0.08 * rows, 0, 1), np.ones_like(view.breast)


def _far_air(view: View) -> np.ndarray:
    return cv2.distanceTransform((~view.breast).astype(np.uint8), cv2.DIST_L2, 5) > 12


def _facing_right(picture: np.ndarray, view: View) -> np.ndarray:
    """Mirror what belongs to a right breast, whose wall is on the right; twice is once too often."""
    return picture if view.laterality == "LEFT" else picture[:, ::-1]


CHANGES: dict[str, Callable[[View], Altered]] = {
    "": lambda view: (view.image, np.ones_like(view.breast)),
    ", frame, tape, label": framed,
    ", implant": with_implant,
    ", fog": fogged,
}
