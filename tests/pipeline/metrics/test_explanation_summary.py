"""Summaries of explanations: means by patient, beside chance."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import read_explanations, summarise_explanations


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "image_id": [f"i{k}" for k in range(40)],
        "patient_id": [f"p{k // 2}" for k in range(40)],
        "map": "gradcam",
        "degenerate": 0,
        "background_ratio": rng.uniform(0.1, 0.3, 40),
        "background_chance": 0.5,
        "pointing_hit": (np.arange(40) % 4 == 0) * 1.0,
        "pointing_chance": 0.1,
    })  # fmt: skip
    frame.loc[20:, ["pointing_hit", "pointing_chance"]] = np.nan
    return frame


def test_means_stand_beside_the_chance_of_the_same_images(table):
    table.loc[20:, "pointing_chance"] = 0.9  # of images without a lesion: not to be mixed in
    measure = summarise_explanations(table, draws=100)["maps"]["gradcam"]["measures"]["pointing_hit"]
    assert measure["mean"]["value"] == pytest.approx(0.25)
    assert measure["images"] == 20
    assert measure["chance"] == {"pointing_chance": pytest.approx(0.1)}
    assert measure["above_chance"]["pointing_chance"]["value"] == pytest.approx(0.15)


def test_the_difference_to_each_chance_is_told(table):
    table["pointing_chance_breast"] = table["pointing_chance"] * 3
    gaps = summarise_explanations(table, draws=50)["maps"]["gradcam"]["measures"]["pointing_hit"]["above_chance"]
    values = {column: gap["value"] for column, gap in gaps.items()}
    assert values == pytest.approx({"pointing_chance": 0.15, "pointing_chance_breast": -0.05})


def test_the_interval_is_by_patient(table):
    once = summarise_explanations(table, draws=200)
    table["image_id"] += "b"
    twice = summarise_explanations(pd.concat([table.assign(image_id=table["image_id"] + "c"), table]), draws=200)
    one, two = (s["maps"]["gradcam"]["measures"]["background_ratio"]["mean"] for s in (once, twice))
    assert (one["low"], one["high"]) == pytest.approx((two["low"], two["high"]))


def test_degenerate_maps_are_counted_and_left_out_of_shares(table):
    table.loc[0, ["degenerate", "background_ratio"]] = 1, np.nan
    summary = summarise_explanations(table, draws=50)["maps"]["gradcam"]
    assert summary["degenerate"] == 1
    assert summary["images"] == 40
    assert summary["measures"]["background_ratio"]["images"] == 39


def test_each_kind_of_map_has_its_own_figures(table):
    both = pd.concat([table, table.assign(map="attention", background_ratio=0.5)])
    maps = summarise_explanations(both, draws=50)["maps"]
    assert list(maps) == ["attention", "gradcam"]
    assert maps["attention"]["measures"]["background_ratio"]["above_chance"]["background_chance"][
        "value"
    ] == pytest.approx(0)


def test_nothing_known_is_null_with_a_reason_and_valid_json(table):
    summary = summarise_explanations(table.assign(pointing_hit=np.nan), draws=20)
    mean = json.loads(json.dumps(summary, allow_nan=False))["maps"]["gradcam"]["measures"]["pointing_hit"]["mean"]
    assert mean["value"] is None
    assert mean["reason"] == "no image has this measure"


def test_a_table_survives_its_file(table, tmp_path):
    table["patient_id"] = [f"{k // 2:03d}" for k in range(40)]
    table.to_csv(tmp_path / "explanations.csv", index=False)
    again = read_explanations(tmp_path / "explanations.csv")
    assert list(again["patient_id"]) == list(table["patient_id"])
    assert summarise_explanations(again, draws=20) == summarise_explanations(table, draws=20)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="background_ratio"), "background_ratio is missing"),
        (lambda t: t.drop(columns="pointing_chance"), r"pointing_chance \(of pointing_hit\) is missing"),
        (lambda t: t.assign(degenerate="no"), "degenerate holds something that is no number"),
        (lambda t: pd.concat([t, t.head(1)]), "'i0' has two rows"),
        (lambda t: t.head(0), "no rows"),
    ],
)
def test_a_table_that_would_mislead_is_refused(table, change, said):
    with pytest.raises(ValueError, match=said):
        summarise_explanations(change(table))


def test_an_unreadable_file_is_named(tmp_path):
    path = tmp_path / "explanations.csv"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"explanations\.csv"):
        read_explanations(path)
