"""Ablation and twins: which settings are trained, how one is chosen, and what is said of it."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.cli import main
from mammo.pipeline.study import Variants, choose_setting, grid, run_twins, twins

PATIENTS, SEEDS = 12, (0, 1)


def predictions(section, shift):
    """Malignant every other patient; a larger shift tells them apart better."""
    labels = np.arange(PATIENTS) % 2
    noise = np.random.default_rng(len(section)).normal(size=PATIENTS)
    table = pd.DataFrame({"image_id": [f"{section}{n}" for n in range(PATIENTS)], "label": labels, "split": section})
    return table.assign(patient_id=table["image_id"], probability=1 / (1 + np.exp(-noise - shift * labels)))


def explanations(section, ratio):
    table = pd.DataFrame(
        {"image_id": [f"{section}{n}" for n in range(PATIENTS)], "map": "attention", "degenerate": 0.0}
    )
    ratios = ratio + 0.001 * np.arange(PATIENTS)
    return table.assign(patient_id=table["image_id"], background_ratio=ratios, background_chance=0.5)


@pytest.fixture
def known(recipe, outcomes, finish, tmp_path):
    """Twins whose runs have left known results: the regularised one has 0.1 less in the background."""
    study = Variants(recipe, twins({"beta": 1e-3, "gamma": 0.0, "contrast_weight": 0.1}), seeds=SEEDS)
    history = {"train": [], "validation": [{"epoch": 1, "auc": 0.5}]}
    for (name, seed), stage in study.stages.items():
        better = name != "twin"
        finish(stage.folder(tmp_path), outcomes, stage, history=history)
        scores = pd.concat([predictions(section, 1 + better + seed) for section in ("validation", "test")])
        evaluation = recipe.evaluation(stage)
        finish(evaluation.folder(tmp_path), outcomes, evaluation, predictions=scores)
        for section in ("validation", "test"):
            explanation = recipe.explanation(stage, section)
            maps = explanations(section, 0.4 - 0.1 * better + 0.02 * seed)
            finish(explanation.folder(tmp_path), outcomes, explanation, explanations=maps)
    return study


def test_one_factor_at_a_time_starts_from_the_twin():
    points = [tuple(v.overrides.values()) for v in grid([0, 1e-4, 1e-2], [0, 1e-3], [0, 1])]
    assert points == [(0, 0, 0), (1e-4, 0, 0), (1e-2, 0, 0), (0, 1e-3, 0), (0, 0, 1)]


def test_a_full_grid_holds_every_combination_and_the_twin_first():
    points = [tuple(v.overrides.values()) for v in grid([1e-4, 1e-2], [0, 1e-3], [1], full=True)]
    assert points[0] == (0, 0, 0)
    assert len(points) == len(set(points)) == 5


@pytest.mark.parametrize("weights", [([0], [0], [0]), ([-1], [0], [0])])
def test_grids_that_compare_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        grid(*weights)


def test_all_settings_start_from_the_same_pretraining_unless_the_twin_has_its_own(recipe):
    weights = {"beta": 1e-3, "gamma": 0.0, "contrast_weight": 0.0}
    for own, pretrainings in ((False, 2), (True, 4)):
        study = Variants(recipe, twins(weights, own_pretraining=own), seeds=SEEDS)
        assert len({stage.inputs["pretrained"].digest for stage in study.stages.values()}) == pretrainings


def test_a_model_of_breast_tokens_is_evaluated_and_explained_as_it_was_trained(recipe):
    variants = twins({"beta": 1e-3, "gamma": 0.0, "contrast_weight": 0.0}, breast_tokens=True)
    study = Variants(recipe, variants, seeds=[0])
    tokens = {}
    for (name, _), stage in study.stages.items():
        later = [recipe.evaluation(stage), recipe.explanation(stage, "test")]
        tokens[name] = [one.configuration["tokens"] for one in (stage, *later)]
    assert tokens.pop("breast tokens") == ["breast"] * 3
    assert list(tokens.values()) == [["all"] * 3] * 2
    without = next(v for v in variants if v.name == "breast tokens")
    assert not any(without.overrides[name] for name in ("beta", "gamma", "contrast_weight"))


def test_differences_from_the_twin_are_those_of_the_runs(known, outcomes):
    twin, other = known.summary(outcomes)["variants"]
    for section in ("validation", "test"):
        assert twin[section]["background_ratio"]["attention"] == pytest.approx(0.41 + 0.0055)
        assert other[section]["background_ratio_difference"]["attention"]["value"] == pytest.approx(-0.1)
        gain = other[section]["auc"]["value"] - twin[section]["auc"]["value"]
        assert other[section]["auc_difference"]["value"] == pytest.approx(gain)
        assert "auc_difference" not in twin[section]


def test_the_table_has_a_row_a_run(known, outcomes):
    table = known.rows(outcomes)
    other = "regularised: beta 0.001, gamma 0, lambda 0.1"
    assert list(table["variant"]) == ["twin", "twin", other, other]
    assert table["test_background_ratio_attention"].round(4).tolist() == [0.4055, 0.4255, 0.3055, 0.3255]
    assert table["status"].eq("finished").all()


def test_results_are_written_even_where_a_run_failed(known, outcomes, monkeypatch, capsys):
    failed = known.stages["twin", 1]
    outcomes[failed.digest] = type(outcomes.of(failed))(outcomes.of(failed).folder, reason="died of it")
    monkeypatch.setattr(Variants, "run", lambda self: outcomes)
    with pytest.raises(ValueError, match="1 of"):
        run_twins(known)
    out = known.recipe.setting.output_dir
    table = pd.read_csv(out / "study.csv")
    assert table["reason"].dropna().tolist() == ["died of it"]
    assert "primary: difference of the attention background ratio on test" in (out / "study.md").read_text()
    assert json.loads((out / "study.json").read_text())["twin"] == "twin"
    assert (out / "differences.png").read_bytes().startswith(b"\x89PNG")


def test_the_least_background_is_chosen_among_those_of_no_lower_auc():
    def variant(name, auc, ratio, test_ratio=0.0):
        found = {"auc": {"value": auc}, "background_ratio": {"attention": ratio}}
        return {"variant": name, "validation": found, "test": {**found, "background_ratio": {"attention": test_ratio}}}

    found = [variant("twin", 0.80, 0.40), variant("a", 0.795, 0.30, 0.9), variant("b", 0.70, 0.10)]
    assert choose_setting({"map": "attention", "twin": "twin", "variants": found}, 0.01) == "a"
    assert choose_setting({"map": "attention", "twin": "twin", "variants": found}, 0.2) == "b"
    assert choose_setting({"map": "attention", "twin": "twin", "variants": found}, 0.0) == "twin"
    assert choose_setting({"map": "attention", "twin": "other", "variants": found}, 0.01) is None


def test_a_map_that_was_not_drawn_is_refused_before_anything_runs(phantom, tmp_path, capsys):
    command = ["study", "ablation", "--dataset_dir", str(phantom), "--output_dir", str(tmp_path), "--map", "heat"]
    assert main(command) == 1
    assert "--map heat" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
