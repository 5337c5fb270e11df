"""Two processes on gloo: the same step as one process, and whole runs under torchrun."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from mammo.bundles import bundle_root

CONFIGS = bundle_root("swin_mim") / "configs"
WORKER = Path(__file__).with_name("two_processes.py")
TIMEOUT = 240
"""Seconds; a run takes about 12 on two idle cores, a deadlock for ever."""


def python(*words: str) -> None:
    """Run Python; fail with its output where it fails or hangs."""
    command = [sys.executable, *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]


@pytest.fixture(scope="module")
def worker():
    spec = importlib.util.spec_from_file_location(WORKER.stem, WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    """Four images with breasts of different areas, given hidden blocks, and both halves of equal class counts."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(4, 1, 64, 64, generator=generator)
    mask = (torch.arange(64) < torch.tensor([20, 30, 40, 50])[:, None]).float()[:, None, None].expand(4, 1, 64, 64)
    hidden = (torch.rand(4, 1, 4, 4, generator=generator) < 0.5).float().repeat_interleave(16, 2)
    return {
        "image": torch.cat([image * mask, mask], dim=1),
        "hidden": hidden.repeat_interleave(16, 3),
        "noise": torch.rand(4, 4, generator=generator),
        "label": torch.tensor([[0], [1], [1], [0]]),
    }


@pytest.fixture(scope="module")
def together(batch, tmp_path_factory) -> list[dict]:
    """What each of two processes saved."""
    folder = tmp_path_factory.mktemp("together")
    torch.save(batch, folder / "batch.pt")
    python(str(WORKER), str(folder / "batch.pt"), str(folder / "rank"))
    return [torch.load(folder / f"rank.{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("kind", ["pretraining", "autoencoder", "classification"])
def test_two_processes_take_the_step_of_one_on_the_joined_batch(kind, together, worker, batch):
    alone = worker.result_of(kind, batch)
    half = worker.result_of(kind, {name: values[:2] for name, values in batch.items()})
    assert (half["loss"] - alone["loss"]).abs() > 1e-4  # else the comparison would say nothing
    for shared in together:
        assert shared["results"][kind].keys() == alone.keys()
        for name, expected in alone.items():
            torch.testing.assert_close(shared["results"][kind][name], expected, rtol=0, atol=1e-5, msg=name)


def test_running_means_are_those_of_the_first_process_before_validation(together):
    for shared in together:
        assert shared["running_mean"].tolist() == [10.0, 10.0]


def bundle(phantom: Path, stage: str, out: Path, **overrides: str) -> None:
    """Run a stage by MONAI's own command line in two processes; three validation images make them uneven."""
    files = [str(CONFIGS / f"{name}.yaml") for name in (stage, "tiny", "multi_gpu")]
    options = {
        "dataset_dir": str(phantom),
        "cache_dir": str(out.parent / "cache"),
        "output_dir": str(out),
        "image_size": "[128,64]",
        "batch_size": "1",
        "validate::dataset::data": "$@records['validation'][:3]",
        **overrides,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    python(*torchrun, "-m", "monai.bundle", "run", "--config_file", str(files), *words)


def test_both_stages_run_under_torchrun_and_leave_one_plain_checkpoint(phantom, tmp_path):
    bundle(phantom, "pretrain", tmp_path / "pretrain")
    start = str(tmp_path / "pretrain/checkpoints/best.pt")
    bundle(phantom, "finetune", tmp_path / "finetune", pretrained=start, gamma="0.001", patience="2")
    listed = json.loads((phantom / "datalist.json").read_text())
    labelled = [record for record in listed["training"] if "pathology" in record]
    for stage, images in (("pretrain", len(listed["training"])), ("finetune", len(labelled))):
        run = tmp_path / stage
        (row,) = json.loads((run / "history.json").read_text())["train"]
        assert row["iteration"] == images // 2  # each process takes every other image
        left = sorted(path.name for path in (run / "checkpoints").iterdir())
        assert left == ["best.pt", "config.yaml", "last.pt"]
        state = torch.load(run / "checkpoints/best.pt", weights_only=True)
        assert any(name.startswith("encoder.") for name in state)
        assert not any(name.startswith("module.") for name in state)
        assert yaml.safe_load((run / "config.yaml").read_text())["batch_size"] == 1
        assert not list(run.rglob("*.tmp"))
    lines = (tmp_path / "finetune/predictions_validation.csv").read_text().splitlines()
    assert len(lines) == 1 + 3
