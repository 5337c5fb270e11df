"""A run whose loss or weights are no numbers stops, and names the images."""

import json
import math

import pytest
import torch
from ignite.engine import Events
from mammo.pipeline.finite import NonFiniteError, StopAtNonFiniteLoss, first_not_finite
from monai.engines import SupervisedTrainer
from torch import nn


class Objective(nn.Module):
    """The mean of the prediction, and its parts."""

    def forward(self, pred, label):
        self.parts = {"reconstruction": pred.detach().mean(), "spectral": torch.tensor(0.5)}
        return pred.mean()


def train(path, values, epochs=2, ids=1) -> SupervisedTrainer:
    """A batch of ``ids`` images for each value, which is the loss of an untouched network."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    objective = Objective()
    data = [
        {"image": torch.full((ids, 1), value), "label": torch.zeros(ids, 1),
         "image_id": [f"image{number}_{n}" for n in range(ids)]}
        for number, value in enumerate(values)
    ]  # fmt: skip
    return SupervisedTrainer(
        torch.device("cpu"), epochs, data, network, torch.optim.SGD(network.parameters(), lr=0.0), objective,
        train_handlers=[StopAtNonFiniteLoss(path, objective=objective)], decollate=False,
    )  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_error_names_epoch_step_and_images_and_the_file_holds_them(value, tmp_path):
    path = tmp_path / "run/nan_batch.json"
    with pytest.raises(NonFiniteError, match=rf"{value} in epoch 1, step 2, with the images image1_0 .*nan_batch.json"):
        train(path, [1.0, value, 1.0]).run()
    assert json.loads(path.read_text()) == {
        "epoch": 1, "step": 2, "iteration": 2,
        "terms": {"loss": str(value), "reconstruction": str(value), "spectral": "0.5"},
        "image_id": ["image1_0"],
    }  # fmt: skip


def test_a_long_batch_is_named_in_part_in_the_message_and_wholly_in_the_file(tmp_path):
    with pytest.raises(NonFiniteError, match=r"image0_7 and 4 more"):
        train(tmp_path / "nan_batch.json", [math.nan], ids=12).run()
    assert len(json.loads((tmp_path / "nan_batch.json").read_text())["image_id"]) == 12


def test_on_a_gpu_the_loss_is_looked_at_one_step_later_and_named_rightly(tmp_path, monkeypatch):
    fetched = []

    class Copied:
        def synchronize(self):
            fetched.append(trainer.state.iteration)

    watch = StopAtNonFiniteLoss._watch

    def as_on_a_gpu(self, engine):
        watched = watch(self, engine)
        watched.copied = Copied()
        return watched

    monkeypatch.setattr(StopAtNonFiniteLoss, "_watch", as_on_a_gpu)
    trainer = train(tmp_path / "nan_batch.json", [1.0, 1.0, math.nan, 1.0, 1.0], epochs=1)
    with pytest.raises(NonFiniteError, match=r"step 3, with the images image2_0"):
        trainer.run()
    assert trainer.state.iteration == 4
    assert fetched[:3] == [2, 3, 4]  # each loss when the next step was done


def test_the_last_loss_of_an_epoch_is_looked_at_before_validation(tmp_path, monkeypatch):
    watch = StopAtNonFiniteLoss._watch

    def as_on_a_gpu(self, engine):
        watched = watch(self, engine)
        watched.copied = type("Copied", (), {"synchronize": lambda self: None})()
        return watched

    monkeypatch.setattr(StopAtNonFiniteLoss, "_watch", as_on_a_gpu)
    trainer = train(tmp_path / "nan_batch.json", [1.0, math.nan], epochs=1)
    validated = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: validated.append(True))
    with pytest.raises(NonFiniteError, match="step 2"):
        trainer.run()
    assert not validated


def test_weights_that_fail_although_the_loss_did_not_stop_the_epoch(tmp_path):
    trainer = train(tmp_path / "nan_batch.json", [1.0, 1.0], epochs=1)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), lambda e: e.network.weight.data.fill_(math.nan))
    with pytest.raises(NonFiniteError, match=r"the weights weight are not finite, although the loss was, in epoch 1"):
        trainer.run()
    assert json.loads((tmp_path / "nan_batch.json").read_text())["image_id"] == ["image1_0"]


def test_a_decomposition_that_fails_is_traced_to_the_step_that_ruined_the_weights(tmp_path):
    trainer = train(tmp_path / "nan_batch.json", [1.0, 1.0, 1.0], epochs=1)

    @trainer.on(Events.ITERATION_STARTED(once=3))
    def fail(engine):
        engine.network.weight.data.fill_(math.nan)
        raise torch.linalg.LinAlgError("eigh: did not converge")

    with pytest.raises(NonFiniteError, match=r"the weights weight are not finite.*step 2, with the images image1_0"):
        trainer.run()


def test_a_decomposition_that_fails_by_itself_is_told_with_its_batch(tmp_path):
    trainer = train(tmp_path / "nan_batch.json", [1.0, 1.0, 1.0], epochs=1)

    @trainer.on(Events.ITERATION_STARTED(once=3))
    def fail(engine):
        raise torch.linalg.LinAlgError("eigh: did not converge")

    with pytest.raises(
        NonFiniteError, match=r"cannot be computed \(eigh: did not converge\) in epoch 1, step 3.*image2_0"
    ):
        trainer.run()
    assert json.loads((tmp_path / "nan_batch.json").read_text())["terms"] == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_other_errors_are_left_alone(error, tmp_path):
    trainer = train(tmp_path / "nan_batch.json", [1.0, 1.0], epochs=1)

    @trainer.on(Events.ITERATION_COMPLETED(once=2))
    def fail(engine):
        raise error

    with pytest.raises(error):
        trainer.run()
    assert not (tmp_path / "nan_batch.json").exists()


def test_a_sound_run_removes_what_an_earlier_one_left(tmp_path):
    (tmp_path / "nan_batch.json").write_text("{}")
    train(tmp_path / "nan_batch.json", [1.0, 2.0]).run()
    assert not (tmp_path / "nan_batch.json").exists()


def test_the_first_parameter_that_is_not_finite_is_named():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert first_not_finite(network) is None
    network[1].bias.data[1] = math.inf
    assert first_not_finite(network) == "1.bias"
