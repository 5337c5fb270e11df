"""What holds for every attention: shapes, independence of the batch, gradients, types, memory, errors."""

import pytest
import torch
from mammo.networks.attention import AttentionKind, StandardAttention, build_attention
from torch.utils._python_dispatch import TorchDispatchMode

GRID = (5, 7)  # 36 tokens with the class token
TOKENS = 36
SMALL = {
    "standard": {},
    "materialised": {},
    "linformer": {"k": 11},
    "performer": {"features": 20},
    "nystrom": {"landmarks": 7, "kernel": 5},
    "nystrom_2d": {"cells": (2, 3), "kernel": 3},
}
LINEAR = [kind for kind in SMALL if kind not in ("standard", "materialised")]
each_kind = pytest.mark.parametrize("kind", SMALL)


def small(kind: str, head_dim: int = 8) -> torch.nn.Module:
    return build_attention(kind, heads=2, head_dim=head_dim, grid=GRID, **SMALL[kind])


def inputs(batch: int = 2, tokens: int = TOKENS, head_dim: int = 8, heads: int = 2, **options) -> list[torch.Tensor]:
    return [torch.randn(batch, heads, tokens, head_dim, **options) for _ in range(3)]


def test_every_kind_is_tested():
    assert set(SMALL) == set(AttentionKind)


@each_kind
def test_values_keep_shape_and_type_and_every_parameter_learns(kind):
    attention = small(kind)
    q, k, v = inputs(requires_grad=True)
    out = attention(q, k, v)
    assert out.shape == v.shape
    assert out.dtype == v.dtype
    out.square().sum().backward()
    for tensor in (q, k, v, *attention.parameters()):
        assert tensor.grad.abs().amax() > 0


@each_kind
def test_constant_values_stay_as_they_are(kind):
    # Attention averages: its weights add up to 1. Projections learnt by Linformer are made averages first.
    accurate = {"iterations": 30} if "nystrom" in kind else {}
    attention = build_attention(kind, heads=2, head_dim=8, grid=GRID, **SMALL[kind], **accurate).double()
    for name, parameter in attention.named_parameters():
        torch.nn.init.constant_(parameter, 1 / TOKENS if "mixtures" in name else 0)
    q, k, v = inputs(dtype=torch.float64)
    v = v[:, :, :1].expand_as(v)
    torch.testing.assert_close(attention(q, k, v), v.contiguous(), atol=1e-5, rtol=0)


@each_kind
def test_a_sample_does_not_depend_on_its_batch(kind):
    attention = small(kind).eval()
    first, second = inputs(), inputs()
    mixed = [torch.cat([one[:1], 30 * two[1:]]) for one, two in zip(first, second, strict=True)]
    torch.testing.assert_close(attention(*first)[0], attention(*mixed)[0], atol=1e-6, rtol=0)


@each_kind
def test_a_head_does_not_depend_on_the_others(kind):
    attention = small(kind).eval()
    first, second = inputs(), inputs()
    mixed = [torch.cat([one[:, :1], 30 * two[:, 1:]], dim=1) for one, two in zip(first, second, strict=True)]
    torch.testing.assert_close(attention(*first)[:, 0], attention(*mixed)[:, 0], atol=1e-6, rtol=0)


@each_kind
def test_scores_are_divided_by_the_root_of_the_channels(kind):
    # Channels of zeros change no product of queries and keys, only the scale.
    narrow, wide = small(kind, 4), small(kind, 16)
    state = narrow.state_dict()
    if kind == "performer":
        state["directions"] = torch.cat([state["directions"], torch.randn(20, 12)], dim=1)
    wide.load_state_dict(state)
    q, k, v = inputs(head_dim=4)
    padded = [torch.nn.functional.pad(x, (0, 12)) for x in (2**0.5 * q, 2**0.5 * k, v)]
    torch.testing.assert_close(wide.eval()(*padded)[..., :4], narrow.eval()(q, k, v))


@each_kind
def test_gradients_are_those_of_finite_differences(kind):
    # Performer's stabiliser takes no gradient, which is right only where epsilon does not count.
    options = SMALL[kind] | ({"epsilon": 1e-12} if kind == "performer" else {})
    attention = build_attention(kind, heads=2, head_dim=3, grid=(3, 4), **_fitting(kind, options)).double().eval()
    q, k, v = inputs(batch=1, tokens=13, head_dim=3, dtype=torch.float64, requires_grad=True)
    parameters = tuple(attention.parameters())
    names = [name for name, _ in attention.named_parameters()]

    def run(q, k, v, *values):
        return torch.func.functional_call(attention, dict(zip(names, values, strict=True)), (q, k, v))

    assert torch.autograd.gradcheck(run, (q, k, v, *parameters), fast_mode=True)


def _fitting(kind: str, options: dict) -> dict:
    return options | ({"cells": (2, 2)} if kind == "nystrom_2d" else {})


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_stays_close_to_float32(kind, dtype):
    attention = small(kind).eval()
    q, k, v = (x.to(dtype) for x in inputs())
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(q, k, v)
    exact = attention(q.float(), k.float(), v.float())
    # bfloat16 rounds by up to 2**-9 in each product.
    assert (out.float() - exact).norm() < 0.01 * exact.norm()


