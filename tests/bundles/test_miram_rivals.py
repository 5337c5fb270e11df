"""MoCo-v3 and DINO on the lesions of a tiny phantom: pretraining, its resumption, fine-tuning from it."""

import json
from pathlib import Path

import pytest
import torch
from mammo.bundles import bundle_root
from mammo.networks import encoder_state
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.datasets import lesion_crops, load_datalist, save_datalist
from mammo.pipeline.handlers import HistoryWriter
from monai.bundle import ConfigParser, ConfigWorkflow

CONFIGS = bundle_root("miram") / "configs"
SMALL = {
    "pretrain_moco": {"projector_dim": 32, "projected_dim": 16},
    "pretrain_dino": {"out_dim": 24, "head_dim": 32, "bottleneck_dim": 16, "local_crops": 2, "teacher_epochs": 3},
}
STAGES = sorted(SMALL)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def small(options, phantom, tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("lesions") / "lesions.json"
    crops, _ = lesion_crops(load_datalist(phantom / "datalist.json"), margin=0.2)
    more = {
        "image_size": [32, 32],
        "datalist": str(save_datalist(crops, path, keep_root=True)),
        "max_epochs": 2,
        "batch_size": 2,
    }
    return options | more


@pytest.fixture(scope="module", params=STAGES)
def pretrained(request, small, tmp_path_factory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("rivals") / request.param
    run_bundle("miram", request.param, overrides=small | SMALL[request.param] | {"output_dir": str(out)})
    return request.param, out


def outcome(out: Path) -> list:
    states = [torch.load(out / f"checkpoints/{name}.pt", weights_only=True) for name in ("best", "last")]
    return [json.loads((out / "history.json").read_text()), *states]


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other


def test_training_tells_its_parts_and_the_rank(pretrained):
    stage, out = pretrained
    history = json.loads((out / "history.json").read_text())
    parts = {"accuracy"} if stage == "pretrain_moco" else {"entropy", "divergence"}
    assert all(parts <= set(row) for row in history["train"])
    assert [row["epoch"] for row in history["validation"]] == [1, 2]
    assert all(row["feature_rank"] > 1 for row in history["validation"])


def test_the_slow_network_followed_and_the_quick_one_moved_on(pretrained):
    stage, out = pretrained
    state = torch.load(out / "checkpoints/last.pt", weights_only=True)["model"]
    quick, slow = ("encoder", "momentum_encoder") if stage == "pretrain_moco" else ("student_encoder", "encoder")
    name = ".blocks.0.attn.qkv.weight"
    assert 0 < (state[quick + name] - state[slow + name]).abs().max() < 0.1


def test_fine_tuning_starts_from_the_encoder(pretrained, small, tmp_path):
    start = pretrained[1] / "checkpoints/best.pt"
    more = {"output_dir": str(tmp_path), "pretrained": str(start), "max_epochs": 1, "learning_rate": 0.0}
    run_bundle("miram", "finetune", overrides=small | more)
    before, after = encoder_state(start), encoder_state(tmp_path / "checkpoints/best.pt")
    assert set(before) - set(after) == {"norm.weight", "norm.bias"}
    assert all(torch.equal(after[name], before[name]) for name in after)


def test_a_run_killed_within_an_epoch_and_resumed_equals_an_undisturbed_one(pretrained, small, tmp_path, monkeypatch):
    stage, whole = pretrained
    # The whole run saved at ends of epochs only, which must not matter either.
    run = small | SMALL[stage] | {"output_dir": str(tmp_path), "save_steps": 1, "resume": True}
    add, calls = HistoryWriter.add, iter(range(100))
    steps = json.loads((whole / "history.json").read_text())["train"][0]["iteration"]
    assert steps >= 2

    def killed(self, engine):
        if next(calls) == steps + 1:
            raise Killed
        add(self, engine)

    with monkeypatch.context() as patch:
        patch.setattr(HistoryWriter, "add", killed)
        with pytest.raises(Killed):
            run_bundle("miram", stage, overrides=run)
    left = torch.load(tmp_path / "checkpoints/last.pt", weights_only=True)
    assert "random" in left["processes"][0]
    run_bundle("miram", stage, overrides=run)
    assert all(same(*pair) for pair in zip(outcome(whole), outcome(tmp_path), strict=True))


@pytest.mark.parametrize("stage", STAGES)
def test_monai_finds_every_training_property(stage, small, tmp_path):
    overrides = small | SMALL[stage] | {"output_dir": str(tmp_path)}
    workflow = ConfigWorkflow(str(CONFIGS / f"{stage}.yaml"), workflow_type="train", logging_file=False, **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("stage", STAGES)
def test_images_are_prepared_as_for_the_autoencoder(stage):
    ours, theirs = (ConfigParser.load_config_file(CONFIGS / f"{name}.yaml") for name in (stage, "pretrain"))
    for name in ("resize", "background", "margin_px", "gate", "image_size", "image_mean", "image_std", "size"):
        assert ours[name] == theirs[name]
    (step,), (other,) = ours["load"], theirs["load"]
    assert {**step, "spatial_size": None} == {**other, "spatial_size": None}


def test_the_last_layer_stays_for_an_epoch_and_decay_rises(small, tmp_path):
    run = small | SMALL["pretrain_dino"] | {"output_dir": str(tmp_path), "frozen_epochs": 2, "warmup": 0.0}
    run_bundle("miram", "pretrain_dino", overrides=run)
    last = torch.load(tmp_path / "checkpoints/last.pt", weights_only=True)
    name = "student_head.last.parametrizations.weight.original1"
    # Teacher and student began alike: while the student's layer stays, so does the teacher's.
    assert torch.equal(last["model"][name], last["model"][name.replace("student_head", "head")])
    decays = {group["name"]: group["weight_decay"] for group in last["optimizer"]["param_groups"]}
    assert decays["not decayed"] == 0
    assert 0.3 < decays["decayed"] < 0.4
