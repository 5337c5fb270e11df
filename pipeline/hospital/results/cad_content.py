"""The tree of a Mammography CAD report (PS3.16 TID 4000 and below)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from ..result import NOTICE, StudyStatus, ViewResult
from .common import Mark, ObjectContext
from .content_items import by_reference, code, container, image, outline, text, uid_reference
from .report_codes import VIEWS
from .wording import ascii_text, breast_words, exam_words, refused_words, score_words

__all__ = ["cad_content"]

_ENGLISH = Code("en", "RFC5646", "English")  # CID 5000, which pydicom's dictionary lacks
_BREASTS = {"L": codes.cid6022.LeftBreast, "R": codes.cid6022.RightBreast}
_LIBRARY = (1, 2)  # the place of the image library in the report: second child of the root
Pair = tuple[ViewResult, Dataset]


def cad_content(context: ObjectContext) -> Dataset:
    """The root container (TID 4000).

    Images that were refused count as failed detections, so that a workstation shows which ones no result is about.
    What could not be read at all is no image that a report can refer to; it is told in the words of the summary.
    """
    library = container(codes.DCM.ImageLibrary, [_entry(*pair) for pair in context.known], "CONTAINS")
    children = [
        code(codes.DCM.LanguageOfContentItemAndDescendants, _ENGLISH, "HAS CONCEPT MOD"),
        library,
        _summary(context),
        _detections(context),
        _analyses(context),
    ]
    return container(codes.DCM.MammographyCADReport, children, template="4000")


def _entry(view: ViewResult, source: Dataset) -> Dataset:
    """Side, view and orientation of an image as far as they are known (TID 4020)."""
    told = []
    if view.laterality in _BREASTS:
        told.append(code(codes.DCM.ImageLaterality, _BREASTS[view.laterality], "HAS ACQ CONTEXT"))
    if view.view in VIEWS:
        told.append(code(codes.DCM.ImageView, VIEWS[view.view], "HAS ACQ CONTEXT"))
    orientation = source.get("PatientOrientation") or ()
    if len(orientation) == 2:
        names = codes.DCM.PatientOrientationRow, codes.DCM.PatientOrientationColumn
        told += [text(name, way, "HAS ACQ CONTEXT") for name, way in zip(names, orientation, strict=True)]
    return image(source, "CONTAINS", told)


def _summary(context: ObjectContext) -> Dataset:
    """CAD Processing and Findings Summary, the answer in words, and the regions breast by breast (TID 4001 to 4003)."""
    found = any(context.marks(view) for view, _ in context.scored)
    values = codes.cid6047
    ends = values.AllAlgorithmsSucceededWithFindings, values.AllAlgorithmsSucceededWithoutFindings
    if _refused(context):
        ends = values.NotAllAlgorithmsSucceededWithFindings, values.NotAllAlgorithmsSucceededWithoutFindings
    value = ends[0] if found else ends[1]
    if not context.scored:
        value = values.NoAlgorithmsSucceededWithoutFindings
    result = context.result
    words = [*exam_words(result), *(breast_words(breast, result.threshold) for breast in result.breasts)]
    words += [f"No score: {line}" for line in refused_words(result)]
    impression = text(codes.DCM.ImpressionDescription, "\r\n".join([*words, NOTICE]), "HAS PROPERTIES")
    sides = dict.fromkeys(view.laterality for view, _ in context.scored if context.marks(view))
    children = [impression, *_algorithm(context, parameters=True), *(_breast(context, side) for side in sides)]
    return code(codes.DCM.CADProcessingAndFindingsSummary, value, "CONTAINS", children)


def _breast(context: ObjectContext, side: str | None) -> Dataset:
    """Regions of one breast: to be shown where its score reaches the operating point, else as the reader likes."""
    threshold = context.result.threshold
    flagged = threshold is not None and any(
        breast.laterality == side and breast.score >= threshold for breast in context.result.breasts
    )
    intents = codes.cid6034
    intent = (
        intents.PresentationRequiredRenderingDeviceIsExpectedToPresent
        if flagged
        else intents.PresentationOptionalRenderingDeviceMayPresent
    )
    children = [code(codes.DCM.RenderingIntent, intent, "HAS CONCEPT MOD")]
    for view, _ in context.scored:
        if view.laterality == side:
            children += [_finding(context, view, mark, intent) for mark in context.marks(view)]
    return container(codes.DCM.IndividualImpressionRecommendation, children, "INFERRED FROM")


def _finding(context: ObjectContext, view: ViewResult, mark: Mark, intent: Code) -> Dataset:
    """A "Selected region" (111099, DCM) with centre and outline (TID 4006, 4013, 4021)."""
    row0, column0, row1, column1 = mark.box
    corners = [(column0, row0), (column1, row0), (column1, row1), (column0, row1), (column0, row0)]
    place = _place(context, view)
    name = ascii_text(f"region {mark.number} of {view.name}")
    words = f"AI, research use only: {name}, where the model looked; no outline of a lesion. Score of the image "
    children = [
        code(codes.DCM.RenderingIntent, intent, "HAS CONCEPT MOD"),
        text(codes.DCM.TrackingIdentifier, name, "HAS OBS CONTEXT"),
        uid_reference(
            codes.DCM.TrackingUniqueIdentifier,
            context.uid("region", view.sop_instance_uid, mark.number),
            "HAS OBS CONTEXT",
        ),
        *_algorithm(context),
        outline(codes.DCM.Center, [((column0 + column1) / 2, (row0 + row1) / 2)], place),
        outline(codes.DCM.Outline, corners, place),
        text(codes.DCM.SelectedRegionDescription, words + score_words(view), "HAS PROPERTIES"),
    ]
    return code(codes.DCM.SingleImageFinding, codes.cid6014.SelectedRegion, "CONTAINS", children)


def _detections(context: ObjectContext) -> Dataset:
    """Summary of Detections (TID 4015, 4017): on which images regions were looked for, and on which that failed."""
    value = codes.cid6014.SelectedRegion
    done = _performed(context, codes.DCM.DetectionPerformed, value, context.scored)
    lost = _performed(context, codes.DCM.DetectionPerformed, value, _refused(context))
    groups = [(codes.DCM.SuccessfulDetections, done), (codes.DCM.FailedDetections, lost)]
    return _status(context, codes.DCM.SummaryOfDetections, groups)


def _analyses(context: ObjectContext) -> Dataset:
    """Summary of Analyses (TID 4016, 4018): of what the exam's score was made."""
    value = codes.cid6043.OverallImpressionRecommendationAnalysis
    done = _performed(context, codes.DCM.AnalysisPerformed, value, context.scored)
    lost = _performed(context, codes.DCM.AnalysisPerformed, value, _refused(context))
    groups = [(codes.DCM.SuccessfulAnalyses, done), (codes.DCM.FailedAnalyses, lost)]
    return _status(context, codes.DCM.SummaryOfAnalyses, groups)


