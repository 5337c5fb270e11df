"""What the processes of a distributed step compute, each from its half of a batch.

    python two_processes.py BATCH OUT

reads the batch that ``test_distributed.py`` wrote and saves what each of two processes ends with. They are forked from
this one, which has imported everything: torchrun would import it twice more.
"""

import sys
from datetime import timedelta
from pathlib import Path

import torch
from ignite.engine import Engine
from mammo.networks import MammogramClassifier, MaskedAutoencoder, SwinEncoder, SwinMIM, ViTEncoder
from mammo.networks.losses import (
    AttentionSpectralPenalty,
    AutoencoderObjective,
    BreastBackgroundContrast,
    ClassificationObjective,
    MaskedReconstructionLoss,
    MultiScaleReconstructionLoss,
    MultiTaskCrossEntropy,
    PretrainingObjective,
    SpectralNormPenalty,
)
from mammo.pipeline.handlers import BroadcastBuffers
from torch import distributed, nn
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

NETWORKS = ("pretraining", "autoencoder", "classification")


def build(kind: str) -> tuple[nn.Module, nn.Module]:
    """The network with frozen normalisation, and its objective with every term switched on."""
    torch.manual_seed(0)
    if kind == "autoencoder":
        decoders = {"decoder_dim": 32, "decoder_depth": 1, "decoder_heads": 2, "mask_ratio": 0.5, "scales": (1, 2)}
        network = MaskedAutoencoder(ViTEncoder(image_size=(32, 32), size="micro"), **decoders)
        return network, AutoencoderObjective(MultiScaleReconstructionLoss())
    encoder = SwinEncoder(size="micro")
    network = SwinMIM(encoder) if kind == "pretraining" else MammogramClassifier(encoder)
    spectral = SpectralNormPenalty(network, beta=0.01)
    if kind == "pretraining":
        return network.eval(), PretrainingObjective(MaskedReconstructionLoss("breast"), spectral)
    cross_entropy = MultiTaskCrossEntropy({"pathology": 2}, {"pathology": [0.7, 1.6]})
    attention = AttentionSpectralPenalty(gamma=0.1)
    return network.eval(), ClassificationObjective(cross_entropy, spectral, attention, BreastBackgroundContrast(), 0.1)


def step(kind: str, network: nn.Module, objective: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Loss of one forward and backward pass; gradients are left on the network."""
    if kind == "autoencoder":
        image = nn.functional.avg_pool2d(batch["image"], 2)
        loss = objective(network(image, noise=batch["noise"]), batch["image"])
    elif kind == "pretraining":
        target = torch.cat([batch["image"], batch["hidden"]], dim=1)
        loss = objective(network(batch["image"], hidden=batch["hidden"]), target)
    else:
        loss = objective(network(batch["image"], details=True), batch["label"])
    loss.backward()
    return loss.detach()


def result_of(kind: str, batch: dict[str, torch.Tensor], wrap: bool = False) -> dict[str, torch.Tensor]:
    """Loss and gradients by name; with ``wrap`` those of all processes together."""
    network, objective = build(kind)
    wrapped = DistributedDataParallel(network) if wrap else network
    loss = step(kind, wrapped, objective, batch)
    if wrap:
        distributed.all_reduce(loss)
        loss /= distributed.get_world_size()
    return {"loss": loss} | {name: parameter.grad for name, parameter in network.named_parameters()}


def main(rank: int, batch_path: Path, out: Path) -> None:
    """Save loss and gradients of both networks, and a buffer of rank 1 after the broadcast."""
    meet = f"file://{out.with_suffix('.store').resolve()}"
    distributed.init_process_group("gloo", meet, timedelta(seconds=60), world_size=2, rank=rank)
    batch = torch.load(batch_path, weights_only=True)
    half = {name: values.chunk(2)[rank] for name, values in batch.items()}
    results = {kind: result_of(kind, half, wrap=True) for kind in NETWORKS}

    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(10.0 + rank)
    engine = Engine(lambda engine, item: None)
    BroadcastBuffers(norm).attach(engine)
    engine.run([0])
    torch.save({"results": results, "running_mean": norm.running_mean}, out.with_suffix(f".{rank}.pt"))
    distributed.destroy_process_group()


if __name__ == "__main__":
    start_processes(main, (Path(sys.argv[1]), Path(sys.argv[2])), nprocs=2, start_method="fork")
