"""The same result gives the same files, whenever and in whatever order; another one never the same identifiers."""

from dataclasses import replace
from datetime import datetime, timezone

import pydicom
import pytest
from mammo.pipeline.hospital.result import StudyStatus
from mammo.pipeline.hospital.results import WRITERS, write_objects
from mammo.pipeline.hospital.results.common import ObjectContext

from .conftest import NOW, without_scores

FEW = ("presentation", "mask", "cad")
"""The kinds that are made fastest."""

IDENTIFIERS = ("SOPInstanceUID", "SeriesInstanceUID")


def contents(result, folder):
    return {path.name: path.read_bytes() for path in write_objects(result, folder, WRITERS, NOW)}


def identifiers(folder):
    read = (pydicom.dcmread(path, specific_tags=IDENTIFIERS) for path in folder.iterdir())
    return {ds[keyword].value for ds in read for keyword in IDENTIFIERS}


@pytest.fixture(scope="module")
def first(result, tmp_path_factory):
    """Bytes of all files by name, and where they lie."""
    folder = tmp_path_factory.mktemp("first") / "out"
    return contents(result, folder), folder


def test_the_same_result_and_time_give_the_same_bytes(result, first, tmp_path):
    assert contents(result, tmp_path / "again") == first[0]


def test_the_order_of_the_images_changes_no_byte(result, first, tmp_path):
    assert contents(replace(result, views=result.views[::-1]), tmp_path / "out") == first[0]


def test_another_time_changes_no_identifier(result, first, tmp_path):
    later = write_objects(result, tmp_path / "later", FEW, datetime(2027, 3, 4, 5, 6, 7))
    assert all(path.read_bytes() != first[0][path.name] for path in later)
    assert identifiers(tmp_path / "later") < identifiers(first[1])


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "cd" * 32},
        {"version": "0.3.1"},
        {"settings": {"image_size": [224, 112]}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_model_shares_no_identifier(result, first, tmp_path, change):
    write_objects(replace(result, model=replace(result.model, **change)), tmp_path / "out", FEW, NOW)
    assert identifiers(tmp_path / "out") & identifiers(first[1]) == set()


def test_fewer_images_share_no_identifier(result, first, tmp_path):
    write_objects(replace(result, views=result.views[:3]), tmp_path / "out", FEW, NOW)
    assert identifiers(tmp_path / "out") & identifiers(first[1]) == set()


def test_a_failure_and_the_result_of_the_second_try_share_no_identifier(result, first, tmp_path):
    failed = without_scores(result, StudyStatus.FAILED, "RuntimeError in model.py:1")
    assert failed.job == result.job
    write_objects(failed, tmp_path / "out", FEW, NOW)
    assert identifiers(tmp_path / "out") & identifiers(first[1]) == set()


def test_no_time_but_the_given_one_is_in_an_object(first):
    for path in first[1].iterdir():
        ds = pydicom.dcmread(path)
        for element in ds.iterall():
            given = element.keyword in ("StudyDate", "PatientBirthDate")
            if element.VR in ("DT", "DA") and element.value and not given:
                assert str(element.value).startswith("20260106"), (path.name, element.keyword)


def test_a_time_with_a_zone_is_told_by_the_clock_on_the_wall(result):
    moment = datetime(2026, 1, 6, 9, 0, tzinfo=timezone.utc)
    assert ObjectContext.of(result, moment).now == moment.astimezone().replace(tzinfo=None)
