"""From the folders of a row's datasets to its datalists, whose split is checked against the frozen one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from ..datasets import combine, lesion_crops, load_datalist, save_datalist
from ..datasets.prepare import prepare_dataset
from ..datasets.records import Datalist
from ..datasets.schema import SECTIONS
from ..files import write_atomically
from ..phantom import generate
from .frozen import check_split, freeze, load_split, save_split, split_digest
from .row import MAIN, PRETRAINING, Part, Row
from .sources import dataset_source

__all__ = ["Lists", "find_folder", "freeze_split", "list_data", "missing_data"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lists:
    """The datalists of a row.

    Attributes:
        root: folder that their paths are relative to.
        main: file of the list that is split, trained and tested on.
        pretraining: file of the larger list for pretraining; None where the row has none.
        split_sha256: of who and what is in which section.
        counts: patients and images of each section.
    """

    root: str
    main: str
    pretraining: str | None
    split_sha256: str
    counts: dict[str, dict[str, int]]


def missing_data(row: Row, data: Path | None) -> list[str]:
    """What a user still has to get, an error each; nothing where every folder is there."""
    if row.phantom is not None and data is None:
        return []
    parts = [part for part in row.data if data is None or not find_folder(data, part, row).is_dir()]
    reasons = {
        part.dataset: "give its folder with --data"
        if data is None
        else f"{find_folder(data, part, row)} is not a folder"
        for part in parts
    }
    return [dataset_source(name).missing(reason) for name, reason in reasons.items()]


def find_folder(data: Path, part: Part, row: Row) -> Path:
    """The folder of one dataset: that of its name in ``data``, or ``data`` itself where the row has no other."""
    own = data / part.dataset
    return own if own.is_dir() or len({one.dataset for one in row.data}) > 1 else data


def list_data(row: Row, data: Path | None, out: Path) -> Lists:
    """List the datasets, check the split, and write the datalists of the runs.

    A list that was checked before is taken as it is, unless the row or the folder changed. What lies in ``out`` is
    ``main.json``, ``pretraining.json``, each dataset's own list with its problems, and ``split.json``.

    Args:
        row: of the paper.
        data: folder of the datasets; None makes the phantom of a row that has one.
        out: folder for the lists.

    Raises:
        ValueError: for a dataset that is not in its folder; a split that is not the frozen one, or not that of the
            earlier runs of ``out``.
    """
    data = _phantom(row, out) if data is None else data.absolute()
    frozen = load_split(row.split_file)
    asked = {"data": [asdict(part) for part in row.data], "crops": row.crops, "root": str(data), "split": frozen}
    record = out / "listed.json"
    if record.is_file():
        known = json.loads(record.read_text())
        if known["asked"] == json.loads(json.dumps(asked)):
            return Lists(**known["lists"])
    parts = {use: [_list_part(row, part, data, out) for part in parts] for use, parts in row.parts.items()}
    main = _main(row, parts[MAIN], data)
    _check(row, main, frozen, out)
    lists = _write(row, main, parts[PRETRAINING], data, out)
    write_atomically(record, json.dumps({"asked": asked, "lists": asdict(lists)}, indent=1).encode())
    return lists


def freeze_split(row: Row, data: Path | None, out: Path, path: Path, tasks: Sequence[str] = ()) -> None:
    """List the datasets and write the split that they have to a file, for a row of one's own.

    Args:
        row: says how the datasets are listed; its own split file is not looked at.
        data: as for :func:`list_data`.
        out: as for :func:`list_data`.
        path: the file to write.
        tasks: whose classes are counted.

    Raises:
        ValueError: for a dataset that is not in its folder.
    """
    data = _phantom(row, out) if data is None else data.absolute()
    main = _main(row, [_list_part(row, part, data, out) for part in row.parts[MAIN]], data)
    save_split(freeze(main, name=path.stem, rule=row.split.rule, tasks=tasks), path)


def _main(row: Row, lists: Sequence[Datalist], data: Path) -> Datalist:
    return combine(lists, name=row.id, root=data) if len(lists) > 1 else lists[0]


def _phantom(row: Row, out: Path) -> Path:
    folder = out / "phantom"
    if row.phantom is None:
        raise ValueError(f"{row.id}: no folder of its datasets; give --data")
    generate(folder, **row.phantom)
    return folder.absolute()


def _list_part(row: Row, part: Part, data: Path, out: Path) -> Datalist:
    """The list of one dataset, as ``mammo prepare`` makes it."""
    folder, path = find_folder(data, part, row), out / f"{part.dataset}.json"
    try:
        prepare_dataset(part.dataset, folder, path, **part.options)
    except (ValueError, OSError) as error:
        raise ValueError(dataset_source(part.dataset).missing(str(error))) from error
    return load_datalist(path)


def _check(row: Row, main: Datalist, frozen: Mapping[str, Any], out: Path) -> None:
    wrong = check_split(frozen, main)
    if wrong:
        problems = ", ".join(str(out / f"{part.dataset}.problems.csv") for part in row.parts[MAIN])
        raise ValueError(
            f"{row.id}: this is not the split of {row.split_file.name} ({row.split.rule}), so that no figure could be "
            "compared:\n  " + "\n  ".join(wrong) + f"\n  what could not be used is listed in {problems}"
        )
    before = out / "split.json"
    if before.is_file() and (changed := check_split(load_split(before), main)):
        raise ValueError(
            f"{row.id}: this is not the split of the earlier runs here ({before}); choose another --output_dir:\n  "
            + "\n  ".join(changed)
        )
    save_split(freeze(main, name=row.id, rule=row.split.rule), before)


def _write(row: Row, main: Datalist, others: list[Datalist], data: Path, out: Path) -> Lists:
    """The lists of the runs, their paths relative to the data, so that their hash is that of every machine."""
    pretraining = None if not others else combine([main, *map(_all_training, others)], name=row.id, root=data)
    written = {}
    for name, datalist in ((MAIN, main), (PRETRAINING, pretraining)):
        if datalist is None:
            continue
        if row.crops is not None:
            datalist, report = lesion_crops(datalist, **row.crops)
            logger.info("%s list: %s", name, report.summary())
            report.save(out / f"{name}.problems.csv")
        written[name] = str(save_datalist({**datalist, "root": str(data)}, out / f"{name}.json").absolute())
    content: Mapping[str, Any] = main
    counts = {
        section: {
            "patients": len({one["patient_id"] for one in content.get(section, ())}),
            "images": len(content.get(section, ())),
        }
        for section in SECTIONS
    }
    return Lists(str(data), written[MAIN], written.get(PRETRAINING), split_digest(main), counts)


def _all_training(datalist: Datalist) -> Datalist:
    """Every image of a list that is only pretrained on."""
    content: Mapping[str, Any] = datalist
    records = [{**record, "split": "training"} for section in SECTIONS for record in content.get(section, ())]
    kept = {key: value for key, value in content.items() if key not in (*SECTIONS, "known_leak", "known_leak_patients")}
    return cast(Datalist, {**kept, "training": records})
