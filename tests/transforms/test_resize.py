import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mammo.transforms import ResizeMammogram, ResizeMammogramd
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Resize


def test_pad_keeps_the_aspect_ratio_and_column_zero() -> None:
    out = ResizeMammogram((64, 64))(torch.ones(1, 200, 100))
    torch.testing.assert_close(out[0, :, :32], torch.ones(64, 32))
    assert out[0, :, 32:].sum() == 0


def test_stretch_fills_the_grid() -> None:
    assert ResizeMammogram((64, 64), mode="stretch")(torch.ones(1, 200, 100)).min() == pytest.approx(1)


def test_speck_dims_but_never_vanishes() -> None:
    image = torch.zeros(1, 512, 512)
    image[0, ::37, ::41] = 1
    out = ResizeMammogram((64, 64))(image)
    assert out.sum() * 64 == pytest.approx(image.sum().item())


def test_mask_stays_binary() -> None:
    mask = (torch.rand(1, 131, 77) > 0.5).float()
    assert set(ResizeMammogramd(keys="mask")({"mask": mask})["mask"].unique().tolist()) == {0.0, 1.0}


def test_stretch_affine_is_that_of_monai_resize() -> None:
    image = MetaTensor(torch.rand(1, 130, 70), affine=torch.diag(torch.tensor([2.0, 3, 1, 1])))
    ours, theirs = ResizeMammogram((64, 48), "stretch")(image), Resize((64, 48))(image)
    torch.testing.assert_close(ours.affine, theirs.affine)


@given(st.integers(20, 90), st.integers(20, 90), st.sampled_from(["pad", "stretch"]), st.data())
def test_inverse_brings_a_mask_back_to_the_pixel(rows: int, columns: int, mode: str, data: st.DataObject) -> None:
    mask = torch.zeros(1, rows, columns)
    top, left = data.draw(st.integers(0, rows - 10)), data.draw(st.integers(0, columns - 10))
    mask[0, top : top + 10, left : left + 10] = 1
    chain = Compose([ResizeMammogramd(spatial_size=(256, 256), mode=mode)])  # finer: nothing is lost on the way
    d = chain({"image": MetaTensor(torch.rand(1, rows, columns)), "mask": MetaTensor(mask)})
    d["found"] = d["mask"].clone()
    back = Invertd(keys="found", transform=chain, orig_keys="image")(d)["found"]
    assert torch.equal(back, mask)


def test_inverse_of_an_image_is_smooth_and_of_its_size() -> None:
    rows = torch.linspace(0, 1, 300)[None, :, None].expand(1, 300, 200)
    transform = ResizeMammogram((100, 100))
    back = transform.inverse(transform(MetaTensor(rows.contiguous())))
    assert back.shape == (1, 300, 200)
    torch.testing.assert_close(back.affine, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(back.as_tensor(), rows, atol=0.01, rtol=0)  # a grid pixel spans 1 % of the ramp


def test_several_channels_are_resized_alike() -> None:
    image = torch.rand(1, 90, 60)
    both = ResizeMammogram((32, 32))(torch.cat([image, image]))
    assert torch.equal(both[0], both[1])


@pytest.mark.parametrize("size", [(0, 5), (5,)])
def test_senseless_sizes_are_refused(size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected rows and columns"):
        ResizeMammogram(size)  # type: ignore[arg-type]
