"""The fast pass through Swin stages against MONAI's own: outputs, gradients, randomness, hooks."""

import pytest
import torch
from mammo.networks import SwinEncoder, record_attention, windows
from mammo.networks import swin as swin_module
from torch import Tensor


def monais_pass(stage, x: Tensor, kept: None = None) -> Tensor:
    return stage(x.contiguous())


def encoder_of(**options) -> SwinEncoder:
    """A small encoder whose every parameter matters: biases are not 0, gains not 1."""
    torch.manual_seed(0)
    encoder = SwinEncoder(size="micro", stem="patch", patch_size=4, **options).double()
    for parameter in encoder.parameters():
        if parameter.ndim == 1 or parameter.shape[0] == (2 * encoder.stages[0].blocks[0].window_size[0] - 1) ** 2:
            torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def result_of(encoder: SwinEncoder, image: Tensor, seed: int = 0) -> tuple[list[Tensor], dict[str, Tensor]]:
    """All five maps; gradients of a sum in which every value has a weight of its own, the image's among them."""
    encoder.zero_grad()
    image = image.clone().requires_grad_()
    torch.manual_seed(seed)
    maps = encoder(image)
    generator = torch.Generator().manual_seed(1)
    loss = sum((m * torch.randn(m.shape, generator=generator, dtype=m.dtype)).mean() for m in maps)
    loss.backward()
    grads = {name: p.grad.clone() for name, p in encoder.named_parameters()}
    return [m.detach() for m in maps], grads | {"image": image.grad}


def assert_same(ours, theirs):
    for mine, other in zip(ours[0], theirs[0], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
    assert ours[1].keys() == theirs[1].keys()
    for name, grad in theirs[1].items():
        assert grad.abs().max() > 0, name
        torch.testing.assert_close(ours[1][name], grad, rtol=1e-8, atol=1e-12, msg=name)


@pytest.mark.parametrize("window", [4, 7])
@pytest.mark.parametrize("size", [(224, 224), (128, 256), (100, 70), (40, 330)])
def test_maps_and_all_gradients_are_monais(size, window, monkeypatch):
    encoder = encoder_of(window_size=window)
    image = torch.rand(2, 1, *size, dtype=torch.float64)
    ours = result_of(encoder, image)
    monkeypatch.setattr(swin_module, "run_stage", monais_pass)
    assert_same(ours, result_of(encoder, image))


def test_the_size_of_a_chunk_changes_nothing(monkeypatch):
    encoder = encoder_of()
    image = torch.rand(3, 1, 96, 160, dtype=torch.float64)
    ours = result_of(encoder, image)
    monkeypatch.setattr(windows, "_CHUNK", 1)
    windows.all_windows.cache_clear()
    assert_same(ours, result_of(encoder, image))
    windows.all_windows.cache_clear()


def test_recomputed_blocks_give_the_same(monkeypatch):
    encoder = encoder_of(drop_path=0.5)
    image = torch.rand(4, 1, 64, 96, dtype=torch.float64)
    ours = result_of(encoder, image)
    for stage in encoder.stages:
        for block in stage.blocks:
            block.use_checkpoint = True
    assert_same(ours, result_of(encoder, image))


def test_stochastic_depth_drops_what_monai_drops(monkeypatch):
    encoder = encoder_of(drop_path=0.5)
    image = torch.rand(6, 1, 64, 96, dtype=torch.float64)
    ours = result_of(encoder, image, seed=3)
    other = result_of(encoder, image, seed=4)
    assert not torch.allclose(ours[0][-1], other[0][-1])
    monkeypatch.setattr(swin_module, "run_stage", monais_pass)
    assert_same(ours, result_of(encoder, image, seed=3))
    encoder.eval()
    assert torch.equal(result_of(encoder, image, seed=3)[0][-1], result_of(encoder, image, seed=4)[0][-1])


def test_single_precision_is_close(monkeypatch):
    encoder = encoder_of(window_size=7).float()
    image = torch.rand(2, 1, 224, 224)
    ours = encoder(image)
    monkeypatch.setattr(swin_module, "run_stage", monais_pass)
    for mine, other in zip(ours, encoder(image), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


def test_autocast_is_as_exact_as_monais(monkeypatch):
    encoder = encoder_of(window_size=7).float()
    image = torch.rand(2, 1, 224, 224)

    def errors(exact):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, grads = result_of(encoder, image)
        assert all(grad.dtype == torch.float32 for grad in grads.values())
        return torch.stack([(grads[name] - grad).norm() / grad.norm() for name, grad in exact[1].items()])

    exact = result_of(encoder, image)
    ours = errors(exact)
    monkeypatch.setattr(swin_module, "run_stage", monais_pass)
    theirs = errors(exact)
    assert ours.median() < 1.2 * theirs.median()
    assert ours.max() < 1.5 * theirs.max()


def test_only_blocks_that_are_recorded_leave_the_fast_pass():
    encoder = encoder_of().eval()
    image = torch.rand(2, 1, 64, 64, dtype=torch.float64)
    plain = encoder(image)
    ran: list[object] = []
    for stage in encoder.stages:
        for block in stage.blocks:
            softmax = block.attn.softmax
            softmax.forward = lambda x, part=softmax: ran.append(part) or torch.softmax(x, -1)
    with record_attention(encoder, "last") as record:
        recorded = encoder(image)
    assert ran == [encoder.stages[-1].blocks[-1].attn.softmax]
    assert len(record.maps) == 1
    for mine, other in zip(plain, recorded, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def test_gradients_are_not_differentiated_again_in_silence():
    encoder = encoder_of()
    image = torch.rand(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
    [grad] = torch.autograd.grad(encoder(image)[-1].sum(), image, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_without_gradients_nothing_is_kept():
    encoder = encoder_of()
    image = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    expected = encoder(image)[-1].detach()
    with torch.no_grad():
        assert torch.equal(encoder(image)[-1], expected)
    encoder.requires_grad_(False)
    assert not encoder(image)[-1].requires_grad


def test_an_encoder_that_has_inferred_can_be_trained():
    encoder = encoder_of()
    image = torch.rand(1, 1, 72, 104, dtype=torch.float64)
    with torch.inference_mode():
        encoder(image)
    with record_attention(encoder):
        encoder(image)[-1].sum().backward()
    assert encoder.stages[0].blocks[1].attn.qkv.weight.grad is not None
