from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from mammo.transforms import ChestWallLeft, ChestWallLeftd
from mammo.transforms.laterality import wall_is_right
from monai.data import MetaTensor
from monai.transforms import Flip

Breast = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize("laterality", ["L", "R", None])
def test_pixels_decide_whatever_the_header_says(breast: Breast, laterality: str | None) -> None:
    image = breast(side="right")[0]
    out = ChestWallLeft()(image[None], laterality)
    np.testing.assert_array_equal(out[0], image[:, ::-1])


def test_image_with_the_wall_on_the_left_stays(breast: Breast) -> None:
    image = breast(side="left")[0]
    np.testing.assert_array_equal(ChestWallLeft()(image[None], "R")[0], image)


@pytest.mark.parametrize("side", ["left", "right"])
def test_markers_and_borders_do_not_decide(breast: Breast, side: str) -> None:
    image = breast(side=side)[0]
    far = slice(-40, None) if side == "left" else slice(0, 40)
    image[:, far][30:330] = 0.0
    image[:, far][30:330, 5:35] = 0.97  # a long bright label on the far edge
    cv2.circle(image, (150, 25), 12, 1.0, 4)
    assert ChestWallLeft().is_right(torch.from_numpy(image)[None]) == (side == "right")


def test_mirrored_twice_is_left_alone(breast: Breast) -> None:
    once = ChestWallLeft()(breast(side="right")[0][None])
    assert torch.equal(ChestWallLeft()(once), once)


@pytest.mark.parametrize(
    ("wall", "laterality", "orientation", "right"),
    [
        ("left", "R", "P\\F", False),
        ("right", "L", "A\\F", True),
        (None, "L", "P\\F", True),
        (None, "R", "A\\FR", False),
        (None, "R", None, True),
        (None, "R", "CC", True),
        (None, "L", None, False),
        (None, None, None, False),
    ],
)
def test_pixels_then_orientation_then_side(
    wall: str | None, laterality: str | None, orientation: str | None, right: bool
) -> None:
    assert wall_is_right(wall, laterality, orientation) == right


@pytest.mark.parametrize("side", ["left", "right"])
def test_inverse_restores_the_image(breast: Breast, side: str) -> None:
    image = MetaTensor(torch.from_numpy(breast(side=side)[0])[None])
    transform = ChestWallLeft()
    back = transform.inverse(transform(image))
    assert torch.equal(back, image)
    assert torch.equal(back.affine, image.affine)
    assert back.applied_operations == []


def test_inverse_of_the_dictionary_form_follows_its_record(breast: Breast) -> None:
    image = MetaTensor(torch.from_numpy(breast(side="right")[0])[None])
    transform = ChestWallLeftd()
    assert torch.equal(transform.inverse(transform({"image": image}))["image"], image)


def test_affine_is_that_of_monai_flip(breast: Breast) -> None:
    image = MetaTensor(torch.from_numpy(breast(side="right")[0])[None], affine=torch.diag(torch.tensor([2.0, 3, 1, 1])))
    torch.testing.assert_close(ChestWallLeft()(image).affine, Flip(spatial_axis=1)(image).affine)


def test_first_key_decides_for_all(breast: Breast) -> None:
    image = torch.from_numpy(breast(side="right")[0])[None]
    roi = torch.zeros_like(image)
    roi[0, 10, 20] = 1
    out = ChestWallLeftd(keys=("image", "roi"))({"image": image, "roi": roi})
    assert out["roi"][0, 10, -21] == 1


def test_tie_break_reads_side_and_orientation() -> None:
    ramp = torch.linspace(0.5, 0.51, 20).expand(1, 30, 20).contiguous()
    blank = MetaTensor(ramp, meta={"patient_orientation": "P\\F"})
    assert torch.equal(ChestWallLeftd()({"image": blank})["image"], blank.flip(-1))
    plain = ramp
    assert torch.equal(ChestWallLeftd()({"image": plain, "laterality": "R"})["image"], plain.flip(-1))
