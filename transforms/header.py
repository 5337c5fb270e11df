"""The part of a header that travels with the pixels, as plain values."""

import math
import re
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import (
    BreastProjectionXRayImageStorageForPresentation,
    BreastProjectionXRayImageStorageForProcessing,
    BreastTomosynthesisImageStorage,
)

from .view import read_view, sequence_items

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
    "sop_class": "SOPClassUID",
    "body_part": "BodyPartExamined",
    "positioner": "PositionerType",
    "paddle": "PaddleDescription",
    "partial_view": "PartialView",
    "burned_in_annotation": "BurnedInAnnotation",
    "volumetric_properties": "VolumetricProperties",
}
_TOMOSYNTHESIS_CLASSES = (
    BreastTomosynthesisImageStorage,
    BreastProjectionXRayImageStorageForPresentation,
    BreastProjectionXRayImageStorageForProcessing,
)
# Image Type (0008,0008), value 3 (PS3.3 tables C.8-74b and C.8.21.6-1a) and what systems wrote before the tables.
_TOMOSYNTHESIS_TYPES = {"TOMO", "TOMOSYNTHESIS", "TOMO_PROJ", "TOMO_SCOUT"}
_SYNTHETIC_TYPES = {"GENERATED_2D", "TOMO_2D", "SYNTHETIC", "SYNTHETIC_2D"}
# C-View and Intelligent 2D (Hologic), S-View (Fujifilm), Insight 2D (Siemens), V-Preview (GE).
_SYNTHETIC_NAMES = re.compile(
    r"\bC-?VIEW|\bS-?VIEW|\bV-?PREVIEW|INTELLIGENT[ -]?2D|INSIGHT[ -]?2D|GENERATED[ _-]2D"
    r"|\bSYN(?:TH\w*)?[ _-]?2-?D|\b2-?D[ _-]?SYNTH"
)
_SYNTHETIC_TEXTS = ("SeriesDescription", "ManufacturerModelName", "DerivationDescription")
# Alone, "synthetic" says this of a series only: derivations speak of synthetic tags and phantoms, too.
_SYNTHETIC_SERIES = re.compile(r"\bSYNTHE(?:TIC|SI[SZ]ED)\b")


def describe_header(header: Dataset, path: str | PathLike[str]) -> dict[str, Any]:
    """Describe a DICOM mammogram in str, float, int, bool, None and lists; None is what the header does not say.

    The keys are those of :func:`describe_file`. Beside texts as they are stored:

    - ``is_dicom``: whether there is a DICOM header at all.
    - ``laterality``, ``view``: see :func:`~mammo.transforms.view.read_view`, as for ``..._source`` and
      ``..._conflict``. ``view_modifiers`` are joined by ``"; "``.
    - ``image_type``, ``patient_orientation``: values joined by a backslash.
    - ``frames``: Number of Frames (0028,0008).
    - ``lossy_ratio``: the highest Lossy Image Compression Ratio (0028,2112).
    - ``magnification``: Estimated Radiographic Magnification Factor (0018,1114).
    - ``tomosynthesis``: whether it is a slice, a stack or a projection of tomosynthesis.
    - ``synthetic_2d``: whether it is one picture computed from tomosynthesis, such as C-View.
    """
    view = read_view(header)
    file_meta = getattr(header, "file_meta", Dataset())  # metadata of a web service has none
    meta: dict[str, Any] = {name: str(header.get(keyword) or "") or None for name, keyword in _TEXT.items()}
    frames = int(max(_numbers(header, "NumberOfFrames"), default=1)) or 1
    synthetic = frames == 1 and _is_synthetic(header)
    meta |= {
        "filename_or_obj": fspath(path),
        "is_dicom": True,
        "image_id": meta["image_id"] or Path(path).stem,
        "laterality": view.laterality,
        "laterality_source": view.laterality_source,
        "laterality_conflict": view.laterality_conflict,
        "view": view.view,
        "view_source": view.view_source,
        "view_conflict": view.view_conflict,
        "view_modifiers": "; ".join(view.view_modifiers) or None,
        "patient_orientation": _joined(header, "PatientOrientation"),
        "image_type": _joined(header, "ImageType"),
        "frames": frames,
        "lossy_ratio": max(_numbers(header, "LossyImageCompressionRatio"), default=None),
        "magnification": _magnification(header),
        "tomosynthesis": not synthetic and _is_tomosynthesis(header),
        "synthetic_2d": synthetic,
        "pixel_spacing_mm": pixel_spacing_mm(header),
        "bits_stored": int(max(_numbers(header, "BitsStored"), default=0)) or None,
        "transfer_syntax": str(file_meta.get("TransferSyntaxUID") or "") or None,
    }
    return meta


