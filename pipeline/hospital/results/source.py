"""What result objects take over from the header of an image: the patient as written, and little else, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.config import RAISE, disable_value_validation
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

__all__ = ["identity_of", "image_facts", "predecessor_of", "same_owner"]

IDENTITY = (
    "SpecificCharacterSet",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyInstanceUID",
    "StudyID",
)
"""By what an archive files an object; everything else about the patient stays with the images."""

TYPE_2 = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
)
"""Of these the ones that may be empty but not absent."""

IMAGE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PatientOrientation",
    "ImagerPixelSpacing",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
WINDOW = ("WindowCenter", "WindowWidth")
_LONGEST = 1 << 10  # bytes of an element that says who somebody is


def identity_of(header: Dataset) -> Dataset:
    """Patient and study byte for byte as in ``header``, valid or not: an archive must file both in one place.

    Names keep their characters with Specific Character Set (0008,0005). What others write into an object that has it
    must be ASCII.
    """
    identity = Dataset()
    for keyword in IDENTITY:
        tag = tag_for_keyword(keyword)
        if tag is None or tag not in header:
            continue
        element = header.get_item(tag)
        if isinstance(element, RawDataElement):
            # Text is the same bytes in every transfer syntax; only where its VR is written differs.
            element = element._replace(VR=dictionary_VR(tag), is_implicit_VR=False, is_little_endian=True)
            if element.value is not None and len(element.value) > _LONGEST:
                continue
        identity[tag] = element
    return identity


def same_owner(one: Dataset, other: Dataset) -> bool:
    """Whether two of :func:`identity_of` are of one patient and one study."""
    tags = ("StudyInstanceUID", "PatientID", "IssuerOfPatientID")
    with disable_value_validation():
        return all(str(one.get(tag) or "").strip() == str(other.get(tag) or "").strip() for tag in tags)


def predecessor_of(path: Path, identity: Dataset) -> Dataset | None:
    """What names an earlier report in a new one; None for that of another patient or study.

    Raises:
        OSError: as the file system raises it.
        pydicom.errors.InvalidDicomError: it is no DICOM file.
    """
    report = dcmread(path, stop_before_pixels=True)
    return image_facts(report) if same_owner(identity_of(report), identity) else None


def image_facts(header: Dataset) -> Dataset:
    """The attributes of an image that objects about it refer to; those whose value is not valid are left out.

    Of the patient there are only empty attributes: libraries check, warn of and log what they are given. Who it is,
    is written at the end, see :func:`identity_of`. Of several alternatives for display there is the first, since a
    presentation state can hold one only.
    """
    facts = Dataset()
    with disable_value_validation():  # its warnings quote values
        for keyword in IMAGE:
            value = _valid(header, keyword)
            if value is not None:
                setattr(facts, keyword, value)
        for keyword, value in (_modality(header) | _voi(header)).items():
            setattr(facts, keyword, value)
    if not _is_orientation(facts.get("PatientOrientation")):
        facts.PatientOrientation = ""
    for keyword in TYPE_2:
        setattr(facts, keyword, "")
    return facts


def _modality(header: Dataset) -> dict[str, Any]:
    luts = _luts(header, "ModalityLUTSequence")
    if luts:
        return {"ModalityLUTSequence": luts}
    keywords = ("RescaleSlope", "RescaleIntercept", "RescaleType")
    told = {keyword: _valid(header, keyword) for keyword in keywords}
    if told["RescaleSlope"] is None or told["RescaleIntercept"] is None:
        return {}
    return told | {"RescaleType": told["RescaleType"] or "US"}


def _voi(header: Dataset) -> dict[str, Any]:
    """The first VOI LUT, else the first window: as :func:`~mammo.transforms.grayscale.grayscale_table` chooses."""
    luts = _luts(header, "VOILUTSequence", bits=16)
    if luts:
        return {"VOILUTSequence": luts}
    centers, widths = (_several(_valid(header, keyword)) for keyword in WINDOW)
    if not (centers and widths):
        return {}
    told = {"WindowCenter": centers[0], "WindowWidth": widths[0]}
    for keyword in ("WindowCenterWidthExplanation", "VOILUTFunction"):
        values = _several(_valid(header, keyword))
        told |= {keyword: values[0]} if values else {}
    return told


def _luts(header: Dataset, keyword: str, bits: int | None = None) -> list[Dataset]:
    """The first item of a LUT sequence, its entries as words, which files have in three ways.

    Args:
        header: of the image.
        keyword: of the sequence.
        bits: that the full range shall take, where only the share of it counts, as in display.
    """
    items = _valid(header, keyword)
    if not items:
        return []
    descriptor = [int(value) for value in items[0].LUTDescriptor]
    data = items[0].LUTData
    words = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    if bits is not None:
        words = np.round(words * ((1 << bits) - 1.0) / ((1 << descriptor[2]) - 1))
        descriptor[2] = bits
    lut = Dataset()
    lut.add_new("LUTDescriptor", "SS" if min(descriptor) < 0 else "US", descriptor)
    lut.add_new("LUTData", "OW", words.astype("<u2").tobytes())
    for told in ("LUTExplanation", "ModalityLUTType"):
        if _valid(items[0], told) is not None:
            setattr(lut, told, items[0][told].value)
    return [lut]


def _is_orientation(value: Any) -> bool:
    """Whether it is two directions (PS3.3 C.7.6.1.1.1); CBIS-DDSM writes the view here."""
    ways = _several(value)
    return len(ways) == 2 and all(way and set(way) <= set("ARPLHF") for way in ways)


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (MultiValue, list)) else [value]


def _valid(header: Dataset, keyword: str) -> Any:
    """Its value, None where it is absent, empty or against the rules of its value representation."""
    try:
        tag = tag_for_keyword(keyword)
        element: DataElement | None = None if tag is None else header.get(tag)
        if element is None or element.value is None or element.value == "":
            return None
        value = element.value
        if element.VR != "SQ":
            for one in _several(value):
                validate_value(element.VR, getattr(one, "original_string", one), RAISE)
    except Exception:  # a hostile header can make the parser raise anything, and to us it is absent
        return None
    return value
