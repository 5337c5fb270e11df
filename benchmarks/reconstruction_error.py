"""Does L1 restore lesions better than squared error? Two short pretrainings a seed, alike but for the loss.

    python benchmarks/reconstruction_error.py [--seeds N] [--steps N] [--quick] [--folder FOLDER]

A micro encoder is pretrained on the standard phantom (four in ten lesions are microcalcifications) with
``reconstruction: l1`` and ``mse``, same weights, batches and hidden blocks for a seed. In images that training never
saw, what is hidden inside lesions and in the rest of the breast is reconstructed, with the same blocks for both. Table:
mean absolute error and mean of prediction minus image (bias), in thousandths of full scale, with 95 % intervals over
patients and seeds; the last column is mse less l1, paired. The last line is one JSON object of these differences.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mammo.networks import SwinEncoder, SwinMIM, load_network
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.datasets import PreparedDataset, Record, load_datalist, prepare_dataset
from mammo.pipeline.explain.lesion import lesion_region
from mammo.pipeline.metrics import bootstrap
from mammo.pipeline.metrics.reconstruction import reconstruction_errors
from mammo.pipeline.phantom import generate
from mammo.transforms import BlockMasking, PrepareMammogramd
from measuring import finish

ERRORS = ("l1", "mse")
SIZE = (256, 128)
DRAWS_OF_BLOCKS = 8
MEASURES = ("lesion_l1", "rest_l1", "lesion_bias", "rest_bias")


def pretrain(data: Path, folder: Path, error: str, seed: int, steps: int) -> SwinMIM:
    """Pretrain from scratch for ``steps`` optimiser steps; the network after the last of them."""
    out = folder / f"{error}_{seed}"
    overrides = {
        "dataset_dir": str(data), "cache_dir": str(folder / "cache"), "output_dir": str(out), "device": "cpu",
        "image_size": list(SIZE), "num_workers": 0, "batch_size": 16, "max_epochs": 1, "epoch_length": steps,
        "reconstruction": error, "seed": seed,
    }  # fmt: skip
    run_bundle("swin_mim", "pretrain", overlays=["demo"], overrides=overrides)
    encoder = SwinEncoder(size="micro", image_mean=0.449, image_std=0.226)
    network = SwinMIM(encoder, decoder_widths=(256, 128, 64, 32))
    return load_network(network, out / "checkpoints/last.pt").eval()


def measure(networks: list[SwinMIM], records: list[Record], folder: Path) -> np.ndarray:
    """Errors ``(networks, records, measures)``, averaged over several draws of hidden blocks."""
    step = PrepareMammogramd(spatial_size=SIZE, background="zero")
    prepared = PreparedDataset(records, [step], folder / "cache")
    masking, rows = BlockMasking(), []
    for index, record in enumerate(records):
        item = prepared[index]
        image = torch.as_tensor(item["image"]).expand(DRAWS_OF_BLOCKS, 1, *SIZE)
        mask = torch.as_tensor(item["mask"]).expand(DRAWS_OF_BLOCKS, 1, *SIZE)
        region = lesion_region(record, "", np.asarray(item["to_original"]), SIZE)
        lesion = torch.zeros(SIZE) if region is None else torch.from_numpy(region).float()
        hidden = masking(mask, generator=torch.Generator().manual_seed(index))
        target = torch.cat([image, mask, hidden], dim=1)
        with torch.no_grad():
            found = [
                reconstruction_errors(network(image, hidden), target, lesion.expand_as(image)) for network in networks
            ]
        rows.append([[np.nanmean(errors[name]) for name in MEASURES] for errors in found])
    return np.transpose(rows, (1, 0, 2))


def over_seeds(values: np.ndarray, generator: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Mean of ``values`` (seeds, images) for weights of images (D, images), with the seeds drawn anew in each draw."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        means = weights @ values.T / weights.sum(axis=1, keepdims=True)  # (D, seeds)
        if (weights == 1).all():
            return means.mean(axis=1)
        drawn = generator.integers(len(values), size=means.shape)
        return np.take_along_axis(means, drawn, axis=1).mean(axis=1)

    return statistic


def report(errors: dict[str, np.ndarray], records: list[Record]) -> dict[str, float]:
    """Print the table of errors ``(seeds, images, measures)`` by loss; return the differences."""
    kinds = np.array([record["abnormality"] for record in records])
    patients = np.array([record["patient_id"] for record in records])
    differences: dict[str, float] = {}
    print(f"{'lesions':<14} {'images':>6} {'measure':<12} {'l1':>26} {'mse':>26} {'mse - l1':>26}")
    for kind in ("mass", "calcification"):
        rows = kinds == kind
        for number, name in enumerate(MEASURES):
            one, two = (errors[error][:, rows, number] for error in ERRORS)
            cells = []
            for values in (one, two, two - one):
                found = bootstrap(over_seeds(values, np.random.default_rng(1)), patients[rows])
                middle, low, high = 1e3 * np.array([found.value, found.low, found.high], dtype=float)
                cells.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
            differences[f"{kind}_{name}_mse_minus_l1"] = round(float((two - one).mean()), 5)
            print(f"{kind:<14} {rows.sum():>6} {name:<12} " + " ".join(f"{cell:>26}" for cell in cells))
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--patients", type=int, default=160)
    parser.add_argument("--quick", action="store_true", help="one seed, a few steps: shows that it runs")
    parser.add_argument("--folder", type=Path, help="keeps phantom, cache and runs; default: a temporary one")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.steps, options.patients = 1, 4, 24
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        data = folder / "phantom"
        generate(data, patients=options.patients, seed=11, preset="standard", views="CC", unaffected=False)
        prepare_dataset("cbis_ddsm", data, data / "datalist.json")
        records = [record for record in load_datalist(data / "datalist.json")["test"] if record.get("roi_masks")]
        networks = [
            pretrain(data, folder, error, seed, options.steps) for error in ERRORS for seed in range(options.seeds)
        ]
        values = measure(networks, records, folder)
    by_loss = {error: values[i * options.seeds : (i + 1) * options.seeds] for i, error in enumerate(ERRORS)}
    finish(report(by_loss, records))


if __name__ == "__main__":
    main()
