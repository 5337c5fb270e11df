from collections.abc import Callable

import cv2
import numpy as np
import pytest
from mammo.transforms.burned_in import text_regions

Breast = Callable[..., tuple[np.ndarray, np.ndarray]]
SHAPE = (320, 240)


def write(image: np.ndarray, text: str, row: int, column: int, height: int = 8, level: float = 0.9) -> np.ndarray:
    """The picture with ``text`` on it; ``row`` and ``column`` are the bottom left of the first letter."""
    ink = np.zeros(image.shape, np.uint8)
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, height, 1)
    cv2.putText(ink, text, (column, row), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
    return np.maximum(image, ink.astype(np.float32) / 255 * level)


@pytest.fixture
def picture(breast: Breast) -> tuple[np.ndarray, np.ndarray]:
    image, mask = breast(SHAPE)
    return image, mask.astype(np.uint8)


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("air", [0.0, 0.2])
def test_a_breast_on_air_has_no_text(breast: Breast, air: float, noise: float) -> None:
    image, mask = breast(SHAPE, air=air, noise=noise)
    assert text_regions(image, mask.astype(np.uint8)) == []


@pytest.mark.parametrize("height", [6, 8, 12])
@pytest.mark.parametrize("text", ["R MLO", "RCC", "12.03.2019"])
def test_a_word_is_one_region_around_its_ink(picture: tuple[np.ndarray, np.ndarray], text: str, height: int) -> None:
    image, mask = picture
    clean = write(np.zeros_like(image), text, 30, 120, height) > 0.5
    rows, columns = np.nonzero(clean)
    [(row0, column0, row1, column1)] = text_regions(write(image, text, 30, 120, height), mask)
    assert abs(row0 - rows.min()) <= 2
    assert abs(row1 - 1 - rows.max()) <= 2
    assert abs(column0 - columns.min()) <= 3
    assert abs(column1 - 1 - columns.max()) <= 3


def test_lines_apart_are_regions_apart_from_top_to_bottom(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = picture
    for row, text in ((290, "1953-02-01"), (20, "L CC"), (312, "DOE JANE")):
        image = write(image, text, row, 150)
    boxes = text_regions(image, mask)
    assert len(boxes) == 3
    assert boxes == sorted(boxes)


def test_text_on_the_side_of_the_chest_wall_needs_to_be_longer(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = picture
    assert text_regions(write(image, "R CC", 15, 8), mask) == []
    assert len(text_regions(write(image, "DOE JANE 1953", 15, 8), mask)) == 1


def test_the_mirror_image_has_the_mirrored_regions(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = picture
    image = write(write(image, "L CC", 20, 150), "DOE JANE", 312, 140)
    mirrored = text_regions(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1]))
    width = image.shape[1]
    assert mirrored == [(r0, width - c1, r1, width - c0) for r0, c0, r1, c1 in text_regions(image, mask)]


def test_exposure_does_not_matter(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = picture
    image = write(image, "L CC", 20, 150)
    assert text_regions(image * np.float32(0.25), mask) == text_regions(image, mask) != []


def test_text_inside_the_breast_or_against_it_does_not_count(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = picture
    nipple = image.copy()
    edge = int(np.flatnonzero(mask[160])[-1])
    nipple[155:166, edge : edge + 9] = 0.9
    assert text_regions(write(image, "MARK", 160, 40), mask) == []
    assert text_regions(nipple, mask) == []


@pytest.mark.parametrize(
    "artefact",
    [np.s_[:4, :], np.s_[:, -5:], np.s_[300:301, 20:220], np.s_[20:80, 170:225], np.s_[310:, 150:156]],
    ids=["border", "side border", "scanner line", "tape", "notch"],
)
def test_borders_lines_and_tape_are_no_text(
    picture: tuple[np.ndarray, np.ndarray], artefact: tuple[slice, ...]
) -> None:
    image, mask = picture
    image[artefact] = 0.9
    assert text_regions(image, mask) == []


def test_strokes_on_an_arm_are_no_text(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = picture
    image[260:, 120:] = 0.5
    assert text_regions(write(image, "FOLDS", 300, 150), mask) == []


def test_a_page_of_text_without_a_breast_is_found(picture: tuple[np.ndarray, np.ndarray]) -> None:
    page = np.zeros(SHAPE, np.float32)
    for row in range(20, 300, 30):
        page = write(page, "DISPLAY SHOULD INFORM", row, 20)
    boxes = text_regions(page, np.zeros(SHAPE, np.uint8))
    assert len(boxes) >= 10
    assert all(0 <= r0 < r1 <= SHAPE[0] and 0 <= c0 < c1 <= SHAPE[1] for r0, c0, r1, c1 in boxes)


def test_a_dark_picture_has_no_text() -> None:
    assert text_regions(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8)) == []
