"""Side, projection and kind of image, read wherever a file hides them and written where DICOM has a place for them."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    BreastProjectionXRayImageStorageForPresentation,
    BreastProjectionXRayImageStorageForProcessing,
    BreastTomosynthesisImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
)

from ...transforms.header import describe_header
from ...transforms.view import View
from .profile import code
from .refusal import Refusal, SetAsideError
from .rules import Context, Profile, add_element, copy_allowed, items, short_text, values_of

__all__ = ["VIEW_CODES", "describe_typed", "write_kind", "write_view"]

_CID_4014, _CID_4015 = codes.cid4014, codes.cid4015

VIEW_CODES: dict[str, Code] = {
    View.CC: _CID_4014.CranioCaudal,
    View.MLO: _CID_4014.MedioLateralObliqueProjection,
    View.ML: _CID_4014.MedioLateralProjection,
    View.LM: _CID_4014.LateroMedial,
    View.LMO: _CID_4014.LateroMedialOblique,
    View.FB: _CID_4014.CaudoCranial,
    View.SIO: _CID_4014.SuperolateralToInferomedialOblique,
    View.ISO: _CID_4014.InferomedialToSuperolateralOblique,
    View.XCC: Code("399265009", "SCT", "cranio-caudal exaggerated"),  # retired from CID 4014
    View.XCCL: _CID_4014.CranioCaudalExaggeratedLaterally,
    View.XCCM: _CID_4014.CranioCaudalExaggeratedMedially,
    View.SPECIMEN: _CID_4014.TissueSpecimenFromBreast,
}
"""View codes of DICOM CID 4014."""

MODIFIER_CODES: dict[str, Code] = {
    getattr(_CID_4015, name).meaning.lower(): getattr(_CID_4015, name) for name in _CID_4015.dir()
}
"""Codes of DICOM CID 4015, by the words of :class:`~mammo.transforms.view.ViewModifier`."""

_MAMMOGRAPHY = (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    BreastTomosynthesisImageStorage,
    BreastProjectionXRayImageStorageForPresentation,
    BreastProjectionXRayImageStorageForProcessing,
)
_GENERATED = "GENERATED_2D"  # Image Type (0008,0008), value 3, of a picture that was computed from tomosynthesis

_CODE: Profile = {"CodeValue": short_text, "CodingSchemeDesignator": short_text, "CodeMeaning": short_text}
_MODIFIERS: Profile = {"ViewModifierCodeSequence": items(_CODE, most=16)}
_READ: Profile = {
    "PatientID": short_text,
    "SeriesDescription": short_text,
    "DerivationDescription": short_text,
    "ManufacturerModelName": short_text,
    "SOPClassUID": short_text,
    "ImageType": short_text,
    "NumberOfFrames": short_text,
    "VolumetricProperties": short_text,
    "VolumeBasedCalculationTechnique": short_text,
    "PatientOrientation": short_text,
    "ImageLaterality": short_text,
    "Laterality": short_text,
    "ViewPosition": short_text,
    "ImagerPixelSpacing": short_text,
    "PixelSpacing": short_text,
    "NominalScannedPixelSpacing": short_text,
    "EstimatedRadiographicMagnificationFactor": short_text,
    **_MODIFIERS,
    "ViewCodeSequence": items({**_CODE, **_MODIFIERS}, most=4),
    "SharedFunctionalGroupsSequence": items(
        {
            "FrameAnatomySequence": items({"FrameLaterality": short_text}, most=4),
            "PixelMeasuresSequence": items({"PixelSpacing": short_text}, most=1),
        },
        most=1,
    ),
}
"""What the reader looks at to say what an image shows, each of the type that it expects."""


def describe_typed(source: Dataset, context: Context) -> dict[str, Any]:
    """:func:`~mammo.transforms.header.describe_header` on the few elements that it needs for the kind of image.

    A hostile file may have deep sequences where the reader expects text. They are left out.

    Raises:
        SetAsideError: ``unknown_view`` if the view sequences cannot be read.
    """
    typed = Context(context.pseudonyms, days=None)
    read = copy_allowed(source, _READ, typed)
    if typed.withheld.keys() & {"ViewCodeSequence", "ViewModifierCodeSequence", *_CODE}:
        raise _unknown_view("View Code Sequence (0054,0220) cannot be read")
    return describe_header(read, "")


def write_view(described: dict[str, Any], result: Dataset) -> None:
    """Set Image Laterality, View Position and View Code Sequence of ``result`` from what the reader found.

    Free text such as Series Description may be the only place that tells them; it is read and left behind.

    Raises:
        SetAsideError: ``unknown_view`` where attributes contradict each other, or for a modifier without a code: an
            image that lost it would pass for a plain view.
    """
    if described["laterality_conflict"] or described["view_conflict"]:
        raise _unknown_view("attributes contradict each other about side or view")
    side, view = described["laterality"], described["view"]
    modifiers = [word for word in (described["view_modifiers"] or "").split("; ") if word]
    if not MODIFIER_CODES.keys() >= set(modifiers) or (modifiers and not view):
        raise _unknown_view("a view modifier is not one of DICOM CID 4015, or modifies no view")
    if side and described["laterality_source"] != "FrameLaterality":
        add_element(result, "ImageLaterality", side)
    if not view:
        return
    item = code(VIEW_CODES[view])
    if modifiers or result.SOPClassUID in _MAMMOGRAPHY:  # there it is of type 2
        add_element(item, "ViewModifierCodeSequence", [code(MODIFIER_CODES[word]) for word in modifiers])
    add_element(result, "ViewCodeSequence", [item])
    if view != View.SPECIMEN:
        add_element(result, "ViewPosition", view)


def write_kind(described: dict[str, Any], result: Dataset) -> None:
    """Say in Image Type that a picture was computed from tomosynthesis, where only free text told it."""
    types = [str(value) for value in values_of(result.get("ImageType") or [])]
    if described["synthetic_2d"] and _GENERATED not in types:
        add_element(result, "ImageType", [*(types[:2] if len(types) > 1 else ("DERIVED", "PRIMARY")), _GENERATED])


def _unknown_view(what: str) -> SetAsideError:
    return SetAsideError(Refusal.UNKNOWN_VIEW, f"{what}; correct the header first")
