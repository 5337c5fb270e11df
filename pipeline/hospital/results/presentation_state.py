"""Boxes and scores on the original image, as a Grayscale Softcopy Presentation State for each scored view."""

from __future__ import annotations

import numpy as np
from highdicom import PresentationLUTTransformation
from highdicom.color import CIELabColor
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    TextJustificationValues,
    TextObject,
)
from pydicom.dataset import Dataset

from ..page_words import numbers
from ..result import ViewResult
from .common import Mark, ObjectContext
from .finishing import finish
from .overlay import CAPTION
from .wording import ascii_text, score_words

__all__ = ["presentation_state"]

KIND = "presentation"
MODALITY = ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "RescaleType")
VOI = ("VOILUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")
YELLOW = (255, 221, 51)
_TEXT_ROWS = 1 / 40  # of the image's height for a line of text


def presentation_state(context: ObjectContext) -> list[Dataset]:
    r"""One state for each scored view: it shows the image as its own header asks, with a layer of marks over it.

    At each region stand a box and the score of the view: that of a region is a share of the map's peak, which a reader
    would take for the score. Coordinates are those of the image as stored, 0\0 at the outer corner of its first pixel
    (PS3.3 C.10.5).
    """
    return [_state(context, view, source) for view, source in context.scored]


def _state(context: ObjectContext, view: ViewResult, source: Dataset) -> Dataset:
    layer = GraphicLayer("AI", order=1, description=CAPTION, display_color=CIELabColor.from_rgb(*YELLOW))
    rows, columns = int(source.Rows), int(source.Columns)
    marks = context.marks(view)
    annotation = GraphicAnnotation(
        referenced_images=[source],
        graphic_layer=layer,
        graphic_objects=[_box(context, view, mark) for mark in marks] or None,
        text_objects=[*(_label(view, mark, rows, columns) for mark in marks), _caption(context, view)],
    )
    ds = GrayscaleSoftcopyPresentationState(
        referenced_images=[_without_display(source)],
        content_label="AI MARKS",
        content_description=f"{CAPTION}: regions and score",
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        # It replaces what Photometric Interpretation says of the image's polarity (PS3.3 C.11.6).
        presentation_lut_transformation=PresentationLUTTransformation(
            "INVERSE" if source.PhotometricInterpretation == "MONOCHROME1" else "IDENTITY"
        ),
        contributing_equipment=context.contributing,
        **context.equipment,
        **context.place(KIND, view, side=view.laterality or ""),
    )
    _show_as_stored(ds, source)
    ds.Laterality = view.laterality or ""  # of the series: there is no Image Laterality here
    return finish(ds, context, "marks")


def _without_display(source: Dataset) -> Dataset:
    """Without what highdicom would take over: its LUTs lose their number of bits, it has no modality LUTs."""
    bare = Dataset()
    for element in source:
        if element.keyword not in (*MODALITY, *VOI):
            bare.add(element)
    return bare


def _show_as_stored(ds: Dataset, source: Dataset) -> None:
    """The image's own modality LUT and window or VOI LUT (PS3.3 C.11.1, C.11.8)."""
    for keyword in MODALITY:
        if keyword in source:
            setattr(ds, keyword, source[keyword].value)
    item = Dataset()
    for keyword in VOI:
        if keyword in source:
            setattr(item, keyword, source[keyword].value)
    if len(item):
        ds.SoftcopyVOILUTSequence = [item]


def _box(context: ObjectContext, view: ViewResult, mark: Mark) -> GraphicObject:
    row0, column0, row1, column1 = mark.box
    corners = np.array([[column0, row0], [column1, row0], [column1, row1], [column0, row1], [column0, row0]])
    return GraphicObject(
        GraphicTypeValues.POLYLINE,
        corners,
        AnnotationUnitsValues.PIXEL,
        tracking_id=f"region {mark.number} of {ascii_text(view.name)}",
        tracking_uid=context.uid("region", view.sop_instance_uid, mark.number),
    )


def _label(view: ViewResult, mark: Mark, rows: int, columns: int) -> TextObject:
    """The score in a line above the box, below it where there is no room; all of it in the image."""
    row0, column0, row1, _ = mark.box
    height, width = rows * _TEXT_ROWS, columns / 3
    top = row0 - height if row0 >= height else min(row1, rows - height)
    left = min(column0, columns - width)
    score = "?" if view.probability is None else numbers(view.probability)[0]
    return TextObject(
        f"AI {score} ({mark.number})",
        AnnotationUnitsValues.PIXEL,
        bounding_box=(left, top, left + width, top + height),
        text_justification=TextJustificationValues.LEFT,
    )


def _caption(context: ObjectContext, view: ViewResult) -> TextObject:
    """At the foot of whatever part of the image is displayed."""
    lines = (CAPTION, ascii_text(f"{view.name}: AI score {score_words(view)}"), f"{context.algorithm}")
    return TextObject(
        "\r\n".join((*lines, context.version)),
        AnnotationUnitsValues.DISPLAY,
        bounding_box=(0.02, 0.88, 0.98, 0.99),
        text_justification=TextJustificationValues.LEFT,
    )
