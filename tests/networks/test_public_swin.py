"""Public Swin weights in our encoder: the same maps as transformers', and every naming gives the same weights."""

import re

import pytest
import torch
from mammo.networks import SwinEncoder, load_encoder
from mammo.networks.public_swin import IMAGENET, convert_swin, export_swin
from safetensors.torch import save_file
from transformers import SwinConfig, SwinForMaskedImageModeling, SwinModel

SMALL = {"embed_dim": 24, "depths": [2, 2, 4, 2], "num_heads": [2, 4, 8, 16]}


def randomised(network):
    """Random weights of every kind: biases, norms and position tables too."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return network.eval()


def public(channels=3, kind=SwinModel):
    config = SwinConfig(image_size=224, num_channels=channels, drop_path_rate=0.0, encoder_stride=32, **SMALL)
    return randomised(kind(config))


def ours(**options):
    return SwinEncoder(
        size="tiny", embed_dim=24, depths=(2, 2, 4, 2), num_heads=(2, 4, 8, 16), drop_path=0.0, **options
    ).eval()


def filled(encoder, state, tmp_path):
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "w.safetensors")
    return load_encoder(encoder, tmp_path / "w.safetensors")


def official_names(state):
    """transformers' names as the official repository has them, written down apart from the converter."""
    renamed = {}
    for name, tensor in state.items():
        for old, new in {
            "embeddings.patch_embeddings.projection": "patch_embed.proj",
            "embeddings.norm": "patch_embed.norm",
            "encoder.layers": "layers",
            "layernorm_before": "norm1",
            "layernorm_after": "norm2",
            "attention.o_proj": "attn.proj",
            "attention.relative_position_bias.": "attn.",
            "layernorm": "norm",
        }.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    for name in [name for name in renamed if ".attention.q_proj" in name]:
        parts = [renamed.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
        renamed[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    return renamed


# Where a map is as narrow as a window in one direction, transformers stops shifting in both, MONAI and timm in that
# one: at (200, 330) the last stage would differ.
@pytest.mark.parametrize("size", [(224, 224), (448, 256), (250, 330), (301, 509)])
def test_maps_are_those_of_transformers(size, tmp_path):
    theirs = public(channels=1)
    state, left = convert_swin(theirs.state_dict())
    assert left == []
    encoder = filled(ours(), state, tmp_path)
    image = torch.rand(2, 1, *size)
    with torch.no_grad():
        found = encoder(image)[-1]
        expected = theirs(image, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(found.flatten(2).mT, expected, rtol=0, atol=1e-5)


def test_grey_images_give_what_colour_images_of_the_same_values_give(tmp_path):
    theirs = public()
    encoder = filled(ours(image_mean=0.449, image_std=0.226), convert_swin(theirs.state_dict())[0], tmp_path)
    grey = torch.rand(2, 1, 224, 224)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET.mean, IMAGENET.std))
    with torch.no_grad():
        expected = theirs((grey - mean) / std).last_hidden_state
        torch.testing.assert_close(encoder(grey)[-1].flatten(2).mT, expected, rtol=0, atol=1e-5)


def renamings():
    def official(state):
        return official_names(state) | {"head.weight": torch.zeros(2, 2), "layers.0.blocks.1.attn_mask": torch.zeros(1)}

    def timm(state):
        def later(name):
            return re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", name)

        return {later(name): tensor for name, tensor in official_names(state).items()} | {
            "head.fc.weight": torch.zeros(2, 2)
        }

    def timm_features(state):
        return {re.sub(r"^layers\.", "layers_", name): tensor for name, tensor in timm(state).items()}

    def simmim(state):
        renamed = {f"encoder.{name}": tensor for name, tensor in official_names(state).items()}
        return renamed | {"encoder.mask_token": torch.zeros(1), "decoder.0.weight": torch.zeros(2, 2)}

    def version_4(state):
        renamed = {}
        for name, tensor in state.items():
            name = re.sub(r"attention\.([qkv])_proj", lambda m: f"attention.self.{NAMES[m[1]]}", name)
            name = name.replace("attention.o_proj", "attention.output.dense")
            name = name.replace("attention.relative_position_bias.", "attention.self.")
            name = re.sub(r"mlp\.fc1", "intermediate.dense", name)
            renamed["swin." + re.sub(r"mlp\.fc2", "output.dense", name)] = tensor
        return renamed | {"classifier.weight": torch.zeros(2, 2)}

    return [official, timm, timm_features, simmim, version_4]


NAMES = {"q": "query", "k": "key", "v": "value"}


@pytest.mark.parametrize("renamed", renamings(), ids=lambda function: function.__name__)
def test_every_naming_gives_the_same_weights(renamed):
    state = public().state_dict()
    expected, _ = convert_swin(state)
    found, left = convert_swin(renamed(state))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert left
    assert all("head" in name or "decoder" in name or "mask_token" in name or "classifier" in name for name in left)


def test_exported_weights_have_the_official_names():
    state = public().state_dict()
    exported = export_swin(convert_swin(state, stem=None)[0])
    expected = official_names(state)
    assert exported.keys() == expected.keys()
    assert all(torch.equal(exported[name], tensor) for name, tensor in expected.items())
    with pytest.raises(ValueError, match="stem of convolutions"):
        export_swin(SwinEncoder(size="micro").state_dict())


def test_transformers_network_for_masked_images_is_taken(tmp_path):
    theirs = public(channels=1, kind=SwinForMaskedImageModeling)
    state, left = convert_swin(theirs.state_dict())
    assert left == ["decoder.0.bias", "decoder.0.weight", "embeddings.mask_token"]
    filled(ours(), state, tmp_path)


def test_what_is_no_swin_is_refused():
    with pytest.raises(ValueError, match=r"no Swin Transformer: its names begin with conv1\.weight"):
        convert_swin({"conv1.weight": torch.zeros(1)})
    state = official_names(public().state_dict()) | {"layers.0.blocks.0.attn.logit_scale": torch.zeros(1)}
    with pytest.raises(ValueError, match="Swin V2"):
        convert_swin(state)
