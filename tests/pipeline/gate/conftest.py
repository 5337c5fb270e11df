"""A plain mammogram, as facts and as a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian


@pytest.fixture
def plain() -> dict[str, Any]:
    """Facts of a left CC view of which there is nothing to say."""
    return {
        "is_dicom": True,
        "sop_class": str(DigitalMammographyXRayImageStorageForPresentation),
        "modality": "MG",
        "body_part": "BREAST",
        "positioner": "MAMMOGRAPHIC",
        "presentation_intent": "FOR PRESENTATION",
        "image_type": "ORIGINAL\\PRIMARY\\",
        "laterality": "L",
        "view": "CC",
        "patient_orientation": "A\\R",
        "frames": 1,
        "tomosynthesis": False,
        "synthetic_2d": False,
        "breast_implant": "NO",
        "burned_in_annotation": "NO",
        "lossy": "00",
        "magnification": 1.05,
        "bits_stored": 12,
        "beyond_bits_stored": False,
        "transfer_syntax": str(ExplicitVRLittleEndian),
        "mask_quality": "ok",
        "wall": "left",
        "breast_share": 0.4,
        "burned_in_px": 0,
        "burned_in_share": 0.0,
    }


@pytest.fixture
def breast() -> np.ndarray:
    """A left CC view in miniature, ``(rows, columns)`` uint16 of 12 bits."""
    rows, columns = np.mgrid[:400, :300].astype(np.float32)
    depth = 1 - ((rows - 200) / 170) ** 2 - (columns / 210) ** 2
    texture = cv2.GaussianBlur(np.random.default_rng(0).random((400, 300), dtype=np.float32), (0, 0), 10)
    image = 0.02 + (depth > 0) * (0.25 + 0.4 * np.sqrt(np.clip(depth, 0, 1)) + 4 * (texture - texture.mean()))
    return (np.clip(image, 0, 1) * 4095).astype(np.uint16)


@pytest.fixture
def write(tmp_path: Path, breast: np.ndarray) -> Callable[..., Path]:
    """``write(name, pixels=..., **tags)`` writes a DICOM left CC view and returns its path."""

    def save(name: str = "plain.dcm", pixels: np.ndarray = breast, **tags: Any) -> Path:
        ds = Dataset()
        ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
        ds.SOPInstanceUID, ds.PatientID, ds.Modality = "1.2.3.4", "P1", "MG"
        ds.PresentationIntentType, ds.ImageType = "FOR PRESENTATION", ["ORIGINAL", "PRIMARY", ""]
        ds.ImageLaterality, ds.ViewPosition, ds.PatientOrientation = "L", "CC", ["A", "R"]
        ds.PhotometricInterpretation, ds.SamplesPerPixel = "MONOCHROME2", 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.Manufacturer = "Maker"
        ds.Rows, ds.Columns = pixels.shape[-2:]
        for keyword, value in tags.items():
            setattr(ds, keyword, value)
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW"
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        path = tmp_path / name
        ds.save_as(path, enforce_file_format=True)
        return path

    return save
