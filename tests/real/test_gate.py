"""The gate on every real and derived DICOM file, on films and on subtracted images.

What text there is was settled by looking: mini-MIAS had its labels painted out by hand before publication but for two,
CDD-CESM shows none, the NEMA film has the label "L MLO".
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from mammo.pipeline.datasets.frames import count_frames
from mammo.pipeline.gate import gate_files, gate_records
from mammo.transforms import MammogramReader
from mammo.transforms.burned_in import text_regions
from mammo.transforms.pixel_facts import find_breast, pixel_facts

FILM = {"side_marker"}  # "L MLO"
DEPLOY = {
    "derived/MG1_JPLY_sosfixed": ("refuse", FILM | {"secondary_capture", "unknown_intent", "lossy"}),
    "derived/cbis_style_full_16b": ("refuse", FILM | {"secondary_capture", "unknown_intent"}),
    "derived/forprocessing_mono1_14b_jpll": ("refuse", FILM | {"for_processing"}),
    "derived/implant_tags_12b": ("refuse", FILM | {"implant", "implant_displaced"}),
    "derived/tomosynthesis_7frames_j2kr_12b": ("refuse", {"tomosynthesis"}),
    "derived/ts_j2ki_mono2_12b": ("refuse", FILM | {"lossy"}),
    "derived/ts_jlsn_mono2_12b": ("refuse", FILM | {"lossy"}),
    "real/MG1_J2KI": ("refuse", FILM | {"secondary_capture", "unknown_intent", "lossy"}),
    "real/MG_Explicit_Little": ("refuse", {"magnification", "burned_in_text", "mask_empty"}),
    **{
        f"derived/cesm_P12/{name}": ("refuse", {"contrast_enhanced"})
        for name in ("L_CC_jlsl", "L_MLO_jpll", "R_CC_expl", "R_MLO_rle")
    },
}
TEXTS = ("R MLO", "L CC", "RCC", "DOE JANE 1953", "12.03.2019")


def test_every_dicom_file_gets_its_reasons(real_data: Path) -> None:
    root = real_data / "dicom"
    summary = gate_files(root, "deploy")
    assert len(summary.rows) == 27
    for row in summary.rows:
        name = str(Path(row.image).relative_to(root).with_suffix(""))
        expected = DEPLOY.get(name, ("accept", FILM))
        assert (row.verdict.outcome, set(row.verdict.reasons)) == expected, name


def test_a_real_digital_exam_is_accepted(real_data: Path) -> None:
    assert gate_files(real_data / "nyu_gmic/dicom", "deploy").outcomes() == {"all": {"accept": 4}}


def test_a_tomosynthesis_can_be_used_by_one_frame_or_by_the_maximum(real_data: Path) -> None:
    path = str(real_data / "dicom/derived/tomosynthesis_7frames_j2kr_12b.dcm")
    assert count_frames(path) == 7
    for frame in (3, "max"):
        [row] = gate_records([{"image": path, "frame": frame}]).rows
        assert row.verdict.outcome == "warn"
        assert set(row.verdict.reasons) - FILM == {"chosen_frame"}


@pytest.mark.parametrize(("folder", "step"), [("mini_mias", 3), ("cdd_cesm", 9)])
def test_films_and_subtracted_images_get_no_reason_of_headers_and_few_of_pixels(
    real_data: Path, folder: str, step: int
) -> None:
    paths = sorted((real_data / folder / "images").glob("*.png"))[::step]
    records = [{"image": str(path), "laterality": side_of(path), "view": "MLO", "dataset": folder} for path in paths]
    summary = gate_records(records)
    assert set(summary.outcomes("dataset")[folder]) <= {"accept", "warn"}
    reasons = summary.reasons()["all"]
    assert reasons["no_header"] == len(paths)
    assert sum(count for reason, count in reasons.items() if reason != "no_header") < 0.05 * len(paths)
    assert set(reasons) <= {
        "no_header", "side_disagrees", "side_marker", "burned_in_text", "mask_cut_off", "mask_no_wall", "over_cropped"
    }  # fmt: skip


def side_of(path: Path) -> str:
    if path.name.startswith("mdb"):
        return "L" if int(path.stem[3:]) % 2 == 0 else "R"
    return "L" if "_L_" in path.name else "R"


def test_labels_that_were_left_on_films_are_found(real_data: Path) -> None:
    for name in ("mdb293", "mdb294"):
        picture = MammogramReader().read(real_data / f"mini_mias/images/{name}.png")
        assert pixel_facts(*find_breast(picture, None))["burned_in_px"] >= 1, name


def test_words_drawn_beside_real_breasts_are_found(real_data: Path) -> None:
    found: Counter[bool] = Counter()
    for path in sorted((real_data / "mini_mias/images").glob("*.png"))[::36]:
        found.update(hit for _, hit in drawn_words(path))
    for path in sorted((real_data / "nyu_gmic/dicom").glob("*_R-CC.dcm")):
        found.update(hit for _, hit in drawn_words(path))
    assert found.total() > 60
    assert found[True] > 0.95 * found.total()


def drawn_words(path: Path) -> Iterator[tuple[str, bool]]:
    """Draw each word at two heights on air, wherever there is room; and whether a region covers it."""
    random = np.random.default_rng(0)
    picture = MammogramReader().read(path)
    image = picture.pixels()
    small, breast, flipped = find_breast(picture, None)
    mask = np.ascontiguousarray(breast.mask[:, ::-1]) if flipped else breast.mask
    near = cv2.resize(cv2.dilate(mask, np.ones((9, 9), np.uint8)), image.shape[::-1], interpolation=cv2.INTER_NEAREST)
    for text in TEXTS:
        for height in (0.015, 0.03):
            ink = drawn(text, round(height * max(image.shape)), near, random)
            if ink is None:
                continue
            marked = np.maximum(image, ink * np.float32(random.uniform(0.5, 1) * image.max()))
            small, found, flipped = find_breast(picture._replace(stored=marked, table=None), None)
            rows, columns = (np.flatnonzero(ink.max(axis=axis)) / found.factor for axis in (1, 0))
            width = image.shape[1] / found.factor
            column0, column1 = (width - columns[-1], width - columns[0]) if flipped else (columns[0], columns[-1])
            boxes = text_regions(small, found.mask)
            yield (
                text,
                any(
                    box[0] <= rows[-1] + 2 and rows[0] <= box[2] + 2 and box[1] <= column1 + 2 and column0 <= box[3] + 2
                    for box in boxes
                ),
            )


def drawn(text: str, height: int, near: np.ndarray, random: np.random.Generator) -> np.ndarray | None:
    thickness = max(1, height // 6)
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, height, thickness)
    (width, tall), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    size = width + 8, tall + below + 8
    if size[0] >= near.shape[1] or size[1] >= near.shape[0]:
        return None
    covered = cv2.boxFilter(near.astype(np.float32), -1, size, normalize=False)
    row, column = size[1] // 2 + 20, size[0] // 2 + 20
    free = np.argwhere(covered[row:-row, column:-column] < 0.5)
    if not len(free):
        return None
    row, column = free[random.integers(len(free))] + [row, column]
    ink = np.zeros(near.shape, np.uint8)
    place = int(column) - width // 2, int(row) + tall // 2
    cv2.putText(ink, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
    return ink.astype(np.float32) / 255
