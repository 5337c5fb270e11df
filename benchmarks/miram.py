"""What linear attention saves a step of MIRAM's pretraining, against materialised softmax and against fused softmax.

    python benchmarks/miram.py [--quick] [--sizes 112 224] [--size base] [--batch 4] [--rounds 3]
                               [--precision bfloat16] [--device cuda]

**A step**: forward pass, loss and backward pass of a masked autoencoder that paints images of 112, 224 and 448 pixels
at their size and at twice their size; the optimiser, the same for all, is left out. The ways differ in the attention
of the larger decoder, which has N tokens; ``materialised everywhere`` writes its matrices out in the encoder and the
smaller decoder too, as timm 0.3.2 did. The published savings were measured against it, and so are ours. 896 pixels
are for one block of the larger decoder alone. **A layer**: attention alone, 16 heads of 32 channels, forward and
backward pass, for N from 197 to 3137, as far as the images go.

All ways take turns, so that a busy machine troubles all alike, and a large matrix product with them; medians of wall
time. One round at the first size (on a GPU at every size) warms the libraries up and does not count. Activation
memory is the peak of a step in a fresh process (on a GPU in torch's allocator) less what lies there before it,
parameters and gradients among it. Materialised softmax is left out where memory would not hold it. The last line is
one JSON object; ``faster_from`` is the least N measured from which on a linear attention beats fused softmax.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mammo.networks import MaskedAutoencoder, ViTEncoder, ViTSize
from mammo.networks.attention import MaterialisedAttention, build_attention
from mammo.networks.losses import AutoencoderObjective, MultiScaleReconstructionLoss, multi_scale_targets
from mammo.networks.masked_autoencoder import ScaleDecoder
from measuring import FORKSERVER, Row, compared, finish, middle, peak_megabytes, valued
from torch import Tensor, nn

WIDTH, DEPTH, HEADS, PATCH = 512, 8, 16, 16
"""Channels, blocks and heads of a decoder, and pixels along the side of a token."""
EVERYWHERE, MATERIALISED, STANDARD = "materialised everywhere", "materialised", "standard"
LINEAR = ("linformer", "performer", "nystrom", "nystrom_2d")
OPTIONS: dict[str, dict[str, Any]] = {"linformer": {"k": 128}, "nystrom": {"landmarks": 64}}
"""What MIRAM's authors chose; the others have no such choice or make it for themselves."""
ALONE = 896
"""Pixels from which on only one block of the larger decoder runs: N is 12,545."""
BATCHES = {"cpu": {112: 4, 224: 2, 448: 1}, "cuda": {112: 256, 224: 64, 448: 8}}
LAYERS = (112, 160, 192, 224, 320, 448)
"""Pixels of the images whose N a layer alone is timed for: 197, 401, 577, 785, 1601 and 3137."""
LAYER_BATCH = 4
PUBLISHED = (
    ("MIRAM-Standard", 64, 1.7952, 76),
    ("MIRAM-Nystromformer", 64, 1.488, 44),
    ("MIRAM-Nystromformer", 128, 1.1204, 68),
    ("MIRAM-Nystromformer", 256, 0.9196, 124),
)
"""Table II of arXiv:2503.07157: batch, time, whose unit is lost (probably of an epoch), and GB of 4 GPUs together."""


@dataclass(frozen=True)
class Setting:
    """What is measured; ``size`` is that of the encoder, ``pixels`` that of the image."""

    size: str
    pixels: int
    batch: int
    device: str
    half: bool

    @property
    def side(self) -> int:
        """Rows and columns of tokens that the larger decoder makes its own of."""
        return self.pixels // PATCH

    @property
    def tokens(self) -> int:
        """N, with the class token."""
        return 1 + (2 * self.side) ** 2

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.half)


class Work(NamedTuple):
    """Parameters, and how a loss comes of them."""

    network: nn.Module
    loss: Callable[[], Tensor]


def pretraining(way: str, setting: Setting) -> Work:
    """A MIRAM of one kind of attention and a batch of noise."""
    kind = MATERIALISED if way == EVERYWHERE else way
    encoder = ViTEncoder(image_size=(setting.pixels, setting.pixels), size=setting.size, patch_size=PATCH)
    network = MaskedAutoencoder(
        encoder,
        decoder_dim=WIDTH,
        decoder_depth=DEPTH,
        decoder_heads=HEADS,
        scales=(1, 2),
        attention=kind,
        low_attention=MATERIALISED if way == EVERYWHERE else STANDARD,
        attention_options=OPTIONS.get(kind),
    )
    if way == EVERYWHERE:
        for block in encoder.blocks:
            block.get_submodule("attn").attention = MaterialisedAttention()
    network.to(setting.device)
    objective = AutoencoderObjective(MultiScaleReconstructionLoss(PATCH))
    rendered = torch.rand(setting.batch, 2, 2 * setting.pixels, 2 * setting.pixels, device=setting.device)
    x = multi_scale_targets(rendered, network.scales)[0]
    return Work(network, lambda: objective(network(x), rendered))


