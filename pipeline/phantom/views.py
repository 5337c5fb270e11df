"""A synthetic patient in memory: the views of both breasts and the truth about each of them."""

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy, draw_anatomy
from .calcification import draw_cluster
from .case import DEVICES, UNSEEN_DEVICE, Case, draw_case, patient_stream
from .detector import expose, marker, stamp
from .finding import Words, draw_words
from .mass import draw_mass
from .presets import Preset, preset_named
from .strokes import Image

VIEWS = ("CC", "MLO")
_CALCIFICATION_BRIGHTNESS = 2.8  # of a calcification that fills its pixel, in contrasts of a mass
_PLACE_STEP_MM = 1.6
_DISPLACED = 0.6


@dataclass(frozen=True)
class Lesion:
    """What is known about a lesion in one view.

    Attributes:
        mask: ``(H, W)`` bool, the region that a radiologist would outline.
        box: smallest box around the mask: first row, first column, end row, end column (half-open).
        centre: row and column in pixels.
        diameter_mm: of the disc of equal area (mass), or the greatest distance of two calcifications.
        contrast: mean brightness that a mass adds, or a calcification at its brightest, as a part of full scale.
        words: its description in CBIS-DDSM's terms.
    """

    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    centre: tuple[int, int]
    diameter_mm: float
    contrast: float
    words: Words


@dataclass(frozen=True)
class View:
    """One image of a synthetic patient, as a viewer shows it.

    Attributes:
        case: the patient.
        laterality: ``LEFT`` or ``RIGHT``.
        view: ``CC`` or ``MLO``.
        image: ``(H, W)`` float32 in [0, 1], high is dense.
        breast: ``(H, W)`` bool, inside the skin.
        muscle: ``(H, W)`` bool, the pectoral muscle.
        nipple: row and column in pixels.
        pixel_mm: side of a pixel.
        lesion: the lesion, None in the other breast.
    """

    case: Case
    laterality: str
    view: str
    image: Image
    breast: NDArray[np.bool_]
    muscle: NDArray[np.bool_]
    nipple: tuple[float, float]
    pixel_mm: float
    lesion: Lesion | None


def _radius_mm(case: Case, anatomies: list[Anatomy]) -> float:
    """The drawn size, or the largest that finds room in every view: never a matter of the pathology."""
    room = min(float(anatomy.clearance_mm.max()) for anatomy in anatomies)
    return min(case.diameter_mm / 2, 0.95 * room / (1 + case.reach))


def _place(anatomy: Anatomy, needed_mm: float, depth_mm: float, rng: np.random.Generator) -> tuple[int, int]:
    """A place with room for the lesion, near ``depth_mm`` from the nipple, where its other view has it too."""
    step = max(1, round(_PLACE_STEP_MM / anatomy.pixel_mm))
    rows, columns = np.nonzero(anatomy.clearance_mm[::step, ::step] > needed_mm)
    if not len(rows):  # the only room lies between the points of the coarse grid
        row, column = np.unravel_index(int(anatomy.clearance_mm.argmax()), anatomy.clearance_mm.shape)
        return int(row), int(column)
    away = np.hypot(rows * step - anatomy.nipple[0], columns * step - anatomy.nipple[1]) * anatomy.pixel_mm
    odds = np.exp(-(((away - depth_mm) / 12) ** 2)) + 1e-6
    i = int(rng.choice(len(rows), p=odds / odds.sum()))
    return int(rows[i]) * step, int(columns[i]) * step


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _displaced(tissue: Image, pattern: Image, radius_px: float) -> Image:
    """A mass pushes part of the parenchyma aside: where it lies, the tissue is nearer to its local mean."""
    share = _DISPLACED * np.clip(pattern, 0, 1)
    return tissue + share * (cv2.GaussianBlur(tissue, (0, 0), radius_px) - tissue)


def _add_lesion(
    case: Case,
    words: Words,
    radius_mm: float,
    depth_mm: float,
    anatomy: Anatomy,
    rng: np.random.Generator,
    coarseness: float,
) -> tuple[Image, Lesion]:
    """The tissue with the lesion in it, and the truth about the lesion."""
    row, column = _place(anatomy, (1 + case.reach) * radius_mm, depth_mm, rng)
    free = min(float(anatomy.clearance_mm[row, column]), 2.6 * radius_mm + 2)
    mass = case.abnormality == "mass"
    draw = draw_mass if mass else partial(draw_cluster, coarseness=coarseness)
    pattern, region = draw(case, words, radius_mm, free, anatomy.pixel_mm, rng)
    contrast = case.contrast * (1.0 if mass else _CALCIFICATION_BRIGHTNESS)
    half = pattern.shape[0] // 2
    window = np.s_[row - half : row + half + 1, column - half : column + half + 1]
    tissue, mask = anatomy.tissue.copy(), np.zeros(anatomy.breast.shape, bool)
    if mass:
        tissue[window] = _displaced(tissue[window], pattern, radius_mm / anatomy.pixel_mm)
    tissue[window] += np.float32(contrast) * pattern
    mask[window] = region
    return tissue, Lesion(mask, _box(mask), (row, column), 2 * radius_mm, contrast, words)


