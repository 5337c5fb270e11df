"""A known lesion on the network's grid, against a lesion painted into the image itself."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mammo.pipeline.explain import lesion_region
from mammo.transforms import PrepareMammogramd

ROWS, COLUMNS = 300, 200
BOX = (90, 120, 130, 150)
"""Rows 90 to 129, columns 120 to 149 of the original."""


def right_breast(path: Path, lesion: bool, scale: int = 1) -> str:
    """A half-disc on the right edge, with a brighter box in it on request."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    breast = (rows - 140) ** 2 / 120**2 + (columns - COLUMNS) ** 2 / 150**2 < 1
    image = np.where(breast, 24000, 400).astype(np.uint16)
    image += np.random.default_rng(0).integers(0, 400, image.shape, dtype=np.uint16)
    if lesion:
        image[BOX[0] : BOX[2], BOX[1] : BOX[3]] = 60000
    cv2.imwrite(str(path), image[::scale, ::scale])
    return str(path)


def prepare(path: str, size: tuple[int, int]) -> dict:
    return PrepareMammogramd(spatial_size=size)({"image": path, "laterality": "R"})


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("size", [(150, 100), (224, 112)])
def test_a_box_of_a_right_breast_lands_on_its_pixels(size, tmp_path):
    item = prepare(right_breast(tmp_path / "image.png", lesion=True), size)
    region = lesion_region({"boxes": [BOX]}, tmp_path, item["to_original"], size)
    bright = item["image"][0].numpy() > 0.64  # halfway between lesion and breast
    assert bright.any()
    assert np.argwhere(bright)[:, 1].max() < size[1] * 0.75  # the chest wall is on the left now
    assert overlap(region, bright) > 0.85
    for edge in (np.min, np.max):
        np.testing.assert_allclose(edge(np.argwhere(region), axis=0), edge(np.argwhere(bright), axis=0), atol=1)


def test_a_mask_file_marks_what_its_box_marks(tmp_path):
    item = prepare(right_breast(tmp_path / "image.png", lesion=False), (150, 100))
    mask = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    mask[BOX[0] : BOX[2], BOX[1] : BOX[3]] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    by_mask = lesion_region({"roi_masks": ["mask.png"]}, tmp_path, item["to_original"], (150, 100))
    by_box = lesion_region({"boxes": [BOX]}, tmp_path, item["to_original"], (150, 100))
    np.testing.assert_array_equal(by_mask, by_box)


def test_a_mask_of_ones_in_sixteen_bits_is_a_mask_too(tmp_path):
    mask = np.zeros((4, 6), dtype=np.uint16)
    mask[1:3, 2] = 1
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    region = lesion_region({"roi_masks": ["mask.png"]}, tmp_path, np.eye(3, dtype=np.float32), (4, 6))
    np.testing.assert_array_equal(region, mask > 0)


def test_a_grid_finer_than_the_image_has_no_holes(tmp_path):
    finer = np.diag([0.25, 0.25, 1]).astype(np.float32)
    finer[:2, 2] = -0.375  # each pixel becomes 4 x 4, edges on edges
    region = lesion_region({"boxes": [(2, 3, 5, 6)]}, tmp_path, finer, (40, 40))
    expected = np.zeros((40, 40), dtype=bool)
    expected[8:20, 12:24] = True
    np.testing.assert_array_equal(region, expected)


def test_a_lesion_smaller_than_a_pixel_marks_that_pixel(tmp_path):
    coarse = np.diag([32, 32, 1]).astype(np.float32)
    coarse[:2, 2] = 15.5
    region = lesion_region({"boxes": [(70, 40, 71, 41)]}, tmp_path, coarse, (4, 4))
    assert np.argwhere(region).tolist() == [[2, 1]]


def test_several_lesions_are_marked_together(tmp_path):
    region = lesion_region({"boxes": [(0, 0, 1, 1), (3, 3, 4, 4)]}, tmp_path, np.eye(3, dtype=np.float32), (4, 4))
    assert np.argwhere(region).tolist() == [[0, 0], [3, 3]]


@pytest.mark.parametrize("record", [{}, {"boxes": [(100, 100, 110, 110)]}])
def test_no_lesion_or_one_outside_the_crop_is_none(record, tmp_path):
    assert lesion_region(record, tmp_path, np.eye(3, dtype=np.float32), (8, 8)) is None


def test_an_unreadable_mask_is_left_out_and_named(tmp_path, caplog):
    (tmp_path / "mask.png").write_text("no picture")
    assert lesion_region({"roi_masks": ["mask.png"]}, tmp_path, np.eye(3, dtype=np.float32), (8, 8)) is None
    assert str(tmp_path / "mask.png") in caplog.text
