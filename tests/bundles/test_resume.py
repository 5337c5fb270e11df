"""Both training stages stopped at chosen moments and resumed: nothing may differ from an undisturbed run.

Real kills at random moments, with worker processes: ``benchmarks/faults/kill_training.py``.
"""

import json
from pathlib import Path

import pytest
import torch
from mammo.pipeline import checkpoints
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.checkpoints import TrainingCheckpoints
from mammo.pipeline.handlers import HistoryWriter
from monai.engines import SupervisedEvaluator

EVERYTHING = {
    "pretrain": {
        "ema": 0.8,
        "accumulate": 2,
        "save_steps": 2,
        "epoch_length": 5,
        "fill": "token",
        "decay_norms": False,
        "full_resolution": True,
        "normalised_block": 8,
    },
    "finetune": {"ema": 0.8, "layer_decay": 0.7, "save_steps": 1, "dropout": 0.3, "patience": 3, "gamma": 1e-3},
}
"""All that has a state; an epoch of pretraining ends within a pass over the images."""


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def options(options) -> dict:
    return options | {"batch_size": 2, "max_epochs": 3, "learning_rate": 1e-3, "pretrained": None}


def raise_at(call: int, function):
    """The function, but for its ``call``-th call, in which the process ends."""
    calls = iter(range(1, 1000))

    def wrapped(*arguments, **named):
        if next(calls) == call:
            raise Killed
        return function(*arguments, **named)

    return wrapped


def half_written(content, file) -> None:
    file.write(b"half")
    raise Killed


def at_the_end_of_an_epoch(function):
    def wrapped(self, trainer):
        if trainer.state.iteration % trainer.state.epoch_length == 0:
            raise Killed
        function(self, trainer)

    return wrapped


MOMENTS = {
    "in the first step": (HistoryWriter, "add", lambda function: raise_at(1, function)),
    "in validation": (SupervisedEvaluator, "_iteration", lambda function: raise_at(1, function)),
    "between best.pt and last.pt": (TrainingCheckpoints, "save_last", at_the_end_of_an_epoch),
    "while a file is written": (checkpoints.torch, "save", lambda function: half_written),
    "in the middle of an epoch": (HistoryWriter, "add", lambda function: raise_at(4, function)),
}


def outcome(folder: Path) -> tuple[str, dict, dict]:
    states = [torch.load(folder / f"checkpoints/{name}.pt", weights_only=True) for name in ("best", "last")]
    return (folder / "history.json").read_text(), *states


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_run_stopped_at_every_moment_equals_an_undisturbed_one(stage, options, tmp_path, monkeypatch):
    training = options | EVERYTHING[stage]
    if stage == "pretrain":
        training |= {"decoder_widths": [16, 8, 8, 8]}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_bundle("swin_mim", stage, overrides=training | {"output_dir": str(whole)})
    for owner, name, disturb in MOMENTS.values():
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, disturb(getattr(owner, name)))
            with pytest.raises(Killed):
                run_bundle("swin_mim", stage, overrides=training | {"output_dir": str(stopped), "resume": True})
    run_bundle("swin_mim", stage, overrides=training | {"output_dir": str(stopped), "resume": True})
    for one, other in zip(outcome(whole), outcome(stopped), strict=True):
        assert same(one, other)
    left = [path.name for path in sorted((stopped / "checkpoints").iterdir())]
    assert left == ["best.pt", "config.yaml", "last.pt"]


def test_a_loss_that_is_no_number_ends_the_run_with_the_images_and_keeps_the_checkpoints(options, tmp_path):
    run = options | {"output_dir": str(tmp_path), "decoder_widths": [16, 8, 8, 8], "max_epochs": 1}
    run_bundle("swin_mim", "pretrain", overrides=run)
    before = {name: (tmp_path / "checkpoints" / name).read_bytes() for name in ("best.pt", "last.pt")}
    hot = {
        "max_epochs": 2,
        "resume": True,
        "train::trainer::loss_function": "$lambda pred, target: pred.mean() * torch.nan",
    }
    with pytest.raises(RuntimeError) as raised:
        run_bundle("swin_mim", "pretrain", overrides=run | hot)
    content = json.loads((tmp_path / "nan_batch.json").read_text())
    assert (content["epoch"], content["step"]) == (2, 1)
    assert len(content["image_id"]) == 2
    assert f"epoch 2, step 1, with the images {content['image_id'][0]}" in str(raised.value.__cause__)
    assert {name: (tmp_path / "checkpoints" / name).read_bytes() for name in before} == before


def test_the_average_is_validated_and_kept_and_differs_from_the_network(options, tmp_path):
    run = options | {"output_dir": str(tmp_path), "ema": 0.9, "max_epochs": 1}
    run_bundle("swin_mim", "finetune", overrides=run)
    best, last = (torch.load(tmp_path / f"checkpoints/{name}.pt", weights_only=True) for name in ("best", "last"))
    assert same(best, last["average"])
    assert not torch.equal(best["head.weight"], last["model"]["head.weight"])


def test_pretraining_tells_the_rank_of_its_features(options, tmp_path):
    run = options | {"output_dir": str(tmp_path), "decoder_widths": [16, 8, 8, 8], "max_epochs": 1}
    run_bundle("swin_mim", "pretrain", overrides=run)
    (row,) = json.loads((tmp_path / "history.json").read_text())["validation"]
    listed = json.loads((Path(options["dataset_dir"]) / "datalist.json").read_text())
    assert 1 <= row["feature_rank"] <= len(listed["validation"])
    assert row["feature_std"] > 0
