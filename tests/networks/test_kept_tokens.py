"""Only some tokens computed: against MONAI's own blocks on all of them, with the scores of the others masked."""

import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder, fast_swin, record_attention
from mammo.networks.losses import AttentionSpectralPenalty
from mammo.networks.masked_blocks import run_masked_block

from .test_fast_swin import assert_same, encoder_of


def dense_stage(stage, x, kept=None):
    """A stage where every token is computed, attention masked, what is not kept set to 0: slow and plain."""
    maps = x.permute(0, 2, 3, 1) * kept[:, 0, ..., None]
    for block in stage.blocks:
        maps = run_masked_block(block, maps, kept[:, 0])
    if stage.downsample is not None:
        maps = stage.downsample(maps) * fast_swin.merged(kept)[:, 0, ..., None]
    return maps.permute(0, 3, 1, 2)


def result_of(encoder, image, kept):
    encoder.zero_grad()
    image = image.clone().requires_grad_()
    torch.manual_seed(0)
    maps = encoder(image, kept)
    generator = torch.Generator().manual_seed(1)
    loss = sum((m * torch.randn(m.shape, generator=generator, dtype=torch.float64)).sum() for m in maps[1:])
    loss.backward()
    grads = {name: p.grad.clone() for name, p in encoder.named_parameters()}
    return [m.detach() for m in maps], grads | {"image": image.grad}


