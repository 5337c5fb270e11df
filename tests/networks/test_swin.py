import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder, SwinMIM, SwinSize
from mammo.networks.swin import LAYOUTS
from monai.data import MetaTensor
from monai.networks.nets.swin_unetr import SwinTransformer


@pytest.fixture
def encoder() -> SwinEncoder:
    return SwinEncoder(size="micro", stem="patch", patch_size=4, window_size=7).eval()


def official_parameters(dim: int, depths: tuple[int, ...], heads: tuple[int, ...], window: int = 7) -> int:
    """Parameters of Swin without its head, counted from the paper's description, for one input channel."""
    total = dim * 16 + dim + 2 * dim  # patch embedding of 4 x 4 pixels and its norm
    for stage, (depth, head) in enumerate(zip(depths, heads, strict=True)):
        width = dim * 2**stage
        norms, qkv, out = 4 * width, 3 * width * (width + 1), width * (width + 1)
        mlp = 4 * width * (width + 1) + width * (4 * width + 1)
        total += depth * (norms + qkv + out + mlp + (2 * window - 1) ** 2 * head)
        if stage < 3:
            total += 4 * width * 2 * width + 2 * 4 * width  # merging: linear without bias, norm
    return total + 2 * width


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_parameters_are_those_of_the_official_layout(size):
    layout = LAYOUTS[SwinSize(size)]
    encoder = SwinEncoder(size=size)
    assert sum(p.numel() for p in encoder.parameters()) == official_parameters(*layout[:3])


def test_swin_base_gives_the_published_maps_at_224():
    with torch.no_grad():
        maps = SwinEncoder(size="base")(torch.rand(1, 1, 224, 224))
    expected = [(128, 56, 56), (256, 28, 28), (512, 14, 14), (1024, 7, 7), (1024, 7, 7)]
    assert [tuple(m.shape[1:]) for m in maps] == expected


