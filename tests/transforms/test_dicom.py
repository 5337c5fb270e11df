"""The reader on files written here: values, metadata, and every refusal with its reason."""

import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mammo.transforms import LoadMammogramd, MammogramError, MammogramReader
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import LoadImage
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

WriteDicom = Callable[..., Path]
RAMP = np.arange(48 * 32, dtype=np.uint16).reshape(48, 32)


def reason_of(path: Path, **options: object) -> str:
    with pytest.raises(MammogramError) as caught:
        LoadMammogramd(**options)({"image": path})  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_rows_and_columns_stay_as_stored(write_dicom: WriteDicom, syntax: str | None) -> None:
    path = write_dicom(RAMP, **({"syntax": syntax} if syntax else {}))
    image = LoadMammogramd()({"image": path})["image"]
    assert (image.shape, image.dtype) == ((1, 48, 32), torch.float32)
    np.testing.assert_array_equal(image[0].numpy(), (RAMP / 4095).astype(np.float32))


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")  # LoadImage tries every reader of MONAI
def test_monai_loader_takes_the_reader(write_dicom: WriteDicom) -> None:
    image = LoadImage(reader=MammogramReader(), ensure_channel_first=True)(write_dicom(RAMP))
    np.testing.assert_array_equal(image[0].numpy(), (RAMP / 4095).astype(np.float32))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2, -100), (0.5, 7)])
def test_itk_gives_the_same_pixels(write_dicom: WriteDicom, photometric: str, slope: float, intercept: float) -> None:
    tags = {"RescaleSlope": slope, "RescaleIntercept": intercept, "WindowCenter": 500, "WindowWidth": 900}
    path = write_dicom(RAMP, PhotometricInterpretation=photometric, **tags)
    images = [LoadMammogramd(backend=backend)({"image": path})["image"] for backend in ("pydicom", "itk")]
    assert torch.equal(*images)


def test_signed_pixels_are_read(write_dicom: WriteDicom) -> None:
    image = LoadMammogramd()({"image": write_dicom(RAMP.astype(np.int16) - 700)})["image"]
    np.testing.assert_allclose(image[0].numpy(), (RAMP - 700.0 + 2048) / 4095, atol=1e-7)


def test_eight_bits_are_read(write_dicom: WriteDicom) -> None:
    pixels = (RAMP % 256).astype(np.uint8)[:47, :31]
    image = LoadMammogramd()({"image": write_dicom(pixels)})["image"]
    np.testing.assert_array_equal(image[0].numpy(), (pixels / 255).astype(np.float32))


def test_values_beyond_bits_stored_are_reported(write_dicom: WriteDicom) -> None:
    image = LoadMammogramd()({"image": write_dicom(RAMP * 10)})["image"]
    assert image.meta["beyond_bits_stored"]
    assert image.max() == 1


def test_affine_holds_the_spacing_in_the_breast(write_dicom: WriteDicom) -> None:
    path = write_dicom(RAMP, ImagerPixelSpacing=[0.1, 0.2], EstimatedRadiographicMagnificationFactor=2)
    image = LoadMammogramd()({"image": path})["image"]
    assert image.meta["pixel_spacing_mm"] == [0.05, 0.1]
    torch.testing.assert_close(image.affine.diagonal(), torch.tensor([0.05, 0.1, 1, 1], dtype=torch.float64))


def test_spacing_of_film_digitisers_is_the_last_choice(write_dicom: WriteDicom) -> None:
    path = write_dicom(RAMP, NominalScannedPixelSpacing=[0.05, 0.05])
    assert LoadMammogramd()({"image": path})["image"].meta["pixel_spacing_mm"] == [0.05, 0.05]


def test_missing_side_and_view_come_from_the_file_and_present_ones_stay(write_dicom: WriteDicom) -> None:
    path = write_dicom(RAMP, ImageLaterality="L", ViewPosition="CC")
    read = LoadMammogramd()({"image": path, "laterality": "R", "view": None})
    assert (read["laterality"], read["view"]) == ("R", "CC")


