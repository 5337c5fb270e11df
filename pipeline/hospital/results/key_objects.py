"""A Key Object Selection of the views of a flagged breast, for worklists that can show a flag."""

from __future__ import annotations

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ..naming import MANUFACTURER
from ..result import NOTICE
from .common import ObjectContext
from .finishing import finish
from .structured_report import observer
from .wording import exam_words

__all__ = ["key_objects"]

KIND = "key"


def key_objects(context: ObjectContext) -> list[Dataset]:
    """The scored views of the breast with the higher score, "Of Interest" (113000, DCM), where the exam is flagged.

    Nothing otherwise: no flag says nothing, and least of all that an exam is normal.
    """
    result = context.result
    chosen = [source for view, source in context.scored if view.laterality == result.exam_breast]
    if not result.flagged or not chosen:
        return []
    content = KeyObjectSelection(
        codes.cid7010.OfInterest,
        referenced_objects=chosen,
        observer_device_context=observer(context),
        description=f"Flag of an AI, research use only. {' '.join(exam_words(result))} {NOTICE}",
    )
    ds = KeyObjectSelectionDocument(
        evidence=chosen,
        content=content,
        manufacturer=MANUFACTURER,
        contributing_equipment=context.contributing,
        **context.place(KIND),
    )
    for item in ds.ContentSequence:
        if item.ValueType == "IMAGE":
            del item.ConceptNameCodeSequence  # TID 2010 has images without a name
    return [finish(ds, context, "flagged views")]
