"""Released Mammo-CLIP weights in our networks, beside an EfficientNet written down from the published table."""

import collections

import pytest
import torch
from mammo.networks.efficientnet import EfficientNetEncoder
from mammo.networks.public_mammo_clip import IMAGE_MEAN, IMAGE_STD, convert_mammo_clip, export_mammo_clip
from mammo.networks.restricted_pickle import read_checkpoint
from torch.nn import functional as F
from transformers import BertConfig, BertModel

EXPANSION = 6
# Channels of the stem and the head, and of each stage kernel, stride, channels and blocks; the first does not expand.
TABLE = {
    "b2": (32, 1408, [(3, 1, 16, 2), (3, 2, 24, 3), (5, 2, 48, 3), (3, 2, 88, 4), (5, 1, 120, 4), (5, 2, 208, 5),
                      (3, 1, 352, 2)]),
    "b5": (48, 2048, [(3, 1, 24, 3), (3, 2, 40, 5), (5, 2, 64, 5), (3, 2, 128, 7), (5, 1, 176, 7), (5, 2, 304, 9),
                      (3, 1, 512, 3)]),
}  # fmt: skip
# Of strided convolutions: left, right, top, bottom.
PADDING = {
    "b2": {"stem": (0, 1, 0, 1), 2: (0, 1, 0, 1), 5: (2, 2, 2, 2), 8: (1, 1, 1, 1), 16: (2, 2, 2, 2)},
    "b5": {"stem": (0, 1, 0, 1), 3: (0, 1, 0, 1), 8: (1, 2, 1, 2), 13: (1, 1, 1, 1), 27: (2, 2, 2, 2)},
}
KEYS = {"b2": 506, "b5": 852}
TOLERANCE = 1e-7
"""Standard deviations of a map: rounding of float64, magnified by a random network."""


class Block(collections.namedtuple("Block", "index kernel stride given inner channels")):
    @property
    def name(self):
        return f"_blocks.{self.index}."


def blocks(size):
    stem, _, stages = TABLE[size]
    given = stem
    for stage, (kernel, stride, channels, count) in enumerate(stages):
        for number in range(count):
            index = sum(repeats for *_, repeats in stages[:stage]) + number
            inner = given * (EXPANSION if stage else 1)
            yield Block(index, kernel, 1 if number else stride, given, inner, channels)
            given = channels


def noise(*shape):
    """In float64: a random network magnifies rounding, the more so between images unlike those it was calibrated on."""
    return torch.randn(*shape, dtype=torch.float64)


def pictures(count, rows, columns):
    """Grey, coarse and fine: noise alone looks all the same to the deep layers."""
    coarse = F.interpolate(noise(count, 1, 4, 4), (rows, columns), mode="bilinear")
    return coarse + 0.3 * noise(count, 1, rows, columns)


