"""What a step of Swin-B costs in time and memory: ours, MONAI's SwinTransformer and transformers' SwinModel.

    python benchmarks/swin.py [--quick]

Forward and backward pass with respect to the weights, of grey images of 224 and 448 pixels, in float32 and under
bfloat16 autocast. Timed in turn, so that a busy machine troubles all alike; medians of wall time, and the rate of a
large matrix product measured between them. Activation memory is the peak of a step in a fresh process less what lies
there before it, parameters and gradients among it. MONAI's network merges patches once more behind the last stage;
the rest is the same. ``ours_checkpointed`` computes every block again in the backward pass. The last
line is one JSON object: our time and memory as a share of the better peer's.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from mammo.networks import SwinEncoder
from measuring import Row, compared, finish, middle, peak_megabytes, valued
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import Tensor, nn
from transformers import SwinConfig, SwinModel

DEPTHS, HEADS = (2, 2, 18, 2), (4, 8, 16, 32)
PRODUCTS_224 = 15.17e9
"""Multiplications of Swin-B's forward pass at 224 x 224; a step has six operations for each of them."""


class Transformers(nn.Module):
    """transformers' network, its last map alone."""

    def __init__(self) -> None:
        super().__init__()
        config = SwinConfig(
            num_channels=1, embed_dim=128, depths=list(DEPTHS), num_heads=list(HEADS), drop_path_rate=0.0
        )
        self.network = SwinModel(config, add_pooling_layer=False)

    def forward(self, image: Tensor) -> Tensor:
        last: Tensor = self.network(image, interpolate_pos_encoding=True).last_hidden_state
        return last


class Ours(nn.Module):
    """Our encoder, its last map alone."""

    def __init__(self, use_checkpoint: bool = False) -> None:
        super().__init__()
        self.encoder = SwinEncoder(use_checkpoint=use_checkpoint)

    def forward(self, image: Tensor) -> Tensor:
        last: Tensor = self.encoder(image)[-1]
        return last


class Monai(nn.Module):
    """MONAI's network, its last map alone."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SwinTransformer(1, 128, (7, 7), (4, 4), DEPTHS, HEADS, patch_norm=True, spatial_dims=2)

    def forward(self, image: Tensor) -> Tensor:
        last: Tensor = self.network(image)[-1]
        return last


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ours": Ours,
    "monai": Monai,
    "transformers": Transformers,
    "ours_checkpointed": lambda: Ours(use_checkpoint=True),
}


def step(network: nn.Module, image: Tensor, half: bool, *, keep_grads: bool = False) -> None:
    network.zero_grad(set_to_none=not keep_grads)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        loss = network(image).float().square().mean()
    loss.backward()


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def seconds(size: int, batch: int, half: bool, rounds: int) -> tuple[dict[str, list[float]], float]:
    """Seconds of each round of a step of each network, and operations a second of a large product."""
    image = torch.rand(batch, 1, size, size)
    networks = {name: build() for name, build in NETWORKS.items()}
    kind = torch.bfloat16 if half else torch.float32
    left, right = torch.randn(2048, 1024).to(kind), torch.randn(1024, 4096).to(kind)
    taken: dict[str, list[float]] = {name: [] for name in (*networks, "product")}
    for number in range(rounds + 1):
        for name, network in networks.items():
            elapsed = timed(partial(step, network, image, half))
            product = timed(lambda: left @ right)
            if number:
                taken[name].append(elapsed)
                taken["product"].append(product)
    return taken, 2 * 2048 * 1024 * 4096 / statistics.median(taken.pop("product"))


def own_megabytes(name: str, size: int, batch: int, half: bool) -> float:
    """Peak of a step above what lies in this process before it."""
    network = NETWORKS[name]()
    step(network, torch.rand(1, 1, 224, 224), half)  # parameters get gradients, libraries their memory
    image = torch.rand(batch, 1, size, size)
    # Else the old gradients' memory would serve as the new activations'.
    return peak_megabytes(partial(step, network, image, half, keep_grads=True))


def megabytes(name: str, size: int, batch: int, half: bool) -> float:
    """The same, in a fresh process."""
    command = [sys.executable, __file__, "--memory_of", name, str(size), str(batch), str(int(half))]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds at 224 pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory_of", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.memory_of:
        name, size, batch, half = arguments.memory_of
        print(own_megabytes(name, int(size), int(batch), half == "1"))
        return
    rounds = 2 if arguments.quick else arguments.rounds
    ratios: dict[str, float] = {}
    rows: list[Row] = []
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, medians of {rounds} rounds")
    for size, batch in ((224, 4), (448, 2))[: 1 if arguments.quick else 2]:
        for half in (False, True):
            found, more = report(size, batch, half, rounds)
            ratios |= found
            rows += more
    finish(ratios, rows)


def report(size: int, batch: int, half: bool, rounds: int) -> tuple[dict[str, float], list[Row]]:
    """Print one table and return its ratios and rows."""
    step_rounds, rate = seconds(size, batch, half, rounds)
    taken = middle(step_rounds)
    memory = {name: megabytes(name, size, batch, half) for name in NETWORKS}
    kind = "bfloat16" if half else "float32"
    ideal = batch * PRODUCTS_224 * (size / 224) ** 2 * 6 / rate
    print(f"{size} x {size}, batch {batch}, {kind}; a large product runs at {rate / 1e9:.0f} GFLOP/s")
    for name in NETWORKS:
        print(f"  {name:18} {taken[name]:6.2f} s, {ideal / taken[name]:4.0%} of that rate, {memory[name]:6.0f} MB")
    peers = {"monai": "MONAI's SwinTransformer", "transformers": "transformers' SwinModel"}
    what = f"Swin-B step, {size} x {size}, batch {batch}, {kind}"
    rows = [compared(f"{what}: time", step_rounds, "ours", name, who, name) for name, who in peers.items()]
    rows += [
        valued(f"{what}: activations", "MB", memory["ours"], memory[name], who, name) for name, who in peers.items()
    ]
    return {
        f"time_{size}_{kind}": round(taken["ours"] / min(taken[name] for name in peers), 3),
        f"memory_{size}_{kind}": round(memory["ours"] / min(memory[name] for name in peers), 3),
        f"checkpointed_memory_{size}_{kind}": round(
            memory["ours_checkpointed"] / min(memory[name] for name in peers), 3
        ),
    }, rows


if __name__ == "__main__":
    main()
