"""Pixels of every encoding stay as they are; bits and bytes that are no pixels do not leave."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mammo.transforms import LoadMammogramd
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

Mammogram = Callable[[], Dataset]
Export = Callable[..., Any]
Write = Callable[..., Path]
SECRET = b"Zebrowska^Quirina "


def pixels_of(dataset: Dataset, tmp_path: Path) -> np.ndarray:
    dataset.save_as(tmp_path / "again.dcm", enforce_file_format=True)
    return LoadMammogramd()({"image": tmp_path / "again.dcm"})["image"].numpy()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_files_become_explicit_little_endian(
    tmp_path: Path, mammogram: Mammogram, write: Write, export: Export, syntax: str
) -> None:
    _, written = export(write(mammogram(), tmp_path / "a.dcm", syntax))
    assert written.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert written.PixelData == mammogram().PixelData


@pytest.mark.parametrize("bits", [8, 16])
def test_big_endian_pixels_are_turned(tmp_path: Path, mammogram: Mammogram, export: Export, bits: int) -> None:
    ds = mammogram()
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(16, 12)
    if bits == 8:
        stored = (stored >> 4).astype(np.uint8)
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    _, written = export(tmp_path / "a.dcm")
    np.testing.assert_array_equal(np.frombuffer(written.PixelData, stored.dtype).reshape(16, 12), stored)
    expected = LoadMammogramd()({"image": tmp_path / "a.dcm"})["image"].numpy()
    np.testing.assert_array_equal(pixels_of(written, tmp_path), expected)


def test_bytes_behind_the_last_pixel_stay_behind(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    pixels = ds.PixelData
    ds.PixelData += SECRET
    assert export(ds)[1].PixelData == pixels


def test_pixels_of_odd_size_are_padded(tmp_path: Path, mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 5, 3, 8, 8, 7
    ds.PixelData = bytes(range(15)) + b"S"
    ds["PixelData"].VR = "OB"
    assert export(ds)[1].PixelData == bytes(range(15)) + b"\0"


def test_every_frame_is_kept(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    ds.NumberOfFrames, ds.PixelData = 3, bytes(ds.PixelData) * 3
    assert export(ds)[1].PixelData == mammogram().PixelData * 3


@pytest.mark.parametrize("position", [0, 12])
def test_overlays_leave_but_for_those_in_the_pixels(mammogram: Mammogram, export: Export, position: int) -> None:
    ds = mammogram()
    ds.add_new(0x60000010, "US", 16)
    ds.add_new(0x60000011, "US", 12)
    ds.add_new(0x60000102, "US", position)
    ds.add_new(0x60003000, "OW", SECRET)
    report, written = export(ds)
    if position:
        assert [item["reason"] for item in report.set_aside] == ["overlay_in_pixels"]
    else:
        assert not [element for element in written if element.tag.group >= 0x6000 and element.keyword != "PixelData"]


def test_a_forgotten_overlay_in_unused_bits_is_found(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    stored = np.frombuffer(ds.PixelData, "<u2").copy()
    stored[7] |= 1 << 13
    ds.PixelData = stored.tobytes()
    report, _ = export(ds)
    assert [item["reason"] for item in report.set_aside] == ["hidden_bits"]


@pytest.mark.parametrize(
    ("value", "refused"), [(-5, False), (-2048, False), (2047, False), (0x0FFB, False), (0x4001, True)]
)
def test_the_sign_of_a_pixel_is_no_hidden_bit(mammogram: Mammogram, export: Export, value: int, refused: bool) -> None:
    ds = mammogram()
    stored = np.frombuffer(ds.PixelData, "<u2").astype(np.int16) - 2048
    stored[3] = value  # 0x0FFB is -5 that was not sign-extended
    ds.PixelData, ds.PixelRepresentation = stored.tobytes(), 1
    ds["PixelData"].VR = "OW"
    report, _ = export(ds)
    assert [item["reason"] for item in report.set_aside] == (["hidden_bits"] if refused else [])


def test_a_padding_value_below_zero_is_kept(tmp_path: Path, mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    stored = np.frombuffer(ds.PixelData, "<u2").astype(np.int16) - 2048
    ds.PixelData, ds.PixelRepresentation, ds.PixelPaddingValue = stored.tobytes(), 1, -2048
    ds["PixelPaddingValue"].VR = "SS"
    _, written = export(ds)
    assert written.PixelPaddingValue == -2048
    assert written.PixelData == stored.tobytes()


def test_look_up_tables_are_kept_without_what_is_behind_them(mammogram: Mammogram, export: Export) -> None:
    ds, item = mammogram(), Dataset()
    table = np.linspace(0, 65535, 4096).astype("<u2").tobytes()
    item.add_new(0x00283002, "US", [4096, 0, 16])
    item.add_new(0x00283006, "OW", table + SECRET)
    item.LUTExplanation = "Doe"
    ds.VOILUTSequence = [item]
    report, written = export(ds)
    assert report.set_aside == []
    assert written.VOILUTSequence[0].LUTData == table
    assert "LUTExplanation" not in written.VOILUTSequence[0]


def test_a_contrast_that_cannot_be_kept_is_not_dropped(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    ds.VOILUTFunction = "DOE"
    report, _ = export(ds)
    assert [item["reason"] for item in report.set_aside] == ["picture_would_change"]


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_cut_files_are_set_aside(
    tmp_path: Path, mammogram: Mammogram, write: Write, export: Export, share: float
) -> None:
    path = write(mammogram(), tmp_path / "a.dcm")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    report, written = export(path)
    assert written is None
    assert report.set_aside[0]["reason"] in {"truncated", "not_an_image", "undecodable", "unsupported_pixel_format"}


def test_a_deflate_bomb_is_stopped(tmp_path: Path, mammogram: Mammogram, write: Write, export: Export) -> None:
    path = write(mammogram(), tmp_path / "a.dcm", DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    deflater = zlib.compressobj(wbits=-15)
    path.write_bytes(data[:start] + deflater.compress(bytes(1 << 25)) + deflater.flush())
    report, _ = export(path, max_pixels=1000)
    assert [item["reason"] for item in report.set_aside] == ["too_large"]


def test_other_transfer_syntaxes_are_named(tmp_path: Path, mammogram: Mammogram, write: Write, export: Export) -> None:
    path = write(mammogram(), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
    report, _ = export(path)
    assert [item["reason"] for item in report.set_aside] == ["unsupported_transfer_syntax"]
