"""A classifier leaves as a bundle, and comes back as the same classifier or not at all.

Plain MONAI, `mammo process`, TorchScript and ONNX Runtime give one answer of the real images of an exam, where
`bundle verify` takes random ones. The Deploy application joins in `make deploy-check`, by the same code.
"""

import importlib.util
import json
import os
import pydoc
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mammo.pipeline.hospital.decode import here
from mammo.pipeline.hospital.loading import load_model
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.packaging.export import export_bundle
from mammo.pipeline.packaging.names import TOLERANCE
from mammo.pipeline.packaging.targets import check_targets, known_targets
from mammo.pipeline.packaging.verify import check_bundle, verify_bundle
from mammo.pipeline.phantom import write_study
from monai.bundle.config_item import ComponentLocator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PARITY = Path(__file__).parents[3] / "examples" / "monai_deploy" / "parity.py"


@pytest.fixture(scope="module")
def parity():
    """The example's own code, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("monai_deploy_parity", PARITY)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def bundle(parity, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("exported")
    return parity.write_bundle(root, parity.write_exam(root / "exam"))


@pytest.fixture(scope="module")
def run(bundle) -> Path:
    """The checkpoint that was exported, of a run folder as finetune leaves it."""
    return bundle.parent / "run" / "checkpoints" / "best.pt"


@pytest.fixture(scope="module")
def columns(parity, bundle):
    return {name: form(bundle, bundle.parent / "exam") for name, form in parity.FORMS.items()}


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


def test_every_form_of_a_bundle_gives_the_same_probabilities(parity, columns):
    assert len(columns) == 4
    assert len(columns["plain MONAI"]) == 4
    assert parity.widest(columns) <= TOLERANCE


def test_images_that_were_mixed_up_would_be_seen(parity, columns):
    reference = columns["plain MONAI"]
    assert parity.spread(reference) > 10 * TOLERANCE
    turned = dict(zip(reference, [*list(reference.values())[1:], next(iter(reference.values()))], strict=True))
    assert parity.widest({"reference": reference, "turned": turned}) > TOLERANCE


def test_a_form_that_left_an_image_out_is_an_error(parity, columns):
    reference = columns["plain MONAI"]
    with pytest.raises(ValueError, match="short scored"):
        parity.widest({"reference": reference, "short": dict(list(reference.items())[1:])})


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
    assert about["network_data_format"]["inputs"]["image"]["spatial_shape"] == [128, 96]
    assert about["network_data_format"]["outputs"]["pred"]["type"] == "tuples"
    assert configuration["gate"] == "deploy"


def test_monai_runs_it_without_evaluating_anything(bundle, tmp_path):
    """`MONAI_EVAL_EXPR=0`, as a hospital should set it, in the folder of a bundle that went where its run is not."""
    there = tmp_path / "elsewhere" / bundle.name
    shutil.copytree(bundle, there)
    assert str(bundle.parent) not in (there / "configs/inference.json").read_text()
    write_study(tmp_path / "images", index=1, seed=77, preset="demo", unaffected=False)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    command += ["--dataset_dir", str(tmp_path / "images"), "--output_file", str(tmp_path / "scores.csv")]
    environment = os.environ | {"MONAI_EVAL_EXPR": "0"}
    done = subprocess.run(command, cwd=there, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "scores.csv").read_text().count(",scored,") == 2


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "monai.utils.misc.os.system",
        "monai.utils.misc.run_cmd",
        "mammo.pipeline.hospital.process.os.system",
        "torch.load",
        "load_network",
        "@dataset_dir",
        ["os.system"],
        "",
    ],
)
def test_targets_of_anything_else_are_refused(target):
    with pytest.raises(ValueError, match=r"a::0::_target_ is .* which no bundle of this package builds"):
        check_targets({"a": [{"_target_": target, "command": "true"}]}, Path("inference.json"))


@pytest.mark.parametrize(
    "text", ["$__import__('os').getcwd()", " $1", "%other.json::network", " %a::b", "%#x", "%network"]
)
def test_expressions_and_macros_are_refused_wherever_they_stand(text):
    for part in ([{"b": text}], [[text]], {"0": {"b": text}}):
        with pytest.raises(ValueError, match=r"a::0::\w is .*; a bundle that travels has no expression or macro"):
            check_targets({"a": part}, Path("inference.json"))


def test_a_component_that_would_wait_for_a_debugger_is_refused():
    with pytest.raises(ValueError, match="a::_mode_"):
        check_targets({"a": {"_target_": "Compose", "_mode_": "debug"}}, Path("inference.json"))


def test_every_component_that_is_allowed_is_there():
    known = ComponentLocator()
    for name in known_targets():
        assert known.get_component_module_name(name) or pydoc.locate(name) is not None
    assert len(known_targets()) > 15


@pytest.mark.parametrize(
    "network",
    [
        {"_target_": "monai.utils.misc.os.system", "command": "touch {here}/run"},
        {"_target_": "monai.utils.misc.run_cmd", "cmd_list": ["touch", "{here}/run"]},
        "%{here}/other.json::network",
    ],
)
def test_a_bundle_that_would_run_a_command_runs_none(copy, tmp_path, network):
    told = json.loads(json.dumps(network).replace("{here}", str(tmp_path)))
    (tmp_path / "other.json").write_text(json.dumps({"network": f"$__import__('os').system('touch {tmp_path}/run')"}))
    change(copy / "configs" / "inference.json", network=told)
    with pytest.raises(ValueError, match="network"):
        load_model(copy)
    assert not (tmp_path / "run").exists()


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
