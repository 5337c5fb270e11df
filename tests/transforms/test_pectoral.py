"""The pectoral muscle on oblique views in miniature, of which the truth is known, and where there is none."""

import cv2
import numpy as np
import pytest
import torch
from mammo.pipeline.phantom import patient
from mammo.transforms import BreastMask, BreastMaskd, MaskQuality
from mammo.transforms.pectoral import PectoralQuality, pectoral_muscle, without_pectoral
from mammo.transforms.segmentation import Segmentation, reduce_picture, segment_reduced

SHAPE = (300, 220)


def oblique(side: str = "left", edge: float = 0.25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An oblique view, its breast and its muscle, a triangle that is ``edge`` brighter at the upper wall corner."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    breast = columns < 150 * np.sqrt(np.clip(1 - ((rows - 150) / 140) ** 2, 0, 1)).clip(0.7 * (rows < 150))
    muscle = breast & (columns < 90 * (1 - rows / 190))
    texture = cv2.GaussianBlur(np.random.default_rng(0).random(SHAPE, dtype=np.float32), (0, 0), 6)
    image = breast * (0.35 + texture - texture.mean()) + edge * muscle
    image = np.clip(cv2.GaussianBlur(image, (0, 0), 1.5), 0, 1)
    if side == "right":
        image, breast, muscle = (np.ascontiguousarray(part[:, ::-1]) for part in (image, breast, muscle))
    return image.astype(np.float32), breast.astype(np.uint8), muscle.astype(np.uint8)


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.mark.parametrize("side", ["left", "right"])
def test_muscle_is_found(side: str) -> None:
    image, breast, muscle = oblique(side)
    found = pectoral_muscle(image, breast, side)
    assert found.quality == PectoralQuality.FOUND
    assert iou(found.mask, muscle) > 0.9


def test_sides_are_mirror_images_of_each_other() -> None:
    left, right = (pectoral_muscle(*oblique(side)[:2], side).mask for side in ("left", "right"))
    assert np.array_equal(left, right[:, ::-1])


def test_muscle_lies_inside_the_breast() -> None:
    image, breast, _ = oblique()
    breast[:, 60:80] = 0
    assert not (pectoral_muscle(image, breast, "left").mask & (1 - breast)).any()


def test_brightness_scale_does_not_matter() -> None:
    image, breast, _ = oblique()
    assert np.array_equal(*(pectoral_muscle(part, breast, "left").mask for part in (image, image / 16)))


@pytest.mark.parametrize("edge", [0.0, 0.01, -0.2])
def test_breast_without_a_clear_edge_has_no_muscle(edge: float) -> None:
    image, breast, _ = oblique(edge=edge)
    found = pectoral_muscle(image, breast, "left")
    assert found.quality == PectoralQuality.NO_EDGE
    assert not found.mask.any()


def test_rough_edge_is_none() -> None:
    image, breast, _ = oblique(edge=0)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    stairs = 90 * (1 - rows / 190) + 24 * np.sign(np.sin(rows / 7))
    found = pectoral_muscle(image + np.float32(0.25) * (columns < stairs) * breast, breast, "left")
    assert found.quality == PectoralQuality.NO_EDGE


def test_breast_without_its_upper_corner_has_no_muscle() -> None:
    image, breast, _ = oblique()
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    breast[columns < 90 * (1 - rows / 190)] = 0  # the muscle was cut away
    assert pectoral_muscle(image, breast, "left").quality == PectoralQuality.NO_CORNER


def test_empty_mask_has_no_muscle() -> None:
    image, breast, _ = oblique()
    assert pectoral_muscle(image, 0 * breast, "left").quality == PectoralQuality.NO_CORNER


def test_unknown_wall_has_no_muscle() -> None:
    image, breast, _ = oblique()
    found = pectoral_muscle(image, breast, None)
    assert found.quality == PectoralQuality.NO_WALL
    assert not found.mask.any()


def test_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask of shape \(5, 5\) on a picture of \(9, 9\)"):
        pectoral_muscle(np.zeros((9, 9), np.float32), np.zeros((5, 5), np.uint8), "left")


def test_unknown_side_is_refused() -> None:
    with pytest.raises(ValueError, match="expected left, right or None"):
        pectoral_muscle(np.zeros((9, 9), np.float32), np.zeros((9, 9), np.uint8), "top")


@pytest.mark.parametrize("view", ["MLO", "ML", None])
def test_muscle_is_taken_out_of_oblique_views(view: str | None) -> None:
    image, breast, muscle = oblique()
    found = Segmentation(breast, 1, MaskQuality.OK, "left")
    rest, quality = without_pectoral(image, found, view)
    assert quality == PectoralQuality.FOUND
    assert iou(rest.mask, breast & (1 - muscle)) > 0.97
    assert np.array_equal(found.mask, breast)  # the argument is left alone


def test_other_views_keep_their_mask() -> None:
    image, breast, _ = oblique()
    found = Segmentation(breast, 1, MaskQuality.OK, "left")
    assert without_pectoral(image, found, "CC") == (found, PectoralQuality.NOT_OBLIQUE)


def test_phantom_muscle_is_found_and_its_cc_view_has_none() -> None:
    for view in patient(1, seed=0, views=("CC", "MLO"), unaffected=False):
        small, factor = reduce_picture(view.image)
        found = segment_reduced(small, factor)
        muscle = pectoral_muscle(small, found.mask, found.wall)
        assert (muscle.quality == PectoralQuality.FOUND) == (view.view == "MLO")
        if view.view == "MLO":
            truth = cv2.resize(view.muscle.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST)
            assert iou(muscle.mask, truth) > 0.85


def test_mask_transform_excludes_the_muscle_on_demand() -> None:
    image, breast, muscle = oblique()
    kept, excluded = (BreastMask(pectoral)(image[None], "MLO")[0][0].numpy() > 0 for pectoral in ("keep", "exclude"))
    assert iou(kept, breast > 0) > 0.95
    assert iou(kept & ~excluded, muscle > 0) > 0.85


def test_dictionary_form_tells_whether_the_muscle_was_found() -> None:
    image = torch.from_numpy(oblique()[0])[None]
    codes = {
        view: BreastMaskd(pectoral="exclude")({"image": image, "view": view})["pectoral_quality"]
        for view in ("MLO", "CC")
    }
    assert codes == {"MLO": "found", "CC": "not_oblique"}
    assert "pectoral_quality" not in BreastMaskd()({"image": image, "view": "MLO"})


def test_unknown_option_is_refused() -> None:
    with pytest.raises(ValueError, match="remove"):
        BreastMask("remove")
