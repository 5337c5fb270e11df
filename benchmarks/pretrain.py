"""What masked image modelling with Swin-B costs: the published recipe, ours dense, ours sparse.

    python benchmarks/pretrain.py [--quick] [--batch 2]

**Steps**: forward pass, loss, penalty on W_Q and W_K, backward pass and AdamW, of film scans prepared to 224 x 224. The
published recipe runs MONAI's own forward pass in float32 under torch's stock AdamW, without a penalty (the published
script's has no gradient) or with one from exact SVDs. Ours has the penalty in one of eight steps: it is timed alone,
and an eighth of it counts. **Epochs**: a few film scans of 16 megapixels; the published recipe decodes and segments
each in every epoch, ours prepares them in the first and reads its store from then on. All ways take turns; medians of
wall time. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from films import copies, write_film
from mammo.networks import SwinEncoder, SwinMIM
from mammo.networks.losses import MaskedReconstructionLoss, SpectralNormPenalty
from mammo.pipeline.datasets import PreparedDataset
from mammo.transforms import BlockMasking, PrepareMammogramd
from measuring import Row, compared, finish, middle, timings
from monai.networks.nets.swin_unetr import WindowAttention
from published import published_prepare
from torch import Tensor

BETA = 1e-4
INTERVAL = 8
"""Steps of which one has the penalty, as in the bundle."""
FILMS = 8


@dataclass
class Trainer:
    """One way to make a step."""

    network: SwinMIM
    optimizer: torch.optim.Optimizer
    penalty: Callable[[], Tensor] | None
    half: bool

    def step(self, x: Tensor) -> None:
        """Train on ``(B, 2, H, W)``, image and mask."""
        image, mask = x[:, :1], x[:, 1:]
        hidden = BlockMasking()(mask)
        self.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.half):
            prediction = self.network(x, hidden)
        loss = MaskedReconstructionLoss()(prediction.float(), torch.cat([image, mask, hidden], dim=1))
        if self.penalty is not None:
            loss = loss + self.penalty()
        loss.backward()
        self.optimizer.step()


def exact_penalty(network: SwinMIM) -> Callable[[], Tensor]:
    """The same penalty from all singular values of every layer."""

    def penalty() -> Tensor:
        layers = [module for module in network.modules() if isinstance(module, WindowAttention)]
        parts = [part for layer in layers for part in layer.qkv.weight.chunk(3)[:2]]
        return BETA * torch.stack([torch.linalg.svdvals(part)[0].square() for part in parts]).sum()

    return penalty


def trainers() -> dict[str, Trainer]:
    """All ways by name; those of one network share its weights."""
    peer, dense = SwinMIM(SwinEncoder()), SwinMIM(SwinEncoder())
    sparse = SwinMIM(SwinEncoder(), tokens="breast")
    for stage in peer.encoder.stages:
        stage.register_forward_hook(lambda *_: None)  # a stage with a hook takes MONAI's own forward pass
    stock = torch.optim.AdamW(peer.parameters(), 1e-4)
    made = {"published": Trainer(peer, stock, None, False)}
    made["published, exact SVD"] = Trainer(peer, stock, exact_penalty(peer), False)
    for name, network in (("dense", dense), ("sparse", sparse)):
        fused = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
        made |= {
            f"{name}, float32": Trainer(network, fused, None, False),
            f"{name}, bfloat16": Trainer(network, fused, None, True),
        }
    return made


def step_seconds(made: dict[str, Trainer], x: Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of a step of each way, ours with its share of the penalty, and of that share alone."""
    penalty = SpectralNormPenalty(made["sparse, bfloat16"].network, beta=BETA)
    ways: dict[str, Callable[[], object]] = {name: partial(one.step, x) for name, one in made.items()}
    found = timings(ways | {"penalty": lambda: penalty().backward()}, rounds)
    share = [seconds / INTERVAL for seconds in found.pop("penalty")]
    ours = {
        name: [step + more for step, more in zip(taken, share, strict=True)]
        for name, taken in found.items()
        if not name.startswith("published")
    }
    return found | ours | {"penalty": share}


def with_penalty(trainer: Trainer) -> Trainer:
    """The same with the bundle's penalty, in one of several steps."""
    return replace(trainer, penalty=SpectralNormPenalty(trainer.network, beta=BETA, interval=INTERVAL))


def batches(images: Sequence[Tensor], batch: int) -> Iterator[Tensor]:
    for start in range(0, len(images), batch):
        yield torch.stack(list(images[start : start + batch]))


