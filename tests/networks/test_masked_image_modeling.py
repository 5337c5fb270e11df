import pytest
import torch
from mammo.networks import MammogramClassifier, PublishedDecoder, SwinEncoder, SwinMIM, UnetrDecoder
from torch import nn
from torch.nn import functional as F

NETWORKS = {
    "published": lambda encoder: SwinMIM(encoder),
    "published-token": lambda encoder: SwinMIM(encoder, fill="token"),
    "published-full": lambda encoder: SwinMIM(encoder, full_resolution=True),
    "unetr": lambda encoder: SwinMIM(encoder, "unetr"),
    "unetr-token": lambda encoder: SwinMIM(encoder, "unetr", fill="token"),
    "classifier": lambda encoder: MammogramClassifier(encoder, {"pathology": 2, "density": 4}),
    "classifier-average": lambda encoder: MammogramClassifier(encoder, pooling="average", dropout=0.1),
}


@pytest.mark.parametrize("size", [(96, 160), (224, 224), (100, 70)])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns_at_every_size(name, size):
    network = NETWORKS[name](SwinEncoder(size="micro"))
    x = torch.rand(2, 2, *size).round()
    hidden = torch.zeros(2, 1, *size)
    hidden[..., 16:48, 32:64] = 1
    output = network(x, hidden) if isinstance(network, SwinMIM) else network(x)
    assert output.isfinite().all()
    if isinstance(network, SwinMIM):
        assert output.shape == (2, 1, *size)
    (output * torch.randn_like(output)).sum().backward()
    for key, parameter in network.named_parameters():
        # A bias in front of a norm, or of keys before a softmax, has no effect; what it must have is a gradient.
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    moved = [p.grad.abs().max() > 0 for k, p in network.named_parameters() if k.endswith("weight")]
    assert all(moved)


def test_published_decoder_has_the_published_layers():
    decoder = PublishedDecoder(1024)
    convolutions = [m for m in decoder.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [(type(m), m.in_channels, m.out_channels) for m in convolutions] == [
        (nn.Conv2d, 1024, 512),
        (nn.ConvTranspose2d, 512, 256),
        (nn.ConvTranspose2d, 256, 128),
        (nn.ConvTranspose2d, 128, 64),
        (nn.Conv2d, 64, 1),
    ]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in decoder.modules()) == 4
    assert sum(isinstance(m, nn.ReLU) for m in decoder.modules()) == 4
    assert decoder.layers(torch.rand(2, 1024, 7, 7)).shape == (2, 1, 56, 56)


def test_full_resolution_needs_no_interpolation():
    decoder = PublishedDecoder(64, (32, 16, 8), stride=32, full_resolution=True)
    assert decoder.layers(torch.rand(2, 64, 3, 4)).shape == (2, 1, 96, 128)


def test_full_resolution_refuses_more_blocks_than_the_stride_has():
    with pytest.raises(ValueError, match="power of two"):
        PublishedDecoder(64, (32, 16, 8, 8), stride=4, full_resolution=True)


def test_padding_does_not_shift_the_reconstruction():
    """An image cut short by less than a token keeps its pixels' places: what is left is the same picture."""
    decoder = PublishedDecoder(8, (8, 8)).eval()
    maps = [torch.rand(1, 8, 3, 4)]
    whole, cut = decoder(maps, torch.rand(1, 1, 96, 128)), decoder(maps, torch.rand(1, 1, 90, 101))
    torch.testing.assert_close(cut, whole[..., :90, :101])


