"""What is known of a study after it was processed: plain values, to be written, sent and read again."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import StrEnum
from numpy.typing import NDArray

from ...transforms.geometry import Box

__all__ = ["NOTICE", "BreastResult", "ModelStamp", "Pictures", "Region", "StudyResult", "StudyStatus", "ViewResult"]

NOTICE = "For research use only. Not a medical device; not for diagnosis or treatment decisions."


class StudyStatus(StrEnum):
    """How a study ended. There is no fourth way: silence must never be read as normal."""

    ANALYSED = "analysed"
    NOT_ANALYSED = "not_analysed"
    FAILED = "failed"


@dataclass(frozen=True)
class ModelStamp:
    """What made a result.

    Attributes:
        name: of the model, as viewers show it.
        bundle: whose inference configuration was run.
        version: of the bundle.
        toolkit: version of this package.
        weights_sha256: of the checkpoint.
        settings: everything else that shapes a result, by name.
    """

    name: str
    bundle: str
    version: str
    toolkit: str
    weights_sha256: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Region:
    """A hot part of the explanation.

    Attributes:
        box: ``(row0, col0, row1, col1)``, half-open, in rows and columns of the image as it is stored.
        score: hottest value of the map in it, in [0, 1] of the map's own range.
    """

    box: Box
    score: float


@dataclass(frozen=True)
class ViewResult:
    """What became of one image.

    Attributes:
        path: of the file.
        sop_instance_uid: SOP Instance UID (0008,0018), None where it cannot be read.
        laterality: L, R or None.
        view: such as CC or MLO, or None.
        reasons: codes for which it was refused; empty where it was scored.
        messages: a sentence for each reason.
        warnings: codes that were noted and did not stop it.
        probability: of malignancy as the network gives it, in [0, 1]; None where refused.
        probability_calibrated: after temperature scaling on validation images, None without.
        regions: hottest first.
        mask_quality: of the breast mask.
    """

    path: str
    sop_instance_uid: str | None = None
    laterality: str | None = None
    view: str | None = None
    reasons: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    probability: float | None = None
    probability_calibrated: float | None = None
    regions: tuple[Region, ...] = ()
    mask_quality: str | None = None

    @property
    def name(self) -> str:
        """Side and view for people, such as ``R MLO``."""
        return " ".join(part for part in (self.laterality, self.view) if part) or "unknown view"


@dataclass(frozen=True)
class BreastResult:
    """One breast.

    Attributes:
        laterality: L or R.
        score: mean over its views, repeated ones joined first.
        views: that were scored.
        repeated: views that were there more than once.
    """

    laterality: str
    score: float
    views: tuple[str, ...]
    repeated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pictures:
    r"""Of one scored view, for those who draw; kept in memory only.

    Attributes:
        image: ``(h, w)`` float32 in [0, 1], the whole frame as stored, made small.
        mask: ``(h, w)`` bool, the breast.
        heat: ``(h, w)`` float32 in [0, 1], the explanation; 0 outside what the network saw.
        shape: rows and columns of the original, in which regions are told; None where the pictures are of its size.
        orientation: Patient Orientation (0020,0020) of rows and columns, such as ``A\R``, None where it is not told.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    heat: NDArray[np.float32]
    shape: tuple[int, int] | None = None
    orientation: str | None = None


@dataclass(frozen=True)
class StudyResult:
    """The answer to one study.

    Attributes:
        status: see :class:`StudyStatus`.
        study_instance_uid: Study Instance UID (0020,000D), None where no file says it.
        model: what made it.
        views: every image, scored or refused, in the order given.
        breasts: those with a scored view, left first.
        exam_score: the higher of the breasts' scores.
        exam_breast: whose it is.
        threshold: of the exam's score, chosen on validation, and None without operating points.
        flagged: whether the exam's score reaches it; None without.
        missing_views: of R CC, L CC, R MLO and L MLO, those without a scored image.
        absent: codes of why images that belong to the study could not be had, one for each of them.
        others: number of objects of the study that are no images, such as reports.
        reason: why it was not analysed or failed.
        pictures: by SOP Instance UID; not part of the record.
    """

    status: StudyStatus
    study_instance_uid: str | None
    model: ModelStamp
    views: tuple[ViewResult, ...] = ()
    breasts: tuple[BreastResult, ...] = ()
    exam_score: float | None = None
    exam_breast: str | None = None
    threshold: float | None = None
    flagged: bool | None = None
    missing_views: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    others: int = 0
    reason: str | None = None
    pictures: dict[str, Pictures] = field(default_factory=dict, compare=False, repr=False)

    @property
    def job(self) -> str:
        """Identity of the work: equal for the same images, the same ones absent and the same model."""
        stamp = self.model
        parts = [stamp.name, stamp.bundle, stamp.version, stamp.toolkit, stamp.weights_sha256]
        parts += [f"{name}={value}" for name, value in sorted(stamp.settings.items())]
        parts += sorted(view.sop_instance_uid or Path(view.path).name for view in self.views)
        parts += [f"absent={code}" for code in sorted(self.absent)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def scored(self) -> list[ViewResult]:
        """The views that have a probability."""
        return [view for view in self.views if view.probability is not None]

    def record(self) -> dict[str, Any]:
        """Plain values for JSON: everything but the pictures."""
        values = asdict(replace(self, pictures={}))
        del values["pictures"]
        return {"notice": NOTICE, "job": self.job, **values, "status": str(self.status.value)}
