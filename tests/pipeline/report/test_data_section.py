"""Counts, leaks and quarantine."""

import json

import pandas as pd
import pytest
from mammo.pipeline.report.blocks import Group, Table, Text, Tone
from mammo.pipeline.report.data_section import data_section


def record(patient: str, image: str, **known: str) -> dict[str, str]:
    return {"image": f"{image}.png", "patient_id": patient, "image_id": image, "dataset": "d"} | known


@pytest.fixture
def datalist(tmp_path):
    def write(**content):
        path = tmp_path / "datalist.json"
        path.write_text(json.dumps({"name": "n"} | content))
        return path

    return write


def tables(section) -> dict[str, Table]:
    flat = [item for block in section.blocks for item in (block.items if isinstance(block, Group) else [block])]
    return {block.caption: block for block in flat if isinstance(block, Table)}


def test_patients_and_classes_of_each_split_are_counted(datalist):
    path = datalist(
        training=[record("a", "1", pathology="BENIGN"), record("a", "2", pathology="MALIGNANT"), record("b", "3")],
        test=[record("c", "4", pathology="BENIGN")],
    )
    found = tables(data_section(path, {}))
    assert found["Patients and images of each split"].rows == [["training", "2", "3"], ["test", "1", "1"]]
    assert found["Pathology, images"].header == ["Split", "benign", "malignant", "unknown"]
    assert found["Pathology, images"].rows == [["training", "1", "1", "1"], ["test", "1", "0", "0"]]


def test_a_declared_leak_is_printed_with_its_patients(datalist):
    path = datalist(training=[record("a", "1")], test=[record("a", "2")], known_leak="cbis-official")
    warnings = [b.text for b in data_section(path, {}).blocks if isinstance(b, Text) and b.tone == Tone.WARNING]
    assert len(warnings) == 1
    assert "cbis-official" in warnings[0]
    assert "1 patient in more than one split (a)" in warnings[0]


def test_an_undeclared_leak_is_a_warning_not_a_silence(datalist):
    path = datalist(training=[record("a", "1")], test=[record("a", "2")])
    warnings = [b.text for b in data_section(path, {}).blocks if isinstance(b, Text) and b.tone == Tone.WARNING]
    assert len(warnings) == 1
    assert "too good to be true" in warnings[0]


def test_an_image_set_aside_by_two_runs_counts_once(datalist):
    rows = pd.DataFrame({"image_id": ["1", "2"], "reason": ["truncated", "all_zero"]})
    found = tables(data_section(datalist(test=[record("a", "9")]), {"one": rows, "two": rows.head(1), "three": None}))
    assert sorted(found["Quarantine: images set aside as unusable"].rows) == [["all_zero", "1"], ["truncated", "1"]]
