"""A classifier leaves as a bundle, and comes back as the same classifier or not at all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.hospital.decode import here
from mammo.pipeline.hospital.loading import load_model
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.packaging.export import export_bundle
from mammo.pipeline.packaging.verify import check_bundle, check_targets, verify_bundle
from mammo.pipeline.phantom import write_study

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

OPTIONS = {"size": "micro", "tasks": ["pathology"], "pooling": "mask", "tokens": "all", "image_size": [64, 64]}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The checkpoint of a run folder as finetune leaves it, with random weights."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    network = MammogramClassifier(SwinEncoder(size="micro"))
    torch.nn.init.normal_(network.head.weight)
    (folder / "checkpoints").mkdir()
    torch.save(network.state_dict(), folder / "checkpoints" / "best.pt")
    named = {"bundle_root": "$str(bundles.bundle_root('swin_mim'))"}
    (folder / "config.yaml").write_text(yaml.safe_dump(named | OPTIONS))
    (folder / "environment.json").write_text(json.dumps({"datalist": "gone.json", "datalist_sha256": "ab"}))
    return folder / "checkpoints" / "best.pt"


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "breast_classification"
    return export_bundle(run, out, weights_licence="CC-BY-4.0", data_licence="CC0-1.0")


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "breast_classification"))


def change(path: Path, **values) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | values))


def test_all_forms_give_the_networks_probabilities_and_map(bundle):
    differences = verify_bundle(bundle)
    assert set(differences) == {"models/model.ts", "models/model.onnx"}
    assert max(differences.values()) < 1e-4


def test_a_study_gives_the_same_from_the_run_and_from_the_bundle(run, bundle, tmp_path):
    paths = [path for path, _ in write_study(tmp_path, index=1, seed=77, preset="demo", unaffected=False)]
    models = [load_model(place) for place in (run, bundle)]
    from_run, from_bundle = (StudyEngine(model, decode=here(model.transform)).process(paths) for model in models)
    told = [[view.probability for view in result.scored()] for result in (from_run, from_bundle)]
    assert len(told[0]) == 2
    assert told[0] == told[1]
    assert from_bundle.model.bundle == "breast_classification"


def test_the_metadata_says_what_a_hospital_asks_for(bundle):
    about, configuration = check_bundle(bundle)
    assert about["licences"]["weights"] == "CC-BY-4.0"
    assert about["licences"]["data"] == "CC0-1.0"
    assert "not for diagnosis" in about["intended_use"]
    assert about["network_data_format"]["inputs"]["image"]["spatial_shape"] == [64, 64]
    assert about["network_data_format"]["outputs"]["pred"]["type"] == "tuples"
    assert configuration["gate"] == "deploy"


def test_monai_runs_it_without_evaluating_anything(bundle, tmp_path):
    """`MONAI_EVAL_EXPR=0`, as a hospital should set it, in the bundle's folder."""
    write_study(tmp_path / "images", index=1, seed=77, preset="demo", unaffected=False)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    command += ["--dataset_dir", str(tmp_path / "images"), "--output_file", str(tmp_path / "scores.csv")]
    environment = os.environ | {"MONAI_EVAL_EXPR": "0"}
    done = subprocess.run(command, cwd=bundle, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "scores.csv").read_text().count(",scored,") == 2


@pytest.mark.parametrize(
    ("target", "words"),
    [("os.system", "allowed are"), ("builtins.eval", "allowed are"), ("subprocess.run", "allowed are")],
)
def test_targets_of_anything_else_are_refused(target, words):
    with pytest.raises(ValueError, match=words):
        check_targets({"a": [{"_target_": target, "command": "true"}]}, Path("inference.json"))


def test_expressions_are_refused_wherever_they_stand():
    with pytest.raises(ValueError, match="a::0::b is an expression"):
        check_targets({"a": [{"b": "$__import__('os').getcwd()"}]}, Path("inference.json"))


def test_a_configuration_that_was_changed_to_run_code_is_not_loaded(copy):
    change(copy / "configs" / "inference.json", device="$print('here')")
    with pytest.raises(ValueError, match="expression"):
        load_model(copy)


def test_other_weights_under_the_same_name_are_not_loaded(copy):
    state = torch.load(copy / "models" / "model.pt", weights_only=True)
    state["head.bias"] += 1
    torch.save(state, copy / "models" / "model.pt")
    with pytest.raises(ValueError, match="SHA-256"):
        load_model(copy)


def test_a_bundle_without_a_licence_is_not_used(copy):
    change(copy / "configs" / "metadata.json", licences={"weights": "CC-BY-4.0"})
    with pytest.raises(ValueError, match=r"licences\.data is missing"):
        load_model(copy)


def test_weights_whose_data_have_no_known_licence_do_not_leave(run, tmp_path):
    with pytest.raises(ValueError, match="--data_licence"):
        export_bundle(run, tmp_path / "out", weights_licence="CC-BY-4.0", forms=())
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten(run, tmp_path):
    with pytest.raises(ValueError, match="is there already"):
        export_bundle(run, tmp_path, weights_licence="CC-BY-4.0")
