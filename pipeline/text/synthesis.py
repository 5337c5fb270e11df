"""Reports written from attributes: one sentence for every finding that is there, one for every one that is not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from typing import Any

import numpy as np
from monai.utils import StrEnum, look_up_option

from .vocabulary import COMPOSITIONS, DEPTHS, FINDINGS, KINDS, NO_FINDING, SHAPED_FINDINGS, Kind, spoken

__all__ = ["Details", "absent_types", "bank_size", "implied_facts", "sentences", "synthesise", "write_sentences"]

Slots = dict[str, tuple[str, ...]]

_SIDES = {"L": "left ", "R": "right ", None: ""}
_PRESENT = (
    "There {be} {what} {where}.",
    "{what} {be} seen {where}.",
    "{what} {be} present {where}.",
    "{what} {where}.",
)
_ABSENT = (
    "There {be} no {what} {where}.",
    "No {what} {be} seen {where}.",
    "No {what} {be} present {where}.",
    "No {what} {where}.",
    "Negative for {what} {where}.",
)
_ADJECTIVES = ("extent", "densities", "distributions", "shapes", "calcification_types")
_SUSPICIOUS = 4  # the lowest BI-RADS category that calls a finding so


class Details(StrEnum):
    """What a sentence says of a finding beyond its kind: ``known`` says what its record knows, ``drawn`` also draws
    words where the record knows none, as Mammo-CLIP does.
    """

    DRAWN = "drawn"
    KNOWN = "known"


def synthesise(
    positives: Sequence[str | Mapping[str, Any]],
    negatives: Sequence[str] = (),
    *,
    laterality: str | None = None,
    density: str | None = None,
    details: str = Details.DRAWN,
    rng: np.random.Generator | None = None,
) -> str:
    """Write the report of one breast from its attributes, after Mammo-CLIP (arXiv:2405.12255), in sentences of our own.

    A sentence that denies a finding says nothing else: no benign finding is asserted in its place. Of calcifications
    and lymph nodes only suspicious ones are denied, since datasets such as VinDr-Mammo list no others. A normal
    breast keeps its denials, and one sentence more says so of the whole breast.

    Args:
        positives: findings that are there: names of :data:`~mammo.pipeline.text.vocabulary.FINDINGS`, or findings of
            a record (``type`` and, where known, ``shapes``, ``margins``, ``calcification_types``, ``distributions``,
            ``assessment``), which may also have a ``position`` and a ``depth`` of the vocabulary. ``"no_finding"``,
            alone, says that the breast is normal; so do all ten findings in ``negatives``.
        negatives: findings that are known not to be there, see :func:`absent_types`.
        laterality: ``L`` or ``R``; None: no sentence names a side.
        density: composition ``A`` to ``D``, told in the first sentence; None tells nothing.
        details: one of :class:`Details`.
        rng: draws the words and the order of the sentences; None takes the first word of every slot, so that nothing
            is told that is not known, in a fixed order.

    Raises:
        ValueError: for an unknown finding, side, density, position or depth, a finding that is both there and not,
            and where there is nothing to tell.
    """
    told = write_sentences(positives, negatives, laterality=laterality, details=details, rng=rng)
    text = " ".join([*_composition(density, laterality, rng), *told])
    if not text:
        raise ValueError("a report needs a finding, a negative or a density; give what is known or leave the text out")
    return text


def write_sentences(
    positives: Sequence[str | Mapping[str, Any]],
    negatives: Sequence[str] = (),
    *,
    laterality: str | None = None,
    details: str = Details.DRAWN,
    rng: np.random.Generator | None = None,
) -> dict[str, str]:
    """The sentences of :func:`synthesise`, density left out, each with what it says.

    That is equal where sentences differ in their words alone: "No mass is seen." and "Negative for mass."

    Raises:
        ValueError: as :func:`synthesise`; where there is nothing to tell, the result is empty.
    """
    drawn = look_up_option(details, Details) == Details.DRAWN
    findings = [{"type": one} if isinstance(one, str) else one for one in positives]
    normal = _check_types(findings, negatives)
    told: dict[str, str] = {}
    for finding in findings:
        if finding["type"] != NO_FINDING:
            slots = _present_slots(finding, laterality, drawn)
            words = _choose(slots, rng)
            told[_present(words, KINDS[finding["type"]])] = _says(finding["type"], words)
    for name in [name for name in FINDINGS if name in negatives] + [NO_FINDING] * normal:
        told[_absent(_choose(_absent_slots(name, laterality), rng), KINDS[name])] = f"no {name}"
    if rng is None:
        return told
    pairs = list(told.items())
    return dict(pairs[index] for index in rng.permutation(len(pairs)))


def implied_facts(finding: Mapping[str, Any]) -> set[str]:
    """What :func:`write_sentences` can say of a finding with all that is known of it, or with less: "oval mass with
    spiculated margins" implies "oval mass" and "mass".

    Raises:
        ValueError: for an unknown finding.
    """
    _check_types([finding], [])
    known = [name for name in finding if name != "type"]
    facts = set()
    for kept in chain.from_iterable(combinations(known, count) for count in range(len(known) + 1)):
        slots = _present_slots({"type": finding["type"], **{name: finding[name] for name in kept}}, None, False)
        words = _choose(slots, None)
        facts |= {_says(finding["type"], words | {"suspicion": said}) for said in slots["suspicion"]}
    return facts


def absent_types(findings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The findings of the vocabulary that a breast does not have, given all that it has.

    A shape that is a finding of its own, such as CBIS-DDSM's architectural distortion of a mass, is not absent.
    """
    there = {name for finding in findings for name in _types(finding)}
    return tuple(name for name in FINDINGS if name not in there)


