"""Parameter groups against rates and members worked out by hand."""

import pytest
import torch
from mammo.networks import EfficientNetEncoder, MammogramClassifier, SwinEncoder, SwinMIM
from mammo.networks.masked_autoencoder import MaskedAutoencoder
from mammo.networks.parameter_groups import parameter_groups
from mammo.networks.vit import ViTEncoder
from monai.optimizers import WarmupCosineSchedule
from torch import nn

DEPTHS = (1, 2, 1, 1)
"""Layers: 0 stem; 1; 2, 3; 4; 5 blocks; 6 the rest."""


@pytest.fixture(scope="module")
def classifier() -> MammogramClassifier:
    return MammogramClassifier(SwinEncoder(embed_dim=8, depths=DEPTHS, num_heads=(1, 1, 1, 1), window_size=2))


def group_of(groups: list[dict], network: nn.Module, name: str) -> dict:
    wanted = dict(network.named_parameters())[name]
    (found,) = [group for group in groups if any(parameter is wanted for parameter in group["params"])]
    return found


@pytest.mark.parametrize(
    ("name", "layer", "rate"),
    [
        ("encoder.swin.patch_embed.proj.weight", 0, 0.015625),
        ("encoder.swin.layers1.0.blocks.0.attn.qkv.weight", 1, 0.03125),
        ("encoder.swin.layers1.0.downsample.reduction.weight", 1, 0.03125),  # with its stage's last block
        ("encoder.swin.layers2.0.blocks.0.mlp.linear1.weight", 2, 0.0625),
        ("encoder.swin.layers2.0.blocks.1.norm1.weight", 3, 0.125),
        ("encoder.swin.layers2.0.downsample.norm.bias", 3, 0.125),
        ("encoder.swin.layers3.0.blocks.0.attn.relative_position_bias_table", 4, 0.25),
        ("encoder.swin.layers4.0.blocks.0.attn.proj.bias", 5, 0.5),
        ("encoder.norm.weight", 6, 1.0),
        ("head.weight", 6, 1.0),
    ],
)
def test_the_learning_rate_halves_with_every_layer_below_the_head(name, layer, rate, classifier):
    groups = parameter_groups(classifier, 1.0, 0.05, layer_decay=0.5)
    group = group_of(groups, classifier, name)
    assert group["lr"] == rate
    assert group["name"].startswith(f"layer {layer},")


def test_every_parameter_is_in_one_group_and_groups_are_in_order(classifier):
    groups = parameter_groups(classifier, 1e-3, 0.05, layer_decay=0.8, decay_norms=False)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in classifier.parameters())
    kinds = [f"layer {layer}, {kind}" for layer in range(7) for kind in ("decayed", "not decayed")]
    assert [group["name"] for group in groups] == kinds
    assert [group["lr"] for group in groups[::2]] == pytest.approx([1e-3 * 0.8**power for power in range(6, -1, -1)])


@pytest.mark.parametrize(
    ("name", "decay"),
    [
        ("encoder.swin.layers1.0.blocks.0.attn.qkv.weight", 0.05),
        ("encoder.swin.patch_embed.proj.weight", 0.05),
        ("head.weight", 0.05),
        ("head.bias", 0.0),
        ("encoder.norm.weight", 0.0),
        ("encoder.swin.layers1.0.blocks.0.attn.relative_position_bias_table", 0.0),
    ],
)
def test_weight_decay_can_spare_biases_norms_and_position_tables(name, decay, classifier):
    spared = parameter_groups(classifier, 1e-3, 0.05, decay_norms=False)
    assert [group["name"] for group in spared] == ["decayed", "not decayed"]
    assert group_of(spared, classifier, name)["weight_decay"] == decay
    assert group_of(parameter_groups(classifier, 1e-3, 0.05), classifier, name)["weight_decay"] == 0.05


def test_the_mask_token_is_not_decayed_and_the_decoder_is_the_last_layer():
    network = SwinMIM(
        SwinEncoder(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)), fill="token", decoder_widths=(8, 8, 8, 8)
    )
    groups = parameter_groups(network, 1.0, 0.05, layer_decay=0.5, decay_norms=False)
    assert group_of(groups, network, "mask_token")["weight_decay"] == 0.0
    decoder = [name for name, _ in network.named_parameters() if name.startswith("decoder.")]
    assert {group_of(groups, network, name)["lr"] for name in decoder} == {1.0}


def test_left_alone_it_is_one_group_of_all_parameters_in_order(classifier):
    (group,) = parameter_groups(classifier, 1e-3, 1e-5)
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in classifier.parameters()]
    assert (group["lr"], group["weight_decay"]) == (1e-3, 1e-5)


def test_frozen_parameters_are_in_no_group():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    (group,) = parameter_groups(network, 1e-3, 0.0)
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in network[1].parameters()]


