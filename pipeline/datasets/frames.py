"""Records of tomosynthesis: which frames of a file a run uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...transforms.dicom_file import open_dicom
from ...transforms.errors import MammogramError, ReadFailure, refusing
from ...transforms.header import describe_header
from .schema import Record

__all__ = ["count_frames", "expand_frames"]

_MAX_PIXELS = 1 << 26  # a header takes a fraction; as for the reader of pixels
_MIDDLE, _MAXIMUM = "middle", "max"


def count_frames(path: str) -> int:
    """Number of Frames (0028,0008) of a DICOM file; 1 for any other image.

    Raises:
        MammogramError: if the file is missing, or is DICOM and broken.
    """
    try:
        with refusing(path, ReadFailure.UNDECODABLE, "the header cannot be read"):
            return int(describe_header(open_dicom(path, _MAX_PIXELS), path)["frames"])
    except MammogramError as error:
        if error.reason == ReadFailure.NOT_AN_IMAGE:
            return 1
        raise


def expand_frames(
    records: Iterable[Record],
    frames_of: Callable[[str], int] = count_frames,
    *,
    every: int | None = None,
    frame: int | str | None = None,
    projection: str | None = None,
) -> list[Record]:
    """Turn each record of a multi-frame file into records that choose a frame. Give one of the last three arguments.

    Records of single-frame files, and those that choose a frame already, stay as they are.

    Args:
        records: of any files.
        frames_of: gives the number of frames of a path.
        every: a record for each n-th frame, from frame 0; ``image_id`` gets the frame: ``"123#f12"``.
        frame: one record with this frame, from 0, or ``"middle"`` for the middle one of each file.
        projection: ``"max"``: one record that stands for the maximum over all frames.

    Raises:
        ValueError: for none or several of the three, a value out of range, or a file with fewer frames.
    """
    if sum(argument is not None for argument in (every, frame, projection)) != 1:
        raise ValueError(f"every={every}, frame={frame}, projection={projection}; give exactly one of the three")
    if every is not None and every < 1:
        raise ValueError(f"every={every}; expected 1 or more (1 takes all frames)")
    if (isinstance(frame, str) and frame != _MIDDLE) or (isinstance(frame, int) and frame < 0):
        raise ValueError(f"frame={frame!r}; expected a number from 0, or {_MIDDLE!r}")
    if projection not in (None, _MAXIMUM):
        raise ValueError(f"projection={projection!r}; expected {_MAXIMUM!r}")
    expanded: list[Record] = []
    for record in records:
        frames = 1 if "frame" in record else frames_of(record["image"])
        if frames == 1:
            expanded.append(record)
        elif every is not None:
            expanded += [_of_frame(record, n, f"{record['image_id']}#f{n}") for n in range(0, frames, every)]
        else:
            chosen = _MAXIMUM if projection else _number(frame, frames, record["image"])
            expanded.append(_of_frame(record, chosen, record["image_id"]))
    return expanded


def _of_frame(record: Record, frame: int | str, image_id: str) -> Record:
    copy = record.copy()
    copy["frame"], copy["image_id"] = frame, image_id
    return copy


def _number(frame: int | str | None, frames: int, path: str) -> int:
    number = frames // 2 if frame == _MIDDLE else int(frame or 0)
    if number >= frames:
        raise ValueError(f"{path}: frame={number}, but it holds frames 0 to {frames - 1}; {_MIDDLE!r} fits every file")
    return number