def test_unetr_decoder_uses_the_image_and_four_maps():
    image = torch.rand(1, 1, 90, 101, requires_grad=True)
    sizes = [(23, 26), (12, 13), (6, 7), (3, 4), (3, 4)]
    maps = [torch.rand(1, c, *s, requires_grad=True) for c, s in zip((4, 8, 16, 32, 32), sizes, strict=True)]
    output = UnetrDecoder((4, 8, 16, 32, 32))(maps, image)
    assert output.shape == (1, 1, 90, 101)
    (output * torch.randn_like(output)).sum().backward()
    assert maps[3].grad is None  # the input of the last stage: what it knows is in the last map
    for used in (image, *maps[:3], maps[4]):
        assert (used.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize("fill", ["zero", "token"])
@pytest.mark.parametrize("decoder", ["published", "unetr"])
def test_hidden_pixels_cannot_be_seen(decoder, fill):
    network = SwinMIM(SwinEncoder(size="micro"), decoder, fill).eval()
    hidden = F.interpolate((torch.rand(1, 1, 6, 10) > 0.5).float(), scale_factor=16)
    x = torch.rand(1, 2, 96, 160)
    other = torch.where(hidden.bool(), torch.rand_like(x), x)
    torch.testing.assert_close(network(x, hidden), network(other, hidden), rtol=0, atol=0)
    assert not torch.allclose(network(x), network(other))


@pytest.mark.parametrize("decoder", ["published", "unetr"])
def test_sparse_pretraining_sees_the_visible_breast_only(decoder):
    network = SwinMIM(SwinEncoder(size="micro", stem="patch", patch_size=4), decoder, tokens="breast").eval()
    hidden = F.interpolate((torch.rand(2, 1, 6, 10) > 0.5).float(), scale_factor=16)
    mask = torch.zeros(2, 1, 96, 160)
    mask[..., 8:70, :101] = 1
    x = torch.cat([torch.rand(2, 1, 96, 160), mask], 1)
    kept = network.encoder.kept_tokens(mask * (1 - hidden)).float()
    seen = F.interpolate(kept, scale_factor=4) * (1 - hidden)
    other = torch.cat([x[:, :1].where(seen > 0, torch.rand_like(mask)), mask], 1)
    maps = [n.encoder(v[:, :1] * (1 - hidden), mask * (1 - hidden))[-1] for n, v in ((network, x), (network, other))]
    torch.testing.assert_close(*maps, rtol=0, atol=0)
    if decoder == "published":  # the skips of the other show the air
        torch.testing.assert_close(network(x, hidden), network(other, hidden), rtol=0, atol=0)
    assert not torch.allclose(network(x, hidden), network(x))


def test_the_decoder_finds_a_learned_vector_where_no_token_was_computed():
    network = SwinMIM(SwinEncoder(size="micro", stem="patch", patch_size=4), tokens="breast")
    seen = []
    network.decoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][-1]))
    mask = torch.zeros(1, 1, 64, 96)
    mask[..., :32, :40] = 1  # tokens of the last map: row 0, columns 0 and 1
    network(torch.cat([torch.rand(1, 1, 64, 96), mask], 1)).sum().backward()
    empty = network.empty_token.expand(1, -1, 2, 3)
    expected = torch.tensor([[False, False, True], [True, True, True]])
    assert torch.equal((seen[0] == empty).all(dim=1)[0], expected)
    assert network.empty_token.grad.abs().min() > 0


def test_a_mask_token_without_hidden_tokens_is_refused():
    with pytest.raises(ValueError, match="fill: token"):
        SwinMIM(SwinEncoder(size="micro"), fill="token", tokens="breast")


def test_zero_fill_is_the_network_on_the_image_with_holes():
    network = SwinMIM(SwinEncoder(size="micro")).eval()
    x, hidden = torch.rand(1, 1, 64, 64), (torch.rand(1, 1, 64, 64) > 0.5).float()
    torch.testing.assert_close(network(x, hidden), network(x * (1 - hidden)))


def test_token_replaces_the_embedding_of_every_patch_that_is_hidden_in_part():
    network = SwinMIM(SwinEncoder(size="micro", stem="patch", patch_size=4), fill="token").eval()
    seen = {}
    network.encoder.swin.layers1[0].register_forward_pre_hook(lambda module, inputs: seen.update(tokens=inputs[0]))
    hidden = torch.zeros(1, 1, 62, 64)
    hidden[..., 60:61, 5:6] = 1  # one pixel of the patch at row 15, column 1
    x = torch.rand(1, 1, 62, 64)
    network(x, hidden)
    expected = network.encoder.embed(x)
    expected[..., 15, 1] = network.mask_token[0, :, 0, 0]
    torch.testing.assert_close(seen["tokens"], expected)


def test_the_mask_channel_is_not_looked_at():
    network = SwinMIM(SwinEncoder(size="micro")).eval()
    x = torch.rand(1, 2, 64, 64)
    torch.testing.assert_close(network(x), network(x[:, :1]), rtol=0, atol=0)


def test_hidden_of_another_size_is_refused():
    with pytest.raises(ValueError, match="pixel resolution"):
        SwinMIM(SwinEncoder(size="micro"))(torch.rand(1, 1, 64, 64), torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("options", [{"decoder": "unet"}, {"fill": "mean"}])
def test_unknown_option_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options.values()))):
        SwinMIM(SwinEncoder(size="micro"), **options)
