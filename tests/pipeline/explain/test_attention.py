"""Attention of the last layer in image space: a planted one is found, and gradients weight the heads."""

import cv2
import numpy as np
import pytest
import torch
from mammo.networks import EfficientNetEncoder, MammogramClassifier, SwinEncoder
from mammo.pipeline.explain import attention_maps
from monai.networks.nets.swin_unetr import SwinTransformerBlock
from torch import nn


@pytest.fixture
def network() -> MammogramClassifier:
    network = MammogramClassifier(SwinEncoder(size="micro", patch_size=4)).eval()
    nn.init.normal_(network.head.weight)
    return network


def last_block(network: MammogramClassifier) -> nn.Module:
    return [module for module in network.modules() if isinstance(module, SwinTransformerBlock)][-1]


class Planted(nn.Module):
    """All queries of one window look at one key; in the other windows each looks at all keys alike."""

    def __init__(self, window: int, key: int) -> None:
        super().__init__()
        self.window, self.key = window, key

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        attention = torch.full_like(scores, 1 / scores.shape[-1])
        attention[self.window] = 0
        attention[self.window, ..., self.key] = 1
        return attention + 0 * scores


@pytest.mark.parametrize(("window", "key"), [(0, 0), (0, 15), (1, 4), (2, 3)])
def test_a_planted_attention_is_found_at_its_place_in_the_image(network, window, key):
    block = last_block(network)
    block.attn.softmax = Planted(window, key)
    image = torch.cat([torch.rand(1, 1, 224, 224), torch.ones(1, 1, 224, 224)], dim=1)
    maps = attention_maps(network, image)
    # 7 x 7 tokens are padded to 8 x 8, rolled by the shift, and cut into windows of 4 x 4.
    assert tuple(block.shift_size) == (2, 2)
    place = np.roll(np.arange(64).reshape(8, 8), (-2, -2), axis=(0, 1))
    rows, columns = slice(4 * (window // 2), None), slice(4 * (window % 2), None)
    row, column = divmod(int(place[rows, columns][key // 4, key % 4]), 8)
    assert max(row, column) < 7
    found = np.unravel_index(int(maps["attention"][0].argmax()), (224, 224))
    assert (found[0] // 32, found[1] // 32) == (row, column)
    assert maps["attention"][0, 32 * row + 16, 32 * column + 16].item() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("size", [(64, 64), (64, 48)])
@pytest.mark.parametrize("target", [0, 1])
def test_both_maps_are_those_of_the_formulas(network, size, target):
    images = torch.cat([torch.rand(2, 1, *size), torch.ones(2, 1, *size)], dim=1)
    kept = []
    handle = last_block(network).attn.softmax.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logits = network(images.requires_grad_())
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[:, target].sum(), kept[0])
    attention, gradient = kept[0].detach().double().numpy(), gradient.double().numpy()
    maps = attention_maps(network, images.detach(), target_class=target)
    for index in range(2):  # 2 x 2 tokens: one window an image
        received = attention[index].mean(axis=0).mean(axis=0)
        weighted = np.maximum(attention[index] * gradient[index], 0).mean(axis=0).mean(axis=0)
        for name, tokens in (("attention", received), ("attention_gradient", weighted)):
            expected = cv2.resize(tokens.reshape(2, 2), (64, 64), interpolation=cv2.INTER_LINEAR)
            np.testing.assert_allclose(maps[name][index], expected[: size[0], : size[1]], rtol=1e-4, atol=1e-7)


def test_without_a_target_the_predicted_class_weights_the_heads(network):
    images = torch.cat([torch.rand(8, 1, 64, 64), torch.ones(8, 1, 64, 64)], dim=1)
    with torch.no_grad():
        network.head.bias -= network(images).mean(dim=0)
        predicted = network(images).argmax(dim=1)
    assert len(predicted.unique()) == 2
    found = attention_maps(network, images, target_class=None)["attention_gradient"]
    of_class = torch.stack(
        [attention_maps(network, images, target_class=index)["attention_gradient"] for index in (0, 1)]
    )
    torch.testing.assert_close(found, of_class[predicted, torch.arange(8)])


def test_an_earlier_stage_shows_its_own_last_layer_on_its_finer_grid(network):
    block = network.encoder.stages[1].blocks[-1]
    block.attn.softmax = Planted(window=0, key=0)
    maps = attention_maps(network, torch.rand(1, 1, 224, 224), stage=2)
    row, column = block.shift_size  # the first key of the first window, rolled back
    found = maps["attention"][0, 8 * row + 4, 8 * column + 4].item()
    assert found == pytest.approx((15 / 16) ** 2, abs=0.02)  # half a pixel off the centre of the token
    assert maps["attention"][0].argmax() // 224 // 8 == row


def test_an_encoder_without_attention_is_refused():
    network = MammogramClassifier(EfficientNetEncoder(size="b0"))
    with pytest.raises(ValueError, match="EfficientNetEncoder has no attention to show"):
        attention_maps(network, torch.rand(1, 2, 64, 64))