def test_unknown_side_stays_absent(write_dicom: WriteDicom) -> None:
    assert "laterality" not in LoadMammogramd()({"image": write_dicom(RAMP)})


def test_metadata_is_plain_and_loads_without_pickle(write_dicom: WriteDicom, tmp_path: Path) -> None:
    meta = LoadMammogramd()({"image": write_dicom(RAMP)})["image"].meta
    plain = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in meta.items()}
    torch.save(plain, tmp_path / "meta.pt")
    again = torch.load(tmp_path / "meta.pt", weights_only=True)
    assert again["image_id"] == "1.2.3.4"
    assert {type(v) for v in again.values()} <= {str, float, int, bool, list, type(None)}


def test_images_of_different_files_collate(write_dicom: WriteDicom) -> None:
    items = [LoadMammogramd()({"image": write_dicom(RAMP + n)}) for n in range(2)]
    batch = list_data_collate(items)
    assert isinstance(batch["image"], MetaTensor)
    assert len(decollate_batch(batch)) == 2


def test_reader_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(LoadMammogramd(voi=2))).reader.voi == 2


def test_multi_frame_is_refused_unless_a_frame_is_named(write_dicom: WriteDicom) -> None:
    path = write_dicom(np.stack([RAMP, RAMP + 5, RAMP + 9]), NumberOfFrames=3)
    assert reason_of(path) == "multi_frame"
    assert reason_of(path, frame=3) == "multi_frame"
    image = LoadMammogramd(frame=1)({"image": path})["image"]
    np.testing.assert_array_equal(image[0].numpy(), ((RAMP + 5) / 4095).astype(np.float32))


def test_the_record_s_frame_overrides_the_reader_s(write_dicom: WriteDicom) -> None:
    path = write_dicom(np.stack([RAMP, RAMP + 5, RAMP + 9]), NumberOfFrames=3)
    item = LoadMammogramd(frame=1)({"image": path, "frame": 2})
    np.testing.assert_array_equal(item["image"][0].numpy(), ((RAMP + 9) / 4095).astype(np.float32))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_maximum_over_frames_is_that_of_the_shown_values(write_dicom: WriteDicom, photometric: str) -> None:
    frames = np.random.default_rng(0).integers(0, 4096, (4, 8, 8)).astype(np.uint16)
    path = write_dicom(frames, NumberOfFrames=4, PhotometricInterpretation=photometric)
    single = [LoadMammogramd(frame=n)({"image": path})["image"] for n in range(4)]
    image = LoadMammogramd()({"image": path, "frame": "max"})["image"]
    assert torch.equal(image, torch.stack(single).amax(dim=0))


def test_a_frame_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a number from 0, or 'max'"):
        MammogramReader(frame="first")


@pytest.mark.parametrize("modality", ["MR", "CT", "US"])
def test_other_modalities_are_refused(write_dicom: WriteDicom, modality: str) -> None:
    assert reason_of(write_dicom(RAMP, Modality=modality)) == "not_a_mammogram"


@pytest.mark.parametrize("modality", ["MG", "RG", "CR", "DX", "OT", "SC"])
def test_modalities_of_mammograms_are_accepted(write_dicom: WriteDicom, modality: str) -> None:
    assert LoadMammogramd()({"image": write_dicom(RAMP, Modality=modality)})["image"].meta["modality"] == modality


def test_chest_radiograph_is_refused(write_dicom: WriteDicom) -> None:
    assert reason_of(write_dicom(RAMP, Modality="DX", BodyPartExamined="CHEST")) == "not_a_mammogram"


@pytest.mark.parametrize("value", [0, 7])
def test_blank_picture_is_refused(write_dicom: WriteDicom, value: int) -> None:
    assert reason_of(write_dicom(np.full_like(RAMP, value))) == "all_zero"


def test_nearly_blank_picture_is_read(write_dicom: WriteDicom) -> None:
    pixels = np.zeros_like(RAMP)
    pixels[5, 7] = 4095
    assert LoadMammogramd()({"image": write_dicom(pixels)})["image"].sum() == 1


