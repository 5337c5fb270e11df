"""Stored pixel values of one frame of a DICOM file, by pydicom's decoders or by ITK's."""

import warnings
from io import BytesIO
from os import PathLike, fspath
from typing import BinaryIO, cast

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from .codestream import codestream_shape
from .errors import MammogramError, ReadFailure

__all__ = ["decode_with_itk", "decode_with_pydicom"]

# A deflated data set has been inflated by the time its pixels are read.
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)


def decode_with_pydicom(header: FileDataset, path: str | PathLike[str], frame: int = 0) -> np.ndarray:
    """Decode one frame to its stored values, ``(rows, columns)`` in the dtype of Bits Allocated.

    Uncompressed little-endian pixels are read from the file straight into the array. JPEG Extended with 12
    bits goes to GDCM itself, because pydicom's plugin declines it.

    Raises:
        MammogramError: ``unsupported_transfer_syntax``, ``truncated`` or ``undecodable``.
    """
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax in _PLAIN:
        return _native(header, path, frame)
    twelve_bit_jpeg = syntax == JPEGExtended12Bit and int(header.BitsStored) > 8
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        message = f"Transfer Syntax '{syntax}' is not one of pixels that can be decoded"
        raise MammogramError(path, ReadFailure.UNSUPPORTED_TRANSFER_SYNTAX, message) from error
    if not decoder.is_available and not twelve_bit_jpeg:
        message = f"Transfer Syntax '{syntax.name}' needs one of: {', '.join(decoder.missing_dependencies)}"
        raise MammogramError(path, ReadFailure.UNSUPPORTED_TRANSFER_SYNTAX, message)
    try:
        _check_codestream(header, path, frame)
        stored = _gdcm(path, header) if twelve_bit_jpeg else pixel_array(header, index=frame)
    except MammogramError:
        raise
    except Exception as error:  # each codec raises errors of its own
        raise MammogramError(path, ReadFailure.UNDECODABLE, f"{syntax.name}: {error}") from error
    return _checked(stored, header, path)


def decode_with_itk(header: FileDataset, path: str | PathLike[str], frame: int = 0) -> np.ndarray:
    """Decode one frame by ITK's GDCM reader and undo what it does to the values.

    ITK turns MONOCHROME1 over against ``2 ** Bits Stored - 1`` and then applies the rescale; both belong to
    :func:`~mammo.transforms.grayscale.grayscale_table`, so they are taken back here.

    Raises:
        MammogramError: ``undecodable``.
    """
    try:
        values = _itk(path)
    except Exception as error:  # ITK raises RuntimeError, and its Python layer others
        raise MammogramError(path, ReadFailure.UNDECODABLE, f"ITK: {error}; try backend='pydicom'") from error
    values = values[frame] if values.ndim == 3 else values
    slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    if (slope, intercept) != (1.0, 0.0):
        values = np.rint((values.astype(np.float64) - intercept) / slope).astype(np.int64)
    if header.PhotometricInterpretation == "MONOCHROME1":
        values = (1 << int(header.BitsStored)) - 1 - values.astype(np.int64)
    return _checked(values.astype(_dtype(header)), header, path)


def _dtype(header: FileDataset) -> np.dtype:
    return np.dtype(f"{'i' if header.PixelRepresentation else 'u'}{int(header.BitsAllocated) // 8}")


def _native(header: FileDataset, path: str | PathLike[str], frame: int) -> np.ndarray:
    rows, columns, dtype = int(header.Rows), int(header.Columns), _dtype(header).newbyteorder("<")
    stored = np.empty((rows, columns), dtype)
    skip = frame * stored.nbytes
    element = cast(RawDataElement, header.get_item("PixelData", keep_deferred=True))
    if element.value is None:  # still on disk: read into the array, without a copy in between
        stream: BinaryIO = open(path, "rb")  # noqa: SIM115
        start, length = element.value_tell, element.length
    else:
        stream, start, length = BytesIO(element.value), 0, len(element.value)
    with stream:
        stream.seek(start + skip)
        promised = min(max(length - skip, 0), stored.nbytes)
        found = stream.readinto(stored.reshape(-1).view(np.uint8)[:promised].data)  # type: ignore[attr-defined]
    if found < stored.nbytes:
        message = f"Pixel Data holds {found} of the {stored.nbytes} bytes that Rows x Columns promise"
        raise MammogramError(path, ReadFailure.TRUNCATED, message)
    return stored


def _check_codestream(header: FileDataset, path: str | PathLike[str], frame: int) -> None:
    if not header.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames = int(header.get("NumberOfFrames") or 1)
    declared = codestream_shape(get_frame(header.PixelData, frame, number_of_frames=frames))
    if declared and declared != (header.Rows, header.Columns):
        message = f"the compressed frame is {declared}, the header says {(header.Rows, header.Columns)}"
        raise MammogramError(path, ReadFailure.UNDECODABLE, message)


def _gdcm(path: str | PathLike[str], header: FileDataset) -> np.ndarray:
    import gdcm  # C++ library; only this transfer syntax needs it by name

    reader = gdcm.ImageReader()
    reader.SetFileName(fspath(path))
    if not reader.Read():
        raise MammogramError(path, ReadFailure.UNDECODABLE, "GDCM cannot decode the JPEG Extended frame")
    # GDCM's binding hands bytes over as a str.
    data = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(data, _dtype(header)).reshape(int(header.Rows), int(header.Columns))


def _itk(path: str | PathLike[str]) -> np.ndarray:
    # ITK loads its modules when they are first used. Their SWIG types warn of a deprecation, and a process
    # that turns warnings into errors would crash in the middle of that (swig/swig#3061).
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import itk  # takes a second and is only needed for this backend

        return itk.array_from_image(itk.imread(fspath(path)))


def _checked(stored: np.ndarray, header: FileDataset, path: str | PathLike[str]) -> np.ndarray:
    if stored.shape != (int(header.Rows), int(header.Columns)):
        message = f"decoded to {stored.shape}, the header says {(int(header.Rows), int(header.Columns))}"
        raise MammogramError(path, ReadFailure.UNDECODABLE, message)
    return stored.astype(_dtype(header), copy=False)
