"""Small DICOM files and a breast in miniature, each with a known answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

WriteDicom = Callable[..., Path]


@pytest.fixture
def header() -> Dataset:
    """A complete, plain 12-bit mammogram header without pixels."""
    ds = Dataset()
    ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    ds.SOPInstanceUID = "1.2.3.4"
    ds.StudyInstanceUID = "1.2.3"
    ds.PatientID = "P1"
    ds.Modality = "MG"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.SamplesPerPixel = 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    return ds


@pytest.fixture
def write_dicom(tmp_path: Path, header: Dataset) -> WriteDicom:
    """``write_dicom(pixels, syntax=..., **tags)`` writes an uncompressed file and returns its path."""

    def write(pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> Path:
        header.Rows, header.Columns = pixels.shape[-2:]
        header.PixelRepresentation = int(pixels.dtype.kind == "i")
        header.BitsAllocated = 8 * pixels.dtype.itemsize
        header.BitsStored = min(header.BitsStored, header.BitsAllocated)
        for keyword, value in tags.items():
            setattr(header, keyword, value)
        header.HighBit = header.BitsStored - 1
        data = pixels.tobytes()
        header.PixelData = data + b"\0" * (len(data) % 2)
        header["PixelData"].VR = "OW"
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = syntax
        header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.dcm"
        header.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def breast() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """``breast(shape, side)`` gives a picture ``(H, W)`` and its true mask: a half-ellipse on one edge."""

    def make(
        shape: tuple[int, int] = (400, 300), side: str = "left", air: float = 0.02, noise: float = 0.01
    ) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        across = columns if side == "left" else shape[1] - 1 - columns
        depth = 1 - ((rows - shape[0] / 2) / (0.42 * shape[0])) ** 2 - (across / (0.7 * shape[1])) ** 2
        truth = depth > 0
        texture = cv2.GaussianBlur(np.random.default_rng(0).random(shape, dtype=np.float32), (0, 0), shape[0] / 40)
        image = air + truth * (0.25 + 0.4 * np.sqrt(np.clip(depth, 0, 1)) + 4 * (texture - texture.mean()))
        image += noise * np.random.default_rng(1).standard_normal(shape)
        return np.clip(image, 0, 1).astype(np.float32), truth

    return make
