"""The record schema: what is known of one mammogram, and how a datalist gathers records."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

__all__ = ["SECTIONS", "Datalist", "Finding", "Record", "SchemaError", "check_record"]

SECTIONS = ("training", "validation", "test")
"""The record lists of a datalist, in MONAI's decathlon names."""

PATHOLOGIES = ("NORMAL", "BENIGN_WITHOUT_CALLBACK", "BENIGN", "MALIGNANT")
"""From least to most severe; the pathology of an image or of a patient is the worst of its findings."""

DENSITIES = ("A", "B", "C", "D", "FATTY", "FATTY_GLANDULAR", "DENSE_GLANDULAR")
"""BI-RADS composition A to D (1 to 4 in older tables), or the three background tissues of MIAS."""


PROVENANCES = ("biopsy", "workup", "birads", "report", "reader", "outcome", "assumed", "synthetic")
"""Where a pathology or cancer label comes from: histology; further imaging without biopsy; a BI-RADS category; the
text of a report; a reader's look at the image; follow-up or a cancer registry; a convention of the dataset's users
(an unlabelled side taken as normal); a drawn phantom."""

FINDING_TYPES = (
    "mass",
    "calcification",
    "architectural_distortion",
    "asymmetry",
    "focal_asymmetry",
    "global_asymmetry",
    "skin_thickening",
    "skin_retraction",
    "nipple_retraction",
    "lymph_node",
    "spiculated_region",
    "cancer",
    "other",
)
"""Kinds of findings; ``"cancer"`` where a dataset says no more, ``"other"`` where its word fits none."""


class SchemaError(ValueError):
    """A datalist or record that does not follow the schema."""


class Finding(TypedDict, total=False):
    """One abnormality of an image; unknown is absent, and ``raw`` keeps the source's own words."""

    id: str
    type: str
    """One of ``FINDING_TYPES``."""
    shapes: list[str]
    margins: list[str]
    calcification_types: list[str]
    distributions: list[str]
    assessment: int
    """BI-RADS category, 0 to 6."""
    subtlety: int
    """1 (subtle) to 5 (obvious)."""
    pathology: str
    roi_mask: str
    crop: str
    box: list[float]
    """row0, col0, row1, col1 in original pixels, half-open."""
    polygon: list[list[float]]
    """Outline as [row, column] points in original pixels, closed by itself."""
    circle: list[float]
    """row, column and radius in original pixels."""
    raw: dict[str, str]


class Record(TypedDict, total=False):
    """One image. ``image``, ``patient_id``, ``image_id`` and ``dataset`` are always there; unknown is absent.

    Paths are absolute in memory and relative to the datalist's root on disk.
    """

    image: str
    patient_id: str
    image_id: str
    dataset: str
    study_id: str
    laterality: str
    view: str
    split: str
    pathology: str
    """The worst of the findings, one of :data:`PATHOLOGIES`."""
    label_provenance: str
    """Where the pathology comes from, one of :data:`PROVENANCES`."""
    abnormality: str
    """Type of the worst finding, or ``"background"`` for a patch without one."""
    subtype: str
    """Molecular subtype of a cancer, as its dataset spells it."""
    density: str
    birads: int
    """The highest assessment of the findings, 0 to 6."""
    subtlety: int
    """Of the most obvious finding, 1 to 5."""
    masking: int
    """How much the tissue could hide, 1 to 8 (CSAW-M)."""
    margins: list[str]
    findings: list[Finding]
    boxes: list[list[float]]
    roi_masks: list[str]
    looked_for: list[str]
    """Types of findings that its readers told wherever they saw them: of these, one without a finding is not there."""
    report: str
    texts: list[str]
    """The report in parts, such as findings and impression, each once."""
    augmented_texts: list[str]
    """Another wording of each of ``texts``, such as its back-translation."""
    age: int
    manufacturer: str
    device: str
    """Which machine or site took it, for reports by device."""
    implant: bool
    frame: int | str
    """Frame of a multi-frame file, from 0; ``"max"`` for the maximum over all frames."""
    crop: list[float]
    """Region of the image that the record stands for: row0, col0, row1, col1 in original pixels, half-open; it may
    reach beyond the image, where it is zero."""
    pixel_spacing_mm: list[float]
    years_to_cancer: float
    """From the image to the diagnosis of the next breast cancer, 0 for one found at this exam; absent where there is
    none."""
    years_to_last_followup: float
    """For how long after the image it is known whether there was a cancer."""
    licence: str
    raw: dict[str, str]
    extra: dict[str, Any]
    """Anything of the user's own."""
    label: list[int]
    """Class of each task, -1 for unknown; see :func:`~mammo.pipeline.datasets.encode_labels`."""


class Datalist(TypedDict, total=False):
    """MONAI's decathlon form: a name, the records of each section, and what is known to be wrong with the
    split.
    """

    name: str
    description: str
    licence: str
    root: str
    known_leak: str
    """Name of a leak that the split has by definition, such as ``"cbis-official"``."""
    known_leak_patients: list[str]
    training: list[Record]
    validation: list[Record]
    test: list[Record]


Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _text_map(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())


def _integer(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _points(value: Any) -> bool:
    pairs = isinstance(value, list) and len(value) >= 3 and all(isinstance(p, list) and len(p) == 2 for p in value)
    return pairs and all(_number(v) for point in value for v in point)


def _circle(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_number, value)) and value[2] > 0


