"""Opening a DICOM file that nobody vouches for: everything is checked before any pixel is decoded."""

import zlib
from collections.abc import Collection
from io import BytesIO
from os import PathLike, fspath
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from .errors import MammogramError, ReadFailure, refusing
from .hostile import check_identifiers, check_structure

__all__ = ["MAMMOGRAPHY_MODALITIES", "check_header", "open_dicom"]

MAMMOGRAPHY_MODALITIES = ("MG", "RG", "CR", "DX", "OT", "SC")
"""Modality (0008,0060) of mammograms as archives hold them: digital, digitised film, plates, captures."""

_DEFER_BYTES = 1 << 16
_HEADER_BYTES = 1 << 24


def open_dicom(path: str | PathLike[str], max_pixels: int) -> FileDataset:
    """Parse a DICOM file; elements over 64 KiB, the pixels among them, stay on disk until asked for.

    A deflated data set is inflated to at most what ``max_pixels`` 16-bit pixels and a header of 16 MiB
    take: a file of a few kilobytes can otherwise fill the memory.

    Raises:
        MammogramError: ``missing``, ``not_an_image``, ``truncated``, ``too_large`` or ``undecodable``.
    """
    if not Path(path).is_file():
        raise MammogramError(path, ReadFailure.MISSING, "no such file")
    try:
        meta = pydicom.filereader.read_file_meta_info(fspath(path))
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return _inflated(path, 2 * max_pixels + _HEADER_BYTES)
        header = pydicom.dcmread(path, defer_size=_DEFER_BYTES)
        if not len(header):
            # pydicom gives nothing at all where the last delimiter of compressed pixels is missing.
            raise EOFError("no element could be read up to its end")
        return header
    except MammogramError:
        raise
    except InvalidDicomError as error:
        message = "not a DICOM file (no 'DICM' after the preamble); expected PS3.10 media format"
        raise MammogramError(path, ReadFailure.NOT_AN_IMAGE, message) from error
    except EOFError as error:
        raise MammogramError(path, ReadFailure.TRUNCATED, f"the data set ends early: {error}") from error
    except Exception as error:  # a hostile header can make the parser raise anything
        message = f"the header cannot be parsed: {type(error).__name__}: {error}"
        raise MammogramError(path, ReadFailure.UNDECODABLE, message) from error


def check_header(header: FileDataset, path: str | PathLike[str], max_pixels: int, modalities: Collection[str]) -> None:
    """Refuse what is not one grayscale mammogram of a sane size and structure.

    Raises:
        MammogramError: ``not_a_mammogram``, ``not_an_image``, ``unsupported_pixel_format``, ``too_large``,
            ``invalid_uid`` or ``undecodable``.
    """
    check_structure(header, path)
    # A value of the wrong kind can make any access raise.
    with refusing(path, ReadFailure.UNDECODABLE, "the header cannot be read"):
        check_identifiers(header, path)
        _check_image(header, path, max_pixels, modalities)


def _check_image(header: FileDataset, path: str | PathLike[str], max_pixels: int, modalities: Collection[str]) -> None:
    _check_scope(header, path, modalities)
    if "PixelData" not in header:
        raise MammogramError(path, ReadFailure.NOT_AN_IMAGE, "no Pixel Data (7FE0,0010): not an image object")
    _check_format(header, path)
    rows, columns = int(header.Rows), int(header.Columns)
    if not 0 < rows * columns <= max_pixels:
        message = f"{rows} x {columns} pixels; allowed are 1 to {max_pixels} (max_pixels)"
        raise MammogramError(path, ReadFailure.TOO_LARGE, message)


def _inflated(path: str | PathLike[str], limit: int) -> FileDataset:
    with open(path, "rb") as file:
        pydicom.filereader.read_preamble(file, force=False)
        meta = pydicom.filereader._read_file_meta_info(file)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(file.read(), limit)
        except zlib.error as error:
            raise MammogramError(path, ReadFailure.UNDECODABLE, f"broken deflate stream: {error}") from error
    if inflater.unconsumed_tail:
        message = f"the deflated data set inflates to more than {limit} bytes; raise max_pixels if you trust it"
        raise MammogramError(path, ReadFailure.TOO_LARGE, message)
    if not inflater.eof:
        raise MammogramError(path, ReadFailure.TRUNCATED, "the deflate stream ends early")
    plain = pydicom.filereader.read_dataset(BytesIO(data), is_implicit_VR=False, is_little_endian=True)
    return FileDataset(fspath(path), plain, file_meta=meta, is_implicit_VR=False, is_little_endian=True)


def _check_scope(header: FileDataset, path: str | PathLike[str], modalities: Collection[str]) -> None:
    modality = str(header.get("Modality") or "").upper()
    if modality and modality not in modalities:
        message = f"Modality (0008,0060) is '{modality}'; expected one of {', '.join(modalities)}"
        raise MammogramError(path, ReadFailure.NOT_A_MAMMOGRAM, message)
    body_part = str(header.get("BodyPartExamined") or "").upper()
    if modality != "MG" and body_part not in ("", "BREAST"):
        message = f"Body Part Examined (0018,0015) is '{body_part}'; expected BREAST or nothing"
        raise MammogramError(path, ReadFailure.NOT_A_MAMMOGRAM, message)


def _check_format(header: FileDataset, path: str | PathLike[str]) -> None:
    needed = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
    missing = [keyword for keyword in needed if header.get(keyword) is None]
    if missing:
        message = f"the Image Pixel module lacks {', '.join(missing)}"
        raise MammogramError(path, ReadFailure.UNSUPPORTED_PIXEL_FORMAT, message)
    photometric, samples = header.PhotometricInterpretation, int(header.get("SamplesPerPixel") or 1)
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        message = f"{samples} sample(s) of {photometric}; expected one of MONOCHROME1 or MONOCHROME2"
        raise MammogramError(path, ReadFailure.UNSUPPORTED_PIXEL_FORMAT, message)
    allocated, stored = int(header.BitsAllocated), int(header.BitsStored)
    if allocated not in (8, 16) or not 1 <= stored <= allocated or header.PixelRepresentation not in (0, 1):
        message = f"{stored} of {allocated} bits, representation {header.PixelRepresentation}; expected 8 or 16 bits"
        raise MammogramError(path, ReadFailure.UNSUPPORTED_PIXEL_FORMAT, message)
