"""DINO: who sees which views, the head, the centre, the teacher."""

import pytest
import torch
from mammo.networks import ViTEncoder
from mammo.networks import dino as dino_module
from mammo.networks.dino import DINO, DINOHead
from torch.nn import functional as F


def network(drop_path: float = 0.0, **options) -> DINO:
    encoder = ViTEncoder(image_size=(32, 32), embed_dim=16, depth=2, num_heads=2, drop_path=drop_path)
    return DINO(encoder, out_dim=12, hidden_dim=24, bottleneck_dim=8, **options)


@pytest.fixture
def views() -> list[torch.Tensor]:
    return [torch.rand(3, 2, side, side) for side in (32, 32, 16, 16, 16)]


def test_the_student_sees_all_views_and_the_teacher_the_first_two(views):
    dino = network()
    output = dino(*views)
    assert output.student.shape == (5, 3, 12)
    assert output.teacher.shape == (2, 3, 12)
    for view, logits in zip(views, output.student, strict=True):
        alone = dino.student_head(dino.student_encoder.tokens(view[:, :1])[:, 0])
        torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.teacher, output.student[:2], rtol=1e-4, atol=1e-5)  # it has not moved yet
    torch.testing.assert_close(output.features, dino.encoder.tokens(views[0][:, :1])[:, 0], rtol=1e-4, atol=1e-5)


def test_views_of_mixed_sizes_keep_their_order(views):
    dino = network().eval()
    mixed = [views[0], views[1], views[2], torch.rand(3, 2, 32, 32), views[3]]
    output = dino(*mixed)
    for view, logits in zip(mixed, output.student, strict=True):
        torch.testing.assert_close(logits, dino(view, view).student[0], rtol=1e-4, atol=1e-5)


def test_logits_are_cosines_while_the_last_rows_have_length_1():
    head = DINOHead(16, 12, hidden_dim=24, bottleneck_dim=8)
    x = torch.randn(5, 16)
    direction = head.last.parametrizations.weight.original1
    expected = F.cosine_similarity(head.mlp(x)[:, None], direction[None], dim=-1)
    torch.testing.assert_close(head(x), expected)


@pytest.mark.parametrize("unit_last", [True, False])
def test_no_gradient_reaches_the_teacher_or_fixed_lengths(unit_last, views):
    dino = network(unit_last=unit_last)
    output = dino(*views)
    (output.student * torch.randn_like(output.student)).sum().backward()
    assert not output.teacher.requires_grad
    for name, parameter in dino.named_parameters():
        fixed = not name.startswith("student_") or (unit_last and name.endswith("original0"))
        assert (parameter.grad is None) == fixed, name


def test_the_published_head_has_its_published_size():
    with torch.device("meta"):
        head = DINOHead(384)
    mlp = 384 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 256 + 256
    assert sum(p.numel() for p in head.parameters() if p.requires_grad) == mlp + 65536 * 256


def test_the_centre_moves_in_training_by_a_tenth_and_the_output_has_the_one_before(views):
    dino = network()
    first = dino(*views)
    assert not first.centre.any()
    torch.testing.assert_close(dino.centre, 0.1 * first.teacher.mean(dim=(0, 1)))
    second = dino(*views)
    torch.testing.assert_close(second.centre, 0.1 * first.teacher.mean(dim=(0, 1)))
    torch.testing.assert_close(dino.centre, 0.9 * second.centre + 0.1 * second.teacher.mean(dim=(0, 1)))
    before = dino.centre.clone()
    dino.eval()(*views)
    assert torch.equal(dino.centre, before)


class TwoProcesses:
    """torch.distributed where the other process has found ``other``."""

    def __init__(self, other: torch.Tensor) -> None:
        self.other = other

    def is_initialized(self) -> bool:
        return True

    def get_world_size(self) -> int:
        return 2

    def all_reduce(self, mine: torch.Tensor) -> None:
        mine += self.other


def test_the_centre_is_that_of_all_processes(monkeypatch):
    alone, shared = network(), network()
    shared.load_state_dict(alone.state_dict())
    first, second = torch.rand(2, 4, 1, 32, 32)
    whole = alone(first, second)
    other = whole.teacher[:, 2:].mean(dim=(0, 1))
    monkeypatch.setattr(dino_module, "distributed", TwoProcesses(other))
    shared(first[:2], second[:2])
    torch.testing.assert_close(shared.centre, alone.centre)
    assert (other - alone.centre / 0.1).abs().max() > 1e-4  # the halves differ


def test_the_teacher_drops_nothing(views):
    dino = network(drop_path=0.9).train()
    first, second = dino(*views), dino(*views)
    assert torch.equal(first.teacher, second.teacher)
    assert not torch.equal(first.student, second.student)


def test_the_teacher_follows_the_student():
    dino = network()
    old = dino.head.mlp[0].weight.clone()
    with torch.no_grad():
        for parameter in dino.parameters():
            parameter.add_(1.0)
        for parameter in dino.student_head.parameters():
            parameter.add_(1.0)
    dino.update_momentum(0.75)
    torch.testing.assert_close(dino.head.mlp[0].weight, old + 1.25)
    torch.testing.assert_close(dino.encoder.class_token, dino.student_encoder.class_token)


def test_wrong_views_are_refused(views):
    with pytest.raises(ValueError, match="needs two views of one size"):
        network()(views[0])
    with pytest.raises(ValueError, match=r"got views \[\(3, 2, 32, 32\), \(3, 2, 16, 16\)\]"):
        network()(views[0], views[2])