def _frame(value: Any) -> bool:
    return value == "max" or _integer(0, 10**6)(value)


def _one_of(allowed: tuple[str, ...]) -> Check:
    return lambda value: isinstance(value, str) and value in allowed


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(map(_number, value))
        and value[0] < value[2]
        and value[1] < value[3]
    )


def _years(value: Any) -> bool:
    return _number(value) and 0 <= value < 150


def _spacing(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_number(v) and v > 0 for v in value)


# What a value must be, in words and as a test.
TEXT: tuple[str, Check] = ("a text that is not empty", _text)
TEXTS: tuple[str, Check] = ("a list of texts", _texts)
BOX_WORDS = "[row0, col0, row1, col1] with row0 < row1 and col0 < col1"
FINDING_TYPE_LIST: tuple[str, Check] = (
    f"a list of {', '.join(FINDING_TYPES)}",
    lambda value: isinstance(value, list) and all(map(_one_of(FINDING_TYPES), value)),
)
PATHOLOGY: tuple[str, Check] = (f"one of {', '.join(PATHOLOGIES)}", _one_of(PATHOLOGIES))
SUBTLETY: tuple[str, Check] = ("an integer from 1 to 5", _integer(1, 5))
BIRADS: tuple[str, Check] = ("an integer from 0 to 6", _integer(0, 6))
RAW: tuple[str, Check] = ("a mapping of texts", _text_map)

FINDING_FIELDS: dict[str, tuple[str, Check]] = {
    **dict.fromkeys(("id", "roi_mask", "crop"), TEXT),
    "type": (f"one of {', '.join(FINDING_TYPES)}", _one_of(FINDING_TYPES)),
    **dict.fromkeys(("shapes", "margins", "calcification_types", "distributions"), TEXTS),
    "assessment": BIRADS,
    "subtlety": SUBTLETY,
    "pathology": PATHOLOGY,
    "box": (BOX_WORDS, _box),
    "polygon": ("a list of three or more [row, column] points", _points),
    "circle": ("[row, column, radius] with a positive radius", _circle),
    "raw": RAW,
}
RECORD_FIELDS: dict[str, tuple[str, Check]] = {
    **dict.fromkeys(("image", "patient_id", "image_id", "dataset", "study_id", "view", "abnormality"), TEXT),
    **dict.fromkeys(("report", "manufacturer", "device", "subtype", "licence"), TEXT),
    **dict.fromkeys(("margins", "roi_masks", "texts", "augmented_texts"), TEXTS),
    "looked_for": FINDING_TYPE_LIST,
    "laterality": ("L or R", _one_of(("L", "R"))),
    "split": (f"one of {', '.join(SECTIONS)}", _one_of(SECTIONS)),
    "pathology": PATHOLOGY,
    "label_provenance": (f"one of {', '.join(PROVENANCES)}", _one_of(PROVENANCES)),
    "density": (f"one of {', '.join(DENSITIES)}", _one_of(DENSITIES)),
    "birads": BIRADS,
    "subtlety": SUBTLETY,
    "masking": ("an integer from 1 to 8", _integer(1, 8)),
    "implant": ("true or false", lambda value: isinstance(value, bool)),
    "frame": ("a frame number from 0, or max", _frame),
    "crop": (BOX_WORDS, _box),
    "findings": ("a list of findings", lambda value: isinstance(value, list)),
    "boxes": (f"a list of {BOX_WORDS}", lambda value: isinstance(value, list) and all(map(_box, value))),
    "age": ("an integer from 0 to 130", _integer(0, 130)),
    **dict.fromkeys(("years_to_cancer", "years_to_last_followup"), ("a number of years from 0, below 150", _years)),
    "pixel_spacing_mm": ("[row, column] spacing in mm, both positive", _spacing),
    "raw": RAW,
    "extra": ("a mapping", lambda value: isinstance(value, Mapping)),
    "label": (
        "a list of class indices, -1 for unknown",
        lambda value: isinstance(value, list) and all(_integer(-1, 10**6)(v) for v in value),
    ),
}
REQUIRED = ("image", "patient_id", "image_id", "dataset")


def check_record(record: Any, where: str) -> None:
    """Refuse a record that does not follow the schema.

    Args:
        record: what a datalist holds.
        where: the record's place, such as ``"datalist.json: training[3]"``; begins the error.

    Raises:
        SchemaError: naming the place, the field, the value and what was expected.
    """
    if not isinstance(record, Mapping):
        raise SchemaError(f"{where}: expected a record (a mapping), got {type(record).__name__}")
    missing = [name for name in REQUIRED if name not in record]
    if missing:
        raise SchemaError(f"{where}: the field {missing[0]!r} is missing; a record needs {', '.join(REQUIRED)}")
    _check_fields(record, RECORD_FIELDS, where)
    for index, finding in enumerate(record.get("findings", ())):
        place = f"{where}.findings[{index}]"
        if not isinstance(finding, Mapping):
            raise SchemaError(f"{place}: expected a finding (a mapping), got {type(finding).__name__}")
        _check_fields(finding, FINDING_FIELDS, place)


def _check_fields(item: Mapping[str, Any], fields: Mapping[str, tuple[str, Check]], where: str) -> None:
    for name, value in item.items():
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "put fields of your own under 'extra'"
            raise SchemaError(f"{where}: unknown field {name!r}; {hint}")
        expected, check = fields[name]
        if not check(value):
            raise SchemaError(f"{where}: field {name!r} is {value!r}; expected {expected}")