def two_channels(item: dict[str, Tensor]) -> Tensor:
    return torch.cat([torch.as_tensor(item["image"]), torch.as_tensor(item["mask"])]).float()


def published_epoch(paths: Sequence[Path], trainer: Trainer, batch: int) -> None:
    """Decode and segment every film, and train."""
    for start in range(0, len(paths), batch):
        pairs = [published_prepare(path) for path in paths[start : start + batch]]
        trainer.step(torch.stack([torch.from_numpy(np.stack(pair).astype(np.float32)) for pair in pairs]))


def our_epoch(records: Sequence[dict[str, str]], store: Path, trainer: Trainer, batch: int) -> None:
    """Train from the store, which the first epoch fills."""
    dataset = PreparedDataset(records, [PrepareMammogramd()], store)
    for x in batches([two_channels(dataset[number]) for number in range(len(records))], batch):
        trainer.step(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds of steps, one of epochs")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7, help="of steps; epochs take three")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rounds = 2 if arguments.quick else arguments.rounds
    made, batch = trainers(), arguments.batch
    with tempfile.TemporaryDirectory() as folder:
        paths = copies(write_film(Path(folder) / "film.dcm"), Path(folder), FILMS)
        records = [{"image": str(path)} for path in paths]
        prepared = PreparedDataset(records, [PrepareMammogramd()], Path(folder) / "store")
        x = torch.stack([two_channels(prepared[number]) for number in range(batch)])
        print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, medians of {rounds} rounds")
        print(f"Swin-B, {batch} images of 224 x 224, {x[:, 1].mean():.0%} breast, half of it hidden")
        step_rounds = step_seconds(made, x, rounds)
        steps = middle(step_rounds)
        for name, seconds in steps.items():
            print(f"  {name:30} {seconds:6.2f} s a step, {steps['published'] / seconds:5.2f} x as fast as published")
        lazy = {name: with_penalty(made[f"{name}, bfloat16"]) for name in ("dense", "sparse")}
        stores = iter(range(1000))
        epoch_rounds = timings(
            {
                "published": lambda: published_epoch(paths, made["published"], batch),
                "dense": lambda: our_epoch(records, Path(folder) / "store", lazy["dense"], batch),
                "sparse": lambda: our_epoch(records, Path(folder) / "store", lazy["sparse"], batch),
                "sparse, first": lambda: our_epoch(records, Path(folder) / str(next(stores)), lazy["sparse"], batch),
            },
            1 if arguments.quick else 3,
        )
    epochs = middle(epoch_rounds)
    print(f"an epoch of {FILMS} film scans")
    for name, seconds in epochs.items():
        print(f"  {name:30} {seconds:6.2f} s, {epochs['published'] / seconds:5.2f} x as fast as published")
    finish(ratios(steps, epochs), rows_of(step_rounds, epoch_rounds, batch))


def rows_of(steps: dict[str, list[float]], epochs: dict[str, list[float]], batch: int) -> list[Row]:
    """Our steps and epochs beside the published recipe on MONAI's own forward pass."""
    peer = "published recipe, MONAI's forward pass, float32"
    names = ("dense, float32", "dense, bfloat16", "sparse, float32", "sparse, bfloat16")
    made = [
        compared(f"pretraining step, Swin-B, batch {batch}, {name}", steps, name, "published", peer, "monai", "torch")
        for name in names
    ]
    for name in ("dense", "sparse"):
        what = f"pretraining epoch of {FILMS} film scans, {name}, bfloat16"
        made.append(compared(what, epochs, name, "published", peer, "monai", "torch"))
    return made


def ratios(steps: dict[str, float], epochs: dict[str, float]) -> dict[str, float]:
    """What is asked of the parts, as quotients of seconds."""
    found = {
        "published_of_dense": steps["published"] / steps["dense, bfloat16"],
        "published_of_sparse": steps["published"] / steps["sparse, bfloat16"],
        "dense_of_sparse_float32": steps["dense, float32"] / steps["sparse, float32"],
        "dense_of_sparse_bfloat16": steps["dense, bfloat16"] / steps["sparse, bfloat16"],
        "exact_svd_of_published": steps["published, exact SVD"] / steps["published"],
        "penalty_of_dense": steps["penalty"] / steps["dense, bfloat16"],
        "penalty_of_sparse": steps["penalty"] / steps["sparse, bfloat16"],
        "published_epoch_of_dense": epochs["published"] / epochs["dense"],
        "published_epoch_of_sparse": epochs["published"] / epochs["sparse"],
        "published_epoch_of_sparse_first": epochs["published"] / epochs["sparse, first"],
    }
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    main()
