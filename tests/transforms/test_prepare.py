"""One step against the chain that it replaces."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mammo.transforms import (
    BreastMaskd,
    ChestWallLeftd,
    CropToBreastd,
    LoadMammogramd,
    PrepareMammogramd,
    RecordGeometryd,
    ResizeMammogramd,
    to_grid_box,
    to_original_box,
)
from monai.transforms import Compose, FromMetaTensord, Invertd, MaskIntensityd

Breast = Callable[..., tuple[np.ndarray, np.ndarray]]
WriteDicom = Callable[..., Path]


def chain(**resize: Any) -> Compose:
    steps = [LoadMammogramd(), ChestWallLeftd(), BreastMaskd(), CropToBreastd(), ResizeMammogramd(**resize)]
    return Compose([*steps, RecordGeometryd()])


@pytest.fixture
def film(breast: Breast, write_dicom: WriteDicom) -> Callable[..., Path]:
    def write(shape: tuple[int, int], side: str, **tags: Any) -> Path:
        return write_dicom(np.rint(breast(shape, side)[0] * 4095).astype(np.uint16), **tags)

    return write


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("shape", [(90, 61), (401, 303), (1301, 997)])
@pytest.mark.parametrize("resize", [{"spatial_size": (64, 64)}, {"spatial_size": (96, 32), "mode": "stretch"}])
def test_result_equals_the_chain_to_the_last_bit(
    film: Callable[..., Path], shape: tuple[int, int], side: str, resize: dict[str, Any]
) -> None:
    path = film(shape, side, WindowCenter=2000, WindowWidth=3000, ImagerPixelSpacing=[0.1, 0.1])
    one, many = PrepareMammogramd(**resize)({"image": path}), chain(**resize)({"image": path})
    assert one.keys() == many.keys()
    assert one["mask_quality"] == many["mask_quality"] == "ok"
    for key in ("image", "mask", "to_original"):
        assert torch.equal(one[key], many[key]), key
    assert torch.equal(one["mask"].affine, many["mask"].affine)
    # Beside the metadata of the chain it tells what a gate asks of the pixels.
    told = {"mask_quality", "breast_share", "wall", "burned_in_px", "burned_in_share"}
    assert one["image"].meta.keys() == many["image"].meta.keys() | told


def test_blanked_background_is_that_of_monais_mask_transform(film: Callable[..., Path]) -> None:
    path = film((401, 303), "right")
    one, many = PrepareMammogramd(background="zero")({"image": path}), chain()({"image": path})
    assert many["image"][many["mask"] == 0].max() > 0  # else it would say nothing
    expected = MaskIntensityd(keys="image", mask_key="mask")(many)["image"]
    assert torch.equal(one["image"], expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_inverse_equals_that_of_the_chain(film: Callable[..., Path], side: str) -> None:
    path = film((401, 303), side)
    found = []
    for transform in (PrepareMammogramd(), chain()):
        d = transform({"image": path})
        d["found"] = d["mask"].clone()
        found.append(Invertd(keys="found", transform=transform, orig_keys="image")(d)["found"])
    assert found[0].shape == (1, 401, 303)
    assert torch.equal(*found)


def test_frame_without_a_breast_is_kept_whole_and_says_so(write_dicom: WriteDicom) -> None:
    pixels = np.zeros((300, 200), np.uint16)
    pixels[150, 100] = 4095
    path = write_dicom(pixels)
    one, many = PrepareMammogramd(background="zero")({"image": path}), chain()({"image": path})
    assert one["mask_quality"] == many["mask_quality"] == "empty"
    assert torch.equal(one["image"], many["image"])
    assert one["mask"].sum() == 0


@pytest.mark.parametrize("transform", [PrepareMammogramd(), chain()])
def test_prepared_record_without_metadata_loads_without_pickle(
    film: Callable[..., Path], tmp_path: Path, transform: Callable[..., Any]
) -> None:
    d = transform({"image": str(film((200, 150), "right", ImageLaterality="R"))})
    plain = FromMetaTensord(keys=("image", "mask"))(d)
    plain = {k: v for k, v in plain.items() if k in d}
    torch.save(plain, tmp_path / "item.pt")
    again = torch.load(tmp_path / "item.pt", weights_only=True)
    assert again.keys() == {"image", "mask", "mask_quality", "to_original", "laterality"}
    assert torch.equal(again["image"], d["image"].as_tensor())


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("resize", [{"spatial_size": (512, 512)}, {"spatial_size": (320, 400), "mode": "stretch"}])
def test_a_box_lies_on_the_grid_where_its_pixels_do_and_comes_back(
    breast: Breast, write_dicom: WriteDicom, side: str, resize: dict[str, Any]
) -> None:
    """Cropped, mirrored, padded and resized: the pixels of a bright plate are where its box says, to a pixel."""
    pixels = breast((901, 603), side)[0] * 2000
    row0, col0, row1, col1 = box = (400, 60, 520, 151) if side == "left" else (400, 452, 520, 543)
    pixels[row0:row1, col0:col1] = 4095
    d = PrepareMammogramd(**resize)({"image": write_dicom(np.rint(pixels).astype(np.uint16))})
    bright = np.argwhere(d["image"][0].numpy() > 0.75)
    seen = (*bright.min(axis=0), *(bright.max(axis=0) + 1))
    mapped = to_grid_box(box, d["to_original"])
    np.testing.assert_allclose(mapped, seen, atol=1)
    np.testing.assert_allclose(to_original_box(mapped, d["to_original"]), box, atol=0.01)
    # Whole pixels of the grid, as a network answers, come back within one of them.
    scale = np.abs(np.diag(d["to_original"].numpy()))[[0, 1, 0, 1]]
    back = np.subtract(to_original_box(tuple(np.rint(mapped)), d["to_original"]), box)
    assert (np.abs(back) <= scale).all()


def test_transform_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(PrepareMammogramd(spatial_size=(32, 16))))
    assert again.resizer.spatial_size == (32, 16)


def test_one_key_only() -> None:
    with pytest.raises(ValueError, match="expected one image"):
        PrepareMammogramd(keys=("a", "b"))
