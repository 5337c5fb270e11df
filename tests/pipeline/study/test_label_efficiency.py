"""Label efficiency in small: every arm, one command, nothing trained twice."""

import json
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from mammo.pipeline.cli import main
from mammo.pipeline.study import LabelEfficiency, Recipe, Setting, arms_of, setting
from mammo.pipeline.study.selection import choose
from sklearn.metrics import roc_auc_score

FRACTIONS, SEEDS = [50, 100], [0, 1]


@pytest.fixture(scope="module")
def finished(small_setting, tmp_path_factory):
    """The folder of a study, and its stages by name."""
    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Setting, "prepare", lambda self: None)  # the stages do it; processes for it would cost more
        make(small_setting(out)).run()
    return out


def make(setting, seeds=(0,), **options):
    recipe = Recipe(setting, pretrain_steps=2, finetune_steps=2, validate_every=2)
    arms = arms_of(recipe, scratch_factor=1, reconstruction_weight=0.1, sparse_pretraining=True)
    return LabelEfficiency(recipe, arms, fractions=FRACTIONS, seeds=list(seeds), **options)


def test_one_pretraining_serves_every_share_and_both_arms(finished):
    stages = Counter(folder.name.partition("-")[0] for folder in (finished / "runs").iterdir() if folder.is_dir())
    assert stages == {"pretrain": 2, "finetune": 8, "evaluate": 8}


def test_the_table_holds_what_the_runs_left(finished):
    table = pd.read_csv(finished / "study.csv")
    arms = ("pretrained", "pretrained_sparse", "from_scratch", "semi_supervised")
    cells = set(zip(table["arm"], table["fraction"], strict=True))
    assert cells == {(arm, share) for arm in arms for share in FRACTIONS}
    for _, row in table.iterrows():
        scores = pd.read_csv(finished / "runs" / row["evaluation"] / "predictions.csv")
        test = scores[scores["split"] == "test"]
        assert row["test_auc"] == pytest.approx(roc_auc_score(test["label"], test["probability"]))
        history = json.loads((finished / "runs" / row["run"] / "history.json").read_text())
        assert row["validation_auc"] == max(one["auc"] for one in history["validation"])
    steps = table["pretrain_steps"] + table["finetune_steps"]
    assert steps.eq(4).all()


def test_the_summary_tells_means_and_paired_differences(finished):
    table = pd.read_csv(finished / "study.csv").set_index(["arm", "fraction"])
    summary = json.loads((finished / "study.json").read_text())
    for cell in summary["cells"]:
        value = table.loc[(cell["arm"], cell["fraction"]), "test_auc"]
        assert cell["test_auc"]["value"] == pytest.approx(value)
        assert cell["test_auc"]["low"] <= value <= cell["test_auc"]["high"]
    for one in summary["differences"]:
        a, b = (table.loc[(one[side], one["fraction"]), "test_auc"] for side in ("first", "second"))
        assert one["difference"]["value"] == pytest.approx(a - b)
    assert summary["datalist_sha256"] in (finished / "study.json").read_text()
    assert summary["datalist_sha256"][:12] in (finished / "study.md").read_text()
    assert (finished / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_start_runs_nothing_and_tells_the_same(finished, small_setting, caplog, monkeypatch):
    monkeypatch.setattr(Setting, "prepare", lambda self: None)
    before = {name: (finished / name).read_bytes() for name in ("study.csv", "curve.png")}
    with caplog.at_level("INFO"):
        make(small_setting(finished)).run()
    assert "18 stages, 18 of them finished before" in caplog.text
    assert {name: (finished / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("factor", [1, 3])
def test_arms_get_equal_steps_in_all_but_the_long_one(recipe, tmp_path, factor):
    weights = tmp_path / "imagenet.safetensors"
    weights.touch()
    more = {"imagenet": str(weights), "reconstruction_weight": 0.1, "sparse_pretraining": True}
    arms = arms_of(recipe, scratch_factor=factor, **more)
    total = {arm.name: arm.all_steps(recipe) for arm in arms}
    assert total.pop("from_scratch_long", 6 * factor) == 6 * factor
    assert set(total.values()) == {6}


def test_the_shares_of_a_seed_are_nested_and_counted(small_setting, tmp_path):
    study = make(small_setting(tmp_path), seeds=SEEDS)
    for seed in SEEDS:
        half, whole = (study.labels[share, seed][0] for share in FRACTIONS)
        assert 2 <= half < whole


def test_the_rate_of_the_best_mean_validation_auc_is_chosen(recipe, outcomes, finish, tmp_path):
    aucs = {1e-3: (0.9, 0.5), 3e-4: (0.8, 0.8), 1e-4: (0.8, 0.8)}
    grid = {}
    for rate, found in aucs.items():
        grid[rate] = [recipe.finetuning("x", seed, learning_rate=rate) for seed in range(2)]
        for stage, auc in zip(grid[rate], found, strict=True):
            rows = [{"epoch": 1, "auc": 0.1}, {"epoch": 2, "auc": auc}, {"epoch": 3, "auc": 0.2}]
            finish(tmp_path / stage.digest, outcomes, stage, history={"train": [], "validation": rows})
    assert choose(grid, outcomes) == 1e-4  # equal means: the smaller rate


def test_a_rate_with_a_failed_run_is_not_chosen(recipe, outcomes, finish, tmp_path):
    grid = {rate: [recipe.finetuning("x", 0, learning_rate=rate)] for rate in (1e-3, 1e-4)}
    for rate, (stage,) in grid.items():
        rows = [{"epoch": 1, "auc": 0.5 + 100 * rate}]
        finish(tmp_path / stage.digest, outcomes, stage, history={"train": [], "validation": rows})
    (failed,) = grid[1e-3]
    outcomes[failed.digest] = type(outcomes.of(failed))(tmp_path, reason="died")
    assert choose(grid, outcomes) == 1e-4
    assert choose({1e-3: [failed]}, outcomes) is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seeds", "0", "0"], "different numbers"),
        (["--fractions", "0"], "above 0 and up to 100"),
        (["--selection_seeds", "9"], "there are 5 seeds"),
        (["--finetune_steps", "41"], "no multiple of --validate_every 40"),
        (["--imagenet", "nowhere.pt"], "no such file"),
        (["--sparse_pretraining", "--pretrain_steps", "0"], "stands beside a dense one"),
        (["--sparse_pretraining", "--tokens", "breast"], "stands beside a dense one"),
        (["--seed", "3"], "give --seeds"),
        (["--batch_sise", "3"], "did you mean batch_size"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(more, message, phantom, tmp_path, capsys):
    command = ["study", "label_efficiency", "--dataset_dir", str(phantom), "--output_dir", str(tmp_path), *more]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_study_needs_a_datalist(tmp_path, capsys):
    assert main(["study", "twins", "--dataset_dir", str(tmp_path), "--output_dir", str(tmp_path)]) == 1
    assert "no datalist at" in capsys.readouterr().err


def test_images_are_prepared_once_for_all_stages_and_starts(small_setting, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(setting, "prepare_images", lambda listed, cache, how, out: calls.append(how.image_size))
    for size in ([64, 32], [64, 32], [32, 32]):
        small_setting(tmp_path, image_size=size).prepare()
    assert calls == [(64, 32), (32, 32)]


def test_a_section_of_one_class_is_refused_before_anything_runs(phantom, small_setting, tmp_path):
    content = json.loads((phantom / "datalist.json").read_text())
    content["test"] = [record for record in content["test"] if record.get("pathology") == "MALIGNANT"]
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="1 of 2 classes in the test images"):
        Recipe(replace(small_setting(tmp_path), datalist=listed))