def test_a_schedule_keeps_the_ratios_of_the_groups(classifier):
    optimizer = torch.optim.AdamW(parameter_groups(classifier, 1.0, 0.05, layer_decay=0.5), lr=1.0)
    schedule = WarmupCosineSchedule(optimizer, warmup_steps=2, t_total=6, warmup_multiplier=0.1)
    shares = [0.1, 0.55, 1.0, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2, 0.0]  # up in 2 steps, a cosine down in 4
    for share in shares:
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([share * 0.5**power for power in range(6, -1, -1)], abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5])
def test_a_decay_out_of_range_is_refused(decay, classifier):
    with pytest.raises(ValueError, match=r"above 0 and at most 1.*1 switches it off"):
        parameter_groups(classifier, 1e-3, 0.0, layer_decay=decay)


@pytest.fixture(scope="module")
def vit() -> MammogramClassifier:
    """Layers: 0 patches, class token and positions; 1, 2, 3 blocks; 4 the rest."""
    return MammogramClassifier(
        ViTEncoder(1, (32, 32), embed_dim=8, depth=3, num_heads=2, positions="learned"), head_norm="batch"
    )


@pytest.mark.parametrize(
    ("name", "layer", "rate"),
    [
        ("encoder.patch_embed.weight", 0, 0.0625),
        ("encoder.patch_embed.bias", 0, 0.0625),
        ("encoder.class_token", 0, 0.0625),
        ("encoder.positions.weight", 0, 0.0625),
        ("encoder.blocks.0.attn.qkv.weight", 1, 0.125),
        ("encoder.blocks.1.norm2.bias", 2, 0.25),
        ("encoder.blocks.2.mlp.linear2.weight", 3, 0.5),
        ("encoder.norm.weight", 4, 1.0),
        ("head.weight", 4, 1.0),
    ],
)
def test_the_learning_rate_halves_with_every_layer_of_a_vit(name, layer, rate, vit):
    groups = parameter_groups(vit, 1.0, 0.05, layer_decay=0.5)
    group = group_of(groups, vit, name)
    assert group["lr"] == rate
    assert group["name"].startswith(f"layer {layer},")


def test_class_and_mask_tokens_and_positions_are_not_decayed_and_decoders_are_the_last_layer(vit):
    autoencoder = MaskedAutoencoder(vit.encoder, decoder_dim=8, decoder_depth=1, decoder_heads=2, scales=(1, 2))
    groups = parameter_groups(autoencoder, 1.0, 0.05, layer_decay=0.5, decay_norms=False)
    parameters = dict(autoencoder.named_parameters())
    flat = {name for name, parameter in parameters.items() if parameter.ndim == 1}
    spared = {name for name in parameters if group_of(groups, autoencoder, name)["weight_decay"] == 0}
    assert spared == flat | {"encoder.class_token", "encoder.positions.weight", "entries.0.mask_token"}
    outside = [name for name in parameters if not name.startswith("encoder.")]
    assert {group_of(groups, autoencoder, name)["lr"] for name in outside} == {1.0}
    blocks = [name for name in outside if "blocks.0" in name]  # a decoder's first block is no block of the encoder
    assert blocks


def test_layers_need_an_encoder():
    with pytest.raises(ValueError, match=r"one Swin, ViT or EfficientNet encoder; Linear has 0"):
        parameter_groups(nn.Linear(2, 2), 1e-3, 0.0, layer_decay=0.5)


@pytest.fixture(scope="module")
def efficientnet() -> MammogramClassifier:
    """B0 has blocks of 1, 2, 2, 3, 3, 4 and 1 in its stages. Layers: 0 stem; 1 to 16 blocks; 17 head; 18 the rest."""
    return MammogramClassifier(EfficientNetEncoder(size="b0"))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("_conv_stem.weight", 0),
        ("_bn0.weight", 0),
        ("_blocks.0.0._depthwise_conv.weight", 1),
        ("_blocks.1.1._expand_conv.weight", 2),
        ("_blocks.1.2._bn0.weight", 3),
        ("_blocks.3.5._se_reduce.bias", 6),
        ("_blocks.5.14._project_conv.weight", 15),
        ("_blocks.6.15._bn2.bias", 16),
        ("_conv_head.weight", 17),
        ("_bn1.weight", 17),
    ],
)
def test_the_learning_rate_halves_with_every_block_of_an_efficientnet(name, layer, efficientnet):
    groups = parameter_groups(efficientnet, 1.0, 0.05, layer_decay=0.5)
    group = group_of(groups, efficientnet, f"encoder.network.{name}")
    assert (group["lr"], group["name"]) == (0.5 ** (18 - layer), f"layer {layer}, decayed")
    assert group_of(groups, efficientnet, "head.weight")["lr"] == 1.0
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in efficientnet.parameters())
