"""Pretrainings compared in small: several classes and many labels, all arms alike but for their start."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mammo.pipeline.cli import main
from mammo.pipeline.datasets import lesion_crops, load_datalist, save_datalist
from mammo.pipeline.study import PRETRAININGS, Recipe, Setting, pretraining_arms
from sklearn.metrics import roc_auc_score

STEPS = ["--pretrain_steps", "2", "--finetune_steps", "2", "--validate_every", "2", "--seeds", "0", "1"]
NETWORK = {"size": "micro", "image_size": "[32, 32]", "decoder_dim": "16", "decoder_depth": "1", "decoder_heads": "2",
           "batch_size": "8", "device": "cpu", "bootstrap_draws": "20"}  # fmt: skip


@pytest.fixture(scope="module")
def lesions(phantom, tmp_path_factory):
    crops, _ = lesion_crops(load_datalist(phantom / "datalist.json"), margin=0.2)
    return save_datalist(crops, tmp_path_factory.mktemp("lesions") / "lesions.json", keep_root=True)


@pytest.fixture(scope="module")
def study(phantom, lesions, tmp_path_factory):
    """Runs a study by the command line and returns its folder."""
    cache = tmp_path_factory.mktemp("cache")

    def run(out, *more):
        options = [word for key, value in NETWORK.items() for word in (f"--{key}", value)]
        where = ["--dataset_dir", str(phantom), "--datalist", str(lesions), "--output_dir", str(out)]
        fixed = ["--cache_dir", str(cache), "--workers", "2", "--learning_rates", "1e-3", *STEPS]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Setting, "prepare", lambda self: None)  # the stages do it; processes for it would cost more
            assert main(["study", "pretraining", *where, *fixed, *options, *more]) == 0
        return out

    return run


def test_every_arm_is_scored_by_the_mean_over_classes(study, tmp_path):
    out = study(tmp_path, "--pretrainings", "miram", "mae")
    table = pd.read_csv(out / "study.csv")
    assert set(zip(table["arm"], table["seed"], strict=True)) == {
        (arm, seed) for arm in ("miram", "mae", "from_scratch") for seed in (0, 1)
    }
    assert (table["pretrain_steps"] + table["finetune_steps"]).eq(4).all()
    for _, row in table.iterrows():
        scores = pd.read_csv(out / "runs" / row["evaluation"] / "predictions.csv")
        test = scores[scores["split"] == "test"]
        told = [k for k in range(4) if 0 < (test["label"] == k).sum() < len(test)]
        expected = np.mean([roc_auc_score(test["label"] == k, test[f"probability_{k}"]) for k in told])
        assert row["test_auc"] == pytest.approx(expected)
    summary = json.loads((out / "study.json").read_text())
    assert "miram minus mae" in summary["primary_endpoint"]
    assert {one["second"] for one in summary["differences"]} == {"mae", "from_scratch"}
    correct = [scores_of(out, row).eval("called == label").mean() for _, row in table[table["arm"] == "mae"].iterrows()]
    told = next(line for line in (out / "study.md").read_text().splitlines() if line.startswith("| mae |"))
    assert told.split("|")[5].split()[0] == f"{np.mean(correct):.3f}"


def scores_of(out, row):
    scores = pd.read_csv(out / "runs" / row["evaluation"] / "predictions.csv")
    test = scores[scores["split"] == "test"]
    return test.assign(called=test.filter(regex=r"^probability_\d").to_numpy().argmax(axis=1))


def test_a_mix_is_another_pretraining_of_the_first_and_the_same_fine_tuning(study, lesions, tmp_path):
    whole = load_datalist(lesions)
    fewer = save_datalist(whole | {"training": whole["training"][1:]}, tmp_path / "fewer.json", keep_root=True)
    out = study(tmp_path / "study", "--pretrainings", "mae", "--seeds", "0", "--mixes", f"fewer={fewer}")
    table = pd.read_csv(out / "study.csv").set_index("arm")
    assert set(table.index) == {"mae", "mae_on_fewer", "from_scratch"}
    pretrained = [yaml.safe_load(path.read_text()) for path in (out / "runs").glob("pretrain-*/config.yaml")]
    assert {Path(config["datalist"]).name for config in pretrained} == {"fewer.json", "lesions.json"}
    finetuned = [yaml.safe_load((out / "runs" / run / "config.yaml").read_text()) for run in table["run"]]
    assert {Path(config["datalist"]).name for config in finetuned} == {"lesions.json"}
    assert len({config["pretrained"] for config in finetuned}) == 3


@pytest.mark.parametrize("word", ["few", "few=", "few=nowhere.json"])
def test_a_mix_that_is_no_list_is_refused(word, phantom, lesions, tmp_path, capsys):
    where = ["--dataset_dir", str(phantom), "--datalist", str(lesions), "--output_dir", str(tmp_path)]
    assert main(["study", "pretraining", *where, "--learning_rates", "1e-3", "--mixes", word]) == 1
    assert f"--mixes {word}" in capsys.readouterr().err


def test_margins_are_scored_by_the_mean_over_labels(study, tmp_path):
    out = study(
        tmp_path, "--pretrainings", "mae", "miram_nystrom_2d", "--overlay", "margins", "--image_size", "[64, 64]"
    )
    for _, row in pd.read_csv(out / "study.csv").iterrows():
        scores = pd.read_csv(out / "runs" / row["evaluation"] / "predictions.csv")
        test = scores[scores["split"] == "test"]
        names = [name.removeprefix("label_") for name in test if name.startswith("label_")]
        told = [name for name in names if test[f"label_{name}"].nunique() == 2]
        expected = np.mean([roc_auc_score(test[f"label_{name}"], test[f"probability_{name}"]) for name in told])
        assert row["test_auc"] == pytest.approx(expected)


@pytest.mark.parametrize("names", [["mea"], ["mae", "mae"], []])
def test_arms_are_named_once_each(names, recipe):
    with pytest.raises(ValueError, match="give some of mae, miram"):
        pretraining_arms(recipe, names)


def test_the_list_is_that_of_lesions_where_none_is_named(tmp_path, capsys):
    where = ["--dataset_dir", str(tmp_path), "--output_dir", str(tmp_path / "out"), "--learning_rates", "1e-3"]
    assert main(["study", "pretraining", *where]) == 1
    assert f"no datalist at {tmp_path / 'lesions.json'}" in capsys.readouterr().err


def test_all_arms_have_equal_steps(recipe):
    arms = pretraining_arms(recipe, list(PRETRAININGS))
    assert {arm.all_steps(recipe) for arm in arms} == {recipe.pretrain_steps + recipe.finetune_steps}
    longer = pretraining_arms(recipe, ["mae"], scratch_factor=3)[-1]
    assert longer.pretraining is None
    assert longer.all_steps(recipe) == 3 * (recipe.pretrain_steps + recipe.finetune_steps)


def test_without_a_run_from_scratch_two_pretrainings_are_compared(recipe):
    assert [arm.name for arm in pretraining_arms(recipe, ["miram", "mae"], scratch_factor=0)] == ["miram", "mae"]
    with pytest.raises(ValueError, match="nothing to compare"):
        pretraining_arms(recipe, ["mae"], scratch_factor=0)


def test_a_pretraining_has_its_own_rate_and_its_longer_twin(phantom, lesions, tmp_path):
    setting = Setting(phantom, tmp_path, datalist=lesions, bundle="miram", options={"size": "micro"})
    recipe = Recipe(setting, pretrain_steps=2, finetune_steps=4, validate_every=2, two_classes=False)
    arms = pretraining_arms(recipe, ["miram", "mae", "moco"], rates={"moco": 3e-4}, longer={"mae": 2})
    assert [arm.name for arm in arms] == ["miram", "mae", "moco", "mae_x2", "from_scratch"]
    stages = {arm.name: arm.start(recipe, 0) for arm in arms[:-1]}
    assert stages["moco"].configuration["learning_rate"] == 3e-4
    assert stages["moco"].name == "pretrain_moco"
    assert stages["mae"].configuration["learning_rate"] != 3e-4
    assert stages["mae_x2"].configuration["max_epochs"] == 2 * stages["mae"].configuration["max_epochs"]
    told = {arm.name: arm.all_steps(recipe) for arm in arms}
    assert told["mae_x2"] == told["mae"] + recipe.pretrain_steps
    same = [{k: v for k, v in stages[n].configuration.items() if k != "max_epochs"} for n in ("mae", "mae_x2")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("option", "word", "told"),
    [
        ("--pretraining_rates", "moco=1e-3", "names of --pretrainings"),
        ("--pretraining_rates", "mae=0", "numbers above 0"),
        ("--pretraining_rates", "mae=fast", "write NAME=NUMBER"),
        ("--longer", "mae=1", "numbers above 1"),
        ("--longer", "mae=2.5", "write NAME=WHOLE_NUMBER"),
        ("--mixes", "crops=", "write NAME=DATALIST"),
    ],
)
def test_a_value_by_name_is_checked(phantom, lesions, tmp_path, capsys, option, word, told):
    where = ["--dataset_dir", str(phantom), "--datalist", str(lesions), "--output_dir", str(tmp_path / "out")]
    assert main(["study", "pretraining", *where, *STEPS, "--learning_rates", "1e-3", option, word]) == 1
    assert told in capsys.readouterr().err