def _status(context: ObjectContext, name: Code, groups: Sequence[tuple[Code, Dataset | None]]) -> Dataset:
    done, lost = (items is not None for _, items in groups)
    states = codes.cid6042
    if done:
        state = states.PartiallySucceeded if lost else states.Succeeded
    elif context.result.status is StudyStatus.FAILED and lost:
        state = states.Failed
    else:  # by the gate, on purpose
        return code(name, states.NotAttempted, "CONTAINS")
    inside = [container(title, [items], "INFERRED FROM") for title, items in groups if items is not None]
    return code(name, state, "CONTAINS", inside)


def _performed(context: ObjectContext, name: Code, value: Code, pairs: Sequence[Pair]) -> Dataset | None:
    if not pairs:
        return None
    images = [by_reference(_place(context, view), "HAS PROPERTIES") for view, _ in pairs]
    return code(name, value, "CONTAINS", [*_algorithm(context), *images])


def _algorithm(context: ObjectContext, *, parameters: bool = False) -> Iterator[Dataset]:
    """Name, version and, once in a report, everything else that shapes results (TID 4019)."""
    yield text(codes.DCM.AlgorithmName, context.algorithm, "HAS PROPERTIES")
    yield text(codes.DCM.AlgorithmVersion, context.version, "HAS PROPERTIES")
    for name, value in context.parameters.items() if parameters else ():
        yield text(codes.DCM.AlgorithmParameters, f"{name}={value}", "HAS PROPERTIES")


def _refused(context: ObjectContext) -> list[Pair]:
    return [(view, source) for view, source in context.known if view.probability is None]


def _place(context: ObjectContext, view: ViewResult) -> tuple[int, ...]:
    return (*_LIBRARY, 1 + [known.sop_instance_uid for known, _ in context.known].index(view.sop_instance_uid))
