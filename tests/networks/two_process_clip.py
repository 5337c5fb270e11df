"""What two processes compute of image-text losses, each from its half of a batch.

    python two_process_clip.py BATCH OUT

reads the batch that ``test_image_text.py`` wrote and saves what each process ends with. Both are forked from this one,
which has imported everything.
"""

import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import torch
from mammo.networks import ViTEncoder
from mammo.networks.image_text import ImageTextModel
from mammo.networks.losses.image_text import NOTHING, ImageTextContrastiveLoss, MultiViewSupervision, SigmoidLoss
from mammo.networks.text_encoder import TextEncoder
from torch import distributed, nn
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

KINDS = {
    "views": MultiViewSupervision,
    "views in chunks": MultiViewSupervision,
    "clip": ImageTextContrastiveLoss,
    "sigmoid": SigmoidLoss,
}


class Words(nn.Module):
    """A text model that needs no transformers: an embedding, and a linear map over it."""

    config = SimpleNamespace(hidden_size=12)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Embedding(40, 12), nn.Linear(12, 12), nn.GELU())

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.layers(input_ids))


def build(kind: str) -> ImageTextModel:
    """A model of both towers without anything random."""
    torch.manual_seed(0)
    encoder = ViTEncoder(image_size=(32, 32), size="micro")
    bias = -2.0 if kind == "sigmoid" else None
    return ImageTextModel(encoder, TextEncoder(Words(), "mean"), 8, pooling="mask", temperature=0.2, bias=bias)


def result_of(kind: str, batch: dict[str, torch.Tensor], wrap: bool = False) -> dict[str, torch.Tensor]:
    """Loss and gradients by name; with ``wrap`` those of all processes together."""
    network = build(kind)
    wrapped = DistributedDataParallel(network) if wrap else network
    inputs = {name: batch[name] for name in ("tokens", "mask")}
    if kind != "clip":
        inputs |= {name: batch[name] for name in ("other", "other_tokens", "other_mask")}
    output = wrapped(batch["image"], **inputs, chunk=1 if kind == "views in chunks" else None)
    loss = KINDS[kind]()(output, batch["groups"])
    loss.backward()
    loss = loss.detach()
    if wrap:
        distributed.all_reduce(loss)
        loss /= distributed.get_world_size()
    return {"loss": loss} | {name: parameter.grad for name, parameter in network.named_parameters()}


def main(rank: int, batch_path: Path, out: Path) -> None:
    """Save loss and gradients of each kind."""
    meet = f"file://{out.with_suffix('.store').resolve()}"
    distributed.init_process_group("gloo", meet, timedelta(seconds=60), world_size=2, rank=rank)
    batch = torch.load(batch_path, weights_only=True)
    half = {name: values.chunk(2)[rank] for name, values in batch.items()}
    said = (half["groups"] != NOTHING).flatten(0, 1).any(dim=0)
    half["groups"] = half["groups"][..., said]  # as many ids as this process needs
    torch.save({kind: result_of(kind, half, wrap=True) for kind in KINDS}, out.with_suffix(f".{rank}.pt"))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    start_processes(main, (Path(sys.argv[1]), Path(sys.argv[2])), nprocs=2, start_method="fork")
