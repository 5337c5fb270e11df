"""The clinical table of EMBED, one row per finding, gathered per breast of an exam."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..import_report import ImportReport
from ..schema import PATHOLOGIES, Finding, Record
from .embed_codes import BIRADS, BIRADS_ORDER, DENSITY, PATHOLOGY, SIDES, describe_findings
from .tabular_files import numbered_rows, read_table, whole_number

__all__ = ["Breast", "read_breasts"]

COLUMNS = ("empi_anon", "acc_anon", "side", "asses", "tissueden", "numfind", "path_severity")
FINDING_COLUMNS = ("massshape", "massmargin", "massdens", "calcfind", "calcdistri")
EXTRA = {
    "desc": "exam",
    "RACE_DESC": "race",
    "ETHNICITY_DESC": "ethnicity",
    "ETHNIC_GROUP_DESC": "ethnicity",
    "GENDER_DESC": "sex",
}
OPTIONAL = (*FINDING_COLUMNS, "bside", "implanfind", "age_at_study", *EXTRA)


@dataclass
class Breast:
    """What the clinical rows of one exam say of one breast; unknown is None or absent."""

    birads: int | None = None
    densities: set[str] = field(default_factory=set)
    pathology: str | None = None
    implant: bool | None = None
    age: int | None = None
    findings: list[Finding] = field(default_factory=list)
    raw: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    extra: dict[str, Any] = field(default_factory=dict)

    def label(self, record: Record) -> None:
        """Write it into a record of this breast."""
        if self.pathology is not None:
            record |= Record(pathology=self.pathology, label_provenance="biopsy")
        if self.birads is not None:
            record["birads"] = self.birads
        if len(self.densities) == 1:  # rows that contradict each other tell nothing
            record["density"] = next(iter(self.densities))
        if self.implant and "implant" not in record:
            record["implant"] = True
        if self.age is not None:
            record["age"] = self.age
        if self.findings:
            record["findings"] = [Finding(**finding) for finding in self.findings]
            types = {finding["type"] for finding in self.findings if "type" in finding}
            if len(types) == 1:
                record["abnormality"] = types.pop()
        record["raw"] = {name: "; ".join(texts) for name, texts in self.raw.items()}
        record["extra"] |= self.extra


def read_breasts(table: Path, report: ImportReport) -> dict[tuple[str, str], Breast]:
    """Gather the rows by exam (``acc_anon``) and side; rows of side B or without a side count for both breasts.

    BI-RADS is the most worrying assessment of the rows, 0 (more imaging needed) between 3 and 4. Pathology is the
    worst of the specimens: ``path_severity`` 0 and 1 (invasive, in situ) are ``MALIGNANT``; 2 and 3 (high-risk and
    borderline lesions), 4 (benign) and 5 (normal breast tissue) are ``BENIGN``, since something was seen, sampled
    and not malignant; 6 (not breast cancer) and an empty cell tell nothing. ``raw`` keeps the numbers, so that
    high-risk lesions can be told apart. Of a row for both breasts the specimen belongs to the side in ``bside``.

    Args:
        table: the clinical table, whole or reduced.
        report: gets counts, and rows of which something could not be used.

    Raises:
        ValueError: for a missing column.
    """
    frame = read_table(table, COLUMNS, OPTIONAL)
    breasts: dict[tuple[str, str], Breast] = defaultdict(Breast)
    for number, row in numbered_rows(frame):
        problem = _problem(row)
        if problem:
            report.add("roi", problem, table=table.name, row=number, item=row["acc_anon"])
        for side in SIDES.get(row["side"].upper(), ""):
            _add_row(breasts[row["acc_anon"], side], row, side)
    report.counts |= {"clinical rows": len(frame), "breasts with clinical rows": len(breasts)}
    return dict(breasts)


def _problem(row: Mapping[str, str]) -> str:
    side, sampled = row["side"].upper(), row.get("bside", "").upper()
    if side not in SIDES:
        return f"unknown side, the row is not used: {row['side']!r}"
    if row["path_severity"] and not _specimen_sides(side, sampled):
        return f"the specimen is of another breast than the finding, pathology not used: {side} and {sampled}"
    if row["path_severity"] and whole_number(row["path_severity"], 0, 6) is None:
        return f"unknown path_severity: {row['path_severity']!r}"
    if row["asses"] and row["asses"].upper() not in BIRADS:
        return f"unknown asses: {row['asses']!r}"
    return ""


def _specimen_sides(side: str, sampled: str) -> set[str]:
    return set(SIDES[side]) & set(SIDES.get(sampled, SIDES[""]))


def _add_row(breast: Breast, row: Mapping[str, str], side: str) -> None:
    birads = BIRADS.get(row["asses"].upper())
    if birads is not None:
        known = [birads] if breast.birads is None else [birads, breast.birads]
        breast.birads = max(known, key=BIRADS_ORDER.index)
    severity = whole_number(row["path_severity"], 0, 6)
    own = severity is not None and side in _specimen_sides(row["side"].upper(), row.get("bside", "").upper())
    pathology = PATHOLOGY.get(severity) if own and severity is not None else None
    if pathology:
        breast.pathology = max(pathology, breast.pathology or "NORMAL", key=PATHOLOGIES.index)
    if (density := DENSITY.get(row["tissueden"].removesuffix(".0"))) is not None:
        breast.densities.add(density)
    if row.get("implanfind"):
        breast.implant = True
    if breast.age is None:
        breast.age = whole_number(row.get("age_at_study", "").partition(".")[0], 0, 130)
    for name in ("asses", "tissueden", "path_severity"):
        if row[name] and (name != "path_severity" or own) and row[name] not in breast.raw[name]:
            breast.raw[name].append(row[name])
    breast.extra |= {name: row[column] for column, name in EXTRA.items() if row.get(column)}
    identity = row["numfind"].removesuffix(".0") or "1"
    raw = {name: row[name] for name in (*FINDING_COLUMNS, "asses") if row.get(name)}
    if own:
        raw["path_severity"] = row["path_severity"]
    breast.findings += describe_findings(identity, raw, birads, pathology)
