"""MAE against transformers', and MIRAM's second decoder against transformers' decoder fed by hand."""

import pytest
import torch
from mammo.networks import load_encoder
from mammo.networks.losses.patch_reconstruction import MultiScaleReconstructionLoss
from mammo.networks.masked_autoencoder import MaskedAutoencoder, ScaleDecoder, patchify, unpatchify
from mammo.networks.public_vit import convert_masked_autoencoder
from mammo.networks.vit import ViTEncoder
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from torch import Tensor, nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEDecoder


def config(channels: int = 1, **options) -> ViTMAEConfig:
    return ViTMAEConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        num_channels=channels,
        layer_norm_eps=1e-6,
        decoder_hidden_size=32,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=128,
        norm_pix_loss=True,
        attn_implementation="eager",
        **options,
    )


def ours(channels: int = 1, image_size=(64, 96), encoder=None, **options) -> MaskedAutoencoder:
    encoder = {"embed_dim": 48, "depth": 3, "num_heads": 4} | (encoder or {})
    decoder = {"decoder_dim": 32, "decoder_depth": 2, "decoder_heads": 2} | options
    return MaskedAutoencoder(ViTEncoder(channels, image_size, **encoder), **decoder)


def randomised(network):
    """Random weights of every kind but positions, which are fixed."""
    for name, parameter in network.named_parameters():
        if "pos" not in name:
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def place(network: ViTMAEForPreTraining, grid: tuple[int, int]) -> None:
    """Fill in the positions, by MONAI: transformers takes all grids for squares, and 5.23 leaves new networks' at 0."""
    network.vit.embeddings.position_embeddings[:, 1:] = build_sincos_position_embedding(grid, 48, spatial_dims=2)
    network.decoder.decoder_pos_embed[:, 1:] = build_sincos_position_embedding(grid, 32, spatial_dims=2)


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize(("grid", "channels"), [((4, 4), 1), ((6, 6), 3), ((3, 12), 1)])
def test_latent_order_and_prediction_are_those_of_transformers(grid, channels):
    size = (16 * grid[0], 16 * grid[1])
    theirs = randomised(ViTMAEForPreTraining(config(channels, image_size=size)))
    place(theirs, grid)
    network = ours(channels, size).eval()
    state = {name: tensor for name, tensor in theirs.state_dict().items() if "pos" not in name}
    network.load_state_dict(convert_masked_autoencoder(state))
    image, noise = torch.rand(2, channels, *size), torch.rand(2, grid[0] * grid[1])
    with torch.no_grad():
        found = network(image, noise)
        encoded = theirs.vit(image, noise=noise)
        painted = theirs.decoder(encoded.last_hidden_state, encoded.ids_restore).logits
    assert torch.equal(found.ids_restore, encoded.ids_restore)
    assert torch.equal(found.hidden, encoded.mask)
    torch.testing.assert_close(found.latent, encoded.last_hidden_state, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.predictions[0], painted, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_and_its_gradients_are_those_of_transformers(channels):
    theirs = randomised(ViTMAEForPreTraining(config(channels, image_size=64)))
    place(theirs, (4, 4))
    network = ours(channels, (64, 64)).eval()
    network.load_state_dict(convert_masked_autoencoder(theirs.state_dict()))
    image, noise = torch.rand(2, channels, 64, 64), torch.rand(2, 16)
    expected = theirs(image, noise=noise).loss
    found = MultiScaleReconstructionLoss(loss_on={1: "masked"})(network(image, noise), [image])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    for loss in (found, expected):
        loss.backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    fixed = {name: p for name, p in theirs.state_dict().items() if "pos" in name}
    for name, gradient in convert_masked_autoencoder(gradients | fixed).items():
        torch.testing.assert_close(network.get_parameter(name).grad, gradient, rtol=1e-4, atol=1e-6, msg=name)


def children_by_hand(tokens: Tensor, grid: tuple[int, int], scale: int) -> Tensor:
    """Each token put at its children's places, one by one; the class token stays in front."""
    columns = scale * grid[1]
    full = [tokens[:, 0]]
    for place in range(scale**2 * grid[0] * grid[1]):
        row, column = place // columns, place % columns
        full.append(tokens[:, 1 + row // scale * grid[1] + column // scale])
    return torch.stack(full, dim=1)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_larger_decoder_is_transformers_decoder_of_the_copied_tokens(scale):
    grid = (3, 3)
    decoder = randomised(ScaleDecoder(grid, scale, 256, 32, depth=2, heads=2))
    patches = scale**2 * 9
    theirs = ViTMAEDecoder(config(image_size=48 * scale), patches).eval()
    theirs.decoder_embed = nn.Identity()
    mapped = {"decoder_norm": decoder.norm, "decoder_pred": decoder.pixels}
    for number, block in enumerate(decoder.blocks):
        start = f"decoder_layers.{number}."
        mapped |= {start + "layernorm_before": block.norm1, start + "layernorm_after": block.norm2}
        mapped |= {start + "mlp.fc1": block.mlp.linear1, start + "mlp.fc2": block.mlp.linear2}
        mapped |= {start + "attention.o_proj": block.attn.proj}
        for part, letter in enumerate("qkv"):
            layer = theirs.get_submodule(start + f"attention.{letter}_proj")
            layer.weight.data, layer.bias.data = (p.data.chunk(3)[part] for p in block.attn.qkv.parameters())
    for name, module in mapped.items():
        theirs.get_submodule(name).load_state_dict(module.state_dict())
    tokens = torch.randn(2, 10, 32)
    with torch.no_grad():
        expected = theirs(children_by_hand(tokens, grid, scale), torch.arange(patches).expand(2, -1)).logits
        torch.testing.assert_close(decoder(tokens, grid), expected, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_children_differ_by_their_positions_alone():
    decoder = randomised(ScaleDecoder((2, 3), 2, 256, 32, depth=0, heads=2))
    tokens = torch.randn(1, 7, 32)
    children = children_by_hand(tokens, (2, 3), 2)[:, 1:]
    positions = build_sincos_position_embedding((4, 6), 32, spatial_dims=2)
    expected = decoder.pixels(decoder.norm(children + positions))
    torch.testing.assert_close(decoder(tokens, (2, 3)), expected)


def test_the_scales_of_miram_share_what_comes_before_the_copies():
    mae, miram = ours().eval(), ours(scales=(1, 2)).eval()
    miram.load_state_dict(mae.state_dict(), strict=False)
    image, noise = torch.rand(2, 1, 64, 96), torch.rand(2, 24)
    low, high = miram(image, noise).predictions
    assert torch.equal(low, mae(image, noise).predictions[0])
    assert high.shape == (2, 96, 256)


@pytest.mark.parametrize(
    "options",
    [
        {"scales": (1,)},
        {"scales": (1, 2)},
        {"scales": (1, 2), "share_projection": False},
        {"scales": (1, 2, 4)},
        {"scales": (2,)},
        {"scales": (1, 2), "attention": "linformer", "attention_options": {"k": 8}},
        {"scales": (1, 2), "attention": "performer", "low_attention": "performer"},
        {"scales": (1, 2), "attention": "nystrom", "attention_options": {"landmarks": 16}},
        {"scales": (1, 2), "attention": "nystrom_2d", "attention_options": {"cells": (4, 4)}},
        {"scales": (1, 2), "attention": "materialised"},
    ],
    ids=str,
)
def test_every_parameter_gets_a_gradient(options):
    network = ours(**options)
    largest = max(network.scales)
    predictions = network(torch.rand(2, 1, 64, 96)).predictions
    assert [len(p[0]) for p in predictions] == [24 * scale**2 for scale in network.scales]
    painted = unpatchify(predictions[-1], (4 * largest, 6 * largest), 16)
    assert painted.shape == (2, 1, 64 * largest, 96 * largest)
    sum(prediction.square().sum() for prediction in predictions).backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_decoders_start_as_in_masked_autoencoders():
    for name, tensor in ours(scales=(1, 2), decoder_dim=64).state_dict().items():
        if name.startswith("encoder."):
            continue
        if "mask_token" in name:
            assert 0.01 < tensor.std() < 0.03
        elif tensor.ndim == 1:
            assert (tensor == ("norm" in name and name.endswith("weight"))).all(), name
        else:
            assert tensor.std().item() == pytest.approx((2 / sum(tensor.shape)) ** 0.5, rel=0.05), name


def test_each_scale_can_have_its_own_projection_and_mask_token():
    shared, own = (ours(scales=(1, 2), share_projection=share) for share in (True, False))
    counts = [sum(p.numel() for p in network.parameters()) for network in (shared, own)]
    assert counts[1] - counts[0] == 48 * 32 + 32 + 32
    own.eval()
    image, noise = torch.rand(1, 1, 64, 96), torch.rand(1, 24)
    before = own(image, noise).predictions
    nn.init.ones_(own.entries[1].mask_token)
    after = own(image, noise).predictions
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_published_networks_have_the_published_parameters():
    with torch.device("meta"):
        encoder = ViTEncoder(3)
        counts = [
            sum(p.numel() for p in MaskedAutoencoder(encoder, scales=scales).parameters()) / 1e6
            for scales in ((1,), (1, 2))
        ]
    assert counts == pytest.approx([111.66, 137.27], abs=0.01)


def test_removed_patches_are_not_seen():
    network = randomised(ours(scales=(1, 2)))
    image, noise = torch.rand(2, 1, 64, 96), torch.rand(2, 24)
    first = network(image, noise)
    hidden = unpatchify(first.hidden[..., None].expand(-1, -1, 256), (4, 6), 16)
    other = network(torch.where(hidden == 1, torch.rand_like(image), image), noise)
    for before, after in zip(first.predictions, other.predictions, strict=True):
        assert torch.equal(before, after)
    seen = network(image + 0.1 * (1 - hidden), noise)
    assert not torch.equal(first.latent, seen.latent)


@pytest.mark.parametrize(("ratio", "visible"), [(0.75, 6), (0.5, 12), (0.9, 2)])
def test_the_share_of_removed_patches_is_the_ratio(ratio, visible):
    network = ours(mask_ratio=ratio)
    output = network(torch.rand(3, 1, 64, 96))
    assert output.hidden.sum(dim=1).tolist() == [24 - visible] * 3
    assert output.latent.shape == (3, 1 + visible, 48)
    assert not torch.equal(output.hidden[0], output.hidden[1])


def test_the_least_noise_stays_visible():
    noise = torch.rand(2, 24)
    hidden = ours()(torch.rand(2, 1, 64, 96), noise).hidden
    for sample in range(2):
        visible = hidden[sample] == 0
        assert noise[sample][visible].max() < noise[sample][~visible].min()


def test_a_seed_makes_it_the_same_to_the_bit():
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        network = ours(scales=(1, 2), attention="performer")
        output = network(torch.rand(2, 1, 64, 96))
        sum(prediction.square().sum() for prediction in output.predictions).backward()
        found.append([*output.predictions, output.hidden, *(p.grad for p in network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_breast_mask_is_not_looked_at():
    network = ours().eval()
    image, noise = torch.rand(2, 1, 64, 96), torch.rand(2, 24)
    with_mask = network(torch.cat([image, torch.rand_like(image).round()], dim=1), noise)
    assert torch.equal(with_mask.predictions[0], network(image, noise).predictions[0])


def test_an_image_of_another_size_is_taken():
    network = ours(scales=(1, 2)).eval()
    other = ours(image_size=(48, 32), scales=(1, 2)).eval()
    other.load_state_dict(network.state_dict())
    image, noise = torch.rand(1, 1, 48, 32), torch.rand(1, 6)
    for found, expected in zip(network(image, noise).predictions, other(image, noise).predictions, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("attention", ["standard", "performer"])
def test_checkpointing_leaves_gradients_as_they_are(attention):
    options = {"scales": (1, 2), "attention": attention}
    if attention == "performer":  # directions that are drawn anew at every step
        options["attention_options"] = {"redraw_interval": 1}
    plain, recomputing = ours(**options), ours(encoder={"use_checkpoint": True}, **options)
    recomputing.load_state_dict(plain.state_dict())
    image, noise = torch.rand(2, 1, 64, 96), torch.rand(2, 24)
    for network in (plain, recomputing):
        for _ in range(2):
            network.zero_grad()
            sum(prediction.square().sum() for prediction in network(image, noise).predictions).backward()
    for (name, p), (_, q) in zip(plain.named_parameters(), recomputing.named_parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)


def test_bf16_autocast_is_close_and_the_loss_is_float32():
    network = ours(scales=(1, 2)).eval()
    image, noise = torch.rand(2, 1, 64, 96), torch.rand(2, 24)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(image, noise)
    for found, expected in zip(rough.predictions, network(image, noise).predictions, strict=True):
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)


def test_a_pretrained_encoder_is_left_as_it_is_and_can_be_loaded_from_the_checkpoint(tmp_path):
    encoder = randomised(ViTEncoder(image_size=(64, 96), embed_dim=48, depth=3, num_heads=4))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    network = MaskedAutoencoder(encoder, decoder_dim=32, decoder_depth=1, decoder_heads=2)
    torch.save({"model": network.state_dict()}, tmp_path / "mae.pt")
    fresh = load_encoder(ViTEncoder(image_size=(48, 48), embed_dim=48, depth=3, num_heads=4), tmp_path / "mae.pt")
    assert fresh.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())


def test_patches_are_by_row_column_and_channel():
    image = torch.rand(2, 3, 8, 12)
    patches = patchify(image, 4)
    assert patches.shape == (2, 6, 48)
    # Patch (1, 2), pixel (3, 1), channel 2.
    assert patches[1, 1 * 3 + 2, (3 * 4 + 1) * 3 + 2] == image[1, 2, 4 + 3, 8 + 1]
    assert torch.equal(unpatchify(patches, (2, 3), 4), image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "scales must be whole numbers"),
        ({"scales": (2, 1)}, r"got \(2, 1\)"),
        ({"scales": (0, 1)}, r"got \(0, 1\)"),
        ({"decoder_heads": 5}, "32 must be a multiple of decoder_heads 5"),
        ({"mask_ratio": 0.0}, "mask_ratio 0.0 leaves 24 of 24"),
        ({"mask_ratio": 0.99}, "leaves 0 of 24"),
        ({"attention": "flash", "scales": (1, 2)}, "flash"),
        ({"attention": "nystrom"}, "nystrom is for scales above 1"),
        ({"attention_options": {"k": 3}}, "standard attention has no option k"),
        ({"scales": (2,), "low_attention": "performer", "attention": "nystrom"}, "not all of it would be used"),
        ({"scales": (2,), "low_attention": "performer"}, "low_attention performer for scale 1"),
        ({"scales": (1, 2), "attention": "linformer", "attention_options": {"landmarks": 3}}, "landmarks"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ours(**options)


def test_inputs_that_do_not_fit_are_refused():
    network = ours()
    with pytest.raises(ValueError, match=r"\(B, 1, H, W\), or \(B, 2, H, W\)"):
        network(torch.rand(1, 3, 64, 96))
    with pytest.raises(ValueError, match=r"\(1, 24\); got \(1, 25\)"):
        network(torch.rand(1, 1, 64, 96), torch.rand(1, 25))
    with pytest.raises(ValueError, match="multiples of 16"):
        network(torch.rand(1, 1, 60, 96))
    with pytest.raises(ValueError, match="do not fill an image"):
        patchify(torch.rand(1, 1, 10, 8), 4)
    with pytest.raises(ValueError, match="are no 2 x 2 patches of 4 pixels"):
        unpatchify(torch.rand(1, 6, 16), (2, 2), 4)