def sentences(finding: str, *, present: bool, laterality: str | None = None) -> Iterator[str]:
    """Every sentence that can be drawn of a finding of which no more than its kind is known.

    Args:
        finding: one of the vocabulary, or ``"no_finding"`` with ``present=False``.
        present: sentences that tell it, or else those that deny it.
        laterality: ``L``, ``R`` or None, as for :func:`synthesise`.

    Raises:
        ValueError: for a finding or side that is not known.
    """
    write = _present if present else _absent
    slots = _bank(finding, present, laterality)
    for words in product(*slots.values()):
        yield write(dict(zip(slots, words, strict=True)), KINDS[finding])


def bank_size(finding: str, *, present: bool) -> int:
    """Number of :func:`sentences`; it is the same for both sides and for none."""
    return math.prod(map(len, _bank(finding, present, "L").values()))


def _bank(finding: str, present: bool, laterality: str | None) -> Slots:
    _check_types([{"type": finding}] if present else [], [])
    if finding == NO_FINDING and present:
        raise ValueError("no_finding has no sentence of presence; ask with present=False")
    if not present:
        return _absent_slots(finding, laterality)
    return _present_slots({"type": finding}, laterality, True)


def _types(finding: Mapping[str, Any]) -> set[str]:
    shapes = {SHAPED_FINDINGS[shape][0] for shape in finding.get("shapes", ()) if shape in SHAPED_FINDINGS}
    return {finding["type"], *shapes}


def _check_types(findings: Sequence[Mapping[str, Any]], negatives: Sequence[str]) -> bool:
    """Whether the whole breast is said to be normal."""
    there = {name for finding in findings for name in _types(finding)}
    unknown = sorted(there - KINDS.keys()) + sorted(set(negatives) - set(FINDINGS))
    if unknown:
        raise ValueError(f"no sentences for the finding {unknown[0]!r}; leave it out, or use {', '.join(FINDINGS)}")
    both = sorted(there.intersection(negatives))
    if both:
        raise ValueError(f"{both[0]!r} is both there and not; absent_types(findings) gives what is not there")
    if NO_FINDING in there and len(there) > 1:
        raise ValueError(f"'no_finding' stands beside {sorted(there - {NO_FINDING})[0]!r}; leave one of them out")
    return NO_FINDING in there or (not there and set(negatives) == set(FINDINGS))


def _side(laterality: str | None) -> str:
    if laterality not in _SIDES:
        raise ValueError(f"laterality is {laterality!r}; it must be 'L', 'R' or None")
    return _SIDES[laterality]


