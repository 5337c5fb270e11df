"""The four case tables of CBIS-DDSM, read as they are."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..import_report import ImportReport
from ..schema import Finding

__all__ = ["TABLES", "CaseRow", "FileReference", "ImageName", "read_case_tables"]

TABLES = (
    "mass_case_description_train_set.csv",
    "mass_case_description_test_set.csv",
    "calc_case_description_train_set.csv",
    "calc_case_description_test_set.csv",
)

MISSING = ("", "NA", "N/A", "NAN", "NONE")
"""Ways a missing value is written; ``NA`` in copies that passed through R."""

SYNONYMS = {"LUCENT_CENTERED": "LUCENT_CENTER"}

_NAME = re.compile(r"(Mass|Calc)-(Training|Test)_(P_\d+)_(LEFT|RIGHT)_(CC|MLO)(?:_(\d+))?")


@dataclass(frozen=True)
class ImageName:
    """The parts of a CBIS-DDSM Patient ID (0010,0020), such as ``Mass-Training_P_00001_LEFT_CC_1``.

    It names one image, or with ``abnormality`` the crop and mask of one finding.
    """

    image_id: str
    part: str
    """``Training`` or ``Test``."""
    patient_id: str
    side: str
    view: str
    abnormality: str | None

    @classmethod
    def parse(cls, text: str) -> ImageName | None:
        """The parts of ``text``; None if it is no such name."""
        match = _NAME.fullmatch(text.strip())
        if match is None:
            return None
        _, part, patient, side, view, abnormality = match.groups()
        image_id = text.strip() if abnormality is None else text.strip().removesuffix(f"_{abnormality}")
        return cls(image_id, part, patient, side, view, abnormality)


@dataclass(frozen=True)
class FileReference:
    """A path column: ``<Patient ID>/<study UID>/<series UID>/000000.dcm``. The file name in it means
    nothing.
    """

    folder: str
    study_uid: str
    series_uid: str


@dataclass(frozen=True)
class CaseRow:
    """One row: one abnormality of one image."""

    table: str
    number: int
    """1 for the first row below the header."""
    name: ImageName
    density: str
    values: Mapping[str, str]
    image: FileReference
    rois: tuple[FileReference, ...]
    """Where crop and mask are: one series for both, or two. Which is which the table does not reliably
    say."""

    @property
    def key(self) -> tuple[str, int]:
        """Table and row."""
        return self.table, self.number

    def finding(self) -> Finding:
        """What the row says of the abnormality, parsed, and verbatim under ``raw``."""
        values = self.values
        finding = Finding(
            id=values["abnormality id"],
            type=values["abnormality type"],
            pathology=values["pathology"],
            raw={key: value for key, value in values.items() if value},
        )
        if _integer(values["assessment"], 0, 6) is not None:
            finding["assessment"] = int(values["assessment"])
        if _integer(values["subtlety"], 1, 5) is not None:
            finding["subtlety"] = int(values["subtlety"])
        # Literal names, one by one: a TypedDict takes no computed key.
        if shapes := tokens(values.get("mass shape", "")):
            finding["shapes"] = shapes
        if margins := tokens(values.get("mass margins", "")):
            finding["margins"] = margins
        if types := tokens(values.get("calc type", "")):
            finding["calcification_types"] = types
        if distributions := tokens(values.get("calc distribution", "")):
            finding["distributions"] = distributions
        return finding


def tokens(text: str) -> list[str]:
    """The single values of a multi-value joined by ``-``, sorted, without doubles and synonyms."""
    if text.strip().upper() in MISSING:
        return []
    return sorted({SYNONYMS.get(token, token) for token in text.strip().upper().split("-") if token})


def read_case_tables(tables: Mapping[str, Path], report: ImportReport) -> list[CaseRow]:
    """Read the tables; rows that contradict themselves go to the report.

    Args:
        tables: path of each of :data:`TABLES`.
        report: gets the counts and the rows left out.

    Raises:
        ValueError: for a table without the path columns (the first release of 2017) or without another
            column.
    """
    rows: list[CaseRow] = []
    seen: set[tuple[str, str]] = set()
    for name in TABLES:
        # newline="" is essential: the true files have line breaks inside quoted paths.
        with open(tables[name], newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(tables[name], reader.fieldnames or ())
            listed = list(reader)
        report.counts[f"rows of {name}"] = len(listed)
        for number, values in enumerate(listed, start=1):
            row = _parse_row(name, number, {key: value for key, value in values.items() if key}, report)
            if row is None:
                continue
            key = (row.name.image_id, row.values["abnormality id"])
            if key in seen:
                report.add("image", "the abnormality is listed twice", table=name, row=number, item="_".join(key))
                continue
            seen.add(key)
            rows.append(row)
    return rows


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    kind = (
        ("mass shape", "mass margins") if path.name.lower().startswith("mass") else ("calc type", "calc distribution")
    )
    paths = ("image file path", "cropped image file path", "ROI mask file path")
    found = {column.strip() for column in columns}
    if not found.intersection(paths):
        raise ValueError(
            f"{path}: the columns {', '.join(paths)} are missing: this is the first release of 2017; "
            "download the present case description tables from the CBIS-DDSM page of TCIA"
        )
    expected = ("patient_id", "left or right breast", "image view", "abnormality id", "abnormality type")
    missing = [c for c in (*expected, *kind, "assessment", "pathology", "subtlety", *paths) if c not in found]
    if missing:
        raise ValueError(f"{path}: the column {missing[0]!r} is missing; found {', '.join(sorted(found))}")


def _parse_row(table: str, number: int, raw: Mapping[str, str | None], report: ImportReport) -> CaseRow | None:
    values = {key.strip(): (value or "").strip() for key, value in raw.items()}
    references = {
        column: _reference(values.pop(f"{column} file path")) for column in ("image", "cropped image", "ROI mask")
    }
    image = references.pop("image")
    name = ImageName.parse(image.folder) if image else None
    item = image.folder if image else values["patient_id"]
    problem = _contradiction(name, values)
    if name is None or image is None or problem:
        report.add("image", problem, table=table, row=number, item=item)
        return None
    rois = dict.fromkeys(reference for reference in references.values() if reference)
    density = values.get("breast_density", values.get("breast density", ""))
    return CaseRow(table, number, name, density, values, image, tuple(rois))


def _contradiction(name: ImageName | None, values: Mapping[str, str]) -> str:
    if name is None or name.abnormality is not None:
        return "the image path does not begin with a name such as Mass-Training_P_00001_LEFT_CC"
    told = (values["patient_id"], values["left or right breast"].upper(), values["image view"].upper())
    if told != (name.patient_id, name.side, name.view):
        return f"the columns and the image path disagree: {' '.join(told)}"
    if values["pathology"] not in ("BENIGN", "BENIGN_WITHOUT_CALLBACK", "MALIGNANT"):
        return f"unknown pathology: {values['pathology']!r}"
    if not values["abnormality id"]:
        return "the abnormality id is missing"
    return ""


def _reference(text: str) -> FileReference | None:
    parts = text.strip().split("/")
    return FileReference(parts[0], parts[1], parts[2]) if len(parts) >= 3 else None


def _integer(text: str, low: int, high: int) -> int | None:
    return int(text) if text.isdecimal() and low <= int(text) <= high else None
