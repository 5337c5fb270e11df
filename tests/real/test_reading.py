"""Every real and derived DICOM file: equal twins, both back ends, and all that can be cut off."""

import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mammo.transforms import LoadMammogramd, MammogramError, MammogramReader
from mammo.transforms.pixel_data import decode_with_pydicom
from pydicom import dcmread

LOSSLESS = ("expl", "impl", "be", "defl", "rle", "jpll", "jpll14", "jlsl", "j2kr")


@pytest.fixture(scope="module")
def manifest(real_data: Path) -> list[dict[str, str]]:
    """Rows of the DICOM manifest, multi-frame left out."""
    with open(real_data / "dicom" / "manifest.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["frames"] == "1"]


def read(path: Path, **options: object) -> torch.Tensor:
    return LoadMammogramd(**options)({"image": path})["image"]  # type: ignore[arg-type]


def test_every_file_is_read_with_its_rows_and_columns(real_data: Path, manifest: list[dict[str, str]]) -> None:
    assert len(manifest) == 30
    for row in manifest:
        image = read(real_data / row["file"])
        assert image.shape == (1, int(row["rows"]), int(row["cols"])), row["file"]
        assert image.dtype == torch.float32
        assert 0 <= image.min() < image.max() <= 1, row["file"]


def test_stored_values_are_those_of_the_manifest(real_data: Path, manifest: list[dict[str, str]]) -> None:
    for row in manifest:
        path = real_data / row["file"]
        stored = decode_with_pydicom(dcmread(path), path)
        digest = hashlib.sha256(stored.astype(stored.dtype.newbyteorder("<")).tobytes()).hexdigest()[:16]
        if "JPLY" in row["file"]:  # lossy 12-bit JPEG: decoders round differently
            assert abs(stored.mean() - float(row["mean"])) < 0.1
        else:
            assert digest == row["pixel_sha256"], row["file"]


def test_lossless_twins_are_equal(real_data: Path) -> None:
    images = [read(real_data / f"dicom/derived/ts_{name}_mono2_12b.dcm") for name in LOSSLESS]
    assert all(torch.equal(images[0], image) for image in images[1:])


def test_monochrome1_equals_its_twin(real_data: Path) -> None:
    one, two = (read(real_data / f"dicom/derived/{n}_12b.dcm") for n in ("mono1_j2kr", "ts_j2kr_mono2"))
    assert torch.equal(one, two)


def test_lossy_twins_are_close(real_data: Path) -> None:
    original = read(real_data / "dicom/derived/ts_expl_mono2_12b.dcm")
    near = read(real_data / "dicom/derived/ts_jlsn_mono2_12b.dcm")
    assert (near - original).abs().max() <= 2.01 / 4095  # near-lossless by 2
    assert (read(real_data / "dicom/derived/ts_j2ki_mono2_12b.dcm") - original).abs().mean() < 0.01


def test_twelve_bit_jpeg_shows_the_same_film(real_data: Path) -> None:
    jpeg, j2k = (read(real_data / f"dicom/{n}.dcm") for n in ("derived/MG1_JPLY_sosfixed", "real/MG1_J2KI"))
    assert (jpeg - j2k).abs().mean() < 0.01  # both lossy, 10:1


def test_itk_gives_the_same_pixels(real_data: Path, manifest: list[dict[str, str]]) -> None:
    for row in manifest:
        if int(row["rows"]) > 3000:
            continue  # the two full-size films take seconds; their small copies are here
        path = real_data / row["file"]
        assert torch.equal(read(path), read(path, backend="itk")), row["file"]


def test_png_equals_the_dicom_around_the_same_pixels(real_data: Path) -> None:
    for name in ("0_L-CC", "0_R-MLO"):
        png = read(real_data / f"nyu_gmic/images/{name}.png", bits_stored=12)
        assert torch.equal(png, read(real_data / f"nyu_gmic/dicom/{name}.dcm"))


def test_raw_image_shows_air_dark_and_tissue_bright(real_data: Path) -> None:
    raw = read(real_data / "dicom/derived/forprocessing_mono1_14b_jpll.dcm")[0].numpy()
    shown = read(real_data / "dicom/derived/ts_expl_mono2_12b.dcm")[0].numpy()
    ranks = [np.argsort(np.argsort(part[::7, ::7], axis=None)) for part in (raw, shown)]
    assert np.corrcoef(*ranks)[0, 1] > 0.99


def test_sigmoid_windows_follow_the_formula(real_data: Path) -> None:
    path = real_data / "dicom/derived/voi_sigmoid_multiwindow_12b.dcm"
    stored = dcmread(path).pixel_array.astype(np.float64)
    for index, (center, width) in enumerate([(1800, 1600), (2200, 2400), (1500, 1000)]):
        expected = 1 / (1 + np.exp(-4 * (stored - center) / width))
        np.testing.assert_allclose(read(path, voi=index)[0].numpy(), expected, atol=1e-6)


def test_voi_lut_follows_its_table(real_data: Path) -> None:
    path = real_data / "dicom/derived/voi_lutsequence_12b.dcm"
    header = dcmread(path)
    item = header.VOILUTSequence[0]
    entries, (_, first, bits) = np.frombuffer(item.LUTData, "<u2"), item.LUTDescriptor
    expected = entries[header.pixel_array.astype(int) - first] / (2**bits - 1)
    np.testing.assert_allclose(read(path)[0].numpy(), expected, atol=1e-6)


def test_tomosynthesis_needs_a_frame(real_data: Path) -> None:
    path = real_data / "dicom/derived/tomosynthesis_7frames_j2kr_12b.dcm"
    with pytest.raises(MammogramError, match="7 frames") as caught:
        read(path)
    assert caught.value.reason == "multi_frame"
    image = read(path, frame=3)
    np.testing.assert_array_equal(image[0].numpy(), (dcmread(path).pixel_array[3] / 4095).astype(np.float32))
    assert image.meta["laterality"] == "L"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "side", "view", "side_source", "view_source"),
    [
        ("real/MG_Explicit_Little", "R", "CC", "ImageLaterality", "ViewCodeSequence"),
        ("real/MG1_J2KI", "L", "MLO", "Laterality", "ViewPosition"),
        ("derived/no_laterality_view_tags_12b", "L", "MLO", "SeriesDescription", "SeriesDescription"),
        ("derived/cbis_style_full_16b", "L", "MLO", "Laterality", "PatientOrientation"),
        ("derived/cesm_P12/R_CC_expl", "R", "CC", "ImageLaterality", "ViewCodeSequence"),
    ],
)
def test_side_and_view_are_found(
    real_data: Path, name: str, side: str, view: str, side_source: str, view_source: str
) -> None:
    d = LoadMammogramd()({"image": real_data / f"dicom/{name}.dcm"})
    assert (d["laterality"], d["view"]) == (side, view)
    assert (d["image"].meta["laterality_source"], d["image"].meta["view_source"]) == (side_source, view_source)


def test_spacing_is_that_of_the_breast(real_data: Path) -> None:
    spacing = read(real_data / "dicom/real/MG_Explicit_Little.dcm").meta["pixel_spacing_mm"]  # type: ignore[attr-defined]
    assert spacing == pytest.approx([0.5 / 1.5] * 2)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_every_truncated_file_is_refused(
    real_data: Path, manifest: list[dict[str, str]], tmp_path: Path, share: float
) -> None:
    for row in manifest:
        if int(row["rows"]) > 3000:
            continue
        data = (real_data / row["file"]).read_bytes()
        path = tmp_path / "cut.dcm"
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(MammogramError):
            MammogramReader().read(path)


def test_mias_pgm_and_png_are_the_same(real_data: Path) -> None:
    for pgm in sorted((real_data / "mini_mias/pgm").glob("*.pgm")):
        png = real_data / "mini_mias/images" / f"{pgm.stem}.png"
        assert torch.equal(read(pgm), read(png))
        expected = cv2.imread(str(png), cv2.IMREAD_UNCHANGED) / 255
        np.testing.assert_allclose(read(png)[0].numpy(), expected, atol=1e-6)
