"""What a flip of the picture does to the words that say where something is."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["AmbiguousSide", "flip_words", "speaks_of_sides"]

_PAIRS = {
    "side": ("left right", "leftward rightward", "leftwards rightwards"),
    "row": ("upper lower", "uppermost lowermost", "superior inferior", "superiorly inferiorly", "supero infero"),
    "column": ("inner outer", "innermost outermost", "medial lateral", "medially laterally"),
    "height": ("above below",),
}
_OTHER: dict[str, tuple[str, str]] = {}
"""The word's opposite, and the axis on which they lie."""
for _axis, _listed in _PAIRS.items():
    for _first, _second in (pair.split() for pair in _listed):
        _OTHER |= {_first: (_second, _axis), _second: (_first, _axis)}

_LETTERS = {"side": "lr", "row": "ul", "column": "io"}
_UPRIGHT, _FLAT = ("MLO", "ML", "LM", "LMO"), ("CC", "XCCL", "XCCM")
_VIEWS = "|".join((*_UPRIGHT, *_FLAT))
_HOUR = r"(?:1[0-2]|[1-9])(?::[0-5]\d)?"
_O_CLOCK = r"\ ?\bo\ ?['\u2019]?\ ?clock\b"


def _words(axis: str) -> str:
    return "|".join(word for word, (_, its) in _OTHER.items() if its == axis and not word.endswith("o"))


