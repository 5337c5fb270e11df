"""The encoder beside MONAI's own forward passes and the paddings as published, for images of any size."""

import copy
import functools
import math

import pytest
import torch
from mammo.networks import MammogramClassifier, MapPyramid
from mammo.networks.efficientnet import EfficientNetEncoder
from monai.networks.nets import EfficientNetBN, EfficientNetBNFeatures
from torch import nn

SQUARE = {"b0": 224, "b2": 260, "b5": 456}


@pytest.fixture(scope="module")
def calibrated() -> EfficientNetEncoder:
    """Batch norms that know their inputs; with the first statistics the maps hardly depend on the image."""
    torch.manual_seed(0)
    encoder = EfficientNetEncoder(size="b0")
    norms = [part for part in encoder.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over the batches
    with torch.no_grad():
        for _ in range(3):
            encoder.train()(torch.randn(4, 1, 64, 64))
    for norm in norms:
        norm.momentum = 0.01
    return encoder.eval()


@pytest.fixture
def encoder(calibrated) -> EfficientNetEncoder:
    return copy.deepcopy(calibrated)


@functools.cache
def without_values(size):
    """For shapes alone: no memory and no arithmetic."""
    with torch.device("meta"):
        return EfficientNetEncoder(size=size).eval()


def halvings(length, size):
    """Rows after each strided convolution with the padding that fits the published square."""
    square, found = SQUARE[size], []
    for kernel in (3, 3, 5, 3, 5):
        padding = max((math.ceil(square / 2) - 1) * 2 + kernel - square, 0)
        length, square = (length + padding - kernel) // 2 + 1, math.ceil(square / 2)
        found.append(length)
    return found


@pytest.mark.parametrize("size", ["b0", "b2", "b5"])
def test_maps_have_the_channels_and_strides_they_say(size):
    encoder = without_values(size)
    maps = encoder(torch.empty(1, 1, 96, 160, device="meta"))
    assert [found.shape[1] for found in maps] == list(encoder.map_channels)
    for found, stride in zip(maps, encoder.map_strides, strict=True):
        assert tuple(found.shape[-2:]) == (96 // stride, 160 // stride)
    assert (encoder.out_channels, encoder.stride) == (encoder.map_channels[-1], encoder.map_strides[-1])


@pytest.mark.parametrize(
    ("size", "maps", "parameters"),
    [("b2", (24, 48, 120, 352, 1408), 7.70e6), ("b5", (40, 64, 176, 512, 2048), 28.34e6)],
)
def test_the_two_released_sizes_are_as_published(size, maps, parameters):
    encoder = without_values(size)
    found = encoder(torch.empty(1, 1, 1520, 912, device="meta"))
    assert encoder.map_channels == maps
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(parameters, abs=0.005e6)
    assert tuple(found[-1].shape[-2:]) == (48, 29)


@pytest.mark.parametrize("size", ["b0", "b2", "b5"])
@pytest.mark.parametrize("image", [(33, 250), (97, 131), (101, 103)])
def test_odd_images_give_what_the_published_padding_leaves(size, image):
    maps = without_values(size)(torch.empty(1, 1, *image, device="meta"))
    rows, columns = (halvings(length, size) for length in image)
    expected = list(zip(rows, columns, strict=True))[1:]
    assert [tuple(found.shape[-2:]) for found in maps] == [*expected, expected[-1]]


@pytest.mark.parametrize("size", ["b2", "b5"])
def test_halvings_round_as_documented(size):
    down = {"b2": 2, "b5": 3}[size]
    for start in range(32, 200):
        length = start
        expected = [length := length // 2 if step < down else -(-length // 2) for step in range(5)]
        assert halvings(start, size) == expected


def test_maps_are_those_of_monai(encoder):
    features = EfficientNetBNFeatures("efficientnet-b0", pretrained=False, in_channels=1, num_classes=1).eval()
    whole = EfficientNetBN("efficientnet-b0", pretrained=False, in_channels=1, num_classes=1).eval()
    for network in (features, whole):
        left = network.load_state_dict(encoder.network.state_dict(), strict=False)
        assert sorted(left.missing_keys) == ["_fc.bias", "_fc.weight"]
    image = torch.randn(2, 1, 97, 131)
    with torch.no_grad():
        *maps, head = encoder(image)
        for ours, theirs in zip(maps, features(image)[1:], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        torch.testing.assert_close(whole._fc(head.mean(dim=(2, 3))), whole(image))


def test_no_classifier_is_in_the_state(encoder):
    assert not [name for name in encoder.state_dict() if "_fc" in name]


def test_layers_for_grad_cam_see_the_maps(encoder):
    seen = {}
    for name, layer in [("features", encoder.features), *((str(i), one) for i, one in enumerate(encoder.outputs))]:
        layer.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: output}))
    maps = encoder(torch.rand(1, 1, 64, 64))
    assert all(seen[name] is found for name, found in zip(["0", "1", "2", "3", "features"], maps, strict=True))


def test_later_layers_do_not_change_a_map_that_has_left(encoder):
    """Activations work in place."""
    seen = []
    encoder.outputs[0].register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    assert torch.equal(encoder(torch.rand(1, 1, 64, 64))[0], seen[0])


def test_an_image_is_standardised_before_it_is_padded(encoder):
    standardising = EfficientNetEncoder(size="b0", image_mean=0.4, image_std=0.2).eval()
    standardising.load_state_dict(encoder.state_dict())
    image = torch.rand(1, 1, 64, 64)
    for ours, theirs in zip(standardising(image), encoder((image - 0.4) / 0.2), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_blocks_drop_at_a_rate_that_rises_linearly():
    with torch.device("meta"):
        stages = EfficientNetEncoder(drop_connect=0.46).stages
    rates = [block.drop_connect_rate for stage in stages for block in stage]
    assert rates == pytest.approx([0.02 * index for index in range(23)])


@pytest.mark.parametrize(("rate", "differ"), [(0.0, False), (0.9, True)])
def test_drop_connect_is_random_in_training_only(rate, differ):
    encoder = EfficientNetEncoder(size="b0", drop_connect=rate).train()
    image = torch.rand(4, 1, 64, 64)
    assert torch.equal(encoder(image)[-1], encoder(image)[-1]) is not differ
    encoder.eval()
    assert torch.equal(encoder(image)[-1], encoder(image)[-1])


@pytest.mark.parametrize("mode", [True, False])
def test_checkpointing_leaves_gradients_and_statistics_as_they_are(mode, encoder):
    plain = EfficientNetEncoder(size="b0", drop_connect=0.5)
    plain.load_state_dict(encoder.state_dict())
    checkpointed = EfficientNetEncoder(size="b0", drop_connect=0.5, use_checkpoint=True)
    checkpointed.load_state_dict(plain.state_dict())
    image = torch.rand(2, 1, 64, 64)
    for network in (plain, checkpointed):
        torch.manual_seed(3)
        loss = network.train(mode)(image)[-1].square().mean()
        loss.backward(retain_graph=True)
        loss.backward()
    for (name, ours), (_, theirs) in zip(plain.named_parameters(), checkpointed.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)
    for (name, ours), (_, theirs) in zip(plain.named_buffers(), checkpointed.named_buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, msg=name)
    assert plain.network._bn1.num_batches_tracked == 3 + int(mode)


def test_checkpointing_computes_the_blocks_again_in_the_backward_pass():
    counts = {}
    for use in (False, True):
        encoder = EfficientNetEncoder(size="b0", use_checkpoint=use).train()
        calls = counts.setdefault(use, [])
        encoder.stages[2][0]._depthwise_conv.register_forward_hook(lambda *given, calls=calls: calls.append(1))
        encoder(torch.rand(2, 1, 64, 64))[-1].sum().backward()
    assert (len(counts[False]), len(counts[True])) == (1, 2)


def test_a_traced_encoder_gives_the_same_maps(encoder):
    class Tuple(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, x):
            return tuple(self.encoder(x))

    image = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(torch.jit.trace(Tuple(), image, check_trace=False)(image), encoder(image), strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 64, 64)])
