"""The result as a TID 1500 Measurement Report in a Comprehensive 3D SR."""

from __future__ import annotations

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ..result import NOTICE, Region, ViewResult
from .common import MANUFACTURER, ObjectContext, finish

__all__ = ["structured_report"]

SCHEME = "99MAMMO"
SCORE = CodedConcept("SUSPICION-SCORE", SCHEME, "AI suspicion score, not a probability of cancer")
CALIBRATED_SCORE = CodedConcept("SUSPICION-CALIBRATED", SCHEME, "AI suspicion score, temperature-scaled")
REGION_SCORE = CodedConcept("REGION-SCORE", SCHEME, "Share of the map's peak")
STATUS = CodedConcept("ANALYSIS-STATUS", SCHEME, "Analysis status")
NOTE = CodedConcept("NOTE", SCHEME, "Note")
STATUS_VALUES = {
    "analysed": CodedConcept("ANALYSED", SCHEME, "Analysed"),
    "not_analysed": CodedConcept("NOT-ANALYSED", SCHEME, "Not analysed"),
    "failed": CodedConcept("FAILED", SCHEME, "Analysis failed"),
}
_SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right}


def structured_report(context: ObjectContext) -> list[Dataset]:
    """One report of the study: a group for each image, and one for each region.

    Regions are "Selected region" (111099, DCM): what a classifier looked at is no measured lesion. Images that were not
    analysed have their reason codes. The report is neither verified nor a diagnosis.

    Raises:
        ValueError: no header of the study could be read.
    """
    if not context.headers:
        raise ValueError("a report refers to images, and none of the study could be read")
    evidence = list(context.headers.values())
    groups: list[MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations] = []
    for view in context.result.views:
        source = context.headers.get(str(view.sop_instance_uid))
        if source is not None:
            groups.append(_image(context, view, source))
            groups += [_region(context, view, source, n, region) for n, region in enumerate(view.regions, start=1)]
    report = MeasurementReport(
        observation_context=_observer(context),
        procedure_reported=codes.SCT.Mammography,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=evidence,
    )
    ds = Comprehensive3DSR(
        evidence=evidence,
        content=report,
        manufacturer=MANUFACTURER,
        is_complete=not context.result.missing_views and str(context.result.status.value) == "analysed",
        is_verified=False,
        contributing_equipment=context.contributing,
        **context.place("sr", 0),
    )
    ds.CompletionFlagDescription = _completeness(context)
    return [finish(ds, context, evidence[0], "structured report")]


def _completeness(context: ObjectContext) -> str:
    """Completion Flag Description (0040,A492): what is missing and why."""
    result = context.result
    missing = f"missing views: {', '.join(result.missing_views)}" if result.missing_views else "all four views"
    return f"{result.status.value.replace('_', ' ')}; {result.reason or missing}"[:64]


def _observer(context: ObjectContext) -> ObservationContext:
    attributes = DeviceObserverIdentifyingAttributes(
        uid=context.uid("device"),
        name=context.algorithm,
        manufacturer_name=MANUFACTURER,
        model_name=context.algorithm,
        serial_number=context.equipment["device_serial_number"],
    )
    return ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, attributes))


def _algorithm(context: ObjectContext) -> AlgorithmIdentification:
    told = [f"{name}={value}" for name, value in context.parameters.items()]
    return AlgorithmIdentification(context.algorithm, context.version, parameters=[NOTICE, *told])


def _sites(view: ViewResult) -> list[FindingSite]:
    side = _SIDES.get(view.laterality or "")
    return [FindingSite(anatomic_location=codes.SCT.Breast, laterality=side)]


def _image(context: ObjectContext, view: ViewResult, source: Dataset) -> MeasurementsAndQualitativeEvaluations:
    """What is said of a whole image: its score, or why there is none."""
    uid = str(view.sop_instance_uid)
    measurements = []
    for name, value in ((SCORE, view.probability), (CALIBRATED_SCORE, view.probability_calibrated)):
        if value is not None:
            measurements.append(Measurement(name, round(value, 6), codes.UCUM.NoUnits))
    status = STATUS_VALUES["analysed" if measurements else "not_analysed"]
    evaluations = [QualitativeEvaluation(STATUS, status)]
    for code in (*view.reasons, *view.warnings):
        evaluations.append(QualitativeEvaluation(NOTE, _note(code)))
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=context.uid("image", uid), identifier=f"image {view.name}"),
        algorithm_id=_algorithm(context),
        finding_sites=_sites(view),
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[SourceImageForMeasurementGroup(source.SOPClassUID, uid)],
    )


def _region(
    context: ObjectContext, view: ViewResult, source: Dataset, number: int, region: Region
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    uid = str(view.sop_instance_uid)
    row0, column0, row1, column1 = region.box
    # SCOORD is column\row, 0\0 at the outer corner of the first pixel (PS3.3 C.18.6): as our half-open boxes.
    corners = np.array([[column0, row0], [column1, row0], [column1, row1], [column0, row1], [column0, row0]])
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=context.uid("region", uid, number), identifier=f"region {number} of {view.name}"),
        referenced_region=ImageRegion(
            GraphicTypeValues.POLYLINE, corners, SourceImageForRegion(source.SOPClassUID, uid)
        ),
        finding_type=codes.DCM.SelectedRegion,
        algorithm_id=_algorithm(context),
        finding_sites=_sites(view),
        measurements=[Measurement(REGION_SCORE, round(region.score, 6), codes.UCUM.NoUnits)],
    )


def _note(code: str) -> CodedConcept:
    return CodedConcept(code.upper()[:16], SCHEME, code.replace("_", " "))
