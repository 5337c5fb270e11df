"""A training of two processes on gloo, as the bundle's page tells to start it."""

from __future__ import annotations

from pathlib import Path

from mammo.bundles import bundle_root

from .campaign import Ground
from .processes import Run, children, python

__all__ = ["launch", "rank_processes"]

EPOCHS = 12


def launch(ground: Ground, out: Path) -> Run:
    """Begin a pretraining under torchrun, or go on with it."""
    configs = bundle_root("swin_mim") / "configs"
    files = [str(configs / f"{name}.yaml") for name in ("pretrain", "tiny", "multi_gpu")]
    options = {
        "dataset_dir": ground.phantom, "cache_dir": ground.store, "output_dir": out, "image_size": "[64,32]",
        "batch_size": 2, "max_epochs": EPOCHS, "resume": True, "decoder_widths": "[16,8,8,8]",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    runner = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle", "run"]
    return python([*runner, "--config_file", str(files), *words], ground.log("torchrun"))


def rank_processes(agent: int) -> dict[int, int]:
    """Process number of each rank that torchrun has started."""
    found = {}
    for pid in children(agent):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if entry.startswith(b"RANK="):
                found[int(entry[5:])] = pid
    return found