def describe_file(path: str | PathLike[str], bits: int, spacing_mm: list[float] | None) -> dict[str, Any]:
    """Describe a file without a DICOM header: the same keys, None for what it cannot tell."""
    unknown = ("laterality", "view", "patient_orientation", "image_type", "lossy_ratio", "magnification")
    sources = [f"{name}_{part}" for name in ("laterality", "view") for part in ("source", "conflict")]
    meta: dict[str, Any] = dict.fromkeys([*_TEXT, *unknown, *sources, "view_modifiers", "transfer_syntax"])
    return meta | {
        "filename_or_obj": fspath(path),
        "is_dicom": False,
        "image_id": Path(path).name.split(".")[0],
        "frames": 1,
        "tomosynthesis": False,
        "synthetic_2d": False,
        "pixel_spacing_mm": spacing_mm,
        "bits_stored": bits,
        "voi": "none",
        "backend": None,
        "frame": None,
        "beyond_bits_stored": False,
    }


def _is_synthetic(header: Dataset) -> bool:
    if _SYNTHETIC_TYPES & set(_types(header)) or header.get("VolumeBasedCalculationTechnique") == "MAX_IP":
        return True
    series = str(header.get("SeriesDescription") or "").upper()
    texts = (str(header.get(keyword) or "").upper() for keyword in _SYNTHETIC_TEXTS)
    return bool(_SYNTHETIC_SERIES.search(series)) or any(_SYNTHETIC_NAMES.search(text) for text in texts)


def _is_tomosynthesis(header: Dataset) -> bool:
    """By SOP Class, Image Type, or Volumetric Properties (0008,9206), which only pictures of volumes have."""
    by_class = header.get("SOPClassUID") in _TOMOSYNTHESIS_CLASSES
    return by_class or bool(_TOMOSYNTHESIS_TYPES & set(_types(header))) or bool(header.get("VolumetricProperties"))


def _types(header: Dataset) -> list[str]:
    return [str(value).strip().upper() for value in _values(header, "ImageType")]


def _magnification(header: Dataset) -> float | None:
    return next((n for n in _numbers(header, "EstimatedRadiographicMagnificationFactor") if n > 0), None)


def pixel_spacing_mm(header: Dataset) -> list[float] | None:
    """Spacing ``[row, column]`` in mm in the plane of the breast; None where the header has none.

    Imager Pixel Spacing (0018,1164) is measured at the detector; divided by Estimated Radiographic
    Magnification Factor (0018,1114), where that is given, it holds in the breast (IHE Mammography Image
    profile). Pixel Spacing (0028,0030), top-level or of the shared functional groups, and Nominal Scanned
    Pixel Spacing (0018,2010) of film digitisers come next.
    """
    imager = _spacing(header, "ImagerPixelSpacing")
    if imager:
        return [mm / (_magnification(header) or 1.0) for mm in imager]
    groups = sequence_items(header, "SharedFunctionalGroupsSequence")
    measures = [item for group in groups for item in sequence_items(group, "PixelMeasuresSequence")]
    candidates = [(d, "PixelSpacing") for d in (header, *measures)] + [(header, "NominalScannedPixelSpacing")]
    found = (_spacing(dataset, keyword) for dataset, keyword in candidates)
    return next((spacing for spacing in found if spacing), None)


def _spacing(header: Dataset, keyword: str) -> list[float] | None:
    spacing = _numbers(header, keyword)
    return spacing if len(spacing) == 2 and all(mm > 0 for mm in spacing) else None


def _numbers(header: Dataset, keyword: str) -> list[float]:
    """The numbers of an element; none if one is not finite or no number: archives hold "N/A" in number fields."""
    try:
        numbers = [float(value) for value in _values(header, keyword)]
    except (TypeError, ValueError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _joined(header: Dataset, keyword: str) -> str | None:
    return "\\".join(str(value) for value in _values(header, keyword)) or None


def _values(header: Dataset, keyword: str) -> list[Any]:
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, float, int)) or not hasattr(value, "__iter__") else list(value)
