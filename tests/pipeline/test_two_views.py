"""Views of an image, and the schedules of networks that learn from them."""

import math
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from mammo.pipeline.two_views import (
    ClipGradients,
    FreezeAtFirst,
    MomentumUpdate,
    PrepareViews,
    RandSolarized,
    RandViewsd,
    TeacherTemperature,
    WeightDecaySchedule,
    cosine_between,
)
from mammo.transforms import RandResizedCropd
from monai.data import DataLoader, Dataset
from monai.engines.utils import IterationEvents
from monai.transforms import RandFlipd, RandGaussianSmoothd, RandScaleIntensityd
from torch import nn

KEYS = ["image", "mask"]


def chain(side: int) -> list:
    return [
        RandResizedCropd(KEYS, (side, side), scale=(0.2, 0.9), mode=["bicubic", "nearest"]),
        RandFlipd(KEYS, prob=0.5, spatial_axis=1),
        RandScaleIntensityd("image", 0.4, prob=0.8),
        RandGaussianSmoothd("image", prob=0.5),
        RandSolarized("image", prob=0.5),
    ]


def records(count: int = 4) -> list[dict]:
    ramp = torch.linspace(0, 1, 48 * 48).view(1, 48, 48)
    return [{"image": ramp, "mask": (ramp > 0.5).float(), "image_id": f"I{n}"} for n in range(count)]


def test_a_batch_has_views_of_all_sizes_with_the_mask_behind_the_image():
    draw = RandViewsd(KEYS, [chain(32), chain(32), chain(16)])
    (batch,) = DataLoader(Dataset(records(), draw), batch_size=4, num_workers=0)
    first, places, others, named = PrepareViews()(batch, "cpu")
    assert [tuple(view.shape) for view in (first, *others)] == [(4, 2, 32, 32), (4, 2, 32, 32), (4, 2, 16, 16)]
    assert type(first) is torch.Tensor
    assert set(first[:, 1].unique().tolist()) <= {0.0, 1.0}
    assert places.tolist() == [0, 1, 2, 3]
    assert named == {}
    assert not torch.equal(first, others[0])


def test_views_follow_the_seed_and_differ_between_draws_and_between_equal_chains():
    draw = RandViewsd(KEYS, [chain(32)] * 2)
    (record,) = records(1)
    draw.set_random_state(3)
    one, other = draw(record)["views"], draw(record)["views"]
    again = draw.set_random_state(3)(record)["views"]
    assert all(torch.equal(*pair) for pair in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[0], one[1])


def test_fixed_views_belong_to_the_image_and_the_seed():
    draw = RandViewsd(KEYS, [chain(32)], fixed_by="image_id", seed=1)
    one, other = records(2)
    first = draw(one)["views"][0]
    second = draw(other)["views"][0]
    assert torch.equal(draw(one)["views"][0], first)
    assert not torch.equal(first, second)
    assert not torch.equal(RandViewsd(KEYS, [chain(32)], fixed_by="image_id", seed=2)(one)["views"][0], first)


def test_a_chain_that_two_use_draws_for_each_alone():
    shared = chain(32)
    training, validation = RandViewsd(KEYS, [shared]), RandViewsd(KEYS, [shared], fixed_by="image_id")
    (record,) = records(1)
    undisturbed = [training.set_random_state(3)(record)["views"][0], training(record)["views"][0]]
    first = training.set_random_state(3)(record)["views"][0]
    validation(record)
    assert torch.equal(first, undisturbed[0])
    assert torch.equal(training(record)["views"][0], undisturbed[1])


def test_solarising_turns_the_bright_half_over_as_often_as_is_asked():
    data = {"image": torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).view(1, 1, 5)}
    assert RandSolarized("image", prob=1.0)(data)["image"].flatten().tolist() == [0.0, 0.25, 0.5, 0.25, 0.0]
    assert torch.equal(RandSolarized("image", prob=0.0)(data)["image"], data["image"])
    assert data["image"].max() == 1


