"""A study's result as one HTML page that a radiologist can read; no outside resource, no patient data."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from ...transforms.errors import ReadFailure
from ..files import write_atomically
from .aggregate import HANGING
from .page_pictures import AS_STORED, Turn, embed_heat, embed_image, turn_of
from .page_words import calibration_note, headline, in_words, numbers, side_in_words, tidy
from .result import NOTICE, Region, StudyResult, ViewResult

__all__ = ["write_page"]

TEMPLATE = Path(__file__).with_name("page.html")
JOB_DIGITS = 12
_UNREADABLE = frozenset(str(reason.value) for reason in ReadFailure)


@dataclass(frozen=True)
class Frame:
    """One place of the hanging, filled or empty.

    Attributes:
        name: side and view, and which of several.
        side: L, R or empty.
        view: what is shown; None where the frame is empty.
        image: data URI of the small picture, None where there is none.
        heat: data URI of the map's layer, None where there is none or it is zero everywhere.
        shape: rows and columns as stored, which boxes are of.
        turn: what is done to hang it as usual.
        absent: why the frame is empty, a sentence for each reason.
    """

    name: str
    side: str
    view: ViewResult | None = None
    image: str | None = None
    heat: str | None = None
    shape: tuple[int, int] = (1, 1)
    turn: Turn = AS_STORED
    absent: tuple[str, ...] = ()

    @property
    def boxes(self) -> tuple[Region, ...]:
        """What is marked; nothing where there is no picture to mark it on."""
        return self.view.regions if self.view and self.image else ()


def write_page(result: StudyResult, path: Path) -> Path:
    """Write the page of one study; it appears whole or not at all.

    What is shown comes from ``result`` and its pictures alone. Of identifiers there are only the first 12 digits of
    the job's; of paths only file names, without UIDs.

    Args:
        result: of any status; a study that was not analysed or failed has a page that says so.
        path: the file to write.

    Returns:
        ``path``.

    Raises:
        OSError: as the file system raises it.
    """
    path = Path(path)
    write_atomically(path, render(result).encode("utf-8"))
    return path


def render(result: StudyResult) -> str:
    """The page as text; everything but the template itself is escaped."""
    named = list(zip(_names(result), result.views, strict=True))
    hanging = [_place(side, view, named, result) for side, view in HANGING] if result.views else []
    shown = {id(frame.view) for frame in hanging if frame.view}
    more = [_frame(name, view, result) for name, view in named if _is_scored(view) and id(view) not in shown]
    return _template().render(
        result=result,
        notice=NOTICE,
        job=result.job[:JOB_DIGITS],
        headline=headline(result),
        calibration=calibration_note(result),
        breasts=sorted(result.breasts, key=lambda breast: breast.laterality, reverse=True),  # right hangs on the left
        threshold=None if result.threshold is None else numbers(result.exam_score or 0.0, result.threshold)[1],
        number=lambda value: numbers(value, result.threshold)[0],
        named=named,
        hanging=hanging,
        more=more,
        drawn=any(frame.image for frame in [*hanging, *more]),
    )


@cache
def _template() -> Template:
    """Compiled once: it takes longer than to fill it."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "words": in_words,
        "tidy": tidy,
        "side": side_in_words,
        "filename": _file_name,
        "sentence": _sentence,
        "csp_hash": _csp_hash,
    }
    return environment.get_template(TEMPLATE.name)


def _names(result: StudyResult) -> list[str]:
    """Side and view of every image, counted where they are there more than once."""
    names = [tidy(view.name) for view in result.views]
    total, so_far = Counter(names), Counter[str]()
    told = []
    for name in names:
        so_far[name] += 1
        told.append(name if total[name] == 1 else f"{name}, {so_far[name]} of {total[name]}")
    return told


def _place(side: str, view: str, named: Sequence[tuple[str, ViewResult]], result: StudyResult) -> Frame:
    """The frame of one of the four views: its image with the highest score, or why there is none."""
    same = [(name, one) for name, one in named if (one.laterality, one.view) == (side, view)]
    scored = [(name, one) for name, one in same if _is_scored(one)]
    if scored:
        return _frame(*max(scored, key=lambda pair: pair[1].probability or 0.0), result)
    if not same:
        return Frame(f"{side} {view}", side, absent=("No image of this view in the study.",))
    reasons = dict.fromkeys(in_words(code) for _, one in same for code in one.reasons)
    return Frame(f"{side} {view}", side, absent=("There, but not analysed.", *(f"{reason}." for reason in reasons)))


def _frame(name: str, view: ViewResult, result: StudyResult) -> Frame:
    pictures = result.pictures.get(view.sop_instance_uid or "")
    side = view.laterality or ""
    if pictures is None:
        return Frame(name, side, view)
    rows, columns = pictures.image.shape
    shape = pictures.shape or (rows, columns)
    turn = turn_of(pictures, view.laterality, view.view)
    return Frame(name, side, view, embed_image(pictures.image), embed_heat(pictures.heat), shape, turn)


def _is_scored(view: ViewResult) -> bool:
    return view.probability is not None


def _file_name(view: ViewResult) -> str:
    return tidy(Path(view.path).name)


def _sentence(view: ViewResult, index: int) -> str:
    """What was found, after its reason; of a file that cannot be read not: a parser's words may quote anything."""
    if view.sop_instance_uid is None and view.reasons[index] in _UNREADABLE:
        return "; the result's record has the details"
    return f": {tidy(view.messages[index])}" if len(view.messages) > index else ""


def _csp_hash(script: str) -> str:
    """What the page's Content Security Policy says of its one script: no other runs, whatever texts hold."""
    digest = hashlib.sha256(str(script).encode("utf-8")).digest()
    return Markup(f"'sha256-{base64.b64encode(digest).decode('ascii')}'")
