import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mammo.transforms import CropToBreast, CropToBreastd
from monai.data import MetaTensor


def rectangle(shape: tuple[int, int], box: tuple[int, int, int, int]) -> MetaTensor:
    mask = torch.zeros(1, *shape)
    mask[0, box[0] : box[2], box[1] : box[3]] = 1
    return MetaTensor(mask)


def test_crop_is_the_box_of_the_mask_with_a_margin() -> None:
    image = MetaTensor(torch.arange(600.0).reshape(1, 30, 20))
    out = CropToBreast(margin_px=2)(image, rectangle((30, 20), (10, 5, 20, 9)))
    assert torch.equal(out, image[:, 8:22, 3:11])


def test_margin_ends_at_the_frame() -> None:
    out = CropToBreast(margin_px=50)(torch.rand(1, 30, 20), rectangle((30, 20), (10, 5, 20, 9)))
    assert out.shape == (1, 30, 20)


def test_empty_mask_keeps_the_frame() -> None:
    assert CropToBreast()(torch.rand(1, 30, 20), torch.zeros(1, 30, 20)).shape == (1, 30, 20)


@given(st.data())
def test_inverse_puts_every_pixel_back(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(2, 40)), data.draw(st.integers(2, 40))
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    bottom, right = data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, columns))
    mask = rectangle((rows, columns), (top, left, bottom, right))
    transform = CropToBreastd(margin_px=data.draw(st.integers(0, 5)))
    out = transform({"image": MetaTensor(torch.ones(1, rows, columns)), "mask": mask})
    back = transform.inverse(out)
    assert torch.equal(back["mask"], mask)
    assert torch.equal(back["image"] * mask, mask)


def test_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        CropToBreast(-1)
