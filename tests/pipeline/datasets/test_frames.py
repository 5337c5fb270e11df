from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mammo.pipeline.datasets.frames import count_frames, expand_frames
from mammo.pipeline.datasets.schema import check_record
from mammo.transforms import MammogramError
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

FRAMES = {"flat.dcm": 1, "stack.dcm": 7, "chosen.dcm": 7}


def records() -> list[Any]:
    flat, stack, chosen = ({"image": n, "image_id": n[:-4], "patient_id": "P", "dataset": "d"} for n in FRAMES)
    return [flat, stack | {"boxes": [[0.0, 0.0, 1.0, 1.0]]}, chosen | {"frame": 2}]


def frames_and_ids(expanded: list[Any]) -> list[tuple[Any, str]]:
    return [(record.get("frame"), record["image_id"]) for record in expanded]


def test_every_third_frame_is_a_record_of_its_own() -> None:
    expanded = expand_frames(records(), FRAMES.__getitem__, every=3)
    stack = [(0, "stack#f0"), (3, "stack#f3"), (6, "stack#f6")]
    assert frames_and_ids(expanded) == [(None, "flat"), *stack, (2, "chosen")]


@pytest.mark.parametrize(
    ("choice", "frame"),
    [({"frame": 5}, 5), ({"frame": 0}, 0), ({"frame": "middle"}, 3), ({"projection": "max"}, "max")],
)
def test_one_frame_keeps_the_name_of_the_image(choice: dict[str, Any], frame: int | str) -> None:
    expanded = expand_frames(records(), FRAMES.__getitem__, **choice)
    assert frames_and_ids(expanded) == [(None, "flat"), (frame, "stack"), (2, "chosen")]


@pytest.mark.parametrize("choice", [{"every": 2}, {"frame": 1}, {"projection": "max"}])
def test_everything_else_stays_and_records_keep_the_schema(choice: dict[str, Any]) -> None:
    before = records()
    expanded = expand_frames(before, FRAMES.__getitem__, **choice)
    assert before == records()
    for record in expanded:
        check_record(record, "here")
        assert record.get("boxes") == (before[1]["boxes"] if record["image"] == "stack.dcm" else None)
    assert len({record["image_id"] for record in expanded}) == len(expanded)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({}, "give exactly one of the three"),
        ({"every": 2, "frame": 1}, "give exactly one of the three"),
        ({"every": 0}, "every=0; expected 1 or more"),
        ({"frame": -1}, "frame=-1; expected a number from 0"),
        ({"frame": "last"}, "frame='last'; expected a number from 0, or 'middle'"),
        ({"projection": "mean"}, "projection='mean'; expected 'max'"),
        ({"frame": 7}, "stack.dcm: frame=7, but it holds frames 0 to 6"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        expand_frames(records(), FRAMES.__getitem__, **choice)


def test_frames_are_counted_from_the_header(tmp_path: Path) -> None:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.13.1.3", "1.2.3", 9
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a.png")
    assert (count_frames(str(tmp_path / "a.dcm")), count_frames(str(tmp_path / "a.png"))) == (9, 1)
    with pytest.raises(MammogramError, match="no such file"):
        count_frames(str(tmp_path / "b.dcm"))
