import pandas as pd
import pytest
from mammo.pipeline.datasets.slices import volume_id
from mammo.pipeline.volumes import pool_slices


@pytest.fixture
def slices() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": ["a#f0", "a#f1", "a#f12", "b", "a#f0"],
            "patient_id": ["1", "1", "1", "2", "3"],
            "dataset": ["one", "one", "one", "one", "two"],
            "split": "test",
            "laterality": ["L", "L", "L", None, "R"],
            "label": [1, 1, 1, 0, 0],
            "probability": [0.25, 0.75, 0.5, 0.125, 0.375],
        }
    )


@pytest.mark.parametrize(("pooling", "expected"), [("max", 0.75), ("mean", 0.5)])
def test_a_volume_has_the_pooled_score_of_its_slices(slices, pooling, expected):
    table = pool_slices(slices, pooling)
    assert table["image_id"].tolist() == ["a", "b", "a"]
    assert table["dataset"].tolist() == ["one", "one", "two"]
    assert table["probability"].tolist() == [expected, 0.125, 0.375]
    assert table["slices"].tolist() == [3, 1, 1]
    assert table["label"].tolist() == [1, 0, 0]
    assert table["patient_id"].tolist() == ["1", "2", "3"]


def test_several_classes_are_averaged_and_stay_probabilities(slices):
    several = slices.drop(columns="probability").assign(probability_0=0.2, probability_1=0.5, probability_2=0.3)
    table = pool_slices(several, "mean")
    assert table.filter(like="probability_").sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    with pytest.raises(ValueError, match="two classes"):
        pool_slices(several, "max")


def test_slices_of_one_volume_with_two_labels_are_refused(slices):
    with pytest.raises(ValueError, match="different labels"):
        pool_slices(slices.assign(label=[1, 0, 1, 0, 0]))


def test_the_id_of_a_volume_is_that_of_its_slices():
    assert [volume_id(name) for name in ("a#f7", "b", "c#first", "d#f1#f22")] == ["a", "b", "c#first", "d#f1"]
