"""Gradient caching against whole batches, against the algorithm of its paper, and within MONAI's trainer."""

from copy import deepcopy

import pytest
import torch
from mammo.networks import ViTEncoder
from mammo.networks.gradient_cache import in_chunks
from mammo.networks.image_text import ImageTextModel, ImageTextOutput
from mammo.networks.losses.image_text import ImageTextContrastiveLoss, MultiViewSupervision
from mammo.networks.text_encoder import small_text_encoder
from mammo.pipeline.engines import NetworkInferer
from monai.engines import SupervisedTrainer
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F

IMAGES = 5


def tower(dropout: float = 0.0) -> nn.Sequential:
    convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout))
    return nn.Sequential(*convolution, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 6)).double()


def contrast(vectors: torch.Tensor) -> torch.Tensor:
    """A loss in which every image meets every other."""
    return (vectors @ vectors.mT / 0.5).logsumexp(dim=1).mean()


def gradients(network: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(dict(network.named_parameters()), torch.autograd.grad(loss, network.parameters()), strict=True))


class Maps(nn.Module):
    """A tiny encoder without batch norm."""

    in_channels, out_channels, stride = 1, 6, 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 4, stride=4), nn.GELU())

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.layers(x)]


def model(encoder: nn.Module | None = None) -> ImageTextModel:
    text = small_text_encoder(30, width=16, depth=1, heads=2, length=16, dropout=0.0)
    return ImageTextModel(encoder or Maps(), text, 8)


def batch() -> dict[str, torch.Tensor]:
    ones = torch.ones(IMAGES, 6, dtype=torch.int64)
    tokens, other_tokens = torch.randint(0, 30, (2, IMAGES, 6))
    x, other = torch.rand(2, IMAGES, 1, 16, 16)
    return {"x": x, "other": other, "tokens": tokens, "mask": ones, "other_tokens": other_tokens, "other_mask": ones}


def assert_gradients_are_those_of_the_whole_batch(network: ImageTextModel, chunk: int) -> None:
    given = {name: v.double() if v.is_floating_point() else v for name, v in batch().items()}
    whole, cached = (MultiViewSupervision()(network.double()(**given, chunk=size)) for size in (None, chunk))
    torch.testing.assert_close(cached, whole)
    expected = gradients(network, whole)
    for name, gradient in gradients(network, cached).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


@pytest.mark.parametrize("chunk", [1, 2, IMAGES, 9])
def test_gradients_are_those_of_the_whole_batch(chunk):
    assert_gradients_are_those_of_the_whole_batch(model(), chunk)


def test_an_encoder_may_save_memory_of_its_own():
    encoder = ViTEncoder(image_size=(16, 16), size="micro", use_checkpoint=True)
    assert_gradients_are_those_of_the_whole_batch(model(encoder), 3)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_with_dropout_and_batch_norm_it_is_the_algorithm_of_the_paper(chunk):
    """Vectors without graph, the loss of them all, and each chunk once more, with the gradients of its vectors."""
    network, x = tower(dropout=0.5), torch.rand(6, 1, 8, 8, dtype=torch.float64)
    reference = deepcopy(network)
    start = torch.get_rng_state()
    cached = gradients(network, contrast(in_chunks(network, network, chunk, x)))
    after = torch.get_rng_state()

    torch.set_rng_state(start)
    states, vectors = [], []
    with torch.no_grad():
        for part in x.split(chunk):
            states.append(torch.get_rng_state())
            vectors.append(reference(part))
    assert torch.equal(torch.get_rng_state(), after)  # the second pass takes nothing from the stream
    joined = torch.cat(vectors).requires_grad_()
    contrast(joined).backward()
    for part, state, gradient in zip(x.split(chunk), states, joined.grad.split(chunk), strict=True):
        torch.set_rng_state(state)
        reference(part).backward(gradient)
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(cached[name], parameter.grad, msg=name)


def test_both_passes_drop_the_same():
    network, dropped = tower(dropout=0.5), []
    network[3].register_forward_hook(lambda module, inputs, output: dropped.append(output == 0))
    x = torch.rand(4, 1, 8, 8, dtype=torch.float64)
    contrast(in_chunks(network, network, 2, x)).backward()
    first, second, second_again, first_again = dropped  # the last chunk goes backward first
    assert torch.equal(first, first_again)
    assert torch.equal(second, second_again)
    assert not torch.equal(first, second)


