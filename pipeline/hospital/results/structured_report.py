"""The result as a TID 1500 Measurement Report in a Comprehensive 3D SR."""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ..naming import MANUFACTURER
from .common import ObjectContext
from .finishing import finish
from .report_codes import SCHEME
from .report_groups import breast_group, exam_group, image_group, region_group
from .wording import ascii_text

__all__ = ["observer", "structured_report"]

KIND = "sr"


def structured_report(context: ObjectContext) -> list[Dataset]:
    """One report of the study, however it ended: groups for exam, breasts, images and regions.

    Regions are "Selected region" (111099, DCM): what a classifier looked at is no measured lesion. What was not
    analysed has its reason codes. The report is preliminary, not verified and no diagnosis. It is complete where all
    four views of a screening exam were scored and no image was left out.
    """
    evidence = list(context.headers.values())
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(context)),
        procedure_reported=codes.SCT.Mammography,
        imaging_measurements=_groups(context),
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=[source for source in evidence if _describable(source)],
    )
    result = context.result
    whole = bool(result.scored()) and len(result.scored()) == len(result.views) and not result.missing_views
    ds = Comprehensive3DSR(
        evidence=evidence,
        content=report,
        manufacturer=MANUFACTURER,
        is_complete=whole,
        is_verified=False,
        previous_versions=None if context.predecessor is None else [context.predecessor],
        contributing_equipment=context.contributing,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="mammo", responsible_organization="mammo")],
        **context.place(KIND),
    )
    ds.CompletionFlagDescription = _completeness(context)
    return [finish(ds, context, "structured report")]


def observer(context: ObjectContext) -> ObserverContext:
    """The software as the observer of a report."""
    attributes = DeviceObserverIdentifyingAttributes(
        uid=context.uid("device"),
        name=context.algorithm,
        manufacturer_name=MANUFACTURER,
        model_name=context.algorithm,
        serial_number=context.equipment["device_serial_number"],
    )
    return ObserverContext(codes.DCM.Device, attributes)


def _groups(
    context: ObjectContext,
) -> list[MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations]:
    groups: list[MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations] = []
    groups.append(exam_group(context))
    groups += [breast_group(context, breast) for breast in context.result.breasts]
    for view, source in context.known:
        groups.append(image_group(context, view, source))
        groups += [region_group(context, view, source, mark) for mark in context.marks(view)]
    return groups


def _describable(source: Dataset) -> bool:
    """Whether the image library, in which no image has to be, can describe an image (TID 1602, 1603)."""
    return all(len(source.get(keyword) or ()) == 2 for keyword in ("PatientOrientation", "ImagerPixelSpacing"))


def _completeness(context: ObjectContext) -> str:
    """Completion Flag Description (0040,A492): what is missing and why."""
    result = context.result
    missing = f"missing views: {', '.join(result.missing_views)}" if result.missing_views else "all four views"
    return ascii_text(f"{result.status.value.replace('_', ' ')}; {result.reason or missing}")[:64]
