"""The allow-list: every element of a source file that can reach an exported one, and what may stand in it.

Needed for reading (grey values, orientation, spacing, side and view), for judging an image's kind (acquisition
technique, device) or for the module's completeness. PS3.15 table E.1-1 (edition 2026c) removes none of them in
the Basic Profile with the options that an exported file claims.
"""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from ...transforms.dicom_file import MAMMOGRAPHY_MODALITIES
from ...transforms.sop_classes import IMAGE_CLASSES
from .rules import Context, Profile, Rule, age, code_of, date, items, lut_data, number, pattern, terms, uid, whole
from .vocabulary import device_name, paddle

__all__ = ["PROFILE", "PROFILE_VERSION", "code"]

PROFILE_VERSION = 1
"""Raised with every change of what is kept, so that one folder never holds two profiles."""

_MOST_FRAMES = 4096
_MOST_VOI = 32
_YES_NO = terms("YES", "NO")


def code(coded: Code) -> Dataset:
    """An item of a code sequence (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = coded.value, coded.scheme_designator, coded.meaning
    return item


def _breast(value: Any, context: Context) -> list[Dataset]:
    """Anatomic Region Sequence (0008,2218) of a breast, in whichever edition of SNOMED."""
    if code_of(value[0]) not in (("SCT", "76752008"), ("SRT", "T-04000")):
        raise ValueError("not the code of the breast")
    return [code(codes.SCT.Breast)]


def _nothing(value: Any, context: Context) -> list[Any]:
    """An empty value: the element has to be there, what stands in it does not."""
    return []


_IDENTITY: Profile = {
    "SOPClassUID": terms(*IMAGE_CLASSES),
    "SOPInstanceUID": uid,
    "StudyInstanceUID": uid,
    "SeriesInstanceUID": uid,
    "FrameOfReferenceUID": uid,
    "StudyDate": date,
    "SeriesDate": date,
    "AcquisitionDate": date,
    "ContentDate": date,
    "AcquisitionDateTime": date,
    "PatientSex": terms("F", "M", "O"),
    "PatientAge": age,
    "SeriesNumber": whole(0, 99999),
    "InstanceNumber": whole(0, 99999),
    "Manufacturer": device_name,
    "ManufacturerModelName": device_name,
}

_KIND: Profile = {
    "Modality": terms(*MAMMOGRAPHY_MODALITIES),
    "ImageType": terms(
        "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "MIXED", "NONE", "POST_CONTRAST", "PRE_CONTRAST", "LOW_ENERGY",
        "HIGH_ENERGY", "RECOMBINED", "SUBTRACTION", "TOMO", "TOMO_2D", "TOMO_PROJ", "TOMOSYNTHESIS", "GENERATED_2D",
        "SYNTHETIC", "SYNTHETIC_2D", "TOMO_SCOUT",
        "VOLUME", "MAXIMUM", "MEAN", "POST_PROCESSED", "PROJECTION", "STEREO", "MAGNIFIED",
        most=16, otherwise="",
    ),
    "PresentationIntentType": terms("FOR PRESENTATION", "FOR PROCESSING"),
    "VolumetricProperties": terms("VOLUME", "SAMPLED", "DISTORTED", "MIXED"),
    "VolumeBasedCalculationTechnique": terms("TOMOSYNTHESIS", "MAX_IP", "VOLUME_RENDER", "NONE", "MIXED"),
    "PixelPresentation": terms("MONOCHROME"),
    "ConversionType": terms("DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"),
    "BodyPartExamined": terms("BREAST"),
    "OrganExposed": terms("BREAST"),
    "AnatomicRegionSequence": _breast,
    "ImageLaterality": terms("L", "R", "U", "B"),
    "PatientOrientation": pattern("[APLRHF]{1,3}", most=2),
    "BreastImplantPresent": _YES_NO,
    "PartialView": _YES_NO,
    "QualityControlImage": terms("YES", "NO", "BOTH"),
    "PaddleDescription": paddle,
    "PositionerType": terms("MAMMOGRAPHIC", "NONE", "CARM", "COLUMN"),
    "AcquisitionContextSequence": _nothing,
}  # fmt: skip

_PIXELS: Profile = {
    "SamplesPerPixel": whole(1, 1),
    "PhotometricInterpretation": terms("MONOCHROME1", "MONOCHROME2"),
    "NumberOfFrames": whole(1, _MOST_FRAMES),
    "Rows": whole(1, 65535),
    "Columns": whole(1, 65535),
    "PixelAspectRatio": whole(1, 65535, most=2),
    "BitsAllocated": whole(8, 16),
    "BitsStored": whole(1, 16),
    "HighBit": whole(0, 15),
    "PixelRepresentation": whole(0, 1),
    "PixelPaddingValue": whole(-32768, 65535),
    "PixelPaddingRangeLimit": whole(-32768, 65535),
    "LossyImageCompression": terms("00", "01"),
    "LossyImageCompressionRatio": number(0, 10000, most=8),
    "LossyImageCompressionMethod": terms(
        "ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_2", "ISO_15444_15", most=8
    ),
}

_SLOPE: Profile = {
    "RescaleIntercept": number(-1e6, 1e6),
    "RescaleSlope": number(-1e6, 1e6),
    "RescaleType": terms("US", "OD", otherwise="US"),
}
_WINDOW: Profile = {
    "WindowCenter": number(-1e6, 1e6, most=_MOST_VOI),
    "WindowWidth": number(0, 1e7, most=_MOST_VOI),
    "VOILUTFunction": terms("LINEAR", "LINEAR_EXACT", "SIGMOID"),
}
_LUT: Profile = {"LUTDescriptor": whole(-32768, 65535, most=3), "LUTData": lut_data}


def _tables(profile: Profile, most: int) -> Rule:
    """Items of look-up tables, without the bytes behind the last entry."""
    copy = items(profile, most)

    def rule(value: Any, context: Context) -> list[Dataset]:
        tables: list[Dataset] = copy(value, context)
        for table in tables:
            table.LUTData = table.LUTData[: 2 * (table.LUTDescriptor[0] or 1 << 16)]
        return tables

    return rule


_GREY: Profile = {
    **_SLOPE,
    **_WINDOW,
    "ModalityLUTSequence": _tables({**_LUT, "ModalityLUTType": terms("US", "OD", otherwise="US")}, most=1),
    "VOILUTSequence": _tables(_LUT, most=_MOST_VOI),
    "PresentationLUTShape": terms("IDENTITY", "INVERSE"),
    "PixelIntensityRelationship": terms("LIN", "LOG", "DISP"),
    "PixelIntensityRelationshipSign": whole(-1, 1),
}

_MM = number(0, 1e4, most=2)
_GEOMETRY: Profile = {
    "ImagerPixelSpacing": _MM,
    "PixelSpacing": _MM,
    "NominalScannedPixelSpacing": _MM,
    "SpatialResolution": number(0, 1e4),
    "PixelSpacingCalibrationType": terms("GEOMETRY", "FIDUCIAL"),
    "EstimatedRadiographicMagnificationFactor": number(0, 100),
    "DistanceSourceToDetector": number(0, 1e4),
    "DistanceSourceToPatient": number(0, 1e4),
    "DistanceSourceToEntrance": number(0, 1e4),
    "DetectorElementSpacing": _MM,
    "DetectorElementPhysicalSize": _MM,
    "DetectorActiveShape": terms("RECTANGLE", "ROUND", "HEXAGONAL"),
    "DetectorActiveDimensions": _MM,
    "FieldOfViewShape": terms("RECTANGLE", "ROUND", "HEXAGONAL"),
    "FieldOfViewDimensions": whole(0, 10000, most=2),
    "FieldOfViewOrigin": number(-1e5, 1e5, most=2),
    "FieldOfViewRotation": number(0, 360),
    "FieldOfViewHorizontalFlip": _YES_NO,
}

_METALS = ("TUNGSTEN", "MOLYBDENUM", "RHODIUM", "ALUMINUM", "SILVER", "COPPER", "TITANIUM", "TIN", "NIOBIUM", "MIXED")
_TECHNIQUE: Profile = {
    "KVP": number(0, 200),
    "Exposure": whole(0, 10000),
    "ExposureInuAs": whole(0, 10**7),
    "ExposureTime": whole(0, 100000),
    "ExposureTimeInuS": number(0, 1e8),
    "XRayTubeCurrent": whole(0, 10000),
    "XRayTubeCurrentInuA": number(0, 1e7),
    "RelativeXRayExposure": whole(0, 10**6),
    "EntranceDose": whole(0, 10000),
    "EntranceDoseInmGy": number(0, 1e4),
    "OrganDose": number(0, 1e4),
    "HalfValueLayer": number(0, 100),
    "AnodeTargetMaterial": terms(*_METALS),
    "FilterMaterial": terms(*_METALS, most=4),
    "FilterType": terms("STRIP", "WEDGE", "BUTTERFLY", "MULTIPLE", "FLAT", "SHAPED", "NONE"),
    "FilterThicknessMinimum": number(0, 100, most=4),
    "FilterThicknessMaximum": number(0, 100, most=4),
    "FocalSpots": number(0, 10, most=4),
    "Grid": terms("FIXED", "FOCUSED", "RECIPROCATING", "PARALLEL", "CROSSED", "HTC", "CELLULAR", "NONE", most=4),
    "ExposureControlMode": terms("MANUAL", "AUTOMATIC"),
    "ExposureStatus": terms("NORMAL", "ABORTED"),
    "BodyPartThickness": number(0, 1000),
    "CompressionForce": number(0, 10000),
    "CompressionPressure": number(0, 10000),
    "CompressionContactArea": number(0, 1e6),
    "PositionerPrimaryAngle": number(-360, 360),
    "PositionerSecondaryAngle": number(-360, 360),
    "DetectorType": terms("DIRECT", "SCINTILLATOR", "STORAGE", "FILM"),
    "DetectorConfiguration": terms("AREA", "SLOT"),
    "DetectorTemperature": number(-100, 200),
    "DetectorBinning": number(0, 100, most=2),
    "DetectorConditionsNominalFlag": _YES_NO,
    "Sensitivity": number(0, 1e6),
}

_FRAMES: Profile = {
    "PixelMeasuresSequence": items(
        {"PixelSpacing": _MM, "SliceThickness": number(0, 1e4), "SpacingBetweenSlices": number(-1e4, 1e4)}, most=1
    ),
    "FrameAnatomySequence": items(
        {"FrameLaterality": terms("L", "R", "U", "B"), "AnatomicRegionSequence": _breast}, most=1
    ),
    "PlanePositionSequence": items({"ImagePositionPatient": number(-1e5, 1e5, most=3)}, most=1),
    "PlaneOrientationSequence": items({"ImageOrientationPatient": number(-1.1, 1.1, most=6)}, most=1),
    "FrameVOILUTSequence": items(_WINDOW, most=1),
    "PixelValueTransformationSequence": items(_SLOPE, most=1),
}

PROFILE: Profile = {
    **_IDENTITY,
    **_KIND,
    **_PIXELS,
    **_GREY,
    **_GEOMETRY,
    **_TECHNIQUE,
    "SharedFunctionalGroupsSequence": items(_FRAMES, most=1),
    "PerFrameFunctionalGroupsSequence": items(_FRAMES, most=_MOST_FRAMES),
}
"""Keyword of each element that may be kept, and the rule for its value."""
