"""A colour picture of each scored view as Secondary Capture, for every viewer; of no view a page that says why."""

from __future__ import annotations

from typing import Any

from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ..naming import MANUFACTURER
from ..page_words import numbers
from ..result import NOTICE, ViewResult
from .common import ObjectContext
from .drawing import COLD, Picture, boxed, captioned, heated, labelled, page_of_text
from .finishing import finish
from .report_codes import coded
from .wording import ascii_text, exam_words, refused_words, score_words

__all__ = ["overlay"]

KIND = "overlay"
CAPTION = "AI - research use only"
LEGEND = "Colour and boxes: where the model looked, scaled to its strongest place in this view; no outline of a lesion."
NO_HEAT = "No place in this view stands out to the model: there is no colour."


def overlay(context: ObjectContext) -> list[Dataset]:
    """A picture of each scored view, as it is stored, with heat, boxes and a burned-in caption below.

    Of a study without a scored view there is one page of text with the reasons.

    Raises:
        ValueError: the result has no pictures.
    """
    if not context.scored:
        return [_page(context)]
    return [_picture(context, view, source) for view, source in context.scored]


def _picture(context: ObjectContext, view: ViewResult, source: Dataset) -> Dataset:
    pictures = context.pictures(view)
    marks = context.marks(view)
    scale = pictures.image.shape[0] / int(source.Rows)
    boxes = [mark.box for mark in marks]
    drawn = boxed(heated(pictures.image, pictures.heat), boxes, scale)
    drawn = labelled(drawn, boxes, [str(mark.number) for mark in marks], scale)
    ds = _capture(context, captioned(drawn, _caption(context, view)), view)
    _copy(ds, source, "PatientOrientation", "LossyImageCompression")
    _copy(ds, source, "LossyImageCompressionRatio", "LossyImageCompressionMethod")
    if view.laterality is None:
        ds.Laterality = ""  # unknown, which must be said
    else:
        ds.ImageLaterality = view.laterality
    ds.BodyPartExamined = "BREAST"
    ds.DerivationDescription = (
        f"{CAPTION}. {ascii_text(view.name)} made smaller, with the map of {context.algorithm} in colour, "
        f"its regions and a caption. {NOTICE}"
    )
    ds.SourceImageSequence = [_reference(source)]
    return finish(ds, context, "overlay")


def _page(context: ObjectContext) -> Dataset:
    lines = [CAPTION, *exam_words(context.result), *refused_words(context.result), _stamp(context), NOTICE]
    ds = _capture(context, page_of_text(lines), None)
    ds.PatientOrientation, ds.ImageLaterality = [], "B"  # text about both breasts
    ds.DerivationDescription = f"{CAPTION}. Why {context.algorithm} gave no result. {NOTICE}"
    ds.SourceImageSequence = [_reference(source) for source in context.headers.values()]
    return finish(ds, context, "overlay")


def _caption(context: ObjectContext, view: ViewResult) -> list[str]:
    result = context.result
    count = len(context.marks(view))
    regions = f"{count or 'no'} region{'' if count == 1 else 's'}"
    lines = [CAPTION, ascii_text(f"{view.name}: AI score {score_words(view)}, {regions}"), _stamp(context)]
    if result.exam_score is not None:
        score, limit = numbers(result.exam_score, result.threshold)
        told = f", {'at or above' if result.flagged else 'below'} the operating point {limit}" if limit else ""
        lines.append(f"Exam score {score} (not calibrated){told}")
    if result.missing_views:
        lines.append(f"Not scored: {', '.join(result.missing_views)}")
    lines += [f"Not analysed: {line}" for line in refused_words(result)]
    return [*lines, LEGEND if float(context.pictures(view).heat.max()) > COLD else NO_HEAT]


def _stamp(context: ObjectContext) -> str:
    return f"{context.algorithm}, {context.version}"


def _capture(context: ObjectContext, picture: Picture, view: ViewResult | None) -> SCImage:
    first = next(iter(context.headers.values()))
    ds = SCImage.from_ref_dataset(
        first,
        picture,
        "RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("A", "F"),  # highdicom wants one letter each; what the source says comes later
        manufacturer=MANUFACTURER,
        contributing_equipment=context.contributing,
        **context.place(KIND, view),
    )
    ds.BurnedInAnnotation = "YES"
    return ds


def _copy(ds: Dataset, source: Dataset, *keywords: str) -> None:
    for keyword in keywords:
        value: Any = source.get(keyword)
        if value is not None:
            setattr(ds, keyword, value)


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [coded(codes.DCM.SourceImageForImageProcessingOperation)]
    return item
