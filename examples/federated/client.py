"""What a site runs: MONAI's federated client trains the site's own bundle on its own images; weights go in and out.

NVIDIA FLARE's Client API starts this file at every site. What it trains on and how is the site's to say, in
``$MAMMO_SITES/NAME.json``: the job that comes from the server holds no path and no option.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import nvflare.client as flare
from mammo.bundles import bundle_root
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from nvflare.apis.fl_constant import FLMetaKey

__all__ = ["Weights", "load_algo", "site_options", "train_round"]

FILES = ["configs/finetune.yaml", "configs/federated.yaml"]
"""Of the bundle that is installed at the site, never of one that a server sends: configurations are code."""

Weights = Mapping[str, np.ndarray]
"""Arrays by their name in the network's state dict."""


def site_options(name: str) -> dict[str, Any]:
    """The options of bundle ``swin_mim`` that the site ``name`` has chosen, such as ``dataset_dir``.

    Raises:
        FileNotFoundError: there is no such file, or ``MAMMO_SITES`` is unset.
    """
    folder = os.environ.get("MAMMO_SITES")
    path = Path(folder or "MAMMO_SITES is unset", f"{name}.json")
    if not folder or not path.is_file():
        raise FileNotFoundError(f"{path}: options of bundle swin_mim for site {name}; MAMMO_SITES names their folder")
    return dict(json.loads(path.read_text()))


def load_algo(name: str, options: Mapping[str, Any]) -> MonaiAlgo:
    """A client ready to train one epoch a round, which keeps ``history.json`` in its ``output_dir``.

    Args:
        name: of the site.
        options: overrides of the bundle's configuration.
    """
    algo = MonaiAlgo(
        str(bundle_root("swin_mim")),
        local_epochs=1,
        send_weight_diff=False,
        config_train_filename=FILES,
        train_kwargs=dict(options),
        config_evaluate_filename=None,
    )
    algo.initialize({ExtraItems.CLIENT_NAME: name})
    # As the bundle's `run` does, which MonaiAlgo leaves out.
    workflow: Any = algo.train_workflow
    workflow.parser.get_parsed_content("train::history").attach(algo.trainer)
    return algo


def train_round(algo: MonaiAlgo, weights: Weights) -> tuple[dict[str, np.ndarray], int]:
    """Train one round from the global weights.

    Returns:
        The site's weights, and how many images it trained on: its weight in the average.
    """
    algo.train(ExchangeObject(weights=dict(weights)))
    # Copies: MonaiAlgo hands out the network's own tensors, which the next round changes.
    trained = {name: tensor.numpy().copy() for name, tensor in algo.get_weights().weights.items()}
    trainer: Any = algo.trainer
    return trained, algo.local_epochs * len(trainer.data_loader.dataset)


def main() -> None:
    """Train whenever the server sends weights, until it has no more rounds."""
    flare.init()
    name = flare.get_site_name()
    algo = load_algo(name, site_options(name))
    while flare.is_running():
        weights, images = train_round(algo, flare.receive().params)
        # FLARE weights a site by its "steps"; with images for steps it is the average of McMahan et al.
        flare.send(flare.FLModel(params=weights, params_type="FULL", meta={FLMetaKey.NUM_STEPS_CURRENT_ROUND: images}))
    algo.finalize()


if __name__ == "__main__":
    main()
