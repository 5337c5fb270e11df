"""MONAI's own commands on the bundle: run from any folder, verify_metadata, verify_net_in_out."""

import hashlib
import json
import runpy
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from mammo.bundles import bundle_root
from mammo.pipeline.run_folder import bundle_configuration
from monai.bundle import ConfigWorkflow, verify_metadata, verify_net_in_out

ROOT = bundle_root("swin_mim")
CONFIGS = ROOT / "configs"
SCHEMA = ROOT.parent / "metadata_schema.json"
PROGRAM = "/somewhere/monai/bundle/__main__.py"


def files(*names: str) -> list[str]:
    return [str(CONFIGS / f"{name}.yaml") for name in names]


def monai_bundle(monkeypatch, *words: str) -> None:
    """``python -m monai.bundle WORDS`` in this process."""
    monkeypatch.setattr(sys, "argv", ["monai.bundle", *words])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "parsing config_file", UserWarning)  # MONAI's notice to every reader
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    """A working folder in which all stages ran on the embedded phantom, with one small override."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for stage in ("pretrain", "finetune", "evaluate", "explain"):
            words = ["--config_file", str(files(stage, "tiny")), "--image_size", "[64,32]", "--logging_file=False"]
            monai_bundle(monkeypatch, "run", *words)
    return folder


def test_each_stage_runs_on_the_embedded_phantom_where_one_stands(elsewhere):
    outputs = elsewhere / "outputs"
    assert {path.name for path in elsewhere.iterdir()} == {"outputs"}
    assert (outputs / "phantom/datalist.json").is_file()
    before = torch.load(outputs / "pretrain/checkpoints/best.pt", weights_only=True)
    after = torch.load(outputs / "finetune/checkpoints/best.pt", weights_only=True)
    assert [n for n in before if n.startswith("encoder.")] == [n for n in after if n.startswith("encoder.")]
    scored = set(pd.read_csv(outputs / "finetune/test/predictions.csv").query("split == 'test'")["image_id"])
    assert set(pd.read_csv(outputs / "explain/explanations.csv")["image_id"]) == scored
    assert len(list((outputs / "explain/figures").glob("*.png"))) == 4


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "evaluate", "explain"])
def test_monai_run_leaves_what_was_run_too(stage, elsewhere):
    folder = elsewhere / "outputs" / ("finetune/test" if stage == "evaluate" else stage)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["size"] == "micro"  # of tiny.yaml
    assert config["image_size"] == [64, 32]  # of the command line
    assert config["run"][0] == "$@run_folder.write()"  # of the stage, as it is written there
    assert json.loads((folder / "environment.json").read_text())["command"].count("--config_file") == 1


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ([], {}),
        (["--learning_rate", "1e-3", "--tasks=[density]"], {"learning_rate": 1e-3, "tasks": ["density"]}),
        (["--train::trainer::max_epochs", "7"], {"train::trainer::max_epochs": 7}),
        (["--train#dataloader#shuffle=False"], {"train::dataloader::shuffle": False}),
        (["--pretrained", "$None", "--logging_file", "False"], {"pretrained": "$None"}),
    ],
)
def test_the_configuration_kept_is_the_one_that_monai_merged(words, overrides):
    chosen = files("finetune", "tiny", "multi_gpu")
    kept = bundle_configuration([PROGRAM, "run", "--config_file", str(chosen), *words])
    workflow = ConfigWorkflow(chosen, workflow_type="train", logging_file=False, **overrides)
    assert kept == {name: value for name, value in workflow.parser.get().items() if name != "_meta_"}


def test_arguments_of_a_file_are_kept_too(tmp_path):
    (tmp_path / "arguments.json").write_text(json.dumps({"config_file": files("pretrain")[0], "seed": 3}))
    kept = bundle_configuration([PROGRAM, "run", "--args_file", str(tmp_path / "arguments.json"), "--beta", "0"])
    assert (kept["seed"], kept["beta"], kept["size"]) == (3, 0, "base")
    assert "config_file" not in kept


@pytest.mark.parametrize("argv", [["mammo", "pretrain"], [PROGRAM], [PROGRAM, "verify_metadata", "--meta_file", "x"]])
def test_another_process_has_no_bundle_configuration(argv):
    assert bundle_configuration(argv) is None


def verify(metadata: Path) -> None:
    """MONAI's own verification, which leaves a schema alone that is there and has the given hash."""
    digest = hashlib.sha256(SCHEMA.read_bytes()).hexdigest()
    verify_metadata(meta_file=str(metadata), filepath=str(SCHEMA), hash_val=digest, hash_type="sha256")


def test_metadata_fits_the_schema_that_is_shipped():
    verify(CONFIGS / "metadata.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.pop("intended_use"),
        lambda meta: meta.update(version=1),
        lambda meta: meta.update(monai_version="new"),
        lambda meta: meta.update(authors=""),
        lambda meta: meta["network_data_format"].pop("outputs"),
        lambda meta: meta["network_data_format"]["inputs"]["image"].update(num_channels="2"),
        lambda meta: meta["network_data_format"]["inputs"]["image"].pop("channel_def"),
        lambda meta: meta["network_data_format"]["outputs"]["pred"].update(value_range=[0]),
    ],
)
def test_the_schema_refuses_incomplete_metadata(change, tmp_path):
    meta = json.loads((CONFIGS / "metadata.json").read_text())
    change(meta)
    (tmp_path / "metadata.json").write_text(json.dumps(meta))
    with pytest.raises(ValueError, match="Failed validating"):
        verify(tmp_path / "metadata.json")


@pytest.mark.parametrize("stage", ["finetune.yaml", "inference.json"])
def test_the_second_papers_network_takes_and_gives_what_it_says(stage):
    start = {"pretrained": "$None"} if stage == "finetune.yaml" else {}
    meta = [str(CONFIGS / name) for name in ("metadata.json", "metadata_dual_stage.json")]
    config = [str(CONFIGS / name) for name in (stage, "dual_stage.yaml")]
    verify_net_in_out("network_def", meta_file=meta, config_file=config, size="micro", device="cpu", **start)
