"""What gradient caching costs and saves in image-text pretraining, and what kept features save a linear probe.

    python benchmarks/clip.py [--quick] [--size b2] [--pairs 2] [--images 32] [--rounds 3]

**A step**: forward pass, multi-view loss and backward pass for pairs of two views and two texts of 256 tokens, with a
text encoder of two layers of 128 channels (the optimiser, the same for all, is left out), at the published 1520 x 912
pixels, at 1520 x 608, which is a breast cut out of its frame at the same pixel size, and at half of both. ``at once``
holds the activations of all images of a view, as the published code does; ``chunk 1`` those of one image at a time
(gradient caching), for the same gradients but for batch norm's statistics. Activation memory is the peak of a step in
a fresh process less what lies there before it, parameters and gradients among it.

**A probe**: 30 epochs, as published, of a linear head on a frozen encoder over images in memory at half the published
size. ``encoded each epoch`` runs the encoder in every epoch, in evaluation mode without gradients (the published code
runs it in training mode, which is dearer still); one of its epochs is timed and counted 30 times. ``kept`` encodes each
image once. All take turns; medians. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch
from mammo.networks import (
    EfficientNetEncoder,
    EfficientNetSize,
    ImageTextModel,
    MammogramClassifier,
    small_text_encoder,
)
from mammo.networks.losses import MultiViewSupervision
from measuring import FORKSERVER, Row, compared, finish, medians, middle, peak_megabytes, timings, valued
from torch import Tensor, nn

FULL, CROPPED = (1520, 912), (1520, 608)
LENGTH, VOCABULARY = 256, 2000
EPOCHS = 30
PROBE_BATCH = 8
WAYS: dict[str, int | None] = {"at once": None, "chunk 1": 1}


def halved(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // 2, size[1] // 2


def pretraining(size: str, pixels: tuple[int, int], pairs: int, chunk: int | None) -> Callable[[], None]:
    """A step on noise; gradients stay where they are, as in training."""
    torch.manual_seed(0)
    text_encoder = small_text_encoder(VOCABULARY, length=LENGTH)
    model = ImageTextModel(EfficientNetEncoder(size=size), text_encoder, dropout=0.3)
    loss = MultiViewSupervision()
    views = [torch.rand(pairs, 2, *pixels) for _ in range(2)]
    texts = [torch.randint(1, VOCABULARY, (pairs, LENGTH)) for _ in range(2)]
    mask = torch.ones_like(texts[0])
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter).fill_(0)  # zeros_like would not take the memory before the step

    def step() -> None:
        words = {"tokens": texts[0], "mask": mask, "other_tokens": texts[1], "other_mask": mask}
        loss(model(*views, **words, chunk=chunk)).backward()

    return step


def megabytes(size: str, pixels: tuple[int, int], pairs: int, chunk: int | None) -> float:
    """Activation memory of a step; of this whole process, which must be a fresh one."""
    pretraining(size, (96, 64), 2, chunk)()  # libraries get their memory
    return peak_megabytes(pretraining(size, pixels, pairs, chunk))


def steps(size: str, pixels: tuple[int, int], pairs: int, rounds: int) -> tuple[dict[str, float], list[Row]]:
    """Print time and memory of a step at one size of image; return the ratios and rows."""
    taken = timings({way: pretraining(size, pixels, pairs, chunk) for way, chunk in WAYS.items()}, rounds)
    seconds = middle(taken)
    memory = {}
    for way, chunk in WAYS.items():
        with ProcessPoolExecutor(1, mp_context=FORKSERVER) as fresh:
            memory[way] = fresh.submit(megabytes, size, pixels, pairs, chunk).result()
    print(f"a step, {size}, {pixels[0]} x {pixels[1]} pixels, {pairs} pairs of two views, medians of {rounds} rounds")
    for way in WAYS:
        shares = [values[way] / values["at once"] for values in (seconds, memory)]
        print(f"  {way:10} {seconds[way]:8.2f} s {shares[0]:6.2f}   {memory[way]:8.0f} MB {shares[1]:6.2f}")
    name = f"{pixels[0]}x{pixels[1]}"
    peer, what = "all images of a view at once", f"image-text step, {size}, {name}, gradients cached"
    rows = [
        compared(f"{what}: time", taken, "chunk 1", "at once", peer, "torch"),
        valued(f"{what}: activations", "MB", memory["chunk 1"], memory["at once"], peer, "torch"),
    ]
    return {
        f"time_{name}_chunk_1_of_at_once": seconds["chunk 1"] / seconds["at once"],
        f"memory_{name}_chunk_1_of_at_once": memory["chunk 1"] / memory["at once"],
    }, rows


@torch.no_grad()
def encode(network: MammogramClassifier, images: Tensor) -> Tensor:
    """Pooled features ``(N, C)`` of images ``(N, 2, H, W)``."""
    kept: list[Tensor] = []
    hook = network.head_norm.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    for batch in images.split(PROBE_BATCH):
        network(batch)
    hook.remove()
    return torch.cat(kept)


def probe_epoch(network: MammogramClassifier, head: nn.Module, images: Tensor, features: Tensor | None) -> None:
    """One epoch of a linear head; features are made on the way where there are none."""
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3)
    labels = torch.arange(len(images)) % 2
    for rows in torch.randperm(len(images)).split(PROBE_BATCH):
        vectors = encode(network, images[rows]) if features is None else features[rows]
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(vectors), labels[rows]).backward()
        optimiser.step()


def probes(size: str, pixels: tuple[int, int], images: int, rounds: int) -> tuple[dict[str, float], list[Row]]:
    """Print the time of a probe with features kept and with the encoder in every epoch; return the ratios and a row."""
    torch.manual_seed(0)
    network = MammogramClassifier(EfficientNetEncoder(size=size), {"pathology": 2}).eval()
    head = nn.Linear(network.encoder.out_channels, 2)
    data = torch.rand(images, 2, *pixels)
    features = encode(network, data)
    ways: dict[str, Callable[[], object]] = {
        "an epoch with the encoder": partial(probe_epoch, network, head, data, None),
        "encoding once": partial(encode, network, data),
        "an epoch on kept features": partial(probe_epoch, network, head, data, features),
    }
    found = medians(ways, rounds)
    each = EPOCHS * found["an epoch with the encoder"]
    kept = found["encoding once"] + EPOCHS * found["an epoch on kept features"]
    again = EPOCHS * found["an epoch on kept features"]
    print(
        f"a probe of {EPOCHS} epochs, {size}, {images} images of {pixels[0]} x {pixels[1]}, medians of {rounds} rounds"
    )
    print(f"  encoded each epoch {each:8.1f} s")
    print(f"  kept               {kept:8.1f} s, {each / kept:.1f} times as fast")
    print(f"  kept by another run{again:8.2f} s, {each / again:.0f} times as fast")
    row = valued(f"linear probe of {EPOCHS} epochs, {size}", "s", kept, each, "the encoder in every epoch", "torch")
    return {"probe_speedup": each / kept, "second_probe_speedup": each / again}, [row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="b0, a quarter of the pixels' sides, one round")
    parser.add_argument("--size", choices=[size.value for size in EfficientNetSize], help="of the encoder (b2)")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--images", type=int, default=32, help="of the probe")
    parser.add_argument("--rounds", type=int)
    arguments = parser.parse_args()
    size = arguments.size or ("b0" if arguments.quick else "b2")
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    FORKSERVER.set_forkserver_preload(["mammo.networks.losses"])
    print(f"cpu, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    sizes = [FULL, CROPPED, halved(FULL), halved(CROPPED)]
    if arguments.quick:
        sizes = [halved(halved(one)) for one in (FULL, CROPPED)]
    parts = [steps(size, pixels, arguments.pairs, rounds) for pixels in sizes]
    parts.append(probes(size, halved(halved(FULL) if arguments.quick else FULL), arguments.images, rounds))
    ratios = {name: round(value, 3) for found, _ in parts for name, value in found.items()}
    finish(ratios, [row for _, rows in parts for row in rows])


if __name__ == "__main__":
    main()