def _mirrored(lesion: Lesion) -> Lesion:
    mask = np.ascontiguousarray(lesion.mask[:, ::-1])
    row, column = lesion.centre
    return replace(lesion, mask=mask, box=_box(mask), centre=(row, mask.shape[1] - 1 - column))


def _finish(
    case: Case, side: str, anatomy: Anatomy, tissue: Image, lesion: Lesion | None, rng: np.random.Generator
) -> View:
    """Expose the tissue, turn a right breast round and burn the marker in."""
    image = expose(tissue, anatomy.breast, case.device, rng)
    breast, muscle, nipple = anatomy.breast, anatomy.muscle, anatomy.nipple
    if side == "RIGHT":
        image = np.ascontiguousarray(image[:, ::-1])
        breast, muscle = (np.ascontiguousarray(mask[:, ::-1]) for mask in (breast, muscle))
        nipple = (nipple[0], image.shape[1] - 1 - nipple[1])
        lesion = _mirrored(lesion) if lesion else None
    sign = marker(f"{side[0]} {anatomy.view}", case.marker, anatomy.pixel_mm)
    down, inwards = (round(mm / anatomy.pixel_mm) for mm in (rng.uniform(6, 16), rng.uniform(4, 10)))
    column = inwards if side == "RIGHT" else image.shape[1] - inwards - sign.shape[1]
    stamp(image, sign, down, column, rng.uniform(0.75, 0.95))
    return View(case, side, anatomy.view, image, breast, muscle, nipple, anatomy.pixel_mm, lesion)


def _affected(case: Case, preset: Preset, pixel_mm: float, seed: int, views: tuple[str, ...]) -> list[View]:
    """Both views are always drawn, so that leaving one out does not change the other."""
    shared = patient_stream(seed, case.index, 1)
    streams = [patient_stream(seed, case.index, 2 + k) for k in range(2)]
    anatomies = [draw_anatomy(case, view, pixel_mm, rng) for view, rng in zip(VIEWS, streams, strict=True)]
    words = draw_words(case, preset.contrast, shared)
    radius_mm = _radius_mm(case, anatomies)
    depth_mm = shared.uniform(0.3, 0.8) * case.depth_mm
    made = []
    for anatomy, rng in zip(anatomies, streams, strict=True):
        if anatomy.view in views:
            tissue, lesion = _add_lesion(case, words, radius_mm, depth_mm, anatomy, rng, preset.coarseness)
            made.append(_finish(case, case.laterality, anatomy, tissue, lesion, rng))
    return made


def _unaffected(case: Case, pixel_mm: float, seed: int, views: tuple[str, ...]) -> list[View]:
    side = "RIGHT" if case.laterality == "LEFT" else "LEFT"
    made = []
    for k, view in enumerate(VIEWS):
        if view in views:
            rng = patient_stream(seed, case.index, 4 + k)
            anatomy = draw_anatomy(case, view, pixel_mm, rng)
            made.append(_finish(case, side, anatomy, anatomy.tissue, None, rng))
    return made


def patient(
    index: int,
    *,
    seed: int,
    preset: str = "standard",
    views: tuple[str, ...] = VIEWS,
    unaffected: bool = True,
    shortcut: bool = False,
    test: bool = False,
    pixel_mm: float | None = None,
    calcification_share: float | None = None,
    device: str | None = None,
) -> list[View]:
    """Draw patient ``index`` of the phantom with seed ``seed``.

    Args:
        index: number of the patient, from 0.
        seed: seed of the phantom.
        preset: ``demo``, ``reports`` or ``standard``, see :data:`.presets.PRESETS`.
        views: which of ``CC`` and ``MLO``.
        unaffected: draw the other breast as well, which has no lesion.
        shortcut: let the framed marker go with malignancy, with probability 0.9 (with 0.5 where ``test``).
        test: the patient is in the test split; see :func:`.case.in_test_split`.
        pixel_mm: side of a pixel, the preset's where None.
        calcification_share: part of the patients with a cluster of calcifications, the preset's where None.
        device: ``digital``, ``film`` or ``enhanced``, for all patients; drawn from the first two where None.

    Returns:
        The affected breast's views, then the other's.

    Raises:
        ValueError: for an unknown preset, view or device, or a share that is none.
    """
    chosen = preset_named(preset)
    if calcification_share is not None:
        chosen = replace(chosen, calcification_share=_share(calcification_share))
    if not views or not set(views) <= set(VIEWS):
        raise ValueError(f"views {views} must be one or both of {VIEWS}")
    pixel = chosen.pixel_mm if pixel_mm is None else pixel_mm
    case = draw_case(index, seed, chosen, shortcut=shortcut, test=test)
    if device is not None:
        case = replace(case, device=_known(device))
    made = _affected(case, chosen, pixel, seed, views)
    return made + (_unaffected(case, pixel, seed, views) if unaffected else [])


def _share(part: float) -> float:
    if not 0 <= part <= 1:
        raise ValueError(f"calcification_share is {part}; it is a part of the patients, from 0 to 1")
    return part


def _known(device: str) -> str:
    if device not in (*DEVICES, UNSEEN_DEVICE):
        raise ValueError(f"device is {device!r}; choose one of {', '.join((*DEVICES, UNSEEN_DEVICE))}")
    return device