@pytest.mark.parametrize("size", [(96, 160), (224, 224), (100, 70), (33, 250)])
def test_maps_cover_any_image(encoder, size):
    maps = encoder(torch.rand(2, 1, *size))
    for features, channels, stride in zip(maps, encoder.map_channels, (4, 8, 16, 32, 32), strict=True):
        assert tuple(features.shape) == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_first_four_maps_are_those_of_monai(encoder):
    reference = SwinTransformer(
        1, 24, (7, 7), (4, 4), (2, 2, 2, 2), (2, 4, 8, 16), patch_norm=True, spatial_dims=2
    ).eval()
    reference.load_state_dict(encoder.swin.state_dict(), strict=False)
    image = torch.rand(1, 1, 96, 160)
    for ours, theirs in zip(encoder(image)[:4], reference(image, normalize=False)[:4], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_last_map_depends_on_the_last_block_and_the_fourth_does_not(encoder):
    image = torch.rand(1, 1, 224, 224)
    before = encoder(image)
    with torch.no_grad():
        encoder.swin.layers4[0].blocks[-1].mlp.linear2.weight.add_(0.1 * torch.randn(192, 768))
    after = encoder(image)
    torch.testing.assert_close(before[3], after[3], rtol=0, atol=0)
    assert (before[4] - after[4]).abs().max() > 0.1


def test_last_map_is_normalised_over_channels(encoder):
    last = encoder(torch.rand(2, 1, 128, 128))[-1]
    torch.testing.assert_close(last.mean(dim=1), torch.zeros_like(last[:, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(last.var(dim=1, correction=0), torch.ones_like(last[:, 0]), atol=1e-2, rtol=0)


def test_final_norm_is_applied_with_its_weights(encoder):
    image = torch.rand(1, 1, 128, 128)
    before = encoder(image)[-1]
    torch.nn.init.constant_(encoder.norm.weight, 3.0)
    torch.testing.assert_close(encoder(image)[-1], 3 * before)


def test_features_layer_sees_the_last_map(encoder):
    seen = []
    encoder.features.register_forward_hook(lambda module, inputs, output: seen.append(output))
    last = encoder(torch.rand(1, 1, 96, 96))[-1]
    assert seen[0] is last


def test_checkpointing_leaves_gradients_as_they_are():
    plain, checkpointed = SwinEncoder(size="micro"), SwinEncoder(size="micro", use_checkpoint=True)
    checkpointed.load_state_dict(plain.state_dict())
    image = torch.rand(1, 1, 96, 96)
    for network in (plain, checkpointed):
        network(image)[-1].square().sum().backward()
    for (name, ours), (_, theirs) in zip(plain.named_parameters(), checkpointed.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


def test_drop_path_is_random_in_training_only():
    encoder = SwinEncoder(size="micro", stem="patch", patch_size=4, window_size=7, drop_path=0.5)
    image = torch.rand(4, 1, 64, 64)
    assert not torch.equal(encoder(image)[-1], encoder(image)[-1])
    encoder.eval()
    torch.testing.assert_close(encoder(image)[-1], encoder(image)[-1], rtol=0, atol=0)


def test_width_depths_and_heads_override_the_size():
    encoder = SwinEncoder(3, embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=4, patch_size=2)
    assert encoder.map_channels == (16, 32, 64, 128, 128)
    assert encoder(torch.rand(1, 3, 32, 32))[-1].shape == (1, 128, 2, 2)


def test_image_is_standardised_with_the_given_grey_values(encoder):
    standardising = SwinEncoder(
        size="micro", stem="patch", patch_size=4, window_size=7, image_mean=0.4, image_std=0.2
    ).eval()
    standardising.load_state_dict(encoder.state_dict())
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(standardising(image)[-1], encoder((image - 0.4) / 0.2)[-1])


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 32, 32)])
def test_error_names_the_channels_wanted(encoder, shape):
    with pytest.raises(ValueError, match=r"takes images \(B, 1, H, W\), got \("):
        encoder(torch.rand(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "huge"),
        ({"size": "micro", "depths": (2, 2, 2)}, "four stages"),
        ({"size": "micro", "patch_size": 3}, "patch_size must be 2, 4, 8"),
        ({"size": "micro", "num_heads": (5, 4, 8, 16)}, "multiples of their attention heads"),
    ],
)
def test_impossible_layout_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SwinEncoder(**options)


@pytest.mark.parametrize(("patch_size", "size"), [(2, (33, 64)), (4, (100, 67)), (8, (64, 61))])
def test_a_convolutional_stem_covers_any_image_with_the_tokens_of_the_linear_one(patch_size, size):
    image = torch.rand(2, 1, *size)
    stems = [SwinEncoder(size="micro", stem=stem, patch_size=patch_size).eval() for stem in ("conv", "patch")]
    assert stems[0].embed(image).shape == stems[1].embed(image).shape


def test_the_published_sizes_keep_the_linear_patch_embedding():
    assert SwinEncoder(size="tiny").swin.patch_embed.proj.weight.shape == (96, 1, 4, 4)


@pytest.mark.parametrize("tokens", ["all", "breast"])
def test_what_a_monai_loader_collates_trains_as_plain_tensors_do(encoder, tokens):
    x = torch.rand(2, 2, 64, 96)
    x[:, 1] = (x[:, 1] > 0.3).float()
    classifier, autoencoder = MammogramClassifier(encoder, tokens=tokens), SwinMIM(encoder, tokens=tokens)
    hidden = torch.zeros(2, 1, 64, 96)
    hidden[:, :, :32] = 1.0
    for network, more in ((classifier.eval(), ()), (autoencoder.eval(), (hidden,))):
        plain = network(x, *more)
        given = network(MetaTensor(x), *map(MetaTensor, more))
        torch.testing.assert_close(torch.as_tensor(given), plain, rtol=0, atol=0)
        network.train()(MetaTensor(x), *map(MetaTensor, more)).square().mean().backward()
        network.eval()
