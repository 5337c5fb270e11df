"""What the two segmentation objects share: an array of the original's rows and columns becomes a DICOM SEG."""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from ..result import ViewResult
from .common import ObjectContext
from .report_codes import coded

__all__ = ["segment_of", "segmentation_of"]

_SIDES = {"L": codes.cid244.Left, "R": codes.cid244.Right}


def segment_of(
    context: ObjectContext,
    label: str,
    description: str,
    category: Code,
    kind: Code,
    colour: tuple[int, int, int],
) -> SegmentDescription:
    """The only segment of an object.

    Args:
        context: of the study.
        label: short name for viewers.
        description: what it is and what it is not.
        category: of Segmented Property Category, CID 7150.
        kind: of Segmented Property Type, CID 7151.
        colour: RGB in which it is best shown.
    """
    segment = SegmentDescription(
        segment_number=1,
        segment_label=label,
        segmented_property_category=coded(category),
        segmented_property_type=coded(kind),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=context.identification,
        display_color=CIELabColor.from_rgb(*colour),
    )
    segment.SegmentDescription = description
    return segment


def segmentation_of(
    context: ObjectContext,
    view: ViewResult,
    source: Dataset,
    values: NDArray[Any],
    segment: SegmentDescription,
    type_of: SegmentationTypeValues,
    **options: Any,
) -> Segmentation:
    """A segmentation of one view, on its pixels.

    There is no Frame of Reference: it derives from an image of the same rows and columns (PS3.3 A.51.4).

    Args:
        context: of the study.
        view: what it is of.
        source: the view's header.
        values: ``(rows, columns)`` as stored, bool or float in [0, 1].
        segment: of :func:`segment_of`.
        type_of: binary or fractional.
        options: of :class:`highdicom.seg.Segmentation`: identifiers, labels, compression.
    """
    ds = Segmentation(
        source_images=[source],
        pixel_array=np.ascontiguousarray(values)[None],
        segmentation_type=type_of,
        segment_descriptions=[segment],
        omit_empty_frames=False,  # a map that is zero everywhere is an answer too
        contributing_equipment=context.contributing,
        **context.equipment,
        **options,
    )
    ds.PatientOrientation = source.PatientOrientation  # which highdicom leaves out (Type 2C)
    ds.SegmentSequence[0].AnatomicRegionSequence = [_breast(view.laterality)]
    uid = context.uid("dimensions", view.sop_instance_uid)  # highdicom draws one
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
    return ds


def _breast(laterality: str | None) -> CodedConcept:
    """Where a segment lies (PS3.3 10.5): a segmentation has no Image Laterality that would tell the side."""
    region = coded(codes.SCT.Breast)
    if laterality in _SIDES:
        region.AnatomicRegionModifierSequence = [coded(_SIDES[laterality])]
    return region
