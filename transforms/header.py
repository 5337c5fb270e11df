"""The part of a header that travels with the pixels, as plain values."""

import math
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileDataset

from .view import read_view

__all__ = ["describe_file", "describe_header", "pixel_spacing_mm"]

_TEXT = {
    "patient_id": "PatientID",
    "study_id": "StudyInstanceUID",
    "image_id": "SOPInstanceUID",
    "photometric": "PhotometricInterpretation",
    "presentation_intent": "PresentationIntentType",
    "manufacturer": "Manufacturer",
    "manufacturer_model": "ManufacturerModelName",
    "modality": "Modality",
    "breast_implant": "BreastImplantPresent",
    "lossy": "LossyImageCompression",
}


def describe_header(header: FileDataset, path: str | PathLike[str]) -> dict[str, Any]:
    """Describe a DICOM mammogram in str, float, int, None and lists; None is what the header does not say."""
    view = read_view(header)
    meta: dict[str, Any] = {name: str(header.get(keyword) or "") or None for name, keyword in _TEXT.items()}
    meta |= {
        "filename_or_obj": fspath(path),
        "image_id": meta["image_id"] or Path(path).stem,
        "laterality": view.laterality,
        "laterality_source": view.laterality_source,
        "view": view.view,
        "view_source": view.view_source,
        "view_modifiers": "; ".join(view.view_modifiers) or None,
        "patient_orientation": "\\".join(str(v) for v in _values(header, "PatientOrientation")) or None,
        "pixel_spacing_mm": pixel_spacing_mm(header),
        "bits_stored": int(header.BitsStored),
        "transfer_syntax": str(header.file_meta.get("TransferSyntaxUID") or "") or None,
    }
    return meta


def describe_file(path: str | PathLike[str], bits: int, spacing_mm: list[float] | None) -> dict[str, Any]:
    """Describe a file without a DICOM header: the same keys, None for what it cannot tell."""
    meta: dict[str, Any] = dict.fromkeys(_TEXT)
    return meta | {
        "filename_or_obj": fspath(path),
        "image_id": Path(path).name.split(".")[0],
        "laterality": None,
        "laterality_source": None,
        "view": None,
        "view_source": None,
        "view_modifiers": None,
        "patient_orientation": None,
        "pixel_spacing_mm": spacing_mm,
        "bits_stored": bits,
        "transfer_syntax": None,
        "voi": "none",
        "backend": None,
        "frame": None,
        "beyond_bits_stored": False,
    }


def pixel_spacing_mm(header: Dataset) -> list[float] | None:
    """Spacing ``[row, column]`` in mm in the plane of the breast; None where the header has none.

    Imager Pixel Spacing (0018,1164) is measured at the detector; divided by Estimated Radiographic
    Magnification Factor (0018,1114), where that is given, it holds in the breast (IHE Mammography Image
    profile). Pixel Spacing (0028,0030), top-level or of the shared functional groups, and Nominal Scanned
    Pixel Spacing (0018,2010) of film digitisers come next.
    """
    imager = _spacing(header, "ImagerPixelSpacing")
    if imager:
        factor = _values(header, "EstimatedRadiographicMagnificationFactor")
        magnification = float(factor[0]) if factor and float(factor[0]) > 0 else 1.0
        return [mm / magnification for mm in imager]
    groups = header.get("SharedFunctionalGroupsSequence") or []
    measures = [item for group in groups for item in group.get("PixelMeasuresSequence") or []]
    candidates = [(d, "PixelSpacing") for d in (header, *measures)] + [(header, "NominalScannedPixelSpacing")]
    found = (_spacing(dataset, keyword) for dataset, keyword in candidates)
    return next((spacing for spacing in found if spacing), None)


def _spacing(header: Dataset, keyword: str) -> list[float] | None:
    spacing = [float(v) for v in _values(header, keyword)]
    usable = len(spacing) == 2 and all(math.isfinite(mm) and mm > 0 for mm in spacing)
    return spacing if usable else None


def _values(header: Dataset, keyword: str) -> list[Any]:
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, float, int)) or not hasattr(value, "__iter__") else list(value)
