"""Checkpoints: atomic, the best by its metric, early stop, resume."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Metric
from mammo.networks import SwinEncoder
from mammo.networks.losses import SpectralNormPenalty
from mammo.pipeline.checkpoints import TrainingCheckpoints, save_atomically
from mammo.pipeline.files import _HOST
from mammo.pipeline.finite import NonFiniteError
from mammo.pipeline.run_state import LossScale, PassingBuffers
from mammo.pipeline.training import LearningRateSchedule
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from monai.optimizers import WarmupCosineSchedule
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
    directory: Path, values: Sequence[float], epochs: int = 4, width: int = 1, lower: bool = False, steps: int = 1,
    rate: float = 1.0, scheduled: bool = False, die_after: int | None = None, ruin_after: int | None = None,
    accumulate: int = 1, **options,
) -> SupervisedTrainer:  # fmt: skip
    """So many steps an epoch; the metric of each epoch is given."""
    network = Counter(width)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    data = [{"image": torch.zeros(1, 1), "label": torch.zeros(1, 1)}] * steps
    handlers = []
    if scheduled:
        options["scheduler"] = WarmupCosineSchedule(optimizer, warmup_steps=1, t_total=epochs * steps)
        handlers.append(LearningRateSchedule(options["scheduler"]))
    evaluator = SupervisedEvaluator(
        torch.device("cpu"), data, network, key_val_metric={"score": Scripted(values)}, decollate=False,
        metric_cmp_fn=(lambda current, best: current < best) if lower else (lambda current, best: current > best),
    )  # fmt: skip
    trainer = SupervisedTrainer(
        torch.device("cpu"), epochs, data, network, optimizer, loss_function=lambda output, label: output,
        train_handlers=[*handlers, ValidationHandler(1, evaluator)], decollate=False, accumulation_steps=accumulate,
    )  # fmt: skip
    TrainingCheckpoints(
        directory, trainer=trainer, evaluator=evaluator, network=network, optimizer=optimizer, lower_is_better=lower,
        **options,
    )  # fmt: skip
    if die_after is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=die_after), die)
    if ruin_after is not None:
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED(once=ruin_after), lambda: network.epochs.data.fill_(math.nan)
        )
    trainer.run()
    return trainer


def die() -> None:
    raise KeyboardInterrupt


def saved_epoch(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["epochs"][0])


def test_the_old_checkpoint_stays_whole_until_the_new_one_is(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_atomically({"x": torch.ones(3)}, path)
    save, seen = torch.save, []

    def watched(content, target):
        target.write(b"half")
        seen.append(torch.load(path, weights_only=True)["x"].tolist())  # what a kill at this moment would leave
        target.truncate(0)
        target.seek(0)
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
        target.write(b"half")
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
     ({"epochs": 3}, "4 epochs old, more than the 3 asked for"),
     ({"steps": 2}, "a run with other steps an epoch: 1, here 2")],
)  # fmt: skip
def test_a_checkpoint_of_another_run_is_refused(options, words, tmp_path):
    train(tmp_path, AUCS)
    with pytest.raises(ValueError, match=words):
        train(tmp_path, AUCS, resume=True, **options)


def test_another_learning_rate_is_refused_rather_than_forgotten(tmp_path):
    train(tmp_path, AUCS, scheduled=True)
    with pytest.raises(ValueError, match=r"other learning rates: \[1\.0\], here \[0\.5\].*another --output_dir"):
        train(tmp_path, AUCS, scheduled=True, rate=0.5, resume=True)


def test_equal_contents_give_equal_bytes_under_any_name(tmp_path):
    content = {"x": torch.arange(5.0), "name": "y"}
    save_atomically(content, tmp_path / "one.pt")
    save_atomically(content, tmp_path / "another.pt")
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()


@pytest.mark.parametrize(("killed", "kept"), [(1, None), (2, 2), (3, 2), (5, 4), (6, 5), (7, 7), (9, 9)])
def test_steps_within_an_epoch_are_kept_too(killed, kept, tmp_path):
    whole = train(tmp_path / "whole", AUCS, epochs=2, steps=5)
    other = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train(other, AUCS, epochs=2, steps=5, save_steps=2, die_after=killed)
    found = torch.load(other / "last.pt", weights_only=True) if (other / "last.pt").exists() else None
    assert (found and found["trainer"]["iteration"]) == kept
    done = (kept or 0) // 5
    trainer = train(other, AUCS[done:], epochs=2, steps=5, save_steps=2, resume=True)
    assert trainer.state.iteration == whole.state.iteration == 10
    for name in ("best.pt", "last.pt"):
        assert (tmp_path / "whole" / name).read_bytes() == (other / name).read_bytes()


def test_the_end_of_an_epoch_is_kept_once_after_its_validation(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, AUCS, epochs=2, steps=4, save_steps=2, die_after=4)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["trainer"]["iteration"] == 2


@pytest.mark.parametrize(("save_steps", "accumulate"), [(0, 1), (3, 2)])
def test_steps_that_cannot_be_kept_are_refused(save_steps, accumulate, tmp_path):
    with pytest.raises(ValueError, match=rf"save_steps {save_steps}: give null, or a multiple of accumulate"):
        train(tmp_path, AUCS, save_steps=save_steps, accumulate=accumulate)


def test_a_run_that_had_stopped_early_is_not_gone_on_with(tmp_path):
    train(tmp_path, [0.8, 0.7, 0.75], patience=2)
    before = (tmp_path / "last.pt").read_bytes()
    assert train(tmp_path, [0.9], patience=2, resume=True).state.epoch == 3
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_run_that_is_made_longer_follows_the_longer_schedule_and_never_rises(tmp_path):
    train(tmp_path, AUCS[:2], epochs=2, scheduled=True)
    trainer = train(tmp_path, AUCS[2:], epochs=4, scheduled=True, resume=True)
    # The last of 4 steps; by the shorter plan the cosine would be on its way up again.
    assert trainer.optimizer.param_groups[0]["lr"] == 0.0
    assert torch.load(tmp_path / "last.pt", weights_only=True)["scheduler"]["t_total"] == 4


def test_weights_that_are_not_finite_are_never_kept(tmp_path):
    train(tmp_path, AUCS[:2], epochs=2)
    before = {name: (tmp_path / name).read_bytes() for name in ("best.pt", "last.pt")}
    with pytest.raises(NonFiniteError, match=r"best\.pt is left as it was: in epoch 3 the weights epochs"):
        train(tmp_path, [0.9, 0.9], ruin_after=3, resume=True)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "list"])
def test_a_damaged_checkpoint_is_refused_with_its_name_and_the_way_out(damage, tmp_path):
    train(tmp_path, AUCS[:1], epochs=1)
    path = tmp_path / "last.pt"
    content = bytearray(path.read_bytes())
    content[content.index(b"max_epochs")] ^= 1
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    if damage == "list":
        torch.save([1, 2], path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"last\.pt .*whole last\.pt.*another --output_dir"):
        train(tmp_path, AUCS, resume=True)
    assert path.read_bytes() == before


def test_what_a_killed_run_left_half_written_is_swept_up(tmp_path):
    train(tmp_path, AUCS[:1], epochs=1)
    dead = 2**22 + 1  # above the highest process number
    left = tmp_path / f".last.pt.0-{dead}@{_HOST}.tmp"
    left.write_bytes(b"half")
    train(tmp_path, AUCS, resume=True)
    assert not left.exists()


def test_the_average_is_kept_as_the_best_and_for_a_resume(tmp_path):
    average = Counter()
    average.epochs.data.fill_(7.0)
    train(tmp_path, AUCS[:1], epochs=1, average=average)
    assert saved_epoch(tmp_path / "best.pt") == 7
    other = Counter()
    train(tmp_path, AUCS[1:], epochs=2, average=other, resume=True)
    assert other.epochs.item() == 7.0


def test_a_penalty_goes_on_from_the_vectors_that_it_followed():
    encoder = SwinEncoder(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2)
    penalty = SpectralNormPenalty(encoder, beta=1.0)
    penalty()
    state = PassingBuffers(penalty, torch.device("cpu")).state_dict()
    for parameter in encoder.parameters():
        parameter.data.mul_(1.01).add_(0.01 * torch.randn_like(parameter))
    again = SpectralNormPenalty(encoder, beta=1.0)
    PassingBuffers(again, torch.device("cpu")).load_state_dict(state)
    afresh = SpectralNormPenalty(encoder, beta=1.0)
    expected = penalty()
    assert torch.equal(again(), expected)
    assert not torch.equal(afresh(), expected)  # else the comparison would say nothing


def test_a_scaler_is_kept_where_there_is_one():
    trainers = [
        type("Trainer", (), {"scaler": torch.amp.GradScaler("cpu", init_scale=scale)})() for scale in (8.0, 2.0)
    ]
    trainers[1].scaler.scale(torch.ones(1))
    LossScale(trainers[1]).load_state_dict(LossScale(trainers[0]).state_dict())
    assert trainers[1].scaler.get_scale() == 8.0
    without = type("Trainer", (), {"scaler": None})()
    assert LossScale(without).state_dict() == {}
    LossScale(without).load_state_dict(trainers[0].scaler.state_dict())
