"""Data in the middle of a pass: what comes after a resume is what would have come without one."""

import io
import random

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from mammo.pipeline.handlers import SeedEpoch
from mammo.pipeline.resume import ResumableLoader, random_state, restore_random_state
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, Lambda, RandFlip, RandGaussianNoise, RandRotated

IMAGES, BATCH = 7, 2
PASS = 4
"""Batches of one pass over the images."""


def loader(workers: int, **options) -> ResumableLoader:
    transform = Compose([RandFlip(prob=0.5), RandGaussianNoise(prob=1.0, std=0.1)])
    images = [torch.full((1, 2, 2), float(number)) for number in range(IMAGES)]
    return ResumableLoader(
        DataLoader(Dataset(images, transform), batch_size=BATCH, shuffle=True, num_workers=workers, **options)
    )


class Run:
    """A run whose every step draws from torch and NumPy, as dropout would; it may be killed after any step."""

    def __init__(self, workers: int, length: int, saved: bytes | None = None) -> None:
        self.loader = loader(workers)
        self.seen: list[torch.Tensor] = []
        self.saved: list[bytes] = []
        self.engine = Engine(self.step)
        SeedEpoch(seed=3).attach(self.engine)
        self.engine.add_event_handler(Events.ITERATION_COMPLETED, self.save)
        self.length = length
        if saved is not None:
            state = torch.load(io.BytesIO(saved), weights_only=True)
            self.engine.load_state_dict(state["engine"])
            self.loader.load_state_dict(state["loader"])
            if state["engine"]["iteration"] % length:
                self.loader.resume_random_state(state["random"])

    def step(self, engine, batch) -> None:
        drawn = torch.rand(1) + float(np.random.rand()) + random.random()  # noqa: NPY002
        self.seen.append(torch.cat([batch.flatten(), drawn]))

    def save(self, engine) -> None:
        content = io.BytesIO()
        state = {
            "engine": {"iteration": engine.state.iteration, "epoch_length": self.length, "max_epochs": 3},
            "loader": self.loader.state_dict(),
            "random": random_state(self.loader.dataset),
        }
        torch.save(state, content)
        self.saved.append(content.getvalue())

    def go(self) -> list[torch.Tensor]:
        self.engine.run(self.loader, max_epochs=3, epoch_length=self.length)
        return self.seen


@pytest.mark.parametrize("length", [PASS, 3, 6])
def test_a_run_killed_after_any_step_goes_on_as_if_it_had_not_been(length):
    whole = Run(0, length)
    batches = whole.go()
    for killed in range(1, 3 * length):
        rest = Run(0, length, whole.saved[killed - 1]).go()
        assert len(rest) == 3 * length - killed
        assert all(torch.equal(one, other) for one, other in zip(rest, batches[killed:], strict=True)), killed


@pytest.mark.parametrize("killed", [2, 6])
def test_worker_processes_go_on_as_well(killed):
    whole = Run(2, 3)
    batches = whole.go()
    rest = Run(2, 3, whole.saved[killed - 1]).go()
    assert all(torch.equal(one, other) for one, other in zip(rest, batches[killed:], strict=True))


def test_a_distributed_sampler_repeats_the_epoch_in_which_the_pass_began():
    class Sampler(torch.utils.data.Sampler):
        epoch = 0

        def set_epoch(self, epoch):
            self.epoch = epoch

        def __iter__(self):
            return iter([(10 * self.epoch + number) % IMAGES for number in range(IMAGES)])

        def __len__(self):
            return IMAGES

    def make() -> ResumableLoader:
        images = [torch.full((1,), float(number)) for number in range(IMAGES)]
        return ResumableLoader(DataLoader(Dataset(images), batch_size=BATCH, sampler=Sampler()))

    whole = make()
    whole.loader.sampler.set_epoch(1)
    batches = iter(whole)
    next(batches)
    state = whole.state_dict()
    resumed = make()
    resumed.loader.sampler.set_epoch(2)  # the next epoch has begun meanwhile
    resumed.load_state_dict(state)
    assert [batch.flatten().tolist() for batch in resumed] == [batch.flatten().tolist() for batch in batches]
    assert resumed.loader.sampler.epoch == 2


def test_between_two_passes_nothing_is_loaded_again():
    data = loader(0)
    for _ in data:
        pass
    assert data.state_dict() == {}


def test_the_loader_shows_dataset_and_length_of_the_one_inside():
    data = loader(0)
    assert len(data) == PASS
    assert len(data.dataset) == IMAGES
    assert ResumableLoader([1, 2]).dataset is None


def test_every_generator_is_set_back_those_inside_of_transforms_too():
    inner = Compose([RandRotated("image", prob=1.0, range_x=1.0), Lambda(lambda x: x)])
    dataset = Dataset([{"image": torch.rand(1, 4, 4)}], Compose([inner]))
    dataset.transform.set_random_state(5)

    def draw() -> list[float]:
        global_numbers = [random.random(), float(np.random.rand()), float(torch.rand(1))]  # noqa: NPY002
        return [*global_numbers, *torch.as_tensor(dataset[0]["image"]).flatten().tolist()]

    draw()
    state = random_state(dataset)
    assert len(state["transforms"]) >= 3  # both Compose, and the rotation
    first = draw()
    assert draw() != first
    restore_random_state(state, dataset)
    assert draw() == first
