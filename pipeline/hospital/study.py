"""One study from its files to a result. It never stays silent: analysed, not analysed with reasons, or failed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...transforms.errors import MammogramError, ReadFailure
from ..gate import GatePolicy, Outcome, gate_policy, judge
from .aggregate import breasts_of, missing_views
from .decode import Decode, Decoded, isolated
from .frame import heat_on_frame
from .model import HospitalModel
from .result import Pictures, StudyResult, StudyStatus, ViewResult

__all__ = ["StudyEngine", "process_study"]

logger = logging.getLogger(__name__)

OTHER_OBJECT = (ReadFailure.NOT_AN_IMAGE, ReadFailure.NOT_A_MAMMOGRAM)
"""Reports, presentation states and such, which every study has and none is asked about."""


def process_study(paths: Iterable[str | Path], model: HospitalModel, *, gate: str = "deploy") -> StudyResult:
    """Process the files of one study; see :class:`StudyEngine`."""
    return StudyEngine(model, policy=gate_policy(gate)).process(paths)


@dataclass(frozen=True)
class _Read:
    """One file: what became of it, and its pixels where it was accepted."""

    view: ViewResult
    decoded: Decoded | None = None
    study: str | None = None
    patient: str | None = None


class StudyEngine:
    """Gate, network, explanation and aggregation.

    Args:
        model: what is run.
        policy: of the input gate; the preset ``deploy`` by default.
        decode: reads a file; by default in a process of its own, with :class:`~.decode.Limits`.
    """

    def __init__(self, model: HospitalModel, *, policy: GatePolicy | None = None, decode: Decode | None = None) -> None:
        self.model = model
        self.policy = policy or gate_policy("deploy")
        # Another gate is another job: it may answer the same images otherwise.
        told = {"gate": self.policy.name, "gate_sha256": _digest(self.policy)}
        self.stamp = replace(model.stamp, settings=model.stamp.settings | told)
        self._decode = decode or isolated(model.transform)

    def process(self, paths: Iterable[str | Path], absent: Sequence[str] = ()) -> StudyResult:
        """The result of one study.

        Images are read one at a time in a process that may die of them, judged by the gate, scored and explained. A
        file that was given twice is processed once.

        Args:
            paths: all files of the study, in any order; those that are no images are counted and left alone.
            absent: codes of why further images of the study could not be had, one for each; a reader is told.
        """
        given = sorted({Path(path) for path in paths})
        result, found = StudyResult(StudyStatus.FAILED, None, self.stamp, absent=tuple(absent)), list[_Read]()
        try:
            return self._process(given, result, found)
        except Exception as error:
            # Whatever it is, a study must be answered; the text of an error may quote a header.
            where = _place(error)
            logger.error("a study failed: %s in %s", type(error).__name__, where)
            study = _only(read.study for read in found)
            return replace(
                result, reason=f"{type(error).__name__} in {where}", study_instance_uid=study, views=_unscored(found)
            )

    def _process(self, paths: Sequence[Path], result: StudyResult, found: list[_Read]) -> StudyResult:
        """Fills ``found``, so that a failure can still name the images."""
        seen, others = set(), 0
        for path in paths:
            read = self._read(path)
            uid = read.view.sop_instance_uid
            if set(read.view.reasons) & set(OTHER_OBJECT) and read.decoded is None:
                others += 1
            elif uid is None or uid not in seen:
                seen.add(uid)
                found.append(read)
        result = replace(result, others=others, study_instance_uid=_only(read.study for read in found))
        mixed = _mixed(found)
        if mixed:
            return replace(result, status=StudyStatus.NOT_ANALYSED, views=_unscored(found), reason=mixed)
        pictures: dict[str, Pictures] = {}
        views = tuple(self._score(read, pictures) for read in found)
        return self._summed_up(replace(result, views=views, pictures=pictures))

    def _read(self, path: Path) -> _Read:
        decoded = self._decode(path)
        if isinstance(decoded, MammogramError):
            return _Read(ViewResult(str(path), reasons=(decoded.reason,), messages=(decoded.message,)))
        facts = decoded.facts
        verdict = judge(facts, self.policy)
        reasons, messages = self.policy.because(verdict, Outcome.REFUSE)
        view = ViewResult(
            str(path),
            facts["image_id"] if facts["is_dicom"] else None,
            facts["laterality"],
            facts["view"],
            tuple(reasons),
            tuple(messages),
            tuple(self.policy.because(verdict, Outcome.WARN)[0]),
            mask_quality=decoded.item.get("mask_quality"),
        )
        kept = None if reasons else decoded
        return _Read(view, kept, facts["study_id"], facts["patient_id"])

    def _score(self, read: _Read, pictures: dict[str, Pictures]) -> ViewResult:
        if read.decoded is None:
            return read.view
        image = read.decoded
        scored = self.model.score(image.item)
        if read.view.sop_instance_uid is not None:
            heat = heat_on_frame(scored.heat, image.item["to_original"], image.shape, image.mask.shape)
            pictures[read.view.sop_instance_uid] = Pictures(
                image.image, image.mask, heat, image.shape, image.facts.get("patient_orientation")
            )
        return replace(
            read.view,
            probability=scored.probability,
            probability_calibrated=scored.calibrated,
            regions=scored.regions,
        )

    def _summed_up(self, result: StudyResult) -> StudyResult:
        result = replace(result, missing_views=missing_views(result.views))
        if not result.scored():
            count = len(result.views)
            reason = f"none of {count} images could be analysed" if count else "there is no mammogram in it"
            if result.others and not count:
                reason += f", but {result.others} of other kinds"
            return replace(result, status=StudyStatus.NOT_ANALYSED, reason=reason)
        breasts = breasts_of(result.views)
        if not breasts:
            return replace(result, status=StudyStatus.NOT_ANALYSED, reason="no image says which breast it shows")
        worst = max(breasts, key=lambda breast: breast.score)
        threshold = self.model.threshold
        return replace(
            result,
            status=StudyStatus.ANALYSED,
            breasts=breasts,
            exam_score=worst.score,
            exam_breast=worst.laterality,
            threshold=threshold,
            flagged=None if threshold is None else worst.score >= threshold,
        )


def _digest(policy: GatePolicy) -> str:
    """What a policy decides, whatever its name."""
    outcomes = sorted(f"{reason.value}={outcome.value}" for reason, outcome in policy.outcomes.items())
    return hashlib.sha256("\n".join(outcomes).encode()).hexdigest()[:16]


def _unscored(found: Sequence[_Read]) -> tuple[ViewResult, ...]:
    return tuple(read.view for read in found)  # scores are put into copies


def _mixed(found: Sequence[_Read]) -> str | None:
    """Why the images must not be looked at together, or None."""
    studies = {read.study for read in found if read.study}
    patients = {read.patient for read in found if read.patient}
    if len(studies) > 1:
        return f"images of {len(studies)} studies (Study Instance UID (0020,000D)); give one study at a time"
    if len(patients) > 1:
        return f"one study of {len(patients)} patients (Patient ID (0010,0020)); it is mixed up"
    return None


def _only(values: Iterable[Any]) -> Any:
    """The one value that all have that have any; else None."""
    there = set(filter(None, values))
    return there.pop() if len(there) == 1 else None


def _place(error: Exception) -> str:
    """File and line where an error arose, without its text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "nowhere" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
