"""Public ViT weights in our encoder: the same tokens as transformers', and every naming gives the same weights."""

import re
import warnings

import pytest
import torch
from mammo.networks import load_encoder
from mammo.networks.positions import sincos_positions
from mammo.networks.public_vit import IMAGENET, convert_masked_autoencoder, convert_vit, export_vit
from mammo.networks.vit import ViTEncoder
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from safetensors.torch import save_file
from torch import nn
from transformers import ViTConfig, ViTForImageClassification, ViTMAEConfig, ViTMAEForPreTraining, ViTModel

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
NAMES = {"q": "query", "k": "key", "v": "value"}


def randomised(network):
    """Random weights of every kind: biases, norms and positions too."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


def public(channels=3, kind=ViTModel, size=64):
    config = ViTConfig(**SMALL, num_channels=channels, image_size=size, layer_norm_eps=1e-6)
    return randomised(kind(config, add_pooling_layer=False) if kind is ViTModel else kind(config))


@pytest.fixture
def autoencoder():
    """transformers' MAE with the positions that released weights have, filled in from MONAI."""
    decoder = {f"decoder_{name}": value for name, value in SMALL.items()}
    network = randomised(ViTMAEForPreTraining(ViTMAEConfig(**SMALL, **decoder, image_size=64)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.meshgrid")
        fixed = build_sincos_position_embedding((4, 4), 32, spatial_dims=2)
    with torch.no_grad():
        for positions in (network.vit.embeddings.position_embeddings, network.decoder.decoder_pos_embed):
            positions.zero_()
            positions[:, 1:] = fixed
    return network


def ours(channels=1, image_size=(64, 64), **options):
    return ViTEncoder(channels, image_size, embed_dim=32, depth=2, num_heads=4, **options).eval()


def filled(encoder, state, tmp_path):
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "w.safetensors")
    return load_encoder(encoder, tmp_path / "w.safetensors")


def official_names(state):
    """transformers' names as MAE's repository has them, written down apart from the converter."""
    renamed = {}
    for name, tensor in state.items():
        for old, new in {
            "decoder.": "",
            "vit.": "",
            "embeddings.patch_embeddings.projection": "patch_embed.proj",
            "embeddings.cls_token": "cls_token",
            "embeddings.position_embeddings": "pos_embed",
            "decoder_layers": "decoder_blocks",
            "layernorm_before": "norm1",
            "layernorm_after": "norm2",
            "attention.o_proj": "attn.proj",
            "layernorm": "norm",
        }.items():
            name = name.replace(old, new)
        renamed[re.sub(r"^layers\.", "blocks.", name)] = tensor
    for name in [name for name in renamed if ".attention.q_proj" in name]:
        parts = [renamed.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
        renamed[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    return renamed


# At the second size both resize the learned positions.
@pytest.mark.parametrize("size", [(64, 64), (48, 112)])
def test_tokens_are_those_of_transformers(size, tmp_path):
    theirs = public(channels=1)
    state, left = convert_vit(theirs.state_dict())
    assert left == []
    encoder = filled(ours(positions="learned"), state, tmp_path)
    image = torch.rand(2, 1, *size)
    with torch.no_grad():
        expected = theirs(image, interpolate_pos_encoding=True).last_hidden_state
        torch.testing.assert_close(encoder.tokens(image), expected, rtol=0, atol=1e-5)


def test_fixed_positions_are_left_out_and_computed(autoencoder, tmp_path):
    state, left = convert_vit(autoencoder.state_dict(), stem=None)
    assert all(name.startswith("decoder.") for name in left)
    encoder = filled(ours(3), state, tmp_path)
    autoencoder.config.mask_ratio = 0.0
    image, in_order = torch.rand(2, 3, 64, 64), torch.arange(16.0).expand(2, -1)
    with torch.no_grad():
        expected = autoencoder.vit(image, noise=in_order).last_hidden_state
        torch.testing.assert_close(encoder.tokens(image), expected, rtol=0, atol=1e-5)


def test_grey_images_give_what_colour_images_of_the_same_values_give(tmp_path):
    theirs = public()
    encoder = ours(positions="learned", image_mean=0.449, image_std=0.226)
    filled(encoder, convert_vit(theirs.state_dict())[0], tmp_path)
    grey = torch.rand(2, 1, 64, 64)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET.mean, IMAGENET.std))
    with torch.no_grad():
        expected = theirs((grey - mean) / std).last_hidden_state
        torch.testing.assert_close(encoder.tokens(grey), expected, rtol=0, atol=1e-5)


def test_learned_positions_can_be_resized_beforehand(tmp_path):
    state = public(channels=1).state_dict()
    wide = filled(ours(image_size=(48, 112), positions="learned"), convert_vit(state, grid=(3, 7))[0], tmp_path)
    square = filled(ours(positions="learned"), convert_vit(state)[0], tmp_path)
    image = torch.rand(1, 1, 48, 112)
    torch.testing.assert_close(wide(image)[-1], square(image)[-1])


def test_learned_positions_of_a_rectangle_need_its_sides():
    state = public(channels=1, size=(32, 48)).state_dict()
    with pytest.raises(ValueError, match="6 positions are neither a square grid nor None"):
        convert_vit(state)
    with pytest.raises(ValueError, match=r"nor \(2, 2\)"):
        convert_vit(state, grid=(2, 2))
    positions = convert_vit(state, grid=(2, 3))[0]["positions.weight"]
    assert torch.equal(positions[0, :, 1, 0], state["embeddings.position_embeddings"][0, 1 + 3])


def test_fixed_positions_in_half_precision_are_known_for_what_they_are(autoencoder):
    state = {name: tensor.half() for name, tensor in autoencoder.state_dict().items()}
    assert "positions.weight" not in convert_vit(state)[0]
    state["vit.embeddings.position_embeddings"][0, 3] += 0.1
    assert "positions.weight" in convert_vit(state)[0]


def renamings():
    def official(state):
        return {name: tensor for name, tensor in official_names(state).items() if "decoder" not in name}

    def official_with_decoder(state):
        return official_names(state)

    def parallel(state):
        return {f"module.{name}": tensor for name, tensor in official(state).items()} | {"module.head.weight": 0 * ONE}

    def version_4(state):
        renamed = {}
        for name, tensor in state.items():
            name = re.sub(r"attention\.([qkv])_proj", lambda m: f"attention.attention.{NAMES[m[1]]}", name)
            name = name.replace("attention.o_proj", "attention.output.dense")
            name = name.replace("mlp.fc1", "intermediate.dense").replace("mlp.fc2", "output.dense")
            renamed[name.replace("vit.layers.", "vit.encoder.layer.")] = tensor
        return renamed | {"classifier.weight": ONE}

    def ours_whole(state):
        return convert_masked_autoencoder(state)

    return [official, official_with_decoder, parallel, version_4, ours_whole]


ONE = torch.ones(2, 2)


@pytest.mark.parametrize("renamed", renamings(), ids=lambda function: function.__name__)
def test_every_naming_gives_the_same_weights(renamed, autoencoder):
    state = autoencoder.state_dict()
    expected, _ = convert_vit(state)
    assert expected.keys() == ours().state_dict().keys()
    given = renamed(state)
    found, left = convert_vit(given)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    kinds = ("decoder", "mask_token", "classifier", "head", "entries")
    assert left == sorted(name for name in given if any(kind in name for kind in kinds))


def test_a_fine_tuned_network_gives_an_encoder_without_final_norm(tmp_path):
    state = official_names(public(channels=1).state_dict())
    head = {"fc_norm.weight": state.pop("norm.weight"), "fc_norm.bias": state.pop("norm.bias"), "head.weight": ONE}
    found, left = convert_vit(state | head)
    assert left == sorted(head)
    filled(ours(positions="learned", final_norm=False), found, tmp_path)


def test_a_classifier_of_transformers_is_taken():
    _, left = convert_vit(public(kind=ViTForImageClassification).state_dict())
    assert left == ["classifier.bias", "classifier.weight"]


def test_exported_weights_have_the_official_names(autoencoder):
    state = official_names(autoencoder.vit.state_dict())
    exported = export_vit(convert_vit(state, stem=None)[0], grid=(4, 4))
    assert exported.keys() == state.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(exported[name], tensor, msg=name)
    assert torch.equal(exported["pos_embed"][:, 1:], sincos_positions(4, 4, 32))
    with pytest.raises(ValueError, match="no ViTEncoder"):
        export_vit(state)


def test_exported_learned_positions_come_back():
    state, _ = convert_vit(public(channels=1).state_dict())
    found, left = convert_vit(export_vit(state))
    assert left == []
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blocks.0.ls1.gamma", r"parts that ours has not, such as blocks\.0\.ls1\.gamma"),
        ("blocks.1.attn.q_norm.weight", "q_norm"),
        ("dist_token", "dist_token"),
        ("register_tokens", "register_tokens"),
        ("norm_pre.weight", "norm_pre"),
    ],
)
def test_a_vit_with_other_parts_is_refused(name, message):
    state = official_names(public().state_dict()) | {name: ONE}
    with pytest.raises(ValueError, match=message):
        convert_vit(state)


def test_what_is_no_vit_is_refused(autoencoder):
    with pytest.raises(ValueError, match=r"no Vision Transformer.*begin with conv1\.weight"):
        convert_vit({"conv1.weight": ONE})
    state = autoencoder.state_dict()
    with pytest.raises(ValueError, match="an encoder alone; convert_vit takes it"):
        convert_masked_autoencoder({name: tensor for name, tensor in state.items() if "decoder" not in name})
    state["decoder.decoder_pos_embed"] = torch.rand(1, 17, 32)
    with pytest.raises(ValueError, match="the decoder's positions are not sines"):
        convert_masked_autoencoder(state)


@pytest.mark.parametrize("part", ["patch_embed.proj.weight", "cls_token", "blocks.0.attn.qkv.weight"])
def test_a_vit_that_lacks_a_part_is_refused(part):
    state = official_names(public().state_dict())
    del state[part]
    with pytest.raises(ValueError, match="no Vision Transformer with a class token"):
        convert_vit(state)
