"""From reasons to a verdict: what a policy makes of what was found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from ...transforms.errors import MammogramError
from .checks import Facts, find_reasons
from .reasons import Outcome, Reason

__all__ = ["PRESETS", "GatePolicy", "Verdict", "gate_policy", "judge", "unreadable"]

_SEVERITY = {outcome: index for index, outcome in enumerate(Outcome)}

_HARMLESS = (Reason.SIDE_MARKER,)
_UNFIT = (Reason.NOT_A_MAMMOGRAM, Reason.SPECIMEN, Reason.TOMOSYNTHESIS, Reason.MULTI_FRAME, Reason.MASK_EMPTY)
_UNFIT_TO_DEPLOY = (
    *_UNFIT,
    Reason.CHOSEN_FRAME,
    Reason.SYNTHETIC_2D,
    Reason.CONTRAST_ENHANCED,
    Reason.SECONDARY_CAPTURE,
    Reason.FOR_PROCESSING,
    Reason.SIDE_UNKNOWN,
    Reason.SIDE_CONFLICT,
    Reason.SIDE_DISAGREES,
    Reason.ORIENTATION_DISAGREES,
    Reason.VIEW_UNKNOWN,
    Reason.VIEW_NOT_STANDARD,
    Reason.VIEW_CONFLICT,
    Reason.SPOT_COMPRESSION,
    Reason.MAGNIFICATION,
    Reason.IMPLANT,
    Reason.IMPLANT_DISPLACED,
    Reason.SPECIAL_VIEW,
    Reason.PARTIAL_VIEW,
    Reason.BIOPSY,
    Reason.LOSSY,
    Reason.BEYOND_BITS_STORED,
    Reason.MASK_TWO_BREASTS,
)


@dataclass(frozen=True)
class GatePolicy:
    """What follows from each reason.

    Attributes:
        name: of the preset it began as; ``"+"`` behind it tells that something was changed.
        outcomes: the outcome of every :class:`Reason`. ``accept`` only notes it.
    """

    name: str
    outcomes: Mapping[Reason, Outcome]

    def because(self, verdict: Verdict, outcome: Outcome) -> tuple[list[str], list[str]]:
        """Reasons of a verdict that have an outcome under this policy, and their messages."""
        such = [str(reason.value) for reason, follows in self.outcomes.items() if follows == outcome]
        pairs = [pair for pair in zip(verdict.reasons, verdict.messages, strict=True) if pair[0] in such]
        return [reason for reason, _ in pairs], [message for _, message in pairs]

    def but(self, overrides: Mapping[str, str]) -> GatePolicy:
        """The same policy with other outcomes for some reasons, such as ``{"lossy": "refuse"}``.

        Raises:
            ValueError: for an unknown reason or outcome, with the known ones.
        """
        if not overrides:
            return self
        known_reasons, known_outcomes = [str(r.value) for r in Reason], [str(o.value) for o in Outcome]
        changed = {
            Reason(_known(reason, known_reasons, "reason")): Outcome(_known(outcome, known_outcomes, "outcome"))
            for reason, outcome in overrides.items()
        }
        return replace(self, name=self.name.rstrip("+") + "+", outcomes={**self.outcomes, **changed})


class Verdict(NamedTuple):
    """What the gate says of one image.

    Attributes:
        outcome: the worst of its reasons; ``accept`` without any.
        reasons: codes of :class:`Reason`, or one of :class:`~mammo.transforms.errors.ReadFailure`.
        messages: a sentence for each reason.
    """

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


def _preset(name: str, refused: Iterable[Reason], accepted: Iterable[Reason]) -> GatePolicy:
    outcomes = dict.fromkeys(Reason, Outcome.WARN)
    outcomes |= dict.fromkeys(accepted, Outcome.ACCEPT) | dict.fromkeys(refused, Outcome.REFUSE)
    return GatePolicy(name, outcomes)


PRESETS: Mapping[str, GatePolicy] = {
    "training": _preset("training", _UNFIT, (*_HARMLESS, Reason.NO_HEADER)),
    "deploy": _preset("deploy", _UNFIT_TO_DEPLOY, _HARMLESS),
    "all": _preset("all", (), _HARMLESS),
}
"""``training`` refuses what is no 2-D mammogram or shows no breast and warns of the rest. ``deploy`` also refuses what
is not a plain CC or MLO view of one known breast as it is displayed, without loss. ``all`` only warns."""


def gate_policy(name: str = "training", overrides: Mapping[str, str] | None = None) -> GatePolicy:
    """A preset, with other outcomes for some reasons.

    Args:
        name: one of ``PRESETS``.
        overrides: see :meth:`GatePolicy.but`.

    Raises:
        ValueError: for an unknown preset, reason or outcome, with the known ones.
    """
    return PRESETS[_known(name, list(PRESETS), "policy")].but(overrides or {})


def judge(facts: Facts, policy: GatePolicy) -> Verdict:
    """Judge an image by its facts; those that are not there are not judged.

    Reasons come in the order of :class:`Reason`, whatever the order of the facts. About 10 microseconds an image.
    """
    found = find_reasons(facts)
    if not found:
        return Verdict(Outcome.ACCEPT)
    outcome = max((policy.outcomes[reason] for reason, _ in found), key=_SEVERITY.__getitem__)
    reasons, messages = zip(*found, strict=True)
    return Verdict(outcome, tuple(str(reason.value) for reason in reasons), messages)


def unreadable(error: MammogramError) -> Verdict:
    """The verdict on a file that cannot be read: refused under every policy."""
    return Verdict(Outcome.REFUSE, (error.reason,), (error.message,))


def _known(value: str, known: list[str], what: str) -> str:
    if value in known:
        return value
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown gate {what} {value!r}; {hint}expected one of {', '.join(known)}")
