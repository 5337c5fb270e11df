"""What the run was given: images and patients of each split, leaks, and what was set aside."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..datasets.records import check_leaks, load_datalist
from ..datasets.schema import SECTIONS, Datalist, Record
from .blocks import Block, Group, Section, Table, Text, Tone, missing
from .inputs import ReportError
from .wording import plural

TITLE = "Data"
BREAKDOWNS = {
    "pathology": "Pathology",
    "density": "Breast density",
    "abnormality": "Abnormality",
    "view": "View",
}
SHOWN_PATIENTS = 20


def data_section(path: Path | None, quarantines: Mapping[str, pd.DataFrame | None]) -> Section:
    """Counts of a datalist, its leak declaration and the images set aside.

    Args:
        path: the datalist; ``None`` where there is none.
        quarantines: ``quarantine.csv`` by run.

    Raises:
        ReportError: the datalist is not there or cannot be read.
    """
    if path is None:
        gone = missing("the datalist", "Without it neither counts nor leaks of the split can be told.")
        return Section(TITLE, [gone, _quarantine(quarantines)])
    if not path.is_file():
        raise ReportError(f"{path}: there is no such datalist")
    try:
        datalist = load_datalist(path)
    except (ValueError, OSError) as error:
        raise ReportError(f"{path}: not a readable datalist ({error})") from error
    about = ": ".join(filter(None, (datalist.get("name", ""), datalist.get("description", ""))))
    breakdowns = [_breakdown(datalist, field, name) for field, name in BREAKDOWNS.items()]
    blocks: list[Block] = [Text(about)] if about else []
    blocks.append(Text(f"Licence of the data: {datalist.get('licence') or 'not stated'}."))
    blocks.append(Group([_split_table(datalist), *(table for table in breakdowns if table is not None)]))
    return Section(TITLE, [*blocks, _leaks(datalist), _quarantine(quarantines)])


def _sections(datalist: Datalist) -> dict[str, Sequence[Record]]:
    content: Mapping[str, Any] = datalist
    return {name: content[name] for name in SECTIONS if content.get(name)}


def _split_table(datalist: Datalist) -> Table:
    rows = [
        [name, f"{len({(r['dataset'], r['patient_id']) for r in records}):,}", f"{len(records):,}"]
        for name, records in _sections(datalist).items()
    ]
    return Table("Patients and images of each split", ["Split", "Patients", "Images"], rows)


def _breakdown(datalist: Datalist, field: str, name: str) -> Table | None:
    """Images of each split by the values of one field; ``None`` where no record knows it."""
    counts = {split: Counter(_value(r, field) for r in records) for split, records in _sections(datalist).items()}
    values = sorted({value for count in counts.values() for value in count} - {""})
    if not values:
        return None
    unknown = [""] if any(count[""] for count in counts.values()) else []
    header = [
        "Split",
        *(value.replace("_", " ") if len(value) < 4 else value.replace("_", " ").lower() for value in values),
    ]
    rows = [[split, *(f"{count[value]:,}" for value in values + unknown)] for split, count in counts.items()]
    return Table(f"{name}, images", header + ["unknown"] * len(unknown), rows)


def _value(record: Mapping[str, Any], field: str) -> str:
    return str(record.get(field, ""))


def _leaks(datalist: Datalist) -> Text:
    try:
        leaks = check_leaks(datalist)
    except ValueError as error:
        return Text(f"This split leaks: {error}. Figures on the test patients are too good to be true.", Tone.WARNING)
    declared = datalist.get("known_leak")
    if not leaks:
        text = "No patient is in more than one split (checked for this report)."
        return Text(text + (f" A leak is declared all the same: {declared}." if declared else ""))
    names = ", ".join(list(leaks)[:SHOWN_PATIENTS]) + (" and more" if len(leaks) > SHOWN_PATIENTS else "")
    text = f"Declared leak “{declared}”: {plural(len(leaks), 'patient')} in more than one split ({names})."
    return Text(f"{text} Test figures may be too good by that much.", Tone.WARNING)


def _quarantine(quarantines: Mapping[str, pd.DataFrame | None]) -> Block:
    """Images set aside by reason; each image counts once, as every run meets it anew."""
    tables = [table[["image_id", "reason"]] for table in quarantines.values() if table is not None]
    if not tables:
        return Text("Quarantine: no run set an image aside as unusable.")
    images = pd.concat(tables).drop_duplicates()
    rows = [[str(reason), f"{count:,}"] for reason, count in images["reason"].value_counts().items()]
    return Table("Quarantine: images set aside as unusable", ["Reason", "Images"], rows)
