"""The groups of a TID 1500 report: one for the exam, one for each breast and image, one for each region."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ..naming import MANUFACTURER
from ..result import NOTICE, BreastResult, ViewResult
from . import report_codes as our
from .common import Mark, ObjectContext
from .wording import exam_words, refused_words

__all__ = ["breast_group", "exam_group", "image_group", "region_group"]


def exam_group(context: ObjectContext) -> MeasurementsAndQualitativeEvaluations:
    """The answer to the study, whatever it is: status, score, operating point, missing views, unreadable files."""
    result = context.result
    told = [(our.STATUS, our.status_of(result.status.value))]
    if result.exam_score is not None:
        told += [(our.CALIBRATION, our.calibration_of(False)), (our.FLAG, our.flag_of(result.flagged))]
    told += [(our.MISSING_VIEW, our.screening_view(name)) for name in result.missing_views]
    unknown = [view for view in context.views if view.sop_instance_uid not in context.headers]
    told += [(our.NOTE, our.note(code)) for code in dict.fromkeys(code for view in unknown for code in view.reasons)]
    group = MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=context.uid("exam"), identifier="exam"),
        algorithm_id=_algorithm(context, [f"{name}={value}" for name, value in context.parameters.items()]),
        finding_sites=[_site(result.exam_breast)],
        measurements=_numbers([(our.SCORE, result.exam_score), (our.THRESHOLD, result.threshold)]),
        qualitative_evaluations=_evaluations(told),
    )
    for text in [*exam_words(result), *refused_words(result), NOTICE]:
        group[0].ContentSequence.append(TextContentItem(codes.DCM.Comment, text, RelationshipTypeValues.CONTAINS))
    return group


def breast_group(context: ObjectContext, breast: BreastResult) -> MeasurementsAndQualitativeEvaluations:
    """Score of a breast, how it compares with the operating point, and which views it comes from."""
    threshold = context.result.threshold
    told = [
        (our.CALIBRATION, our.calibration_of(False)),
        (our.FLAG, our.flag_of(None if threshold is None else breast.score >= threshold)),
    ]
    told += [(our.VIEW_USED, _view(name)) for name in breast.views]
    told += [(our.REPEATED_VIEW, _view(name)) for name in breast.repeated]
    missing = [name for name in context.result.missing_views if name.startswith(breast.laterality)]
    told += [(our.MISSING_VIEW, our.screening_view(name)) for name in missing]
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=context.uid("breast", breast.laterality), identifier=f"breast {breast.laterality}"),
        algorithm_id=_algorithm(context),
        finding_sites=[_site(breast.laterality)],
        measurements=_numbers([(our.SCORE, breast.score), (our.THRESHOLD, threshold)]),
        qualitative_evaluations=_evaluations(told),
    )


def image_group(context: ObjectContext, view: ViewResult, source: Dataset) -> MeasurementsAndQualitativeEvaluations:
    """Score of an image, or why it has none."""
    uid = str(view.sop_instance_uid)
    calibrated = view.probability_calibrated
    if view.probability is None:
        told = [(our.STATUS, our.status_of("not_analysed"))]
    else:
        told = [(our.STATUS, our.status_of("analysed")), (our.CALIBRATION, our.calibration_of(calibrated is not None))]
    told += [(our.NOTE, our.note(code)) for code in (*view.reasons, *view.warnings)]
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=context.uid("image", uid), identifier=f"image {view.name}"),
        algorithm_id=_algorithm(context),
        finding_sites=[_site(view.laterality)],
        measurements=_numbers([(our.SCORE, view.probability), (our.CALIBRATED_SCORE, calibrated)]),
        qualitative_evaluations=_evaluations(told),
        source_images=[SourceImageForMeasurementGroup(source.SOPClassUID, uid)],
    )


def region_group(
    context: ObjectContext, view: ViewResult, source: Dataset, mark: Mark
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """A part of an image that the score rests on: "Selected region" (111099, DCM), no finding."""
    uid = str(view.sop_instance_uid)
    row0, column0, row1, column1 = mark.box
    # SCOORD is column\row, 0\0 at the outer corner of the first pixel (PS3.3 C.18.6): as our half-open boxes.
    corners = np.array([[column0, row0], [column1, row0], [column1, row1], [column0, row1], [column0, row0]])
    image = SourceImageForRegion(source.SOPClassUID, uid)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(
            uid=context.uid("region", uid, mark.number), identifier=f"region {mark.number} of {view.name}"
        ),
        referenced_region=ImageRegion(GraphicTypeValues.POLYLINE, corners, image),
        finding_type=codes.DCM.SelectedRegion,
        algorithm_id=_algorithm(context),
        finding_sites=[_site(view.laterality)],
        measurements=_numbers([(our.REGION_SCORE, mark.score)]),
    )


def _algorithm(context: ObjectContext, parameters: Iterable[str] = ()) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        context.algorithm, context.version, parameters=list(parameters) or None, manufacturer=MANUFACTURER
    )


def _site(side: str | None) -> FindingSite:
    return FindingSite(anatomic_location=codes.SCT.Breast, laterality=our.SIDES.get(side or ""))


def _view(name: str) -> CodedConcept:
    return our.coded(our.VIEWS[name]) if name in our.VIEWS else our.screening_view(name)


def _numbers(values: Iterable[tuple[CodedConcept, float | None]]) -> list[Measurement]:
    return [Measurement(name, round(value, 6), codes.UCUM.NoUnits) for name, value in values if value is not None]


def _evaluations(told: Iterable[tuple[CodedConcept, CodedConcept]]) -> list[QualitativeEvaluation]:
    return [QualitativeEvaluation(name, value) for name, value in told]
