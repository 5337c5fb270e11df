"""Columns of a table of one's own: which field of a record each is, and what its cells mean."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..schema import DENSITIES, PATHOLOGIES, PROVENANCES
from .tabular_files import whole_number

__all__ = ["FIELDS", "PATHOLOGY_WORDS", "SPLIT_WORDS", "clean_cell", "map_columns"]

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development", "tuning"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
PATHOLOGY_WORDS = {
    **{word.lower().replace("_", " "): word for word in PATHOLOGIES},
    **dict.fromkeys(("n", "norm", "healthy", "no finding", "no findings"), "NORMAL"),
    **dict.fromkeys(("b", "benign tumor", "benign tumour"), "BENIGN"),
    **dict.fromkeys(("m", "malign", "malignancy", "cancer", "carcinoma"), "MALIGNANT"),
}
POSITIVE_WORDS = ("1", "1 0", "yes", "true", "positive")
NEGATIVE_WORDS = ("0", "0 0", "no", "false", "negative", "no cancer", "non cancer", "non malignant")
LATERALITY_WORDS = {**dict.fromkeys(("l", "left"), "L"), **dict.fromkeys(("r", "right"), "R")}
VIEW_WORDS = {
    **dict.fromkeys(("craniocaudal", "cranio caudal"), "CC"),
    **dict.fromkeys(("mediolateral oblique", "medio lateral oblique"), "MLO"),
    **dict.fromkeys(("mediolateral", "medio lateral"), "ML"),
    **dict.fromkeys(("lateromedial", "latero medial"), "LM"),
}
YES_NO = {
    **dict.fromkeys(("1", "1 0", "yes", "y", "true", "t"), True),
    **dict.fromkeys(("0", "0 0", "no", "n", "false", "f"), False),
}
ALIASES = {
    "image": ("image", "imagepath", "path", "filepath", "file", "filename", "imagefile"),
    "patient_id": ("patientid", "patient"),
    "study_id": ("studyid", "study", "examid", "exam"),
    "laterality": ("laterality", "side", "imagelaterality"),
    "view": ("view", "viewposition"),
    "split": ("split", "section"),
    "roi_masks": ("roimasks", "roimask", "mask", "maskpath"),
    "pixel_spacing_mm": ("pixelspacingmm",),
}
"""Names of columns, in small letters and digits, of the fields that go by several."""

_SIDE_AND_VIEW = re.compile(r"(?:([LR])[ _-]?)?(CC|MLO|ML|LM|LMO|AT|FB|SIO|ISO|XCC|XCCL|XCCM)", re.IGNORECASE)
_BIRADS = re.compile(r"(?:(?:acr )?(?:bi ?rads|b) ?)?(?:category )?([0-6]) ?([abc]?)(?: 0)?")
_DENSITY = re.compile(r"(?:(?:acr|bi ?rads|density|birads density) )*([a-d]|[1-4])(?: 0)?")

Values = dict[str, Any]


def map_columns(given: Mapping[str, str], present: Sequence[str], path: Path) -> dict[str, str]:
    """The column of each field: as given, else by name.

    Args:
        given: columns by field.
        present: the table's columns.
        path: of the table, for errors.

    Returns:
        Columns by field, ``image`` among them.

    Raises:
        ValueError: for an unknown field, a column that is not there, or no column of images.
    """
    for field, column in given.items():
        if field not in FIELDS:
            near = difflib.get_close_matches(field, FIELDS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"columns: records have no field {field!r}; {hint}known are {', '.join(FIELDS)}")
        if column not in present:
            raise ValueError(f"{path}: the column {column!r} (for {field}) is missing; found {', '.join(present)}")
    mapped = dict(given)
    taken = set(given.values())
    plain = {re.sub("[^a-z0-9]", "", column.lower()): column for column in reversed(present) if column not in taken}
    for field in FIELDS:
        names = ALIASES.get(field, (field.replace("_", ""),))
        found = next((plain[name] for name in names if name in plain), None)
        if field not in mapped and found is not None:
            mapped[field] = found
    if "image" not in mapped:
        raise ValueError(
            f"{path}: no column holds the images (image, path or file); name it with columns, such as image=<column>; "
            f"found {', '.join(present)}"
        )
    return mapped


def clean_cell(field: str, text: str, negative: str | None = None) -> Values:
    """Values of a cell that is not empty, by field: one, or two where a view names the side too.

    Args:
        field: one of :data:`FIELDS`.
        text: of the cell.
        negative: the pathology that 0, no and the like stand for; 1, yes and the like are then malignant.

    Raises:
        ValueError: with the text and what was expected.
    """
    if field == "pathology" and _plain(text) in (*POSITIVE_WORDS, *NEGATIVE_WORDS):
        if negative is None:
            raise ValueError(f"{text!r} does not tell normal from benign; say with negative what 0 or no stands for")
        return {field: "MALIGNANT" if _plain(text) in POSITIVE_WORDS else negative}
    return FIELDS[field](field, text)


def _plain(text: str) -> str:
    return re.sub("[^a-z0-9]+", " ", text.lower()).strip()


def _text(field: str, text: str) -> Values:
    return {field: text}


def _word(words: Mapping[str, Any]) -> Callable[[str, str], Values]:
    def clean(field: str, text: str) -> Values:
        if (value := words.get(_plain(text))) is None:
            raise ValueError(f"{text!r}; expected one of {', '.join(sorted(words))}")
        return {field: value}

    return clean


def _number(low: int, high: int) -> Callable[[str, str], Values]:
    def clean(field: str, text: str) -> Values:
        if (value := whole_number(text, low, high)) is None:
            raise ValueError(f"{text!r}; expected a whole number from {low} to {high}")
        return {field: value}

    return clean


def _view(field: str, text: str) -> Values:
    word = VIEW_WORDS.get(_plain(text), text)
    if match := _SIDE_AND_VIEW.fullmatch(word):
        side, view = match.groups()
        return {field: view.upper(), **({"laterality": side.upper()} if side else {})}
    raise ValueError(f"{text!r}; expected a view such as CC, MLO or RCC")


def _birads(field: str, text: str) -> Values:
    match = _BIRADS.fullmatch(_plain(text))
    if match is None or (match[2] and match[1] != "4"):
        raise ValueError(f"{text!r}; expected a BI-RADS category from 0 to 6")
    return {field: int(match[1])}


def _density(field: str, text: str) -> Values:
    if text.upper() in DENSITIES:
        return {field: text.upper()}
    if match := _DENSITY.fullmatch(_plain(text)):
        return {field: match[1].upper() if match[1].isalpha() else "ABCD"[int(match[1]) - 1]}
    raise ValueError(f"{text!r}; expected A to D, 1 to 4, FATTY, FATTY_GLANDULAR or DENSE_GLANDULAR")


def _paths(field: str, text: str) -> Values:
    return {field: [part.strip() for part in text.split(";") if part.strip()]}


def _spacing(field: str, text: str) -> Values:
    try:
        numbers = [float(part) for part in re.split(r"[\\;,x ]+", text.strip("[]() "))]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(math.isfinite(mm) and mm > 0 for mm in numbers):
        raise ValueError(f"{text!r}; expected millimetres, one number or row and column")
    return {field: [numbers[0], numbers[-1]]}


FIELDS: dict[str, Callable[[str, str], Values]] = {
    **dict.fromkeys(("image", "patient_id", "image_id", "study_id"), _text),
    "laterality": _word(LATERALITY_WORDS),
    "view": _view,
    "split": _word(SPLIT_WORDS),
    "pathology": _word(PATHOLOGY_WORDS),
    "label_provenance": _word({word: word for word in PROVENANCES}),
    "density": _density,
    "birads": _birads,
    "subtlety": _number(1, 5),
    "masking": _number(1, 8),
    "age": _number(0, 130),
    "implant": _word(YES_NO),
    "pixel_spacing_mm": _spacing,
    "roi_masks": _paths,
    **dict.fromkeys(("abnormality", "subtype", "report", "manufacturer", "device", "licence"), _text),
}
"""Fields that a column can fill, each with what turns a cell into values."""
