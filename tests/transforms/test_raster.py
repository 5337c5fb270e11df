from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from mammo.transforms import LoadMammogramd, MammogramError

PIXELS = np.random.default_rng(0).integers(0, 65536, (40, 30)).astype(np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tiff"])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), PIXELS)
    image = LoadMammogramd()({"image": path})["image"]
    np.testing.assert_array_equal(image[0].numpy(), (PIXELS / 65535).astype(np.float32))


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tiff"])
def test_eight_bits_span_their_range(tmp_path: Path, suffix: str) -> None:
    pixels = (PIXELS >> 8).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), pixels)
    image = LoadMammogramd()({"image": path})["image"]
    np.testing.assert_array_equal(image[0].numpy(), (pixels / 255).astype(np.float32))


def test_jpeg_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    smooth = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (40, 1))
    cv2.imwrite(str(path), smooth)
    image = LoadMammogramd()({"image": path})["image"]
    np.testing.assert_allclose(image[0].numpy() * 255, smooth, atol=3)  # lossy


def test_bits_in_use_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), PIXELS >> 4)
    image = LoadMammogramd(bits_stored=12)({"image": path})["image"]
    np.testing.assert_array_equal(image[0].numpy(), ((PIXELS >> 4) / 4095).astype(np.float32))


def test_three_equal_channels_are_gray(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.dstack([PIXELS] * 3))
    image = LoadMammogramd()({"image": path})["image"]
    np.testing.assert_array_equal(image[0].numpy(), (PIXELS / 65535).astype(np.float32))


def test_nifti_keeps_rows_columns_and_spacing(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    affine = np.diag([0.2, 0.1, 1, 1])  # columns first
    nibabel.Nifti1Image((PIXELS / 65535).astype(np.float32).T, affine).to_filename(path)
    image = LoadMammogramd()({"image": path})["image"]
    np.testing.assert_array_equal(image[0].numpy(), (PIXELS / 65535).astype(np.float32))
    assert image.meta["pixel_spacing_mm"] == pytest.approx([0.1, 0.2])


def test_image_id_is_the_stem(tmp_path: Path) -> None:
    path = tmp_path / "mdb001.png"
    cv2.imwrite(str(path), PIXELS)
    assert LoadMammogramd()({"image": path})["image"].meta["image_id"] == "mdb001"


@pytest.mark.parametrize(
    ("name", "pixels", "reason"),
    [
        ("blank.png", np.zeros((9, 9), np.uint8), "all_zero"),
        ("colour.png", PIXELS[:9, :9, None] // np.array([1, 2, 3], np.uint16), "unsupported_pixel_format"),
        ("counts.tiff", PIXELS.astype(np.float32), "unsupported_pixel_format"),
    ],
)
def test_unusable_pictures_are_refused(tmp_path: Path, name: str, pixels: np.ndarray, reason: str) -> None:
    path = tmp_path / name
    cv2.imwrite(str(path), pixels)
    with pytest.raises(MammogramError) as caught:
        LoadMammogramd()({"image": path})
    assert caught.value.reason == reason


def test_size_is_checked_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), PIXELS)
    with pytest.raises(MammogramError, match="max_pixels"):
        LoadMammogramd(max_pixels=1000)({"image": path})


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.png"])
def test_broken_files_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"nothing of the kind" * 40)
    with pytest.raises(MammogramError) as caught:
        LoadMammogramd()({"image": path})
    assert caught.value.reason == "not_an_image"


def test_truncated_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), PIXELS)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MammogramError, match="broken or truncated"):
        LoadMammogramd()({"image": path})
