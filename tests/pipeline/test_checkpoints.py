"""Checkpoints: atomic, the best by its metric, early stop, resume."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from ignite.metrics import Metric
from mammo.pipeline.checkpoints import TrainingCheckpoints, save_atomically
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch import nn

AUCS = [0.5, 0.8, 0.6, 0.7]


class Scripted(Metric):
    """Gives one value after another."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = iter(values)
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    def reset(self) -> None: ...
    def update(self, output) -> None: ...
    def compute(self) -> float:
        return next(self.values)


class Counter(nn.Module):
    """Its weight rises by 1 with every step of SGD: it says after which epoch it was saved."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.epochs = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -self.epochs.sum() + 0 * x.sum()


def train(
    directory: Path, values: Sequence[float], epochs: int = 4, width: int = 1, lower: bool = False, **options
) -> SupervisedTrainer:
    """One step an epoch; the metric of each epoch is given."""
    network = Counter(width)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    data = [{"image": torch.zeros(1, 1), "label": torch.zeros(1, 1)}]
    evaluator = SupervisedEvaluator(
        torch.device("cpu"), data, network, key_val_metric={"score": Scripted(values)}, decollate=False,
        metric_cmp_fn=(lambda current, best: current < best) if lower else (lambda current, best: current > best),
    )  # fmt: skip
    trainer = SupervisedTrainer(
        torch.device("cpu"), epochs, data, network, optimizer, loss_function=lambda output, label: output,
        train_handlers=[ValidationHandler(1, evaluator)], decollate=False,
    )  # fmt: skip
    TrainingCheckpoints(
        directory, trainer=trainer, evaluator=evaluator, network=network, optimizer=optimizer, lower_is_better=lower,
        **options,
    )  # fmt: skip
    trainer.run()
    return trainer


def saved_epoch(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["epochs"][0])


def test_the_old_checkpoint_stays_whole_until_the_new_one_is(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_atomically({"x": torch.ones(3)}, path)
    save, seen = torch.save, []

    def watched(content, target):
        Path(target).write_bytes(b"half")
        seen.append(torch.load(path, weights_only=True)["x"].tolist())  # what a kill at this moment would leave
        save(content, target)

    monkeypatch.setattr(torch, "save", watched)
    save_atomically({"x": torch.zeros(3)}, path)
    assert seen == [[1.0, 1.0, 1.0]]
    assert torch.load(path, weights_only=True)["x"].tolist() == [0.0, 0.0, 0.0]
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_while_saving_leaves_the_old_checkpoint_alone(interruption, tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_atomically({"x": torch.ones(3)}, path)

    def interrupted(content, target):
        Path(target).write_bytes(b"half")
        raise interruption

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(interruption):
        save_atomically({"x": torch.zeros(3)}, path)
    assert torch.load(path, weights_only=True)["x"].tolist() == [1.0, 1.0, 1.0]
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_another_failure_keeps_its_own_error_number(tmp_path, monkeypatch):
    def refused(content, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "save", refused)
    with pytest.raises(PermissionError, match=r"Permission denied.*--output_dir"):
        save_atomically({}, tmp_path / "last.pt")


@pytest.mark.parametrize(("values", "lower", "best"), [(AUCS, False, 2), ([3.0, 2.0, 1.0, 2.5], True, 3)])
def test_best_follows_the_metric_and_last_the_epoch(values, lower, best, tmp_path):
    train(tmp_path, values, lower=lower)
    assert saved_epoch(tmp_path / "best.pt") == best
    assert torch.load(tmp_path / "last.pt", weights_only=True)["model"]["epochs"].item() == 4


def test_training_stops_after_so_many_validations_without_gain(tmp_path):
    assert train(tmp_path, [0.8, 0.7, 0.75, 0.9], patience=2).state.epoch == 3
    assert saved_epoch(tmp_path / "best.pt") == 1


def test_a_loss_that_falls_is_a_gain(tmp_path):
    assert train(tmp_path, [4.0, 3.0, 2.0, 1.0], lower=True, patience=1).state.epoch == 4


def test_a_resumed_run_remembers_the_best_metric_and_the_patience(tmp_path):
    train(tmp_path, [0.8, 0.7], epochs=2, patience=2)
    trainer = train(tmp_path, [0.75, 0.9], patience=2, resume=True)
    assert trainer.state.epoch == 3  # one validation without gain before the interruption, one after it
    assert saved_epoch(tmp_path / "best.pt") == 1


def test_a_resumed_run_goes_on_from_the_last_epoch(tmp_path):
    train(tmp_path, AUCS[:2], epochs=2)
    trainer = train(tmp_path, AUCS[2:], resume=True)
    assert (trainer.state.epoch, trainer.state.iteration) == (4, 4)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["model"]["epochs"].item() == 4


def test_a_finished_run_is_not_run_again(tmp_path):
    train(tmp_path, AUCS)
    before = (tmp_path / "last.pt").read_bytes()
    train(tmp_path, [], resume=True)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_resuming_without_a_checkpoint_starts_anew_and_says_so(tmp_path, caplog):
    caplog.set_level("INFO")
    assert train(tmp_path, AUCS, resume=True).state.epoch == 4
    assert f"nothing to resume in {tmp_path}" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [({"width": 2}, "last.pt does not fit this run's model"), ({"patience": 3}, "no state of 'early_stop'"),
     ({"epochs": 3}, "4 epochs old, more than the 3 asked for")],
)  # fmt: skip
def test_a_checkpoint_of_another_run_is_refused(options, words, tmp_path):
    train(tmp_path, AUCS)
    with pytest.raises(ValueError, match=words):
        train(tmp_path, AUCS, resume=True, **options)