def test_running_means_count_each_chunk_once():
    network, x = tower(), torch.rand(6, 1, 8, 8, dtype=torch.float64)
    reference = deepcopy(network)
    contrast(in_chunks(network, network, 2, x)).backward()
    for part in x.split(2):
        reference(part)
    torch.testing.assert_close(dict(network.named_buffers()), dict(reference.named_buffers()), rtol=0, atol=0)
    assert network[1].num_batches_tracked.item() == 3
    network(x)  # and go on as before
    reference(x)
    torch.testing.assert_close(dict(network.named_buffers()), dict(reference.named_buffers()), rtol=0, atol=0)


@pytest.mark.parametrize("cached", [True, False])
def test_inner_values_of_one_chunk_live_at_a_time(cached):
    network, x = tower(), torch.rand(6, 1, 8, 8, dtype=torch.float64)
    made: list[StorageWeakRef] = []
    living: list[int] = []

    def follow(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        made.append(StorageWeakRef(output.untyped_storage()))
        living.append(sum(not one.expired() for one in made))

    network[2].register_forward_hook(follow)
    vectors = in_chunks(network, network, 2, x) if cached else torch.cat([network(part) for part in x.split(2)])
    left = sum(not one.expired() for one in made)
    contrast(vectors).backward()
    assert (left, living) == ((0, [1] * 6) if cached else (3, [1, 2, 3]))


def test_without_gradients_chunks_change_nothing():
    network, given = model().eval(), batch()
    with torch.no_grad():
        whole, cut = network(**given), network(**given, chunk=2)
    for name in ("image", "other_image", "text", "other_text"):
        torch.testing.assert_close(getattr(cut, name), getattr(whole, name))


def test_the_second_pass_has_the_precision_of_the_first():
    network, given, losses = model().eval(), batch(), []
    for chunk in (None, IMAGES):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = network(**given, chunk=chunk)
        losses.append(MultiViewSupervision()(output))
    expected = gradients(network, losses[0])
    for name, gradient in gradients(network, losses[1]).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def prepared(batch: dict, device, non_blocking: bool, **kwargs) -> tuple:
    """MONAI's four parts: image, groups of equal texts, the other view, and the texts by name."""
    texts = {name: values for name, values in batch.items() if name not in ("x", "other", "groups")}
    return batch["x"], batch["groups"], (batch["other"],), texts


@pytest.mark.parametrize("accumulate", [1, 2])
def test_monais_trainer_takes_the_step_of_the_whole_batch(accumulate):
    start = model()
    batches = [batch() | {"groups": torch.tensor([4, 8, 4, 2, 1])} for _ in range(2)]
    trained = []
    for chunk in (None, 2):
        network = deepcopy(start)
        trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=1,
            train_data_loader=batches,
            network=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
            loss_function=MultiViewSupervision(),
            inferer=NetworkInferer(network_arguments={"chunk": chunk}),
            prepare_batch=prepared,
            accumulation_steps=accumulate,
            decollate=False,
        )
        trainer.run()
        trained.append(network)
    for (name, whole), cached in zip(trained[0].named_parameters(), trained[1].parameters(), strict=True):
        torch.testing.assert_close(cached, whole, rtol=1e-5, atol=1e-6, msg=name)
    assert not torch.equal(trained[0].logit_scale, start.logit_scale)


def test_a_chunk_without_images_is_refused():
    with pytest.raises(ValueError, match="chunk must be 1 image or more, got 0"):
        model()(**batch(), chunk=0)


def test_vectors_of_one_tower_can_be_cached_alone():
    network, x = tower().eval(), F.normalize(torch.rand(6, 1, 8, 8, dtype=torch.float64))
    texts = F.normalize(torch.rand(6, 6, dtype=torch.float64), dim=-1)

    def loss(vectors: torch.Tensor) -> torch.Tensor:
        return ImageTextContrastiveLoss()(ImageTextOutput(F.normalize(vectors), texts, torch.tensor(5.0).double()))

    expected = gradients(network, loss(network(x)))
    for name, gradient in gradients(network, loss(in_chunks(network, network, 4, x))).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)