@each_kind
def test_long_queries_and_keys_give_finite_values_and_gradients(kind):
    q, k, v = (20 * x for x in inputs())
    q.requires_grad_()
    out = small(kind)(q, k, v)
    out.sum().backward()
    assert out.isfinite().all()
    assert q.grad.isfinite().all()


@each_kind
def test_state_survives_saving(kind, tmp_path):
    attention, other = small(kind).eval(), small(kind).eval()
    torch.save(attention.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    q, k, v = inputs()
    torch.testing.assert_close(other(q, k, v), attention(q, k, v), atol=0, rtol=0)


@each_kind
def test_strided_heads_of_one_projection_are_taken(kind):
    attention = small(kind).eval()
    q, k, v = torch.randn(2, TOKENS, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
    torch.testing.assert_close(attention(q, k, v), attention(*(x.contiguous() for x in (q, k, v))))


@each_kind
def test_a_traced_attention_gives_the_same(kind):
    attention = small(kind).eval()
    q, k, v = inputs()
    traced = torch.jit.trace(attention, (q, k, v))
    torch.testing.assert_close(traced(*(x.flip(0) for x in (q, k, v))), attention(q, k, v).flip(0))


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation gives, in the forward and the backward pass."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def largest(kind: str, side: int, **options) -> int:
    attention = build_attention(kind, heads=1, head_dim=32, grid=(side, side), **options)
    q, k, v = inputs(batch=1, heads=1, tokens=1 + side**2, head_dim=32, requires_grad=True)
    with Largest() as seen:
        attention(q, k, v).sum().backward()
    return seen.elements


@pytest.mark.parametrize("kind", ["standard", *LINEAR])
def test_no_tensor_grows_with_the_square_of_the_tokens(kind):
    # 110 features, or 128 mixtures of Linformer's E, are the widest anything of 4097 tokens gets.
    assert largest(kind, 64) <= 4097 * 128


def test_the_square_is_seen_where_it_is_written():
    assert largest("materialised", 20) == 401**2


def test_materialised_attention_is_standard_attention():
    q, k, v = inputs()
    exact = (q.double() @ k.double().mT / 8**0.5).softmax(-1) @ v.double()
    for kind in ("standard", "materialised"):
        torch.testing.assert_close(small(kind)(q, k, v).double(), exact, atol=1e-5, rtol=0)


def test_standard_attention_takes_any_number_of_tokens():
    q, k, v = inputs(tokens=3)
    assert StandardAttention()(q, k, v).shape == v.shape


@pytest.mark.parametrize("prefix", [0, 1, 3])
@each_kind
def test_tokens_in_front_of_the_grid_are_counted(kind, prefix):
    attention = build_attention(kind, heads=2, head_dim=8, grid=GRID, prefix_tokens=prefix, **SMALL[kind])
    q, k, v = inputs(tokens=35 + prefix)
    assert attention(q, k, v).shape == v.shape


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("sparse", {}, "sparse"),
        ("standard", {"k": 3}, "standard attention has no option k; it has none"),
        ("linformer", {"landmarks": 3}, "no option landmarks; it has k, sharing"),
        ("linformer", {"tokens": 3}, "no option tokens"),
        ("linformer", {"k": 37}, "k must be 1 to 36"),
        ("linformer", {"k": 8, "sharing": "layerwise"}, "layerwise"),
        ("performer", {"features": 0}, "features=0"),
        ("performer", {"redraw_interval": 0}, "redraw_interval=0"),
        ("performer", {"epsilon": 0.0}, "epsilon=0.0 above 0"),
        ("nystrom", {"landmarks": 0}, "landmarks=0"),
        ("nystrom", {"iterations": 0}, "iterations=0"),
        ("nystrom", {"kernel": 4}, "kernel=4 has no middle"),
        ("nystrom_2d", {"cells": (6, 7)}, "6 x 7 cells of a 5 x 7 grid"),
        ("nystrom_2d", {"cells": (2, 2), "kernel": 2}, "kernel=2"),
    ],
)
def test_what_cannot_be_built_is_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        build_attention(kind, heads=2, head_dim=8, grid=GRID, **options)


@pytest.mark.parametrize("layout", [{"heads": 0}, {"head_dim": 0}, {"grid": (0, 5)}, {"prefix_tokens": -1}])
def test_a_layout_without_tokens_is_refused(layout):
    with pytest.raises(ValueError, match="must be 1 or more"):
        build_attention("standard", **{"heads": 2, "head_dim": 8, "grid": GRID} | layout)


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("linformer", (1, 2, 35, 8), "built for 36 tokens and got 35"),
        ("performer", (1, 2, 36, 4), "heads of 8 channels and got 4"),
        ("nystrom", (1, 2, 6, 8), "7 landmarks of 6 tokens"),
        ("nystrom_2d", (1, 2, 35, 8), "makes 36, got 35"),
    ],
)
def test_input_that_does_not_fit_is_refused(kind, shape, message):
    x = torch.randn(shape)
    with pytest.raises(ValueError, match=message):
        small(kind)(x, x, x)
