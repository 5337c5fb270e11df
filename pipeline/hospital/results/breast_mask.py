"""The breast mask of each scored view as a BINARY Segmentation on the original's pixels."""

from __future__ import annotations

from highdicom.seg import SegmentationTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ....transforms.resample import nearest_indices
from ..result import NOTICE
from .common import ObjectContext
from .finishing import finish
from .segmentation import segment_of, segmentation_of

__all__ = ["breast_mask"]

KIND = "mask"
BLUE = (80, 160, 255)


def breast_mask(context: ObjectContext) -> list[Dataset]:
    """One segmentation for each scored view: what was taken for breast, at the nearest pixel of the small mask.

    Raises:
        ValueError: the result has no pictures.
    """
    made = []
    for view, source in context.scored:
        small = context.pictures(view).mask
        down = nearest_indices(small.shape[0], int(source.Rows))
        across = nearest_indices(small.shape[1], int(source.Columns))
        segment = segment_of(
            context,
            "AI breast mask",
            f"What the software took for breast. {NOTICE}",
            codes.cid7150.AnatomicalStructure,
            codes.SCT.Breast,
            BLUE,
        )
        ds = segmentation_of(
            context,
            view,
            source,
            small[down][:, across],
            segment,
            SegmentationTypeValues.BINARY,
            content_label="AI_BREAST_MASK",
            content_description="AI breast mask",
            **context.place(KIND, view),
        )
        made.append(finish(ds, context, "breast mask"))
    return made