def _present_slots(finding: Mapping[str, Any], laterality: str | None, drawn: bool) -> Slots:
    kind, side = KINDS[finding["type"]], _side(laterality)
    looks = {
        field: _look(finding, field, kind.looks.get(field, ("",)) if drawn else ("",))
        for field in (*_ADJECTIVES, "margins")
    }
    # What is typically benign, such as vascular calcification, is neither suspicious nor always small.
    described = bool(finding.get("calcification_types"))
    judged = finding.get("assessment", 0 if described or not drawn else _SUSPICIOUS)
    return {
        "frame": _PRESENT,
        "suspicion": ("", "suspicious") if judged >= _SUSPICIOUS else ("",),
        **looks,
        "noun": kind.nouns[:1] if described else kind.nouns,
        "tail": (_tail(finding),),
        "position": tuple(
            template.format(side=side)
            for template in _places(finding, "position", kind.positions, kind.positions, drawn)
        ),
        "depth": _places(finding, "depth", DEPTHS, kind.depths, drawn),
    }


def _absent_slots(finding: str, laterality: str | None) -> Slots:
    kind = KINDS[finding]
    return {"frame": _ABSENT, "noun": kind.denied, "position": (kind.positions[""].format(side=_side(laterality)), "")}


def _look(finding: Mapping[str, Any], field: str, options: tuple[str, ...]) -> tuple[str, ...]:
    known = [spoken(word) for word in finding.get(field, ()) if word not in SHAPED_FINDINGS]
    return (" and ".join(known),) if finding.get(field) else options


def _tail(finding: Mapping[str, Any]) -> str:
    return " and ".join(SHAPED_FINDINGS[word][1] for word in finding.get("shapes", ()) if word in SHAPED_FINDINGS)


def _places(
    finding: Mapping[str, Any],
    field: str,
    phrases: Mapping[str, str],
    names: Sequence[str] | Mapping[str, str],
    drawn: bool,
) -> tuple[str, ...]:
    known = finding.get(field)
    if known is None:
        return tuple(phrases[name] for name in names) if drawn else (phrases[""],)
    if known not in phrases:
        raise ValueError(
            f"{field} of the {finding['type']} is {known!r}; use one of {', '.join(filter(None, phrases))}"
        )
    return (phrases[known],)


def _choose(slots: Slots, rng: np.random.Generator | None) -> dict[str, str]:
    return {name: words[0 if rng is None else int(rng.integers(len(words)))] for name, words in slots.items()}


def _present(words: Mapping[str, str], kind: Kind) -> str:
    margins = words["margins"] and f"with {words['margins']} margins"
    what = _joined(words["suspicion"], *(words[field] for field in _ADJECTIVES), words["noun"])
    if kind.article:
        what = f"{'an' if what[0] in 'aeiou' else 'a'} {what}"
    tails = " and ".join(filter(None, (margins, words["tail"])))
    return _filled(words["frame"], kind, _joined(what, tails), _joined(words["position"], words["depth"]))


def _absent(words: Mapping[str, str], kind: Kind) -> str:
    return _filled(words["frame"], kind, words["noun"], words["position"])


def _filled(frame: str, kind: Kind, what: str, where: str) -> str:
    text = frame.format(be="are" if kind.plural else "is", what=what, where=where).replace(" .", ".")
    return text[0].upper() + text[1:]


def _says(name: str, words: Mapping[str, str]) -> str:
    """What a sentence of presence says, whatever the words that it says it in."""
    return "|".join([name, *(word for slot, word in words.items() if slot not in ("frame", "noun"))])


def _joined(*words: str) -> str:
    return " ".join(filter(None, words))


def _composition(density: str | None, laterality: str | None, rng: np.random.Generator | None) -> list[str]:
    if density is None:
        return []
    if density not in COMPOSITIONS:
        raise ValueError(f"density is {density!r}; a report tells {', '.join(COMPOSITIONS)}, or nothing for None")
    words = _choose({"words": COMPOSITIONS[density]}, rng)["words"]
    return [f"The {_side(laterality)}breast is {words}."]
