"""The ViT: its layout, its maps on any grid, tokens that are left out, and what it records of its attention."""

import pytest
import torch
from mammo.networks import MammogramClassifier
from mammo.networks.attention import build_attention
from mammo.networks.attention_maps import stitch_attention_received
from mammo.networks.positions import sincos_positions
from mammo.networks.vit import ViTBlock, ViTEncoder, attention_rollout, record_vit_attention
from torch.nn import functional as F


def small(**options) -> ViTEncoder:
    options = {"image_size": (64, 96), "embed_dim": 32, "depth": 4, "num_heads": 2} | options
    return ViTEncoder(**options).eval()


@pytest.fixture
def encoder() -> ViTEncoder:
    return spread(small())


def spread(network):
    """Weights far enough from their start that every block and norm shows in the output."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network


@pytest.mark.parametrize(
    ("size", "channels", "millions"), [("base", 3, 85.65), ("large", 3, 303.1), ("small", 3, 21.59), ("tiny", 3, 5.49)]
)
def test_parameters_are_those_of_the_published_layouts(size, channels, millions):
    with torch.device("meta"):
        encoder = ViTEncoder(channels, size=size)
    dim, depth = encoder.out_channels, len(encoder.blocks)
    block = 4 * dim + 4 * dim * (dim + 1) + 4 * dim * (dim + 1) + dim * (4 * dim + 1)
    expected = channels * 256 * dim + dim + dim + depth * block + 2 * dim
    assert sum(p.numel() for p in encoder.parameters()) == expected
    assert expected / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("image_size", [(64, 96), (32, 16), (112, 112)])
def test_maps_cover_any_grid(encoder, image_size):
    maps = encoder(torch.rand(2, 1, *image_size))
    shapes = {tuple(m.shape) for m in maps}
    assert shapes == {(2, 32, image_size[0] // 16, image_size[1] // 16)}
    assert len(maps) == len(encoder.map_channels) == 5


def test_the_last_map_is_the_last_tokens_without_the_class_token(encoder):
    image = torch.rand(2, 1, 64, 96)
    tokens = encoder.tokens(image)
    assert tokens.shape == (2, 25, 32)
    assert torch.equal(encoder(image)[-1].flatten(2).mT, tokens[:, 1:])


def test_an_image_of_another_size_gets_the_positions_of_its_grid(encoder):
    other = small(image_size=(48, 32))
    other.load_state_dict(encoder.state_dict())
    image = torch.rand(1, 1, 48, 32)
    torch.testing.assert_close(encoder(image)[-1], other(image)[-1], rtol=0, atol=0)
    placed = encoder.placed(torch.zeros(1, 32, 3, 2))
    assert torch.equal(placed, sincos_positions(3, 2, 32))


def test_a_patch_reads_its_own_pixels(encoder):
    image = torch.rand(1, 1, 64, 96)
    changed = image.clone()
    changed[:, :, 16:32, 80:96] += 1
    difference = (encoder.embed(changed) - encoder.embed(image)).abs().sum(dim=1)[0]
    assert difference[1, 5] > 0
    assert difference.count_nonzero() == 1


@pytest.mark.parametrize(("block", "changed"), [(0, 1), (1, 2), (2, 3), (3, 4)])
def test_the_maps_stand_at_the_quarters_of_the_blocks(encoder, block, changed):
    image = torch.rand(1, 1, 64, 96)
    before = encoder(image)
    torch.nn.init.normal_(encoder.blocks[block].mlp.linear2.bias)
    after = encoder(image)
    same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [number < changed for number in range(5)]


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_any_depth_gives_five_maps(depth):
    assert len(small(depth=depth)(torch.rand(1, 1, 32, 32))) == 5


def test_the_final_norm_can_be_left_out(encoder):
    bare = small(final_norm=False)
    bare.load_state_dict({name: tensor for name, tensor in encoder.state_dict().items() if "norm." not in name[:5]})
    image = torch.rand(1, 1, 64, 96)
    normed = F.layer_norm(bare.tokens(image), (32,), encoder.norm.weight, encoder.norm.bias, eps=1e-6)
    torch.testing.assert_close(encoder.tokens(image), normed)


def test_weights_start_as_in_masked_autoencoders():
    encoder = small(embed_dim=64)
    for name, parameter in encoder.state_dict().items():
        if "norm" in name:
            assert (parameter == name.endswith("weight")).all(), name
        elif name == "class_token":
            assert 0.01 < parameter.std() < 0.03
        elif parameter.ndim == 1:
            assert (parameter == 0).all(), name
        else:  # Xavier: uniform within sqrt(6 / (in + out)), for the flattened patch embedding too
            flat = parameter.flatten(1)
            bound = (6 / sum(flat.shape)) ** 0.5
            assert flat.abs().max() <= bound
            assert flat.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_checkpointing_leaves_gradients_as_they_are(encoder):
    recomputing = small(use_checkpoint=True)
    recomputing.load_state_dict(encoder.state_dict())
    image = torch.rand(2, 1, 64, 96)
    for network in (encoder, recomputing):
        network(image)[-1].square().sum().backward()
    for (name, ours), (_, theirs) in zip(encoder.named_parameters(), recomputing.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


def test_drop_path_rises_from_zero_and_is_random_in_training_only():
    encoder = spread(small(drop_path=0.6))
    assert [block.drop_path.drop_prob for block in encoder.blocks] == pytest.approx([0, 0.2, 0.4, 0.6])
    image = torch.rand(4, 1, 64, 96)
    assert torch.equal(encoder(image)[-1], encoder(image)[-1])
    encoder.train()
    assert not torch.equal(encoder(image)[-1], encoder(image)[-1])


def test_a_block_whose_paths_are_dropped_passes_its_input():
    block = ViTBlock(32, 2, build_attention("standard", heads=2, head_dim=16, grid=(2, 3)), drop_path=1.0)
    x = torch.rand(2, 7, 32)
    assert torch.equal(block.train()(x), x)
    assert not torch.equal(block.eval()(x), x)


def test_image_is_standardised_with_the_given_grey_values(encoder):
    standardising = small(image_mean=0.4, image_std=0.2)
    standardising.load_state_dict(encoder.state_dict())
    image = torch.rand(1, 1, 64, 96)
    torch.testing.assert_close(standardising(image)[-1], encoder((image - 0.4) / 0.2)[-1])


def test_features_and_outputs_pass_the_maps(encoder):
    seen = []
    for layer in (*encoder.outputs, encoder.features):
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    maps = encoder(torch.rand(1, 1, 64, 96))
    assert all(a is b for a, b in zip(seen, maps[1:], strict=True))


def test_bf16_autocast_is_close(encoder):
    image = torch.rand(1, 1, 64, 96)
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(image)[-1]
    torch.testing.assert_close(rough.float(), encoder(image)[-1], rtol=0, atol=0.05)


def test_a_traced_encoder_gives_the_same_for_any_batch(encoder):
    traced = torch.jit.trace(encoder, torch.rand(1, 1, 64, 96), strict=False)  # strict refuses a list of maps
    images = torch.rand(3, 1, 64, 96)
    for ours, theirs in zip(encoder(images), traced(images), strict=True):
        torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "huge"),
        ({"num_heads": 5}, "32 must be a multiple of num_heads 5"),
        ({"embed_dim": 6}, "multiple of 4 channels"),
        ({"positions": "rotary"}, "rotary"),
        ({"image_size": (60, 96)}, r"16 x 16 pixels, which do not fill 60 x 96"),
    ],
)
def test_impossible_layout_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 32, 32), r"takes images \(B, 1, H, W\), got \(1, 3"),
        ((1, 32, 32), r"takes images \(B, 1, H, W\), got \("),
        ((1, 1, 32, 40), "multiples of 16"),
        ((1, 1, 0, 16), "multiples of 16"),
    ],
)
def test_images_that_do_not_fit_are_refused(encoder, shape, message):
    with pytest.raises(ValueError, match=message):
        encoder(torch.rand(shape))


@pytest.fixture
def kept() -> torch.Tensor:
    """Of 4 x 6 tokens 6 in the first image, 1 in the second, all in the third."""
    kept = torch.zeros(3, 1, 64, 96)
    kept[0, :, :31, :48] = 1
    kept[1, :, 63, 95] = 1
    kept[2] = 1
    return kept


def test_kept_tokens_are_computed_as_if_there_were_no_others(encoder, kept):
    image = torch.rand(3, 1, 64, 96)
    chosen = encoder.kept_tokens(kept).flatten(1)
    assert chosen.sum(dim=1).tolist() == [6, 1, 24]
    with torch.no_grad():
        found = encoder.tokens(image, kept)
        tokens = encoder.placed(encoder.embed(image))
        for sample in range(3):
            alone = encoder.run(tokens[sample : sample + 1, chosen[sample]])[-1][0]
            torch.testing.assert_close(found[sample, 0], alone[0])
            torch.testing.assert_close(found[sample, 1:][chosen[sample]], alone[1:])
            assert (found[sample, 1:][~chosen[sample]] == 0).all()


def test_what_is_outside_the_kept_tokens_does_not_matter(encoder, kept):
    image = torch.rand(3, 1, 64, 96)
    other = torch.where(encoder.kept_tokens(kept).repeat_interleave(16, 2).repeat_interleave(16, 3), image, 9.0)
    for a, b in zip(encoder(image, kept)[1:], encoder(other, kept)[1:], strict=True):
        assert torch.equal(a, b)


def test_nothing_kept_gives_zeros_and_a_class_token(encoder):
    image = torch.rand(2, 1, 64, 96)
    tokens = encoder.tokens(image, torch.zeros_like(image))
    assert (tokens[:, 1:] == 0).all()
    assert tokens[:, 0].isfinite().all()
    torch.testing.assert_close(tokens[:1, 0], encoder.run(torch.zeros(1, 0, 32))[-1][:, 0])


def test_recorded_maps_are_the_softmax_of_queries_and_keys(encoder):
    image = torch.rand(2, 1, 64, 96)
    plain = encoder.tokens(image)
    seen = {}
    encoder.blocks[2].attn.register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0]))
    with record_vit_attention(encoder) as record:
        torch.testing.assert_close(encoder.tokens(image), plain)
    assert [tuple(m.shape) for m in record.maps] == [(2, 2, 25, 25)] * 4
    weight, bias = encoder.blocks[2].attn.qkv.weight.double(), encoder.blocks[2].attn.qkv.bias.double()
    projected = seen["x"].double() @ weight.T + bias
    for head in range(2):
        query = projected[..., 16 * head : 16 * head + 16]
        key = projected[..., 32 + 16 * head : 32 + 16 * head + 16]
        scores = torch.einsum("bnd,bmd->bnm", query, key) / 4
        expected = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
        torch.testing.assert_close(record.maps[2][:, head].double(), expected, rtol=0, atol=1e-6)


def test_the_gradient_of_a_map_is_that_of_the_values_it_mixes(encoder):
    attention = encoder.blocks[-1].attn
    seen = {}
    attention.qkv.register_forward_hook(lambda module, inputs, output: seen.update(v=output[..., 64:]))
    attention.proj.register_forward_pre_hook(lambda module, inputs: seen.update(mixed=inputs[0]))
    with record_vit_attention(encoder) as record:
        score = encoder(torch.rand(1, 1, 64, 96))[-1].square().sum()
    gradient, upstream = torch.autograd.grad(score, [record.maps[-1], seen["mixed"]])
    for head in range(2):
        part = slice(16 * head, 16 * head + 16)
        torch.testing.assert_close(gradient[0, head], upstream[0, :, part] @ seen["v"][0, :, part].T)


def test_recording_with_checkpoints_records_once_and_leaves_nothing_behind():
    encoder = spread(small(use_checkpoint=True))
    image = torch.rand(1, 1, 64, 96)
    with record_vit_attention(encoder) as record:
        encoder(image)
        encoder(image)[-1].sum().backward()
        assert len(record.maps) == len(record.grids) == 4
    with pytest.raises(ValueError, match="takes images"), record_vit_attention(encoder):
        encoder(encoder(image)[-1])
    encoder(image)
    assert len(record.maps) == 4
    assert all(block.attn.maps is None for block in encoder.blocks)
    assert not encoder.patch_embed._forward_hooks


def test_recorded_maps_do_not_look_at_what_is_not_kept(encoder, kept):
    image = torch.rand(3, 1, 64, 96)
    plain = encoder(image, kept)
    with record_vit_attention(encoder) as record:
        recorded = encoder(image, kept)
    for a, b in zip(plain, recorded, strict=True):
        torch.testing.assert_close(a, b)
    outside = ~encoder.kept_tokens(kept).flatten(1)
    for attention in record.maps:
        assert (attention[..., 1:].mT.transpose(1, 2)[outside] == 0).all()
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(3, 2, 25))


def test_recorded_grids_put_a_map_in_its_place(encoder):
    with record_vit_attention(encoder) as record:
        encoder(torch.rand(1, 1, 48, 80))
    received = stitch_attention_received(record.maps[0][..., 1:, 1:], record.grids[0])
    torch.testing.assert_close(received.flatten(2), record.maps[0][..., 1:, 1:].mean(dim=-2))
    assert received.shape == (1, 2, 3, 5)


@pytest.mark.parametrize("start", ["class", "patches"])
def test_rollout_is_the_product_of_the_halved_matrices(start):
    maps = [torch.rand(2, 3, 7, 7, dtype=torch.float64).softmax(dim=-1) for _ in range(4)]
    product = torch.eye(7, dtype=torch.float64)
    for attention in maps:
        product = (0.5 * attention.mean(dim=1) + 0.5 * torch.eye(7)) @ product
    expected = product[:, 0, 1:] if start == "class" else product[:, 1:, 1:].mean(dim=1)
    torch.testing.assert_close(attention_rollout(maps, (2, 3), start).flatten(1), expected)


def test_rollout_of_attention_to_one_patch_points_there():
    attention = torch.zeros(1, 1, 7, 7)
    attention[..., 5] = 1
    rolled = attention_rollout([attention] * 3, (2, 3))
    expected = torch.zeros(1, 2, 3)
    expected[0, 1, 1] = 1 - 0.5**3
    torch.testing.assert_close(rolled, expected)


@pytest.mark.parametrize(
    ("maps", "grid", "message"),
    [
        ([], (2, 3), "got none"),
        ([torch.rand(1, 1, 6, 6)], (2, 3), "6 tokens are no class token and a grid of 2 x 3"),
    ],
)
def test_rollout_refuses_what_is_no_grid(maps, grid, message):
    with pytest.raises(ValueError, match=message):
        attention_rollout(maps, grid)


@pytest.mark.parametrize("tokens", ["all", "breast"])
def test_a_classifier_takes_it(tokens, encoder):
    classifier = MammogramClassifier(encoder, tokens=tokens)
    x = torch.rand(2, 2, 64, 96).round()
    x[:, 1, :, 48:] = 0
    logits = classifier(x)
    logits.sum().backward()
    assert logits.shape == (2, 2)
    without = {name for name, parameter in encoder.named_parameters() if parameter.grad is None}
    assert without == set()
