"""Stored pixel values of one frame of a DICOM file, by the fastest decoder that does not crash, or by ITK's."""

import warnings
from io import BytesIO
from os import PathLike, fspath
from typing import BinaryIO, cast

import imagecodecs
import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from .codestream import codestream_components, codestream_shape, is_whole_jpeg
from .errors import MammogramError, ReadFailure, refusing

__all__ = ["decode_with_itk", "decode_with_pydicom"]

# A deflated data set has been inflated by the time its pixels are read.
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)

# GDCM, pydicom's first choice, ends the process on some damaged files (an uncaught C++ exception) and is slower.
_PLUGINS = {
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pylibjpeg"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "pyjpegls"),
    RLELossless: "pylibjpeg",
}


def decode_with_pydicom(header: FileDataset, path: str | PathLike[str], frame: int = 0) -> np.ndarray:
    """Decode one frame to its stored values, ``(rows, columns)`` in the dtype of Bits Allocated.

    Uncompressed little-endian pixels are read from the file straight into the array. JPEG (baseline, extended,
    lossless) goes to libjpeg-turbo, everything else to pydicom's plugins.

    Raises:
        MammogramError: ``unsupported_transfer_syntax``, ``truncated`` or ``undecodable``.
    """
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax in _PLAIN:
        return _native(header, path, frame)
    # Here, since MONAI Label holds pydicom below 3, which has no such module; backend="itk" works there.
    from pydicom.pixels import get_decoder, pixel_array

    try:
        name = get_decoder(syntax).UID.name
    except (NotImplementedError, TypeError, ValueError) as error:
        message = f"Transfer Syntax '{syntax}' is not one of pixels that can be decoded"
        raise MammogramError(path, ReadFailure.UNSUPPORTED_TRANSFER_SYNTAX, message) from error
    with refusing(path, ReadFailure.UNDECODABLE, f"{name} cannot be decoded"):
        codestream = _codestream(header, path, frame) if syntax.is_encapsulated else b""
        if syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes) and not is_whole_jpeg(codestream):
            # libjpeg fills what is missing with grey and only warns; CharLS looks for it for seconds.
            raise MammogramError(path, ReadFailure.TRUNCATED, "the JPEG frame has no end-of-image marker: it is cut")
        if syntax in JPEGTransferSyntaxes:
            return _checked(imagecodecs.jpeg8_decode(codestream), header, path)
        stored = pixel_array(header, index=frame, decoding_plugin=_PLUGINS.get(syntax, ""))
    return _checked(stored, header, path)


def decode_with_itk(header: FileDataset, path: str | PathLike[str], frame: int = 0) -> np.ndarray:
    """Decode one frame by ITK's GDCM reader and undo what it does to the values.

    ITK turns MONOCHROME1 over against ``2 ** Bits Stored - 1`` and then applies the rescale; both belong to
    :func:`~mammo.transforms.grayscale.grayscale_table`, so they are taken back here.

    Raises:
        MammogramError: ``undecodable``.
    """
    with refusing(path, ReadFailure.UNDECODABLE, "ITK cannot read it; try backend='pydicom'"):
        values = _itk(path)
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


def _codestream(header: FileDataset, path: str | PathLike[str], frame: int) -> bytes:
    """The compressed frame, if it declares the picture that the header declares."""
    from pydicom.encaps import get_frame  # of pydicom 3, as above

    frames = int(header.get("NumberOfFrames") or 1)
    codestream = get_frame(header.PixelData, frame, number_of_frames=frames)
    components = codestream_components(codestream)
    if components not in (None, 1):
        message = f"the compressed frame declares {components} components, the header one sample a pixel"
        raise MammogramError(path, ReadFailure.UNDECODABLE, message)
    declared = codestream_shape(codestream)
    if declared is None and header.file_meta.TransferSyntaxUID != RLELossless:
        # A decoder may find a picture of any size where we find none.
        raise MammogramError(path, ReadFailure.UNDECODABLE, "the compressed frame does not say its size")
    if declared and declared != (header.Rows, header.Columns):
        message = f"the compressed frame is {declared}, the header says {(header.Rows, header.Columns)}"
        raise MammogramError(path, ReadFailure.UNDECODABLE, message)
    return codestream


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
