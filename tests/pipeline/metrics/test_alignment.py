import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import RunPredictions, compare_measures
from mammo.pipeline.metrics.alignment import aligned_tables


@pytest.fixture
def single() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c"],
            "image_id": ["1", "2", "1", "1"],
            "split": "test",
            "label": [0, 0, 1, 1],
            "probability": [0.1, 0.2, 0.3, 0.9],
        }
    )


@pytest.fixture
def several(single) -> pd.DataFrame:
    names = {
        "label_oval": [0, 1, np.nan, 1],
        "label_round": [1, 1, 0, 0],
        "probability_oval": 0.5,
        "probability_round": 0.5,
    }
    return single.drop(columns=["label", "probability"]).assign(**names)


@pytest.mark.parametrize("kind", ["single", "several"])
def test_shuffled_rows_come_back_in_one_order(kind, request):
    table = request.getfixturevalue(kind)
    for seed in range(3):
        first, second = aligned_tables([table.sample(frac=1, random_state=seed), table])
        pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(("kind", "column"), [("single", "label"), ("several", "label_round")])
def test_another_label_is_named(kind, column, request):
    table = request.getfixturevalue(kind)
    other = table.assign(**{column: [1 - table[column][0], *table[column][1:]]})
    with pytest.raises(ValueError, match=r"\('a', '1'\) different labels"):
        aligned_tables([table, other])


def test_missing_images_and_other_labels_are_told(single, several):
    with pytest.raises(ValueError, match=r"differ in 1 images, \('c', '1'\)"):
        aligned_tables([single, single[:3]])
    with pytest.raises(ValueError, match="different questions"):
        aligned_tables([several, several.drop(columns=["label_oval", "probability_oval"])])
    with pytest.raises(ValueError, match="nothing to compare"):
        aligned_tables([single[:0], single[:0]])


def test_many_labels_are_sent_to_the_comparison_that_takes_them(several):
    runs = [RunPredictions(several.dropna().assign(image_id=list("123")))]
    with pytest.raises(ValueError, match="compare_labels"):
        compare_measures(runs, runs)