def test_size_is_checked_before_decoding(write_dicom: WriteDicom) -> None:
    assert reason_of(write_dicom(RAMP), max_pixels=1000) == "too_large"


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_pixels_are_refused(write_dicom: WriteDicom, share: float) -> None:
    path = write_dicom(RAMP)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert reason_of(path) == "truncated"


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_truncated_compressed_pixels_are_refused(write_dicom: WriteDicom, share: float) -> None:
    path = write_dicom(RAMP)
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.warns(UserWarning, match="End of file reached"):
        assert reason_of(path) == "truncated"


def test_pixel_data_shorter_than_promised_is_refused(write_dicom: WriteDicom, header: Dataset) -> None:
    path = write_dicom(RAMP)
    header.Rows = 49
    header.save_as(path, enforce_file_format=True)
    assert reason_of(path) == "truncated"


def test_deflate_bomb_is_stopped_at_the_limit(write_dicom: WriteDicom) -> None:
    path = write_dicom(RAMP, syntax=DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    start = 132 + 12 + int.from_bytes(data[140:144], "little")
    deflater = zlib.compressobj(wbits=-15)
    bomb = deflater.compress(bytes(1 << 26)) + deflater.flush()
    path.write_bytes(data[:start] + bomb)
    assert len(bomb) < 1 << 17
    assert reason_of(path, max_pixels=1 << 20) == "too_large"


def test_cut_deflate_stream_is_refused(write_dicom: WriteDicom) -> None:
    path = write_dicom(RAMP, syntax=DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-40])
    assert reason_of(path) == "truncated"


def test_codestream_that_contradicts_the_header_is_not_decoded(write_dicom: WriteDicom, header: Dataset) -> None:
    path = write_dicom(RAMP)
    header.file_meta.TransferSyntaxUID = JPEG2000Lossless
    header.PixelData = encapsulate([cv2.imencode(".jp2", np.zeros((64, 64), np.uint16))[1].tobytes()])
    header["PixelData"].VR = "OB"
    header.save_as(path, enforce_file_format=True)
    with pytest.raises(MammogramError, match=r"the compressed frame is \(64, 64\)"):
        LoadMammogramd()({"image": path})


def test_unknown_transfer_syntax_is_named(write_dicom: WriteDicom, header: Dataset) -> None:
    path = write_dicom(RAMP)
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")
    path.write_bytes(data)
    assert reason_of(path) == "unsupported_transfer_syntax"


def test_colour_is_refused(write_dicom: WriteDicom) -> None:
    path = write_dicom(RAMP, PhotometricInterpretation="RGB")
    assert reason_of(path) == "unsupported_pixel_format"


def test_header_without_pixels_is_refused(write_dicom: WriteDicom, header: Dataset) -> None:
    path = write_dicom(RAMP)
    del header.PixelData
    header.save_as(path, enforce_file_format=True)
    assert reason_of(path) == "not_an_image"


def test_missing_image_attributes_are_named(write_dicom: WriteDicom, header: Dataset) -> None:
    path = write_dicom(RAMP)
    del header.BitsStored
    header.save_as(path, enforce_file_format=True)
    with pytest.raises(MammogramError, match="lacks BitsStored"):
        LoadMammogramd()({"image": path})


def test_forbidden_window_is_refused_and_voi_none_is_the_way_out(write_dicom: WriteDicom) -> None:
    path = write_dicom(RAMP, WindowCenter=10, WindowWidth=0)
    assert reason_of(path) == "invalid_voi"
    assert LoadMammogramd(voi="none")({"image": path})["image"].meta["voi"] == "none"


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "nowhere.dcm") == "missing"


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 500])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(content)
    assert reason_of(path) in {"not_an_image", "truncated", "undecodable", "unsupported_transfer_syntax"}


def test_voi_must_be_known() -> None:
    with pytest.raises(ValueError, match="expected 'auto', 'none' or the index"):
        LoadMammogramd(voi="best")