def test_no_view_is_refused():
    with pytest.raises(ValueError, match="views is empty"):
        RandViewsd(KEYS, [])


def trained(epochs: int, length: int, attach, gradient: float = 1.0) -> tuple[nn.Linear, torch.optim.Optimizer]:
    """Steps of SGD at a rate of 1 on weights that start at 0."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)

    def step(engine, item):
        optimizer.zero_grad()
        layer.weight.grad = torch.full((1, 1), gradient)
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        optimizer.step()

    engine = Engine(step)
    engine.register_events(*IterationEvents)
    engine.optimizer = optimizer
    attach(engine, layer, optimizer)
    engine.run(range(length), max_epochs=epochs)
    return layer, optimizer


def test_the_momentum_rises_to_1_as_a_cosine():
    found = []
    network = SimpleNamespace(update_momentum=found.append)
    trained(2, 4, lambda engine, _, optimizer: MomentumUpdate(network, optimizer, 0.9).attach(engine))
    assert found == pytest.approx([1 - 0.1 * (math.cos(math.pi * step / 8) + 1) / 2 for step in range(8)])


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.25), (0.5, 0.625), (1.0, 1.0)])
def test_a_cosine_has_its_ends_and_its_middle(progress, expected):
    assert cosine_between(0.25, 1.0, progress) == pytest.approx(expected)


def test_weight_decay_rises_where_there_is_some():
    found = []
    groups = [{"weight_decay": 0.04}, {"weight_decay": 0.0}]

    def attach(engine, *_):
        engine.optimizer = SimpleNamespace(param_groups=groups)
        WeightDecaySchedule(0.04, 0.4).attach(engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: found.append(groups[0]["weight_decay"]))

    trained(2, 2, attach)
    assert found == pytest.approx([0.4 - 0.36 * (math.cos(math.pi * step / 4) + 1) / 2 for step in range(4)])
    assert groups[1]["weight_decay"] == 0


@pytest.mark.parametrize(("epochs", "expected"), [(3, [0.04, 0.055, 0.07, 0.07]), (1, [0.07] * 4), (0, [0.07] * 4)])
def test_the_teacher_warms_up_in_equal_steps(epochs, expected):
    objective, found = SimpleNamespace(teacher_temperature=0.07), []

    def attach(engine, *_):
        TeacherTemperature(objective, 0.04, epochs).attach(engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: found.append(objective.teacher_temperature))

    trained(4, 1, attach)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_a_layer_stays_in_the_first_epochs(epochs):
    layer, _ = trained(3, 2, lambda engine, layer, _: FreezeAtFirst(layer, epochs).attach(engine))
    assert layer.weight.item() == -2 * (3 - epochs)


@pytest.mark.parametrize(("gradient", "step"), [(7.0, 3.0), (-7.0, -3.0), (0.5, 0.5)])
def test_long_gradients_are_shortened_and_short_ones_stay(gradient, step):
    layer, _ = trained(1, 1, lambda engine, _, optimizer: ClipGradients(optimizer, 3.0).attach(engine), gradient)
    assert layer.weight.item() == pytest.approx(-step, rel=1e-5)


def test_scaled_gradients_are_clipped_at_the_scaled_norm():
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([30.0, 40.0])
    optimizer = torch.optim.SGD([weight], lr=1.0)
    optimizer.grad_scale = torch.tensor(8.0)
    ClipGradients(optimizer, 1.0)(optimizer)
    assert weight.grad.tolist() == pytest.approx([4.8, 6.4], rel=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MomentumUpdate(SimpleNamespace(), None, 1.5), "momentum 1.5 must be 0 to 1"),
        (lambda: WeightDecaySchedule(0.0, 0.4), "weight decay from 0.0 to 0.4: both must be above 0"),
        (lambda: ClipGradients(None, 0), "norm 0 must be above 0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
