"""Film scans of 16 megapixels for the benchmarks: one drawn picture in the encodings that archives hold."""

import hashlib
from io import BytesIO
from pathlib import Path

import cv2
import gdcm
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, SecondaryCaptureImageStorage, generate_uid

SHAPE = (5416, 3000)
ENCODINGS = ("uncompressed", "jpeg_lossless", "jpeg_2000")


def film(side: str = "left", windowed: bool = False, seed: int = 0) -> Dataset:
    """A 12-bit film scan in 16 bits with fog, grain, texture and a label; the chest wall is on ``side``."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0] : 8, : SHAPE[1] : 8].astype(np.float32)
    across = columns if side == "left" else SHAPE[1] - columns
    depth = 1 - ((rows - SHAPE[0] / 2) / 2400) ** 2 - (across / 2100) ** 2
    texture = cv2.GaussianBlur(rng.random(depth.shape, dtype=np.float32), (0, 0), 8)
    small = 0.06 + (depth > 0) * (0.25 + 0.4 * np.sqrt(np.clip(depth, 0, 1)) + 5 * (texture - 0.5))
    small[20:60, 170:240] = 0.95
    values = cv2.resize(small.astype(np.float32), SHAPE[::-1])
    values *= 1 + 0.004 * rng.standard_normal(SHAPE, dtype=np.float32)  # grain where there is light
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = (
        SecondaryCaptureImageStorage,
        generate_uid(entropy_srcs=[side]),
        "MG",
    )
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *SHAPE, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    if windowed:
        ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 1900, 3000, "SIGMOID"
    ds.PixelData = np.rint(np.clip(values, 0, 1) * 4095).astype(np.uint16).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def write_film(path: Path, encoding: str = "uncompressed", **options: object) -> Path:
    """Write a film; ``options`` are those of :func:`film`."""
    dataset = film(**options)  # type: ignore[arg-type]
    if encoding == "jpeg_2000":
        dataset.compress(JPEG2000Lossless)
    dataset.save_as(path, enforce_file_format=True)
    if encoding == "jpeg_lossless":
        _to_jpeg_lossless(path)
    return path


def copies(path: Path, folder: Path, count: int) -> list[Path]:
    """As many files of one picture as asked for, each of other content by its preamble, which says nothing."""
    made = []
    content = bytearray(path.read_bytes())
    for number in range(count):
        content[:32] = hashlib.sha256(str(number).encode()).digest()
        made.append(folder / f"{path.stem}_{number}.dcm")
        made[-1].write_bytes(content)
    return made


def _to_jpeg_lossless(path: Path) -> None:
    """Pydicom has no encoder for it; GDCM has."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise OSError(f"{path}: GDCM cannot read it")
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise OSError(f"{path}: GDCM cannot encode it")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise OSError(f"{path}: GDCM cannot write it")


SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)
"""Transfer syntaxes that pydicom writes: implicit, explicit, deflated, RLE, JPEG-LS and JPEG 2000 lossless."""


def small_file(syntax: str) -> bytes:
    """A small mammogram with window, view codes, a private element and two frames in one of :data:`SYNTAXES`."""
    rows, columns = np.mgrid[:96, :64]
    breast = ((rows - 48) ** 2 + columns**2 < 40**2) * (1200 + rows % 7 * 100)
    ds = film()
    ds.Rows, ds.Columns, ds.NumberOfFrames = 96, 64, 2
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 1900, 3000, "SIGMOID"
    ds.ImagerPixelSpacing, ds.PatientOrientation, ds.ImageLaterality = [0.1, 0.1], ["A", "F"], "L"
    view = Dataset()
    view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning = "399162004", "SCT", "cranio-caudal"
    view.ViewModifierCodeSequence = []
    ds.ViewCodeSequence = [view]
    block = ds.private_block(0x0019, "EXAMPLE", create=True)
    block.add_new(1, "LO", "text")
    ds.PixelData = np.stack([breast, breast + 1]).astype(np.uint16).tobytes()
    ds.file_meta.TransferSyntaxUID = UID(syntax) if syntax.startswith("1.2.840.10008.1.2.1") else ExplicitVRLittleEndian
    if ds.file_meta.TransferSyntaxUID != syntax and len(syntax) > len("1.2.840.10008.1.2"):
        ds.compress(syntax)
    elif syntax == "1.2.840.10008.1.2":
        ds.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
