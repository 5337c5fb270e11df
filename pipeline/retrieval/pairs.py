"""What is retrieved: breasts, or single images, with their reports, and which reports are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai.utils import StrEnum, look_up_option

from ..datasets.breast_pairs import group_breasts, report_texts

__all__ = ["Level", "Pair", "distinct_reports", "pair_reports"]

SIDES = {"L": "left", "R": "right"}


class Level(StrEnum):
    """What has a report: a breast with all its views, or each image."""

    BREAST = "breast"
    IMAGE = "image"


@dataclass(frozen=True)
class Pair:
    """Images and what is reported of them.

    Attributes:
        name: of the breast or image.
        patient: data set and patient.
        places: of the images among the records.
        texts: the report in parts, each once.
        group: finding type and side, such as ``mass, left``.
    """

    name: str
    patient: str
    places: list[int]
    texts: list[str]
    group: str

    @property
    def report(self) -> str:
        """The parts in one text."""
        return " ".join(self.texts)


def pair_reports(records: Sequence[Mapping[str, Any]], level: str = Level.BREAST) -> tuple[list[Pair], dict[str, int]]:
    """Breasts or images with a report, and how many images are left out, by reason.

    A breast has its CC and MLO images of a study and what any of them reports.

    Raises:
        ValueError: an unknown level, or nothing that has a report.
    """
    if look_up_option(level, Level) is Level.BREAST:
        groups = [
            (breast.breast_id, sorted(place for places in breast.views.values() for place in places))
            for breast in group_breasts(records)
        ]
    else:
        groups = [("/".join((one["dataset"], one["image_id"])), [place]) for place, one in enumerate(records)]
    pairs, left = [], Counter({"no side, or another view than CC and MLO": len(records)})
    for name, places in groups:
        left["no side, or another view than CC and MLO"] -= len(places)
        members = [records[place] for place in places]
        texts = report_texts(members).texts
        if texts:
            patient = f"{members[0]['dataset']}/{members[0]['patient_id']}"
            pairs.append(Pair(name, patient, places, texts, _group(members)))
        else:
            left["no report"] += len(places)
    if not pairs:
        raise ValueError(f"none of {len(records)} images has a report to be found: records need report or texts")
    return pairs, {reason: count for reason, count in left.items() if count}


def distinct_reports(pairs: Sequence[Pair]) -> tuple[list[Pair], list[int]]:
    """The first pair of each different report, by group and words, and the place of each pair's report among them.

    Reports are equal where their words are, in small letters and whatever the spaces: nothing less is taken for the
    same, though reports of other words may say the same.
    """
    words = [" ".join(pair.report.lower().split()) for pair in pairs]
    first: dict[str, Pair] = {}
    for said, pair in zip(words, pairs, strict=True):
        first.setdefault(said, pair)
    order = sorted(first, key=lambda said: (first[said].group, said))
    place = {said: number for number, said in enumerate(order)}
    return [first[said] for said in order], [place[said] for said in words]


def _group(members: Sequence[Mapping[str, Any]]) -> str:
    kinds = sorted({kind.replace("_", " ").lower() for member in members for kind in _kinds(member)})
    told = any("findings" in member or "looked_for" in member for member in members)
    finding = " and ".join(kinds) or ("no finding" if told else "finding not told")
    side = SIDES.get(members[0].get("laterality", ""))
    return finding if side is None else f"{finding}, {side}"


def _kinds(member: Mapping[str, Any]) -> Iterator[str]:
    yield from (finding["type"] for finding in member.get("findings", ()) if "type" in finding)
    if not member.get("findings") and member.get("abnormality"):
        yield member["abnormality"]