def some_blocks(size, share=0.5, block=16, images=3):
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(images, 1, *(-(-length // block) for length in size), generator=generator) < share
    return coarse.repeat_interleave(block, 2).repeat_interleave(block, 3)[..., : size[0], : size[1]].double()


@pytest.mark.parametrize("window", [4, 7])
@pytest.mark.parametrize("size", [(224, 224), (128, 256), (100, 70), (40, 330)])
def test_maps_and_all_gradients_are_those_of_masked_attention(size, window, monkeypatch):
    encoder = encoder_of(window_size=window)
    image, kept = torch.rand(3, 1, *size, dtype=torch.float64), some_blocks(size)
    kept[1] = 0
    ours = result_of(encoder, image, kept)
    assert ours[0][-1][1].abs().max() == 0
    assert ours[0][-1][0].abs().max() > 0
    monkeypatch.setattr("mammo.networks.swin.run_stage", dense_stage)
    assert_same(ours, result_of(encoder, image, kept))


@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
def test_keeping_every_token_changes_nothing(size):
    encoder = encoder_of(window_size=7 if size == (224, 224) else 3)
    image = torch.rand(2, 1, *size, dtype=torch.float64)
    for mine, plain in zip(encoder(image, torch.ones_like(image)), encoder(image), strict=True):
        if size == (224, 224):  # without padding, whose tokens the plain pass sees
            torch.testing.assert_close(mine, plain, rtol=0, atol=1e-12)
        assert mine.shape == plain.shape


def test_what_is_not_kept_has_no_influence():
    encoder = encoder_of()
    kept = some_blocks((96, 96), images=2)
    image = torch.rand(2, 1, 96, 96, dtype=torch.float64)
    other = image.where(kept > 0, torch.rand_like(image))
    for mine, same in zip(encoder(image, kept)[1:], encoder(other, kept)[1:], strict=True):
        torch.testing.assert_close(mine, same, rtol=0, atol=0)


def test_an_image_does_not_depend_on_its_neighbours():
    encoder = encoder_of()
    kept, image = some_blocks((96, 128)), torch.rand(3, 1, 96, 128, dtype=torch.float64)
    together = encoder(image, kept)[-1]
    for i in range(3):
        torch.testing.assert_close(encoder(image[i : i + 1], kept[i : i + 1])[-1], together[i : i + 1])


def test_a_canvas_wider_than_the_breast_changes_nothing():
    encoder = encoder_of()
    image, kept = torch.rand(1, 1, 192, 160, dtype=torch.float64), torch.zeros(1, 1, 192, 160)
    kept[..., :160, :130] = 1
    wide, wide_kept = torch.rand(1, 1, 256, 320, dtype=torch.float64), torch.zeros(1, 1, 256, 320)
    wide[..., :192, :160], wide_kept[..., :192, :160] = image, kept
    narrow, wider = encoder(image, kept), encoder(wide, wide_kept)
    for small, large in zip(narrow[1:], wider[1:], strict=True):
        if min(small.shape[2:]) > 4:  # a smaller map makes smaller windows
            torch.testing.assert_close(large[..., : small.shape[2], : small.shape[3]], small)


def test_no_token_at_all_gives_zeros_and_gradients_of_zero():
    encoder = encoder_of(drop_path=0.2)
    maps = encoder(torch.rand(2, 1, 64, 64, dtype=torch.float64), torch.zeros(2, 1, 64, 64))
    sum(m.sum() for m in maps[1:]).backward()
    assert all(m.abs().max() == 0 for m in maps[1:])
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in encoder.parameters())


def test_recomputed_blocks_and_stochastic_depth_give_the_same():
    encoder = encoder_of(drop_path=0.5)
    image, kept = torch.rand(3, 1, 64, 96, dtype=torch.float64), some_blocks((64, 96))
    ours = result_of(encoder, image, kept)
    for stage in encoder.stages:
        for block in stage.blocks:
            block.use_checkpoint = True
    assert_same(ours, result_of(encoder, image, kept))


def test_lower_precision_is_as_exact_as_masked_attention(monkeypatch):
    encoder = encoder_of(window_size=7)
    image, kept = torch.rand(2, 1, 224, 224, dtype=torch.float64), some_blocks((224, 224), images=2)
    exact = result_of(encoder, image, kept)
    encoder = encoder.float()

    def errors(half):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            _, grads = result_of(encoder, image.float(), kept)
        return torch.stack([(grads[name] - grad).norm() / grad.norm() for name, grad in exact[1].items()])

    single, half = errors(False), errors(True)
    monkeypatch.setattr("mammo.networks.swin.run_stage", dense_stage)
    dense = errors(True)
    assert single.max() < 1e-4
    assert half.median() < 1.2 * dense.median()
    assert half.max() < 1.5 * dense.max()


def test_recorded_attention_is_that_of_kept_tokens():
    encoder = encoder_of()
    image, kept = torch.rand(2, 1, 96, 96, dtype=torch.float64), some_blocks((96, 96), images=2)
    plain = encoder(image, kept)
    with record_attention(encoder) as record:
        recorded = encoder(image, kept)
    for mine, other in zip(plain, recorded, strict=True):
        torch.testing.assert_close(mine, other)
    first = record.maps[0]
    rows = first.sum(-1)
    assert set(rows.round(decimals=9).unique().tolist()) == {0.0, 1.0}
    share = encoder.kept_tokens(kept).double().mean()
    torch.testing.assert_close((rows[:, 0] > 0).double().mean(), share)  # 24 x 24 tokens: windows of 4 without padding


def test_blocks_computed_again_keep_the_mask_while_attention_is_recorded():
    encoder = encoder_of()
    image, kept = torch.rand(2, 1, 64, 64, dtype=torch.float64), some_blocks((64, 64), images=2)
    plain = result_of(encoder, image, kept)
    for stage in encoder.stages:
        for block in stage.blocks:
            block.use_checkpoint = True
    with record_attention(encoder):
        assert_same(result_of(encoder, image, kept), plain)
    assert all(block.use_checkpoint for stage in encoder.stages for block in stage.blocks)


def test_the_attention_penalty_does_not_depend_on_how_much_air_there_is():
    encoder = encoder_of()
    penalty = AttentionSpectralPenalty(1.0)
    narrow, wide = torch.rand(1, 1, 128, 128, dtype=torch.float64), torch.zeros(1, 1, 256, 256, dtype=torch.float64)
    wide[..., :128, :128] = narrow
    with record_attention(encoder) as record:
        encoder(narrow, torch.ones_like(narrow))
        alone = penalty(record.maps[:1])
        encoder(wide, (wide > 0).double())
        torch.testing.assert_close(penalty(record.maps[:1]), alone)


def test_a_classifier_of_breast_tokens_does_not_see_the_air():
    torch.manual_seed(0)
    network = MammogramClassifier(SwinEncoder(size="micro", stem="patch"), tokens="breast").eval()
    mask = torch.zeros(2, 1, 128, 96)
    mask[..., 16:96, :48] = 1
    x = torch.cat([torch.rand(2, 1, 128, 96), mask], 1)
    other = x.clone()
    other[:, :1] = x[:, :1].where(mask > 0, torch.rand(2, 1, 128, 96))
    torch.testing.assert_close(network(x), network(other))
    assert network(x, details=True)["background"].shape == (2, network.encoder.out_channels)
    with pytest.raises(ValueError, match="lesion"):
        MammogramClassifier(SwinEncoder(size="micro"), tokens="lesion")