def test_error_names_the_channels_wanted(encoder, shape):
    with pytest.raises(ValueError, match=r"takes images \(B, 1, H, W\), got \("):
        encoder(torch.rand(shape))


def test_an_image_too_small_is_refused(encoder):
    with pytest.raises(ValueError, match="31 x 64 pixels is smaller than a token"):
        encoder(torch.rand(1, 1, 31, 64))


def test_leaving_tokens_out_is_refused(encoder):
    with pytest.raises(ValueError, match="leave kept out"):
        encoder(torch.rand(1, 1, 64, 64), torch.ones(1, 1, 64, 64))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"size": "b9"}, "b9"), ({"drop_connect": 1.0}, "below 1, got 1.0"), ({"drop_connect": -0.1}, "got -0.1")],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EfficientNetEncoder(**options)


def test_a_classifier_takes_it_and_tells_that_it_has_no_attention():
    network = MammogramClassifier(EfficientNetEncoder(size="b0")).eval()
    x = torch.rand(2, 2, 64, 64)
    found = network(x, details=True)
    assert "attention" not in found
    torch.testing.assert_close(found["logits"], network(x))
    assert MapPyramid(network.encoder, 16)(x)[-1].shape == (2, 16, 2, 2)
    assert MapPyramid(network.encoder, 16).strides == (4, 8, 16, 32)
