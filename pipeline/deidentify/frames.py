"""Pixel Data of an exported file: the same pixels in the same compression, and not a byte beside them."""

from __future__ import annotations

from os import PathLike

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ...transforms.pixel_data import decode_with_pydicom
from .codestreams import clean_jpeg, clean_jpeg_2000
from .refusal import Refusal, SetAsideError

__all__ = ["write_pixels"]

_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
_REWRITTEN = (ExplicitVRBigEndian, RLELossless)
_JPEG = (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)
_JPEG_2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
_OVERLAYS = range(0x6000, 0x6100, 2)
_OVERLAY_BIT_POSITION = 0x0102


def write_pixels(source: FileDataset, path: str | PathLike[str], result: Dataset) -> int:
    """Set Pixel Data of ``result`` and the Transfer Syntax UID of its file meta information.

    * Uncompressed, deflated and big-endian pixels become Explicit VR Little Endian, cut to the size of the image.
    * JPEG, JPEG-LS and JPEG 2000 frames stay as they are but for comments, with a new offset table.
    * RLE frames are decoded and encoded again: their segments have no end that could be checked otherwise.

    Args:
        source: the file as parsed.
        path: where it lies; some decoders open it themselves.
        result: has the Image Pixel module and file meta information.

    Returns:
        Number of comments that were taken out of compressed frames.

    Raises:
        SetAsideError: ``overlay_in_pixels``, ``hidden_bits``, ``truncated``, ``codestream`` or
            ``unsupported_transfer_syntax``.
        MammogramError: if frames have to be decoded and cannot be.
    """
    _refuse_overlays_in_pixels(source)
    syntax = source.file_meta.get("TransferSyntaxUID")
    if syntax in _NATIVE:
        pixels = _native(source, result)
        _refuse_hidden_bits(pixels, result)
        _set_native(result, pixels)
        return 0
    if syntax in _REWRITTEN:
        pixels = np.stack([_decoded(source, path, frame, result) for frame in range(_frames(result))])
        _set_native(result, pixels)
        if syntax == RLELossless:
            # GDCM's encoder, which pydicom would take first, aborts the process at some sizes.
            result.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        return 0
    if syntax in (*_JPEG, *_JPEG_2000):
        return _copy_codestreams(source, path, result, UID(syntax))
    raise SetAsideError(
        Refusal.UNSUPPORTED_TRANSFER_SYNTAX, "pixels in this transfer syntax are not read; convert the file first"
    )


def _frames(header: Dataset) -> int:
    return int(header.get("NumberOfFrames") or 1)


def _dtype(header: Dataset) -> np.dtype[np.unsignedinteger]:
    return np.dtype(f"<u{int(header.BitsAllocated) // 8}")


def _native(source: FileDataset, result: Dataset) -> np.ndarray:
    """Uncompressed pixels as unsigned bit patterns, in one dimension; bytes behind the last pixel are left out."""
    data, dtype = source.PixelData, _dtype(result)
    promised = _frames(result) * int(result.Rows) * int(result.Columns)
    if len(data) < promised * dtype.itemsize:
        message = f"Pixel Data holds {len(data)} of the {promised * dtype.itemsize} bytes that the header promises"
        raise SetAsideError(Refusal.TRUNCATED, message)
    return np.frombuffer(data, dtype, promised)


def _decoded(source: FileDataset, path: str | PathLike[str], frame: int, result: Dataset) -> np.ndarray:
    stored = np.ascontiguousarray(decode_with_pydicom(source, path, frame))
    pattern = stored.view(f"u{stored.dtype.itemsize}").astype(_dtype(result), copy=False)
    _refuse_hidden_bits(pattern, result)
    return pattern


def _set_native(result: Dataset, pixels: np.ndarray) -> None:
    data = pixels.tobytes()
    vr = "OB" if pixels.itemsize == 1 else "OW"
    result.add(DataElement(0x7FE00010, vr, data + b"\0" * (len(data) % 2)))
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _copy_codestreams(source: FileDataset, path: str | PathLike[str], result: Dataset, syntax: UID) -> int:
    count, clean = _frames(result), clean_jpeg if syntax in _JPEG else clean_jpeg_2000
    streams = [clean(get_frame(source.PixelData, index, number_of_frames=count)) for index in range(count)]
    for index, stream in enumerate(streams):
        if stream.shape != (result.Rows, result.Columns):
            message = f"a compressed frame is {stream.shape}, the header says {(result.Rows, result.Columns)}"
            raise SetAsideError(Refusal.CODESTREAM, message)
        if stream.precision > int(result.BitsStored):
            _decoded(source, path, index, result)
    pixels = DataElement(0x7FE00010, "OB", encapsulate([stream.data for stream in streams]))
    pixels.is_undefined_length = True
    result.add(pixels)
    result.file_meta.TransferSyntaxUID = syntax
    return sum(stream.comments for stream in streams)


def _refuse_overlays_in_pixels(source: FileDataset) -> None:
    """An overlay may lie in unused bits of the pixels (PS3.5 section 8.1.2), where leaving its tags out leaves it."""
    tags = source.keys()
    for tag in tags:
        if tag.group in _OVERLAYS and tag.element == _OVERLAY_BIT_POSITION and source[tag].value != 0:
            message = "an overlay lies in unused bits of the pixels (60xx,0102); have it taken out first"
            raise SetAsideError(Refusal.OVERLAY_IN_PIXELS, message)


def _refuse_hidden_bits(pattern: np.ndarray, result: Dataset) -> None:
    """Above Bits Stored a pixel repeats its sign or holds nothing; anything else may be a forgotten overlay."""
    stored, unused = int(result.BitsStored), int(result.BitsAllocated) - int(result.BitsStored)
    if not unused:
        return
    plain = pattern >> stored == 0
    if result.PixelRepresentation:
        plain |= pattern >> (stored - 1) == (2 << unused) - 1
    if not plain.all():
        message = f"pixels hold bits above Bits Stored ({stored}), in which an overlay may hide; correct the file first"
        raise SetAsideError(Refusal.HIDDEN_BITS, message)
