"""Accumulation, schedule, loss scaling and averages against the same computed by hand."""

from itertools import pairwise

import pytest
import torch
from ignite.engine import Events
from mammo.pipeline.engines import NetworkInferer
from mammo.pipeline.training import CompleteLastGroup, LearningRateSchedule, LossScaling, WeightAveraging
from monai.engines import SupervisedTrainer
from monai.optimizers import WarmupCosineSchedule
from torch import nn


def batches_of(images: torch.Tensor, labels: torch.Tensor, size: int) -> list[dict[str, torch.Tensor]]:
    pairs = zip(images.split(size), labels.split(size), strict=True)
    return [{"image": image, "label": label} for image, label in pairs]


def trainer_of(network, data, optimizer, handlers=(), epochs=1, **options) -> SupervisedTrainer:
    return SupervisedTrainer(
        torch.device("cpu"), epochs, data, network, optimizer, nn.MSELoss(), train_handlers=list(handlers),
        decollate=False, **options,
    )  # fmt: skip


def gradients(images: torch.Tensor, labels: torch.Tensor, size: int, accumulate: int) -> list[torch.Tensor]:
    """The gradient that each optimiser step of one epoch sees; the weights stay."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    seen: list[torch.Tensor] = []
    optimizer.register_step_pre_hook(
        lambda *_: seen.append(torch.cat([p.grad.flatten().clone() for p in network.parameters()]))
    )
    data = batches_of(images, labels, size)
    trainer_of(network, data, optimizer, [CompleteLastGroup()], accumulation_steps=accumulate).run()
    return seen


@pytest.mark.parametrize("images", [12, 10, 8])
def test_accumulated_gradients_are_those_of_the_large_batch_to_the_end_of_the_epoch(images):
    x, y = torch.randn(images, 3), torch.randn(images, 1)
    small, large = gradients(x, y, 2, accumulate=3), gradients(x, y, 6, accumulate=1)
    assert len(small) == len(large) == 2
    torch.testing.assert_close(torch.stack(small), torch.stack(large))


def rates(accumulate: int, steps: int, epochs: int, t_total: int) -> list[float]:
    """Learning rate at each optimiser step."""
    network = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    schedule = WarmupCosineSchedule(optimizer, warmup_steps=2, t_total=t_total)
    seen: list[float] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(optimizer.param_groups[0]["lr"]))
    data = batches_of(torch.zeros(steps, 1), torch.zeros(steps, 1), 1)
    trainer_of(network, data, optimizer, [LearningRateSchedule(schedule)], epochs, accumulation_steps=accumulate).run()
    return seen


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_the_schedule_takes_one_step_an_optimiser_step_and_never_rises_again(accumulate):
    planned = 3 * -(-5 // accumulate)  # 3 epochs of 5 batches, as the bundle computes it
    seen = rates(accumulate, 5, 3, planned)
    assert len(seen) == planned
    assert seen[:3] == [0.0, 0.5, 1.0]
    assert all(later < sooner for sooner, later in pairwise(seen[2:]))


def test_the_average_is_the_recursion_of_its_formula_at_optimiser_steps_only():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    averaging = WeightAveraging(network, 0.75)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    data = batches_of(torch.ones(5, 1), torch.ones(5, 1), 1)
    weights: list[float] = []
    optimizer.register_step_post_hook(lambda *_: weights.append(network.weight.item()))
    trainer_of(network, data, optimizer, [averaging], epochs=2, accumulation_steps=2).run()
    assert len(weights) == 6  # 2, 2 and 1 batches an epoch
    expected = 0.0
    for weight in weights:
        expected = 0.75 * expected + 0.25 * weight
    assert averaging.average is averaging.validated
    assert averaging.average.weight.item() == pytest.approx(expected, rel=1e-6)


def test_without_a_decay_the_network_itself_is_validated():
    network = nn.Linear(1, 1)
    averaging = WeightAveraging(network)
    assert averaging.average is None
    assert averaging.validated is network


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ValueError, match=r"such as 0\.999; null takes no average"):
        WeightAveraging(nn.Linear(1, 1), decay)


def test_a_step_whose_gradients_overflow_is_left_out_with_its_schedule_and_the_scale_halved():
    network = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    schedule = WarmupCosineSchedule(optimizer, warmup_steps=0, t_total=8)
    before = network.weight.item()
    data = batches_of(torch.ones(3, 1), torch.tensor([[60.0], [60.0], [60.0]]), 1)
    trainer = trainer_of(
        network, data, optimizer, [LossScaling(), LearningRateSchedule(schedule)],
        inferer=NetworkInferer(precision="float16"),
    )  # fmt: skip
    moved: list[bool] = []
    scales: list[float] = []

    @trainer.on(Events.ITERATION_COMPLETED)
    def note(engine):
        moved.append(network.weight.item() != before)
        scales.append(engine.scaler.get_scale())

    trainer.run()
    # The gradient of about -120 times 65536 is beyond float16, as are half and a quarter of that; none is an error.
    assert moved == [False, False, False]
    assert scales == [32768.0, 16384.0, 8192.0]
    assert schedule.last_epoch == 0


def test_gradients_too_small_for_float16_reach_the_weights_by_scaling():
    def step(handlers) -> float:
        network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(network.weight)
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        data = batches_of(torch.full((1, 1), 1e-5), torch.full((1, 1), -1e-4), 1)
        trainer_of(network, data, optimizer, handlers, inferer=NetworkInferer(precision="float16")).run()
        return network.weight.item()

    assert step([]) == 0.0  # 2 * 1e-4 * 1e-5 = 2e-9 is below the smallest number of float16, 6e-8
    assert step([LossScaling()]) == pytest.approx(-2e-9, rel=0.02)
