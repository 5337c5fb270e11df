"""The explanation of each scored view as a FRACTIONAL Segmentation on the original's pixels."""

from __future__ import annotations

import cv2
import numpy as np
from highdicom.seg import SegmentationFractionalTypeValues, SegmentationTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ..result import NOTICE
from .common import ObjectContext
from .finishing import finish
from .segmentation import segment_of, segmentation_of

__all__ = ["heat_map"]

KIND = "heat"
RED = (255, 80, 20)
MEANING = "Strength of the explanation of the AI score, as a share of its peak in this view. No probability of disease."


def heat_map(context: ObjectContext) -> list[Dataset]:
    """One segmentation for each scored view, in 256 steps from 0 to the map's peak.

    DICOM has fractions for probability and for occupancy only, and Parametric Maps need a geometry that a projection
    lacks. PROBABILITY, of "Selected region" (111099, DCM), is the nearer one; label and description say what it is.

    Raises:
        ValueError: the result has no pictures.
    """
    made = []
    for view, source in context.scored:
        size = int(source.Columns), int(source.Rows)
        small = np.clip(np.nan_to_num(context.pictures(view).heat), 0, 1).astype(np.float32)
        segment = segment_of(
            context,
            "AI explanation map",
            f"{MEANING} {NOTICE}",
            codes.cid7150.SpatialAndRelationalConcept,
            codes.DCM.SelectedRegion,
            RED,
        )
        ds = segmentation_of(
            context,
            view,
            source,
            np.clip(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), 0, 1),
            segment,
            SegmentationTypeValues.FRACTIONAL,
            fractional_type=SegmentationFractionalTypeValues.PROBABILITY,
            max_fractional_value=255,
            content_label="AI_EXPLANATION",
            content_description="AI explanation map",
            **context.place(KIND, view),
        )
        made.append(finish(ds, context, "explanation map"))
    return made
