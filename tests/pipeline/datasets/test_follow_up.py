import pytest
from mammo.pipeline.datasets import SchemaError, encode_labels
from mammo.pipeline.datasets.follow_up import RISK_TASKS
from mammo.pipeline.datasets.schema import check_record

BASE = {"image": "a.png", "patient_id": "1", "image_id": "a", "dataset": "set"}


@pytest.mark.parametrize(
    ("known", "labels"),
    [
        ({"years_to_cancer": 0}, [1, 1, 1, 1, 1]),
        ({"years_to_cancer": 2.5, "years_to_last_followup": 2.5}, [0, 0, 1, 1, 1]),
        ({"years_to_cancer": 5.0}, [0, 0, 0, 0, 0]),
        ({"years_to_last_followup": 3}, [0, 0, 0, -1, -1]),
        ({"years_to_last_followup": 9.9}, [0, 0, 0, 0, 0]),
        ({}, [-1, -1, -1, -1, -1]),
    ],
)
def test_each_year_is_known_as_far_as_the_follow_up_reaches(known, labels):
    assert encode_labels([BASE | known], RISK_TASKS)[0]["label"] == labels


@pytest.mark.parametrize("value", [-1, float("nan"), "2", True, 100000])
def test_years_that_are_none_are_refused(value):
    check_record(BASE | {"years_to_cancer": 0, "years_to_last_followup": 4.25}, "here")
    with pytest.raises(SchemaError, match="years_to_cancer"):
        check_record(BASE | {"years_to_cancer": value}, "here")
