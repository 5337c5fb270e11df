"""Regions of known content, and one step against the chain that it replaces."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mammo.transforms import (
    BreastMaskd,
    ChestWallLeftd,
    LoadMammogramd,
    MammogramError,
    PrepareMammogramd,
    RecordGeometryd,
    ResizeMammogramd,
    to_grid_box,
    to_original_box,
)
from mammo.transforms.crop_region import CropRegion, CropRegiond, PrepareLesiond
from monai.data import MetaTensor
from monai.transforms import Compose, FromMetaTensord, Invertd

Breast = Callable[..., tuple[np.ndarray, np.ndarray]]
WriteDicom = Callable[..., Path]
REGIONS = [
    (100, 40, 180, 120),  # inside, shrunk
    (30, 20, 61, 51),  # inside, enlarged
    (-30, -20, 130, 140),  # beyond two borders
    (300, 200, 460, 360),  # beyond the far borders
    (-50, -50, 500, 400),  # around the whole image
    (5, 290, 6, 291),  # one pixel
    (40.3, 20.6, 120.2, 100.9),
]


@pytest.fixture
def film(breast: Breast, write_dicom: WriteDicom) -> Callable[..., Path]:
    def write(shape: tuple[int, int] = (401, 303), side: str = "right", **tags: Any) -> Path:
        return write_dicom(np.rint(breast(shape, side)[0] * 4095).astype(np.uint16), **tags)

    return write


def chain(margin: float = 0.0, **resize: Any) -> Compose:
    keys = ("image", "mask")
    steps = [LoadMammogramd(), BreastMaskd(), CropRegiond(keys, margin=margin), ResizeMammogramd(keys, **resize)]
    return Compose([*steps, RecordGeometryd()])


def test_region_is_the_slice_of_the_image() -> None:
    image = torch.rand(2, 30, 20)
    assert torch.equal(CropRegion()(image, [10, 5, 18, 16]).as_tensor(), image[:, 10:18, 5:16])


def test_region_beyond_the_border_is_zero_there() -> None:
    image = torch.ones(1, 4, 3)
    out = CropRegion()(image, [-2, 1, 3, 5]).as_tensor()
    expected = torch.zeros(1, 5, 4)
    expected[0, 2:, :2] = 1
    assert torch.equal(out, expected)


def test_every_pixel_that_the_box_touches_is_kept() -> None:
    image = torch.rand(1, 9, 9)
    assert torch.equal(CropRegion()(image, [2.9, 3.0, 4.1, 5.0]).as_tensor(), image[:, 2:5, 3:5])


def test_margin_is_a_share_of_each_side() -> None:
    image = torch.rand(1, 60, 60)
    out = CropRegion(margin=0.5)(image, [20, 24, 40, 32])  # 20 x 8 grows by 5 and 2 at either end
    assert torch.equal(out.as_tensor(), image[:, 15:45, 22:34])


def test_item_without_a_crop_stays_whole() -> None:
    image = torch.rand(1, 6, 5)
    assert torch.equal(CropRegiond()({"image": image})["image"].as_tensor(), image)


@pytest.mark.parametrize(
    ("box", "words"),
    [([40, 0, 50, 5], "beside the image of 30 x 20"), ([0, -9, 5, 0], "beside"), ([5, 5, 5, 9], "is empty")],
)
def test_region_without_a_pixel_is_refused(box: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CropRegion()(torch.rand(1, 30, 20), box)


@pytest.mark.parametrize("margin", [-0.1, float("nan")])
def test_margin_below_zero_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        CropRegion(margin)


@given(st.data())
def test_inverse_puts_the_region_back_and_zeros_around(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    top, left = data.draw(st.integers(-9, rows - 1)), data.draw(st.integers(-9, columns - 1))
    bottom = data.draw(st.integers(max(top, 0) + 1, rows + 9))
    right = data.draw(st.integers(max(left, 0) + 1, columns + 9))
    image = MetaTensor(torch.rand(1, rows, columns) + 1)
    transform = CropRegiond()
    back = transform.inverse(transform({"image": image, "crop": [top, left, bottom, right]}))["image"]
    expected = torch.zeros(1, rows, columns)
    inside = slice(max(top, 0), bottom), slice(max(left, 0), right)
    expected[:, inside[0], inside[1]] = image.as_tensor()[:, inside[0], inside[1]]
    assert torch.equal(back.as_tensor(), expected)
    torch.testing.assert_close(back.affine, image.affine)
    assert back.applied_operations == []


def test_matrix_maps_the_regions_pixels_to_original_ones(film: Callable[..., Path]) -> None:
    d = LoadMammogramd()({"image": film(ImagerPixelSpacing=[0.07, 0.05])})
    whole = d["image"].as_tensor()
    d = RecordGeometryd()(CropRegiond()({**d, "crop": [-3, 50, 70, 90]}))
    assert to_original_box((0, 0, 73, 40), d["to_original"]) == pytest.approx((-3, 50, 70, 90), abs=1e-3)
    assert to_grid_box((10, 60, 11, 61), d["to_original"]) == pytest.approx((13, 10, 14, 11), abs=1e-3)
    assert d["image"][0, 13, 10] == whole[0, 10, 60]


def test_box_is_in_original_pixels_after_mirroring(film: Callable[..., Path]) -> None:
    loaded = LoadMammogramd()({"image": film(ImagerPixelSpacing=[0.07, 0.07]), "crop": [100, 200, 180, 290]})
    direct = CropRegiond()(loaded)["image"]
    mirrored = ChestWallLeftd()(loaded)
    assert torch.equal(mirrored["image"].as_tensor(), loaded["image"].as_tensor().flip(2))
    assert torch.equal(CropRegiond()(mirrored)["image"].as_tensor(), direct.as_tensor().flip(2))


def test_box_is_in_original_pixels_after_resizing(film: Callable[..., Path]) -> None:
    loaded = LoadMammogramd()({"image": film((400, 300)), "crop": [100, 40, 180, 120]})
    half = ResizeMammogramd("image", spatial_size=(200, 150))(loaded)
    assert torch.equal(CropRegiond()(half)["image"].as_tensor(), half["image"].as_tensor()[:, 50:90, 20:60])


@pytest.mark.parametrize("crop", REGIONS)
@pytest.mark.parametrize("resize", [{"spatial_size": (48, 48)}, {"spatial_size": (64, 24), "mode": "stretch"}])
def test_result_equals_the_chain_to_the_last_bit(
    film: Callable[..., Path], crop: tuple[float, ...], resize: dict[str, Any]
) -> None:
    path = film(WindowCenter=2000, WindowWidth=3000, ImagerPixelSpacing=[0.1, 0.1])
    item = {"image": path, "crop": list(crop)}
    one, many = PrepareLesiond(margin=0.2, **resize)(item), chain(0.2, **resize)(item)
    assert one.keys() == many.keys()
    assert one["mask_quality"] == many["mask_quality"] == "ok"
    for key in ("image", "mask", "to_original"):
        assert torch.equal(one[key], many[key]), key
    for key in ("image", "mask"):
        assert torch.equal(one[key].affine, many[key].affine)
        told = {"mask_quality", "breast_share", "wall", "burned_in_px", "burned_in_share"}
        assert one[key].meta.keys() == many[key].meta.keys() | told


def test_large_picture_equals_the_chain_to_the_last_bit(film: Callable[..., Path]) -> None:
    item = {"image": film((1301, 997)), "crop": [200, 500, 900, 1200]}
    one, many = PrepareLesiond()(item), chain()(item)
    assert torch.equal(one["image"], many["image"])
    assert torch.equal(one["mask"], many["mask"])


def test_image_part_equals_loading_cutting_and_resizing(film: Callable[..., Path]) -> None:
    item = {"image": film(), "crop": [100, 150, 260, 310]}
    steps = Compose([LoadMammogramd(), CropRegiond(), ResizeMammogramd("image")])
    assert torch.equal(PrepareLesiond()(item)["image"], steps(item)["image"])


def test_picture_without_a_crop_is_prepared_whole(film: Callable[..., Path]) -> None:
    path = film(side="left")
    one, many = PrepareLesiond()({"image": path}), chain()({"image": path})
    assert torch.equal(one["image"], many["image"])
    whole = PrepareMammogramd(margin_px=1000)({"image": path})  # chest wall on the left: nothing is mirrored
    assert torch.equal(one["image"], whole["image"])
    assert torch.equal(one["mask"], whole["mask"])


def test_only_the_rows_of_the_region_become_values(film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from mammo.transforms import crop_region
    from mammo.transforms.picture import Picture

    seen: list[tuple[int, int]] = []
    rows = Picture.rows

    def spy(self: Picture, part: slice, columns: slice = slice(None), mirrored: bool = False) -> np.ndarray:
        seen.append((part.indices(self.shape[0])[0], part.indices(self.shape[0])[1]))
        return rows(self, part, columns, mirrored)

    monkeypatch.setattr(crop_region, "segment_reduced", lambda small, factor: _nothing(small, factor))
    monkeypatch.setattr(crop_region, "reduce_rows", lambda *_: np.zeros((401, 303), np.float32))
    monkeypatch.setattr(Picture, "rows", spy)
    PrepareLesiond()({"image": film(), "crop": [100, 40, 180, 120]})
    assert min(first for first, _ in seen) >= 100
    assert max(last for _, last in seen) <= 180


def _nothing(small: np.ndarray, factor: int) -> Any:
    from mammo.transforms.segmentation import MaskQuality, Segmentation

    return Segmentation(np.zeros_like(small, dtype=np.uint8), factor, MaskQuality.EMPTY, None)


def test_inverse_equals_that_of_the_chain(film: Callable[..., Path]) -> None:
    item = {"image": film(), "crop": [-30, 150, 260, 350]}
    found = []
    for transform in (PrepareLesiond(), chain()):
        d = transform(item)
        d["found"] = d["mask"].clone()
        found.append(Invertd(keys="found", transform=transform, orig_keys="image")(d)["found"])
    assert found[0].shape == (1, 401, 303)
    assert found[0].sum() > 0
    assert torch.equal(*found)


def test_prepared_record_without_metadata_loads_without_pickle(film: Callable[..., Path], tmp_path: Path) -> None:
    d = PrepareLesiond()({"image": str(film(ImageLaterality="R")), "crop": [0, 0, 50, 50]})
    plain = {k: v for k, v in FromMetaTensord(keys=("image", "mask"))(d).items() if k in d}
    torch.save(plain, tmp_path / "item.pt")
    again = torch.load(tmp_path / "item.pt", weights_only=True)
    assert again.keys() == {"image", "mask", "mask_quality", "to_original", "laterality", "crop"}


def test_transform_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(PrepareLesiond(spatial_size=(32, 16), margin=0.1)))
    assert (again.resizer.spatial_size, again.cropper.margin) == ((32, 16), 0.1)


def test_one_key_only() -> None:
    with pytest.raises(ValueError, match="expected one image"):
        PrepareLesiond(keys=("a", "b"))


@pytest.mark.parametrize("options", [{}, {"spatial_size": (48, 64), "mode": "stretch"}])
def test_the_one_step_of_the_bundles_cuts_a_record_s_crop(film, options):
    path = film()
    item = {"image": path, "crop": [40.0, 20.0, 90.0, 70.0]}
    whole, cut = PrepareMammogramd(**options)({"image": path}), PrepareMammogramd(**options)(dict(item))
    expected = PrepareLesiond(**options)(dict(item))
    assert torch.equal(cut["image"], expected["image"])
    assert torch.equal(cut["to_original"], expected["to_original"])
    assert not torch.equal(cut["image"], whole["image"])


def test_a_crop_beside_its_image_is_a_typed_error_that_names_the_file(film):
    with pytest.raises(MammogramError, match="beside the image") as error:
        PrepareMammogramd()({"image": film(), "crop": [9000.0, 0.0, 9100.0, 90.0]})
    assert error.value.reason == "invalid_crop"
