"""The gate over files and records: read, segment, judge, count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from ...transforms.dicom import MammogramReader
from ...transforms.dicom_file import open_dicom
from ...transforms.errors import MammogramError, ReadFailure, refusing
from ...transforms.header import describe_header
from ...transforms.pixel_facts import find_breast, pixel_facts
from .gate import GatePolicy, Verdict, gate_policy, judge, unreadable
from .reasons import Outcome
from .summary import GateSummary

__all__ = ["gate_files", "gate_records", "looks_burned_in", "read_facts"]


def read_facts(record: Mapping[str, Any], reader: MammogramReader | None = None) -> dict[str, Any]:
    """Read an image and describe header, pixels and record, as :func:`judge` takes it.

    Args:
        record: with ``image``; ``laterality``, ``view``, ``implant`` and ``frame`` are used where they are there.
        reader: the reader of pixels; its defaults if None.

    Raises:
        MammogramError: if the file is not one usable picture.
    """
    picture = (reader or MammogramReader()).read(record["image"], frame=record.get("frame"))
    listed = {"listed_laterality": record.get("laterality"), "listed_view": record.get("view")}
    side = record.get("laterality") or picture.meta["laterality"]
    return {**picture.meta, **pixel_facts(*find_breast(picture, side)), **listed, "implant": record.get("implant")}


def looks_burned_in(path: Path) -> bool:
    """Whether anything like text seems to be in the pixels, a side marker too: one line of a name is as large.

    Of several frames the first is looked at.

    Raises:
        MammogramError: if the file is not one usable picture.
    """
    try:
        facts = read_facts({"image": str(path)})
    except MammogramError as error:
        if error.reason != ReadFailure.MULTI_FRAME:
            raise
        facts = read_facts({"image": str(path), "frame": 0})
    return bool(facts["burned_in_px"])


def gate_files(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    policy: GatePolicy | str = "training",
    workers: int = 1,
    *,
    reader: MammogramReader | None = None,
    progress: bool = False,
) -> GateSummary:
    """Judge image files, and those in folders, without anything known of them but what they hold.

    Args:
        paths: a file or folder, or several; folders are searched.
        policy: a policy, or the name of a preset.
        workers: images at a time.
        reader: the reader of pixels; its defaults if None.
        progress: show a progress bar.

    Raises:
        FileNotFoundError: for a path that does not exist.
        ValueError: if there is no image at all, or no such policy.
    """
    from ..inference import find_images  # here, so that inference can itself use the gate

    given = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    files = [file for path in given for file in find_images(Path(path))]
    if not files:
        raise ValueError(
            f"no image files in {', '.join(str(path) for path in given) or 'nothing'}; give files or a folder"
        )
    records = [{"image": str(file)} for file in files]
    return gate_records(records, policy, workers, reader=reader, progress=progress)


def gate_records(
    records: Sequence[Mapping[str, Any]],
    policy: GatePolicy | str = "training",
    workers: int = 1,
    *,
    reader: MammogramReader | None = None,
    progress: bool = False,
) -> GateSummary:
    """Judge the images of records; side, view and implant of the record are judged with the file's.

    The arguments are those of :func:`gate_files`. A file that cannot be read is refused under every policy, with the
    reader's reason; so is one of several frames of which the record chooses none.
    """
    chosen = gate_policy(policy) if isinstance(policy, str) else policy
    reader = reader or MammogramReader()
    summary = GateSummary(chosen)
    jobs = Parallel(n_jobs=max(1, workers), prefer="threads", return_as="generator")
    results = jobs(delayed(_judge_record)(record, chosen, reader) for record in records)
    pairs = zip(records, results, strict=True)
    for record, (verdict, maker) in tqdm(pairs, "gate", len(records), unit="image", disable=None if progress else True):
        maker = maker or record.get("manufacturer")
        summary.add(fspath(record["image"]), verdict, dataset=record.get("dataset"), manufacturer=maker)
    return summary


def _judge_record(record: Mapping[str, Any], policy: GatePolicy, reader: MammogramReader) -> tuple[Verdict, str | None]:
    try:
        facts = read_facts(record, reader)
    except MammogramError as error:
        if error.reason != ReadFailure.MULTI_FRAME:
            return unreadable(error), None
        # No frame was chosen, so none was read; the header tells more of why there are several.
        try:
            with refusing(error.path, ReadFailure.UNDECODABLE, "the header cannot be read"):
                facts = describe_header(open_dicom(error.path, reader.max_pixels), error.path)
        except MammogramError as broken:
            return unreadable(broken), None
        return judge(facts, policy)._replace(outcome=Outcome.REFUSE), facts["manufacturer"]
    return judge(facts, policy), facts["manufacturer"]
