"""What the spectral penalties cost and how exact they are, beside a Swin-B training step and beside their peers.

    python benchmarks/spectral.py [--quick]

Timed in turn, so that a busy machine troubles all alike; medians of wall time, forward and backward pass.

* step: Swin-B classifier, batch 4, 224 x 224, forward, backward and AdamW, without penalties.
* ours: SpectralNormPenalty on all query and key weights.
* exact: the same penalty from torch.linalg.svdvals.
* power: one plain power step per matrix and call, as torch.nn.utils.parametrizations.spectral_norm takes.
* step_with_attention: the step with AttentionSpectralPenalty: maps recorded, penalty, gradient through the network.

The error is the largest relative error of sigma of any layer against float64 along AdamW steps on gradients of low
rank; it is looked at in every fifth step.
The last line is one JSON object: times as shares of the step (or, for exact, as multiples of ours) and errors.
"""

import argparse
import copy
from collections.abc import Callable
from functools import partial

import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.networks.losses import AttentionSpectralPenalty, SpectralNormPenalty
from measuring import compared, finish, middle, timings
from torch import Tensor, nn
from torch.nn import functional as F


class PowerSteps(nn.Module):
    """Peer: the penalty from one power step per call from the last vectors, fifteen at the start."""

    def __init__(self, weights: list[Callable[[], Tensor]]) -> None:
        super().__init__()
        self.weights = weights
        self.vectors = [F.normalize(torch.randn(w().shape[1]), dim=0) for w in weights]
        for _ in range(15):
            self()

    def forward(self) -> Tensor:
        return torch.stack([self._sigma(i, weight()).square() for i, weight in enumerate(self.weights)]).sum()

    def _sigma(self, index: int, weight: Tensor) -> Tensor:
        with torch.no_grad():
            u = F.normalize(weight @ self.vectors[index], dim=0)
            v = self.vectors[index] = F.normalize(weight.T @ u, dim=0)
        return u @ weight @ v


def queries_and_keys(network: nn.Module) -> list[Callable[[], Tensor]]:
    candidates = [getattr(module, "qkv", None) for module in network.modules()]
    layers = [candidate for candidate in candidates if isinstance(candidate, nn.Linear)]

    def part(layer: nn.Linear, index: int) -> Tensor:
        return layer.weight.split(layer.in_features)[index]

    return [partial(part, layer, index) for layer in layers for index in (0, 1)]


def exact(weights: list[Callable[[], Tensor]]) -> Tensor:
    return torch.stack([torch.linalg.svdvals(weight())[0].square() for weight in weights]).sum()


def costs(size: str, rounds: int) -> dict[str, list[float]]:
    network = MammogramClassifier(SwinEncoder(size=size))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    batch, labels = torch.rand(4, 2, 224, 224).round(), torch.tensor([0, 1, 0, 1])
    weights = queries_and_keys(network)
    power, ours, attention = PowerSteps(weights), SpectralNormPenalty(network, 1.0), AttentionSpectralPenalty(1.0)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(batch), labels).backward()
        optimizer.step()

    def step_with_attention() -> None:
        optimizer.zero_grad()
        details = network(batch, details=True)
        (F.cross_entropy(details["logits"], labels) + attention(details["attention"])).backward()
        optimizer.step()

    found = timings(
        {
            "settle": step,  # not reported: the first step behind the decompositions pays for their memory
            "step": step,
            "step_with_attention": step_with_attention,
            "ours": lambda: ours().backward(),
            "power": lambda: power().backward(),
            "exact": lambda: exact(weights).backward(),
        },
        rounds,
    )
    return {name: seconds for name, seconds in found.items() if name != "settle"}


def errors(size: str, steps: int, every: int) -> dict[str, float]:
    """Largest relative error of any layer's penalty along AdamW steps on rank-one gradients with noise."""
    layers = [layer for layer in SwinEncoder(size=size).modules() if isinstance(getattr(layer, "qkv", None), nn.Linear)]
    methods: dict[str, list[Callable[[], Tensor]]] = {
        "ours": [SpectralNormPenalty(layer, 1.0) for layer in layers],
        "power": [PowerSteps(queries_and_keys(layer)) for layer in layers],
    }
    parameters = [layer.get_parameter("qkv.weight") for layer in layers]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    signals = [torch.randn(len(weight), 1) @ torch.randn(1, weight.shape[1]) for weight in parameters]
    worst = dict.fromkeys(methods, 0.0)
    for number in range(1, steps + 1):
        for weight, signal in zip(parameters, signals, strict=True):
            weight.grad = signal + 0.3 * torch.randn_like(signal)
        optimizer.step()
        found = {name: [float(penalty().detach()) for penalty in penalties] for name, penalties in methods.items()}
        if number % every:  # the exact decomposition of all layers takes many steps' time
            continue
        for index, layer in enumerate(layers):
            truth = exact(queries_and_keys(copy.deepcopy(layer).double())).item()
            for name in methods:
                # The penalty is a sum of squares: half its relative error is that of sigma.
                worst[name] = max(worst[name], abs(found[name][index] / truth - 1) / 2)
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round on Swin-T, for a check that it runs")
    quick = parser.parse_args().quick
    torch.manual_seed(0)
    size, rounds = ("tiny", 1) if quick else ("base", 5)
    taken = costs(size, rounds)
    seconds = middle(taken)
    worst = errors(size, 10 if quick else 50, every=5)
    print(f"Swin {size}, batch 4, 224 x 224, {torch.get_num_threads()} threads, medians of {rounds}")
    print(f"{'':20} {'ms':>9} {'share of step':>14} {'worst error of sigma':>21}")
    for name, value in seconds.items():
        error = f"{worst[name]:.1e}" if name in worst else ""
        print(f"{name:20} {1000 * value:9.1f} {value / seconds['step']:14.2%} {error:>21}")
    ratios = {f"{name}_of_step": seconds[name] / seconds["step"] for name in ("ours", "power", "exact")}
    ratios |= {"attention_of_step": seconds["step_with_attention"] / seconds["step"] - 1}
    ratios |= {"exact_of_ours": seconds["exact"] / seconds["ours"]}
    ratios |= {f"{name}_error": error for name, error in worst.items()}
    what = f"penalty on W_Q and W_K, Swin-{size}"
    rows = [
        compared(what, taken, "ours", "exact", "all singular values (svdvals)", "torch"),
        compared(what, taken, "ours", "power", "one power step", "torch"),
        compared(what, taken, "ours", "step", "a fine-tuning step, batch 4", "torch"),
    ]
    finish({name: round(value, 6) for name, value in ratios.items()}, rows)


if __name__ == "__main__":
    main()
