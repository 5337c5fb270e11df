"""What a datalist holds, as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas as pd

from .records import all_records, datalist_sha256
from .schema import SECTIONS, Datalist

__all__ = ["summarise"]

FIELDS = ("pathology", "density", "birads", "masking", "view", "laterality", "label_provenance")
"""Fields of a record that are counted, as far as a dataset knows them."""

_MOST_COLUMNS = 8
_SHORT = {"BENIGN_WITHOUT_CALLBACK": "BENIGN"}  # told apart among the pathologies


def summarise(datalist: Datalist) -> str:
    """Images, patients, classes and findings of each section, with licence, provenance of labels and known leaks.

    Returns:
        Lines for a terminal, without a trailing line break.
    """
    records = [(section, cast(Mapping[str, Any], record)) for section, record in all_records(datalist)]
    blocks = [f"{datalist.get('name', 'datalist')}: {datalist.get('licence', 'licence not stated')}"]
    blocks.append(_sizes(records))
    for field in FIELDS:
        blocks += _counted(field, [(section, record[field]) for section, record in records if field in record])
    findings = [
        (section, f"{finding.get('type', 'unknown')} {_SHORT.get(p := finding.get('pathology', ''), p)}".strip())
        for section, record in records
        for finding in record.get("findings", ())
    ]
    blocks += _counted("findings", findings)
    if datalist.get("known_leak"):
        leaking = len(datalist.get("known_leak_patients", ()))
        blocks.append(f"known leak {datalist['known_leak']}: {leaking} patients are in two sections")
    return "\n".join([*blocks, f"sha256 {datalist_sha256(datalist)[:16]}"])


def _sizes(records: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    rows = {}
    for section in SECTIONS:
        inside = [record for name, record in records if name == section]
        patients = {(record["dataset"], record["patient_id"]) for record in inside}
        studies = {(record["dataset"], record["study_id"]) for record in inside if "study_id" in record}
        rows[section] = {"images": len(inside), "patients": len(patients), "studies": len(studies) or "-"}
    return pd.DataFrame.from_dict(rows, orient="index").to_string()


def _counted(title: str, values: Sequence[tuple[str, Any]]) -> list[str]:
    """One table of counts: values as columns, sections as rows; nothing where nothing is known."""
    if not values:
        return []
    counts = Counter(values)
    columns = sorted({value for _, value in values})
    sections = [section for section in SECTIONS if any(name == section for name, _ in values)]
    table = pd.DataFrame([[counts[section, value] for value in columns] for section in sections], sections, columns)
    table.columns.name = title
    wide = len(columns) > _MOST_COLUMNS
    return [(table.T.rename_axis(index=None, columns=title) if wide else table).to_string()]