# The first alternative that fits wins: what means no sure place stands before what it looks like.
_PATTERN = re.compile(
    rf"""
    \b(?P<no_side>(?:left|right)\ (?:in|behind|alone|over|away|angles?|now))\b
    |\b(?P<no_row>(?:upper|lower)\ (?:than|density|grade))\b
    |(?P<clock>(?<![\w.:]){_HOUR}(?:(?:\ ?-\ ?|\ (?:to|and|or)\ ){_HOUR})?(?:{_O_CLOCK}|(?<=:\d\d)\ position\b))
    |(?P<time>{_O_CLOCK}|(?<![\w.:])\d?\d:[0-5]\d(?![\w.:]))
    |\b(?P<quadrant>(?P<q_side>[rl]?)(?P<q_row>[ul])(?P<q_column>[io])q)\b
    |\b(?P<letter>[rl](?=[\ -]?(?:{_VIEWS})\b|\ (?:breasts?|axillae?|nipple|side)\b))
    |(?<!['\u2019\w])(?P<loose>[rl])\b(?!['\u2019])
    |\b(?P<compound>(?P<first>antero|postero|supero|infero)(?P<dash>-?)(?P<second>superior|inferior|medial|lateral))\b
    |\b(?P<side>{_words("side")})\b
    |\b(?P<row>{_words("row")})\b
    |\b(?P<column>{_words("column")})\b(?!\ (?:view|projection|image|film))
    |\b(?P<image>above|below)\b(?=\ its\ level\b)
    |\b(?P<nipple>above|below)\b(?=\ the\ (?:level\ of\ the\ )?nipple\b)
    |\b(?P<reading>above|below)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_UNSURE = {"no_side": "side", "no_row": "row", "loose": "side", "reading": "height"}
"""Groups of words that need not be of a place, and the axis on which a flip would have to know."""

Acts = Mapping[str, bool | None]


class AmbiguousSide(ValueError):  # noqa: N818
    """Words of place that a flip of the picture cannot follow surely; leave the flip out."""


def flip_words(text: str, horizontal: bool, vertical: bool, *, view: str | None = None) -> str:
    """Change a report as the flip of its picture changes what is seen; the same flip twice gives the text back.

    * **Horizontal** (columns reversed): a left breast looks like a right one. Left and right are exchanged, also in
      the ``R`` and ``L`` of view codes (``RCC``) and quadrants (``RUOQ``); inner stays inner. The clock is mirrored
      with the side: 2 o'clock of a left breast and 10 o'clock of a right one are both upper outer.
    * **Vertical** (rows reversed): the rows of an MLO, ML or LM view run from upper to lower, those of a CC view
      between outer and inner. Only the words along the view's own rows are exchanged, and the clock with them: "lower
      outer" becomes "upper outer" in an MLO view and "lower inner" in a CC view.

    The text must belong to this picture alone: beside another view of the same breast it would become wrong.
    Words are exchanged whole and in their case (lower, UPPER or Capitalised).

    Args:
        text: report or sentence.
        horizontal: the picture is flipped left to right.
        vertical: the picture is flipped upside down.
        view: View Position (0018,5101) of the picture, for the vertical flip; None: unknown, or several views.

    Raises:
        AmbiguousSide: for words that cannot be followed: upper, outer, or the clock where the rows of an unknown view
            are reversed; a lone ``R`` or ``L``, which may be an initial; "left in place"; 2:00, which may be a time of
            the day; "as above"; odd capitals.
        ValueError: for a view whose rows are not known.
    """
    acts = _acts(horizontal, vertical, view)
    return _PATTERN.sub(lambda match: _turned(match, acts), text)


def speaks_of_sides(text: str) -> bool:
    """Whether some flip would change or refuse the text; if not, it may stand beside any flip of its picture."""
    return _PATTERN.search(text) is not None


def _acts(horizontal: bool, vertical: bool, view: str | None) -> Acts:
    """What the flip reverses, by axis; None for what it may or may not reverse."""
    if view is not None and view.upper() not in (*_UPRIGHT, *_FLAT):
        known = ", ".join((*_UPRIGHT, *_FLAT))
        raise ValueError(f"what the rows of view {view!r} show is not known; flip only {known}, or leave the view out")
    acts: dict[str, bool | None] = {"side": horizontal, "height": vertical, "row": False, "column": False}
    if vertical:
        acts["row"], acts["column"] = (None if view is None else view.upper() in each for each in (_UPRIGHT, _FLAT))
    return acts


def _turned(match: re.Match[str], acts: Acts) -> str:
    """The words of one match after the flip."""
    words, kind = match[0], str(match.lastgroup)
    if kind in _UNSURE:
        if acts[_UNSURE[kind]] is not False:
            raise _ambiguous(words)
        return words
    if kind in ("clock", "time"):
        return _clock(words, kind, acts)
    if kind == "quadrant":
        letters = ((axis, match[f"q_{axis}"]) for axis in _LETTERS)
        return "".join(_exchanged(letter, _letter(letter, axis), acts[axis]) for axis, letter in letters) + words[-1]
    if kind == "letter":
        return _exchanged(words, _letter(words, "side"), acts["side"])
    if kind == "compound":
        return _word(match["first"], acts) + match["dash"] + _word(match["second"], acts)
    return _word(words, acts, axis="row" if kind == "nipple" else None)


def _word(word: str, acts: Acts, axis: str | None = None) -> str:
    if word.lower() not in _OTHER:  # the "antero" of "anterosuperior"
        return word
    other, its = _OTHER[word.lower()]
    return _exchanged(word, other, acts[axis or its])


def _letter(letter: str, axis: str) -> str:
    return _LETTERS[axis].replace(letter.lower(), "") if letter else ""


def _exchanged(word: str, other: str, act: bool | None) -> str:
    if act is None:
        raise _ambiguous(word)
    if not act or not word:
        return word
    for case in (str.lower, str.upper, str.capitalize):
        if case(word) == word:
            return case(other)
    raise _ambiguous(word)


def _clock(words: str, kind: str, acts: Acts) -> str:
    turns = (acts["side"], acts["column"], acts["row"])
    if True not in turns and None not in turns:
        return words
    if kind == "time" or None in turns:
        raise _ambiguous(words)

    def moved(match: re.Match[str]) -> str:
        hour, *minute = match[0].split(":")
        place = int(hour) * 60 + int(minute[0] if minute else 0)
        # The side and the columns mirror at the line from 12 to 6, the rows at that from 3 to 9.
        place = -place if acts["side"] != acts["column"] else place
        place = (360 - place if acts["row"] else place) % 720
        return ":".join([str(place // 60 or 12), *(f"{place % 60:02d}" for _ in minute)])

    return re.sub(_HOUR, moved, words)


def _ambiguous(words: str) -> AmbiguousSide:
    return AmbiguousSide(
        f"{words.strip()!r} cannot follow a flip of the picture surely; reword it or leave the flip out"
    )