def decoder_block(way: str, setting: Setting) -> Work:
    """One block of the larger decoder, with what is before and behind the blocks."""
    grid = (setting.side, setting.side)
    decoder = ScaleDecoder(grid, 2, PATCH**2, WIDTH, 1, HEADS, way, OPTIONS.get(way)).to(setting.device)
    tokens = torch.randn(setting.batch, 1 + setting.side**2, WIDTH, device=setting.device, requires_grad=True)
    return Work(decoder, lambda: decoder(tokens, grid).float().square().mean())


def build(way: str, setting: Setting) -> Work:
    return (decoder_block if setting.pixels >= ALONE else pretraining)(way, setting)


def step(work: Work, setting: Setting) -> None:
    with setting.autocast():
        loss = work.loss()
    loss.backward()


def step_and_clear(work: Work, setting: Setting) -> None:
    step(work, setting)
    work.network.zero_grad()  # the gradients of all ways at once would fill the memory


def timed(work: Callable[[], object], device: str) -> float:
    if device == "cpu":
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def timings(
    ways: Mapping[str, Callable[[], object]], device: str, rounds: int, *, warm: bool
) -> dict[str, list[float]]:
    """Seconds of each round of each way, in turn; ``warm``: after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + warm):
        for name, way in ways.items():
            elapsed = timed(way, device)
            if number >= warm:
                taken[name].append(elapsed)
    return taken


def step_seconds(
    ways: Sequence[str], setting: Setting, rounds: int, *, warm: bool
) -> tuple[dict[str, list[float]], float]:
    """Seconds of each round of a step of each way, and operations a second of a large product in turn with them."""
    dtype = torch.bfloat16 if setting.half else torch.float32
    left, right = (torch.randn(*shape, device=setting.device).to(dtype) for shape in ((2048, 1024), (1024, 4096)))
    works: dict[str, Callable[[], object]] = {"product": lambda: left @ right}
    works |= {way: partial(step_and_clear, build(way, setting), setting) for way in ways}
    found = timings(works, setting.device, rounds, warm=warm)
    return found, 2 * 2048 * 1024 * 4096 / statistics.median(found.pop("product"))


def megabytes(way: str, setting: Setting) -> float:
    """Peak of a step above what lies in memory before it."""
    if setting.device == "cpu":
        with ProcessPoolExecutor(1, mp_context=FORKSERVER) as fresh:
            return fresh.submit(resident_megabytes, way, setting).result()
    work = with_gradients(build(way, setting))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(work, setting)
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def resident_megabytes(way: str, setting: Setting) -> float:
    """The same of this whole process, which must be a fresh one."""
    small = replace(setting, size=ViTSize.MICRO, pixels=112, batch=1)
    step(build(way, small), small)  # libraries get their memory
    work = with_gradients(build(way, setting))
    return peak_megabytes(partial(step, work, setting))


def with_gradients(work: Work) -> Work:
    for parameter in work.network.parameters():
        parameter.grad = torch.empty_like(parameter).fill_(0)  # zeros_like would not take the memory before the step
    return work


def held(way: str, setting: Setting, blocks: int) -> bool:
    """Whether free memory holds the matrices of a way: one a block for the backward pass, three more in passing."""
    if not way.startswith(MATERIALISED):
        return True
    bytes_each = setting.batch * HEADS * setting.tokens**2 * (6 if setting.half else 4)  # float32, bfloat16 copy
    if setting.device == "cuda":
        torch.cuda.empty_cache()  # else what earlier ways used would not count as free
        free = torch.cuda.mem_get_info()[0]
    else:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    return bytes_each * (blocks + 3) < 0.8 * free


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="112 and 224 pixels, two rounds, half the batches")
    parser.add_argument("--sizes", type=int, nargs="+", help="of the images, multiples of 16 from 112 (see above)")
    parser.add_argument("--size", default=ViTSize.BASE, choices=[size.value for size in ViTSize], help="of the encoder")
    parser.add_argument("--batch", type=int, help="at every size and of a layer (4, 2, 1, 1; 4 of a layer)")
    parser.add_argument("--rounds", type=int, help="at every size (3, and 2 from 448 pixels)")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    FORKSERVER.set_forkserver_preload(["mammo.networks.losses"])
    sizes = sorted(arguments.sizes or ((112, 224) if arguments.quick else (112, 224, 448, ALONE)))
    if sizes[0] < 112 or any(pixels % PATCH for pixels in sizes):
        parser.error(f"argument --sizes: must be multiples of {PATCH} from 112, got {sizes}")
    half = arguments.precision == "bfloat16"
    print(f"{arguments.device}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"encoder {arguments.size}, decoders of {DEPTH} blocks, {arguments.precision}")
    ratios: dict[str, float | int | None] = {}
    rows: list[Row] = []
    for pixels in sizes:
        usual = BATCHES[arguments.device].get(pixels, 1)
        batch = arguments.batch or (max(1, usual // 2) if arguments.quick else usual)
        rounds = arguments.rounds or (2 if arguments.quick or pixels >= 448 else 3)
        setting = Setting(arguments.size, pixels, batch, arguments.device, half)
        found, more = report(setting, rounds, warm=pixels == sizes[0] or setting.device == "cuda")
        ratios |= found
        rows += more
    rounds = arguments.rounds or (2 if arguments.quick else 3)
    ratios |= layers(replace(setting, batch=arguments.batch or LAYER_BATCH), rounds)
    finish(ratios, rows)


def report(setting: Setting, rounds: int, *, warm: bool) -> tuple[dict[str, float], list[Row]]:
    """Print the part of the table that belongs to one size, and return its ratios and rows."""
    alone = setting.pixels >= ALONE
    reference = MATERIALISED if alone else EVERYWHERE
    every = [MATERIALISED, STANDARD, *LINEAR] if alone else [EVERYWHERE, MATERIALISED, STANDARD, *LINEAR]
    ways = [way for way in every if held(way, setting, 1 if alone else DEPTH)]
    taken, rate = step_seconds(ways, setting, rounds, warm=warm)
    seconds = middle(taken)
    memory = {way: megabytes(way, setting) for way in ways}
    work = "a block of the larger decoder" if alone else "a step"
    print(
        f"{work}, {setting.pixels} x {setting.pixels}, N = {setting.tokens}, batch {setting.batch}, medians of "
        f"{rounds} rounds; a large product runs at {rate / 1e9:.0f} GFLOP/s"
    )
    shares = f"{'x materialised':>15} {'x fused':>8}"
    print(f"  {'':32} {'time':>8} {shares} {'memory':>10} {shares}")
    for way in every:
        print(f"  {way:32} {cells(seconds, way, reference, 's')} {cells(memory, way, reference, 'MB')}")
    ratios = {}
    for name, values in (("time", seconds), ("memory", memory)):
        for way in ways:
            if way != STANDARD:
                ratios[f"{name}_{setting.pixels}_{way}_of_standard"] = values[way] / values[STANDARD]
            if reference in values and way != reference:
                ratios[f"{name}_{setting.pixels}_{way}_of_materialised"] = values[way] / values[reference]
    if setting.pixels == 224:
        compare(ratios)
    return {name.replace(" ", "_"): round(value, 3) for name, value in ratios.items()}, rows_of(taken, memory, setting)


def rows_of(taken: Mapping[str, Sequence[float]], memory: Mapping[str, float], setting: Setting) -> list[Row]:
    """Linear attentions of a step beside fused and beside materialised softmax."""
    what = f"MIRAM {'block' if setting.pixels >= ALONE else 'step'}, {setting.pixels} x {setting.pixels}"
    peers = {STANDARD: "fused softmax", EVERYWHERE: "softmax written out, as timm 0.3.2"}
    rows = []
    for peer, who in peers.items():
        for way in (name for name in (STANDARD, *LINEAR) if peer in taken and name in taken and name != peer):
            rows.append(compared(f"{what}, {way}: time", taken, way, peer, who, "torch"))
            rows.append(valued(f"{what}, {way}: activations", "MB", memory[way], memory[peer], who, "torch"))
    return rows


def cells(values: Mapping[str, float], way: str, reference: str, unit: str) -> str:
    """A value and its shares of materialised and of fused softmax, in columns."""
    if way not in values:
        return f"{'too large':>{33 if unit == 's' else 35}}"
    number = f"{values[way]:6.3g} s" if unit == "s" else f"{values[way]:7.0f} MB"
    of_reference = f"{values[way] / values[reference]:.2f}" if reference in values else "-"
    return f"{number} {of_reference:>15} {values[way] / values[STANDARD]:8.2f}"


def compare(ratios: Mapping[str, float]) -> None:
    """Print the published table, and whether ours saves as much against materialised softmax."""
    (*_, all_time, all_memory), (*_, time_left, memory_left) = PUBLISHED[:2]
    aims = (time_left / all_time, memory_left / all_memory)
    print("  published, time in a unit that is lost (probably of an epoch), memory of 4 GPUs together:")
    for name, batch, seconds, gigabytes in PUBLISHED:
        # Of the same batch alone is a quotient a saving.
        shares = [
            f"{part:.2f}" if batch == PUBLISHED[0][1] else "" for part in (seconds / all_time, gigabytes / all_memory)
        ]
        row = f"{seconds:8} {shares[0]:>15} {'':8} {gigabytes:7} GB {shares[1]:>15}"
        print(f"  {f'{name}, batch {batch}':32} {row}".rstrip())
    for way in (STANDARD, *LINEAR):
        if f"time_224_{way}_of_materialised" in ratios:
            found = [ratios[f"{part}_224_{way}_of_materialised"] for part in ("time", "memory")]
            words = ["at least as good" if ours <= aim else "worse" for ours, aim in zip(found, aims, strict=True)]
            print(f"  {way} beside the published ratios at batch 64: time {words[0]}, memory {words[1]}")


def layers(largest: Setting, rounds: int) -> dict[str, float | int | None]:
    """Print the time of an attention layer for each N up to that of a setting, and from which N linear ones pay."""
    kinds = (MATERIALISED, STANDARD, *LINEAR)
    print(f"attention alone, {HEADS} heads of {WIDTH // HEADS}, batch {largest.batch}: ms, and x fused softmax")
    print("".join(["     N", *(f"{kind:>18}" for kind in kinds)]))
    shares: dict[int, dict[str, float]] = {}
    for setting in (replace(largest, pixels=pixels) for pixels in LAYERS if pixels <= largest.pixels):
        works = {kind: layer(kind, setting) for kind in kinds if held(kind, setting, 1)}
        # Short ones are timed more often; a long one has no need of a round to warm up.
        often = rounds * max(1, 2000 // setting.tokens)
        seconds = middle(timings(works, setting.device, often, warm=often > rounds or setting.device == "cuda"))
        shares[setting.tokens] = {kind: value / seconds[STANDARD] for kind, value in seconds.items()}
        found = {kind: f"{1000 * seconds[kind]:.4g}  {share:5.2f}" for kind, share in shares[setting.tokens].items()}
        print("".join([f"{setting.tokens:6}", *(f"{found.get(kind, 'too large'):>18}" for kind in kinds)]))
    ratios: dict[str, float | int | None] = {
        f"layer_{tokens}_{kind}_of_standard": round(share, 3)
        for tokens, row in shares.items()
        for kind, share in row.items()
        if kind != STANDARD
    }
    for kind in LINEAR:
        first = faster_from({tokens: row[kind] for tokens, row in shares.items()})
        print(f"  {kind} is faster than fused softmax {'at no N here' if first is None else f'from N = {first} on'}")
        ratios[f"faster_from_{kind}"] = first
    return ratios


def layer(kind: str, setting: Setting) -> Callable[[], None]:
    """Forward and backward pass of attention, with queries, keys and values as they lie in memory in a network."""
    head = WIDTH // HEADS
    grid = (2 * setting.side, 2 * setting.side)
    attention = build_attention(kind, heads=HEADS, head_dim=head, grid=grid, **OPTIONS.get(kind, {}))
    attention.to(setting.device)
    dtype = torch.bfloat16 if setting.half else torch.float32
    tokens = torch.randn(setting.batch, setting.tokens, 3, HEADS, head, device=setting.device, dtype=dtype)
    inputs = [part.detach().requires_grad_() for part in tokens.transpose(1, 3).unbind(2)]  # each (B, heads, N, d)
    upstream = torch.randn(setting.batch, HEADS, setting.tokens, head, device=setting.device, dtype=dtype)

    def run() -> None:
        with setting.autocast():
            out = attention(*inputs)
        out.backward(upstream.to(out.dtype))
        for leaf in (*inputs, *attention.parameters()):
            leaf.grad = None

    return run


def faster_from(shares: Mapping[int, float]) -> int | None:
    """The least N from which on all shares are below 1, None if the last is not."""
    first = None
    for tokens, share in sorted(shares.items(), reverse=True):
        if share >= 1:
            break
        first = tokens
    return first


if __name__ == "__main__":
    main()