def random_weights(size):
    """Under the released names, with the released shapes, and every kind of weight other than at its start."""
    state = {}

    def convolution(name, out, given, kernel=1, bias=False):
        state[f"{name}.weight"] = noise(out, given, kernel, kernel) * (2 / (given * kernel**2)) ** 0.5
        if bias:
            state[f"{name}.bias"] = noise(out)

    def norm(name, channels, scale=1.0):
        state[f"{name}.weight"] = scale * (0.5 + noise(channels).sigmoid())
        state[f"{name}.bias"] = 0.3 * noise(channels)
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = torch.zeros(2, channels, dtype=torch.float64)
        state[f"{name}.num_batches_tracked"] = torch.tensor(0)

    stem, head, stages = TABLE[size]
    convolution("_conv_stem", stem, 3, 3)
    norm("_bn0", stem)
    for block in blocks(size):
        if block.inner != block.given:
            convolution(f"{block.name}_expand_conv", block.inner, block.given)
            norm(f"{block.name}_bn0", block.inner)
        convolution(f"{block.name}_depthwise_conv", block.inner, 1, block.kernel)
        norm(f"{block.name}_bn1", block.inner)
        convolution(f"{block.name}_se_reduce", block.given // 4, block.inner, bias=True)
        convolution(f"{block.name}_se_expand", block.inner, block.given // 4, bias=True)
        convolution(f"{block.name}_project_conv", block.channels, block.inner)
        norm(f"{block.name}_bn2", block.channels, scale=0.5)  # tame residuals, as trained ones are
    convolution("_conv_head", head, stages[-1][2])
    norm("_bn1", head)
    return state


def published(state, x, size, padding=None, momentum=None):
    """The maps that leave blocks, and the head's; with a momentum, running statistics move."""
    padding = PADDING[size] | (padding or {})

    def norm(x, name):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.batch_norm(x, mean, variance, weight, bias, momentum is not None, momentum or 0.0, eps=1e-3)

    def swish(x):
        return x * torch.sigmoid(x)

    x = F.pad(x, padding["stem"])
    x = swish(norm(F.conv2d(x, state["_conv_stem.weight"], stride=2), "_bn0"))
    found = {}
    for block in blocks(size):
        start, name = x, block.name
        if block.inner != block.given:
            x = swish(norm(F.conv2d(x, state[f"{name}_expand_conv.weight"]), f"{name}_bn0"))
        around = padding[block.index] if block.stride == 2 else (block.kernel // 2,) * 4
        x = F.conv2d(F.pad(x, around), state[f"{name}_depthwise_conv.weight"], stride=block.stride, groups=block.inner)
        x = swish(norm(x, f"{name}_bn1"))
        gate = x.mean(dim=(2, 3), keepdim=True)
        gate = swish(F.conv2d(gate, state[f"{name}_se_reduce.weight"], state[f"{name}_se_reduce.bias"]))
        gate = F.conv2d(gate, state[f"{name}_se_expand.weight"], state[f"{name}_se_expand.bias"])
        x = norm(F.conv2d(x * torch.sigmoid(gate), state[f"{name}_project_conv.weight"]), f"{name}_bn2")
        x = x + start if block.stride == 1 and block.given == block.channels else x
        found[block.index] = x
    found["head"] = swish(norm(F.conv2d(x, state["_conv_head.weight"]), "_bn1"))
    return found


def calibrated(size, image, count):
    """Weights whose batch norms know their inputs; else the maps are all but constant and anything agrees."""
    state = random_weights(size)
    with torch.no_grad():
        published(state, pictures(count, *image).expand(-1, 3, -1, -1), size, momentum=1.0)
    return state


@pytest.fixture(scope="module")
def released():
    torch.manual_seed(0)
    return {"b2": calibrated("b2", (97, 131), 8), "b5": calibrated("b5", (49, 38), 16)}


def whole(image_state, bert=None):
    """A pretraining checkpoint's ``model``."""
    state = {f"image_encoder.{name}": tensor for name, tensor in image_state.items()}
    text = {} if bert is None else {f"text_encoder.text_encoder.{k}": v for k, v in bert.state_dict().items()}
    head = image_state["_conv_head.weight"].shape[0]
    return (
        state
        | text
        | {
            "image_projection.projection.weight": torch.randn(8, head),
            "image_projection.projection.bias": torch.randn(8),
            "text_projection.projection.weight": torch.randn(8, 16),
            "text_projection.projection.bias": torch.randn(8),
            "logit_scale": torch.tensor(2.7),
        }
    )


@pytest.fixture(scope="module")
def weights(released):
    return {size: convert_mammo_clip(whole(state)) for size, state in released.items()}


@pytest.fixture(scope="module")
def encoders(weights):
    return {size: filled(converted) for size, converted in weights.items()}


def filled(weights, **options):
    encoder = EfficientNetEncoder(1, weights.size, **options).double().eval()
    encoder.load_state_dict(weights.image)
    return encoder


def reference(state, image, size, padding=None):
    """The maps that the encoder gives, in its order."""
    ends = [sum(repeats for *_, repeats in TABLE[size][2][: stage + 1]) - 1 for stage in (1, 2, 4, 6)]
    with torch.no_grad():
        found = published(state, image.expand(-1, 3, -1, -1), size, padding)
    return [found[end] for end in (*ends, "head")]


def distance(ours, theirs):
    """Largest difference, in standard deviations of the map."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.std())


@pytest.mark.parametrize(("size", "image"), [("b2", (64, 64)), ("b2", (97, 131)), ("b2", (110, 66)), ("b5", (49, 38))])
def test_maps_are_those_of_the_published_network(size, image, released, encoders):
    grey = pictures(1, *image)
    with torch.no_grad():
        maps = encoders[size](grey)
    for ours, theirs in zip(maps, reference(released[size], grey, size), strict=True):
        assert distance(ours, theirs) < TOLERANCE


CONTROLS = {
    "another image": {},
    "stem padded on the other side": {"padding": {"stem": (1, 0, 1, 0)}},
    "block 2 padded on the other side": {"padding": {2: (1, 0, 1, 0)}},
    "block 16 padded for an even map": {"padding": {16: (1, 2, 1, 2)}},
    "a squeeze kernel 5 % larger": {"kernel": "_blocks.9._se_reduce.weight"},
    "a gate kernel 5 % larger": {"kernel": "_blocks.20._se_expand.weight"},
    "a variance of a norm 5 % larger": {"kernel": "_blocks.21._bn2.running_var"},
}


@pytest.mark.parametrize("control", CONTROLS)
def test_the_comparison_sees_each_small_change(control, released, encoders):
    """Negative controls: what the test above must not let pass."""
    options = CONTROLS[control]
    state = dict(released["b2"])
    grey = pictures(1, 97, 131)
    if "kernel" in options:
        state[options["kernel"]] = 1.05 * state[options["kernel"]]
    other = pictures(1, 97, 131) if control == "another image" else grey
    with torch.no_grad():
        found = distance(encoders["b2"](grey)[-1], reference(state, other, "b2", options.get("padding"))[-1])
    assert found > 0.01


def test_the_map_is_of_the_image_and_not_of_the_weights_alone(encoders):
    """Without it no agreement of maps would mean anything."""
    with torch.no_grad():
        first, second = encoders["b2"](pictures(2, 64, 64))[-1]
    assert (first - second).std() > 0.1 * first.std()


def test_grey_images_give_what_three_equal_normalised_channels_give(released, weights):
    encoder = filled(weights["b2"], image_mean=IMAGE_MEAN, image_std=IMAGE_STD)
    grey = 0.3 + 0.25 * pictures(1, 70, 101)
    theirs = reference(released["b2"], (grey - 0.3089279) / 0.25053555408335154, "b2")[-1]
    with torch.no_grad():
        assert distance(encoder(grey)[-1], theirs) < TOLERANCE


@pytest.mark.parametrize("size", ["b2", "b5"])
def test_every_released_name_has_its_place(size, released, weights):
    assert len(released[size]) == len(weights[size].image) == KEYS[size]
    assert weights[size].size == size
    assert weights[size].left == []
    assert (weights[size].classifier, weights[size].text) == (None, {})


@pytest.mark.parametrize("size", ["b2", "b5"])
def test_the_way_back_gives_the_released_names_and_values(size, released, weights):
    public = export_mammo_clip(weights[size].image)
    assert public.keys() == {f"image_encoder.{name}" for name in released[size]}
    stem = "image_encoder._conv_stem.weight"
    assert public[stem].shape == released[size]["_conv_stem.weight"].shape
    torch.testing.assert_close(public[stem].sum(dim=1), released[size]["_conv_stem.weight"].sum(dim=1))
    for name, tensor in released[size].items():
        assert name == "_conv_stem.weight" or torch.equal(public[f"image_encoder.{name}"], tensor)
    for name, tensor in convert_mammo_clip(public).image.items():
        torch.testing.assert_close(tensor, weights[size].image[name])


def test_text_projections_and_scale_are_taken_apart(released):
    torch.manual_seed(1)
    bert = BertModel(
        BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    ).eval()
    state = whole(released["b2"], bert)
    state["text_encoder.text_encoder.embeddings.position_ids"] = torch.arange(512)[None]
    weights = convert_mammo_clip(state | {"unknown.weight": torch.ones(1)})
    again = BertModel(bert.config).eval()
    again.load_state_dict(weights.text)
    tokens = torch.tensor([[2, 5, 7, 3]])
    with torch.no_grad():
        for ours, theirs in zip(again(tokens)[:2], bert(tokens)[:2], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert weights.projections.keys() == {
        f"{part}_projection.{kind}" for part in ("image", "text") for kind in ("weight", "bias")
    }
    assert torch.equal(weights.projections["text_projection.bias"], state["text_projection.projection.bias"])
    assert weights.logit_scale == state["logit_scale"]
    assert weights.left == ["unknown.weight"]


def test_a_classifier_gives_its_head(released):
    state = {f"module.image_encoder.{name}": tensor for name, tensor in released["b2"].items()}
    head = {"weight": torch.randn(1, 1408), "bias": torch.randn(1)}
    weights = convert_mammo_clip(state | {f"module.classifier.classification_head.{k}": v for k, v in head.items()})
    assert weights.classifier.keys() == head.keys()
    assert all(torch.equal(weights.classifier[name], tensor) for name, tensor in head.items())
    assert (weights.logit_scale, weights.projections, weights.left) == (None, {}, [])
    EfficientNetEncoder().load_state_dict(weights.image)


def test_a_file_as_released_goes_all_the_way(released, tmp_path):
    checkpoint = {"model": whole(released["b2"]), "config": {"model": {"name": "b2"}}, "epoch": 10, "train_loss": 0.1}
    torch.save(checkpoint, tmp_path / "b2-model-best-epoch-10.tar")
    weights = convert_mammo_clip(read_checkpoint(tmp_path / "b2-model-best-epoch-10.tar")["model"])
    EfficientNetEncoder(1, weights.size).load_state_dict(weights.image)


def test_other_weights_are_refused(released):
    state = whole(released["b2"])
    with pytest.raises(ValueError, match="weights of a Mammo-CLIP detector, whose encoder pads otherwise"):
        convert_mammo_clip(
            {"efficientnet._conv_stem.weight": torch.ones(32, 3, 3, 3), "fpn.P5_1.weight": torch.ones(1)}
        )
    with pytest.raises(ValueError, match='begin with model, epoch; give the dictionary under "model"'):
        convert_mammo_clip({"model": state, "epoch": 3})
    with pytest.raises(ValueError, match=r"is \(40, 3, 3, 3\); of B2 it has 32 channels, of B5 48"):
        convert_mammo_clip(state | {"image_encoder._conv_stem.weight": torch.ones(40, 3, 3, 3)})
    with pytest.raises(ValueError, match=r"no EfficientNet-B5 of Mammo-CLIP: image_encoder\.\S+ is"):
        convert_mammo_clip(state | {"image_encoder._conv_stem.weight": torch.ones(48, 3, 3, 3)})
    gone = {name: tensor for name, tensor in state.items() if name != "image_encoder._blocks.3._bn1.weight"}
    with pytest.raises(ValueError, match=r"image_encoder\._blocks\.3\._bn1\.weight is nothing there and \(144,\)"):
        convert_mammo_clip(gone)
    with pytest.raises(ValueError, match=r"_fc\.weight is \(2, 1408\) there and nothing in ours"):
        convert_mammo_clip(state | {"image_encoder._fc.weight": torch.ones(2, 1408)})
    with pytest.raises(ValueError, match="no EfficientNetEncoder: its names begin with image_encoder"):
        export_mammo_clip(state)
