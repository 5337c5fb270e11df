"""Prediction tables: checks, and from images to patients."""

import pandas as pd
import pytest
from mammo.pipeline.metrics import (
    aggregate,
    check_predictions,
    label_columns,
    labelled,
    patient_keys,
    read_predictions,
)


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({
        "image_id": ["a", "b", "c", "d", "e"],
        "patient_id": ["1", "1", "1", "2", "2"],
        "laterality": ["L", "L", "R", "L", "L"],
        "label": [0, 1, 0, 0, -1],
        "probability": [0.2, 0.6, 0.9, 0.3, 0.99],
    })  # fmt: skip


def test_a_patient_is_positive_if_one_image_is(table):
    rows = aggregate(table, "patient", "max")
    assert rows["label"].tolist() == [1, 0]
    assert rows["probability"].tolist() == [0.9, 0.3]
    assert rows["images"].tolist() == [3, 1]


def test_the_mean_is_over_the_images_of_a_breast(table):
    rows = aggregate(table, "breast", "mean")
    assert list(zip(rows["patient_id"], rows["laterality"], strict=True)) == [("1", "L"), ("1", "R"), ("2", "L")]
    assert rows["probability"].tolist() == pytest.approx([0.4, 0.9, 0.3])


def test_per_image_every_labelled_image_stays(table):
    assert aggregate(table, "image")["image_id"].tolist() == ["a", "b", "c", "d"]


def test_a_breast_without_a_side_is_refused(table):
    with pytest.raises(ValueError, match="1 of 4 images have no laterality"):
        aggregate(table.assign(laterality=["L", None, "R", "L", "L"]), "breast")


def test_patients_of_two_data_sets_are_two_patients(table):
    keys = patient_keys(table.assign(dataset=["x", "x", "x", "y", "y"], patient_id="1"))
    assert len(set(keys)) == 2
    rows = aggregate(table.assign(dataset=["x", "x", "x", "y", "y"], patient_id="1"), "patient")
    assert len(rows) == 2


def test_identifiers_keep_their_zeros(table, tmp_path):
    path = tmp_path / "predictions.csv"
    table.assign(patient_id="007", birads=[4, None, 3, 2, 1]).to_csv(path, index=False)
    again = read_predictions(path)
    assert set(again["patient_id"]) == {"007"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": [0, 1, 2, 0, 0]}, "'c' has a label that is not 0, 1 or -1"),
        ({"probability": [0.1, 0.2, 0.3, 1.4, 0.5]}, "'d' has a probability outside"),
        ({"probability": [0.1, float("nan"), 0.3, 0.4, 0.5]}, "'b' has a probability outside"),
        ({"probability": ["high", 0.2, 0.3, 0.4, 0.5]}, "'a' has a probability outside"),
        ({"patient_id": ["1", "1", None, "2", "2"]}, "'c' has no patient_id"),
        ({"image_id": ["a", "b", "a", "d", "e"]}, "'a' occurs twice"),
    ],
)
def test_a_wrong_row_is_named(table, change, said):
    with pytest.raises(ValueError, match=f"here: image {said}"):
        check_predictions(table.assign(**change), "here")


def test_a_missing_column_is_named(table):
    with pytest.raises(ValueError, match="column probability is missing"):
        check_predictions(table.drop(columns="probability"))


def test_one_image_in_two_splits_is_no_fault(table):
    both = pd.concat([table.assign(split="validation"), table.assign(split="test")])
    assert check_predictions(both) is both


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'image_id,patient_id\n"a'])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "predictions.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"predictions\.csv"):
        read_predictions(path)


def test_an_unknown_way_to_combine_is_refused(table):
    with pytest.raises(ValueError, match="'median'"):
        aggregate(table, "patient", "median")


@pytest.fixture
def lesions() -> pd.DataFrame:
    """A table of two labels, as :class:`~mammo.pipeline.handlers.LabelWriter` writes it."""
    return pd.DataFrame({
        "image_id": ["a", "b", "c"], "patient_id": ["007", "1", "2"], "birads": [4, 3, 2],
        "label_margin_obscured": [1, -1, -1], "label_margin_spiculated": [1, 0, -1],
        "probability_margin_obscured": [0.8, 0.3, 0.5], "probability_margin_spiculated": [0.1, 0.2, 0.5],
    })  # fmt: skip


def test_labels_are_known_by_their_columns_and_other_tables_have_none(lesions, table):
    names = ["margin_obscured", "margin_spiculated"]
    assert label_columns(lesions) == names
    assert label_columns(lesions.assign(label_provenance="biopsy")) == names
    assert label_columns(table.assign(label_provenance="biopsy")) == []
    assert label_columns(pd.DataFrame(columns=["image_id", "label", "probability_0", "probability_1"])) == []


def test_a_table_of_labels_is_read_as_it_was_written(lesions, tmp_path):
    lesions.to_csv(tmp_path / "predictions.csv", index=False)
    again = read_predictions(tmp_path / "predictions.csv")
    assert again["patient_id"].tolist() == ["007", "1", "2"]
    assert again.filter(like="margin").equals(lesions.filter(like="margin"))


def test_a_row_counts_while_one_of_its_labels_is_known(lesions):
    assert labelled(lesions)["image_id"].tolist() == ["a", "b"]
    assert labelled(lesions.head(0)).empty


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label_margin_spiculated": [1, 2, 0]}, "'b' has a label_margin_spiculated that is not 0, 1 or -1"),
        ({"label_margin_spiculated": [1, 0, None]}, "'c' has a label_margin_spiculated that is not"),
        ({"probability_margin_obscured": [0.1, 0.2, -0.1]}, "'c' has a probability_margin_obscured outside"),
        ({"probability_margin_obscured": ["high", 0.2, 0.1]}, "'a' has a probability_margin_obscured outside"),
        ({"patient_id": ["1", None, "2"]}, "'b' has no patient_id"),
        ({"image_id": ["a", "b", "a"]}, "'a' occurs twice"),
    ],
)
def test_a_wrong_label_is_named(lesions, change, said):
    with pytest.raises(ValueError, match=f"here: image {said}"):
        check_predictions(lesions.assign(**change), "here")


@pytest.mark.parametrize("absent", ["label_margin_obscured", "probability_margin_obscured"])
def test_half_a_label_is_named(lesions, absent):
    with pytest.raises(ValueError, match=f"column {absent} is missing"):
        check_predictions(lesions.drop(columns=absent))


def test_one_label_alone_is_no_table_of_many(lesions):
    with pytest.raises(ValueError, match="'margin_spiculated' is the only label"):
        check_predictions(lesions.drop(columns=["label_margin_obscured", "probability_margin_obscured"]))
