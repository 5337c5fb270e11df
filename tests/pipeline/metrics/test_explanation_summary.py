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


def test_heat_tells_malignant_from_benign_by_its_area_and_both_means(table):
    table = table.assign(label=[0, 0, 1, 1, -1] * 8, heat=[0.1, 0.3, 0.3, 0.4, 9.0] * 8)
    measures = summarise_explanations(table, draws=50)["maps"]["gradcam"]["measures"]
    assert measures["heat_auc"]["mean"]["value"] == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert measures["heat_auc"]["chance"] == {"fixed": 0.5}
    assert measures["heat_auc"]["above_chance"]["fixed"]["value"] == pytest.approx(3.5 / 4 - 0.5)
    assert measures["heat_auc"]["images"] == 32
    assert measures["heat_benign"]["mean"]["value"] == pytest.approx(0.2)
    assert measures["heat_malignant"]["mean"]["value"] == pytest.approx(0.35)


def test_attention_shares_out_a_fixed_total_so_its_heat_is_not_told(table):
    table = table.assign(map="attention", label=[0, 1] * 20, heat=[0.1, 0.3] * 20)
    heat = summarise_explanations(table, draws=20)["maps"]["attention"]["measures"]["heat_auc"]
    assert heat["mean"]["value"] is None
    assert heat["images"] == 0


def test_only_malignant_images_above_the_threshold_are_detected_cancers(table):
    table = table.assign(
        label=[0, 1, 1, 1] * 10,
        probability=[0.9, 0.5, 0.49, 0.8] * 10,
        pointing_hit_token=[0.0, 1.0, 0.0, 0.5] * 10,
        pointing_token_chance=[0.9, 0.2, 0.9, 0.4] * 10,
    )
    measures = summarise_explanations(table, draws=20, threshold=0.5)["maps"]["gradcam"]["measures"]
    detected = measures["detected_pointing_hit_token"]
    assert detected["mean"]["value"] == pytest.approx((1 + 0.5) / 2)
    assert detected["chance"] == {"pointing_token_chance": pytest.approx(0.3)}
    assert detected["images"] == 20
    without = summarise_explanations(table, draws=20)["maps"]["gradcam"]["measures"]
    assert "detected_pointing_hit_token" not in without


def test_the_twin_is_told_and_the_difference_is_that_of_each_image(table):
    twin = table.assign(background_ratio=table["background_ratio"] + 0.1).sample(frac=1, random_state=0)
    twin.loc[3, "background_ratio"] = np.nan  # a blank map of the twin: that image is in no pair
    measure = summarise_explanations(table, draws=100, twin=twin)["maps"]["gradcam"]["measures"]["background_ratio"]
    gap = measure["difference"]
    assert (gap["value"], gap["low"], gap["high"]) == pytest.approx((-0.1, -0.1, -0.1))
    assert measure["twin"]["value"] == pytest.approx(twin["background_ratio"].mean())


def test_a_twin_of_other_images_is_refused(table):
    with pytest.raises(ValueError, match="share no image"):
        summarise_explanations(table, twin=table.assign(patient_id="x"))


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
    table = table.round(3)  # before pandas 3 the last digits may be lost
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


def test_the_chance_of_a_hit_is_that_of_its_images_and_is_asked_for(table):
    hits = table.assign(hit_iou_25=[1.0, 0.0] * 20, hit_iou_25_chance=[0.2, 0.0] * 20)
    measure = summarise_explanations(hits, draws=20)["maps"]["gradcam"]["measures"]["hit_iou_25"]
    assert measure["chance"] == {"hit_iou_25_chance": pytest.approx(0.1)}
    with pytest.raises(ValueError, match=r"hit_iou_25_chance \(of hit_iou_25\) is missing"):
        summarise_explanations(hits.drop(columns="hit_iou_25_chance"))
