"""Two hospitals through MONAI's federated client, two rounds, beside federated averaging written out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mammo.bundles import bundle_root
from mammo.pipeline.random_streams import stream_seed
from monai.bundle import ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.utils import set_determinism

FILES = ["configs/finetune.yaml", "configs/federated.yaml"]
ROUNDS = 2

pytestmark = pytest.mark.filterwarnings("ignore:.*provisioned:UserWarning", "ignore:.*bundle config:UserWarning")


@pytest.fixture(scope="module")
def sites(options, phantom, tmp_path_factory) -> dict[str, dict]:
    """Options of two sites, each with its own patients."""
    folder = tmp_path_factory.mktemp("sites")
    datalist = json.loads((phantom / "datalist.json").read_text())
    # By pathology, so that every site has both.
    patients = [name for _, name in sorted({(r.get("pathology", ""), r["patient_id"]) for r in datalist["training"]})]
    made = {}
    for number, name in enumerate(("first", "second")):
        own = set(patients[number::2])
        content = datalist | {"training": [r for r in datalist["training"] if r["patient_id"] in own]}
        (folder / f"{name}.json").write_text(json.dumps(content))
        made[name] = options | {
            "datalist": str(folder / f"{name}.json"),
            "output_dir": str(folder / name),
            "pretrained": "$None",
            "seed": number,
            "learning_rate": 1e-3,
        }
    return made


def averaged(states: list[dict], counts: list[int]) -> dict[str, np.ndarray]:
    """McMahan et al. 2017, arXiv:1602.05629: the mean of the weights, each site counting with its images."""
    shares = np.array(counts) / sum(counts)
    return {name: sum(s * np.asarray(w[name]) for s, w in zip(shares, states, strict=True)) for name in states[0]}


def by_client(sites, start, counts):
    clients = []
    for name, overrides in sites.items():
        root = str(bundle_root("swin_mim"))
        client = MonaiAlgo(
            root, 1, False, config_train_filename=FILES, train_kwargs=overrides, config_evaluate_filename=None
        )
        client.initialize({ExtraItems.CLIENT_NAME: name})
        clients.append(client)
    weights, losses = start, []
    for _ in range(ROUNDS):
        states = []
        for client in clients:
            client.train(ExchangeObject(weights=weights))
            states.append({name: tensor.numpy().copy() for name, tensor in client.get_weights().weights.items()})
            losses.append(client.trainer.state.output["loss"].item())
        weights = averaged(states, counts)
    return weights, losses


def training(overrides: dict) -> ConfigWorkflow:
    files = [str(bundle_root("swin_mim") / file) for file in FILES]
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, **overrides)
    workflow.initialize()
    return workflow


def by_hand(sites, start, counts):
    """The same without engine and handlers: batches, loss, step."""
    parts = []
    for overrides in sites.values():
        workflow = ConfigWorkflow(
            [str(bundle_root("swin_mim") / file) for file in FILES],
            workflow_type="train",
            logging_file=False,
            **overrides,
        )
        workflow.initialize()
        names = ("network_def", "optimizer", "loss", "train::dataloader")
        parts.append([workflow.parser.get_parsed_content(name) for name in names] + [overrides["seed"]])
    weights = start
    for number in range(1, ROUNDS + 1):
        states = []
        for network, optimizer, loss, loader, seed in parts:
            network.load_state_dict({name: torch.as_tensor(values) for name, values in weights.items()})
            network.train()
            set_determinism(stream_seed(seed, number, 0))
            loader.dataset.transform.set_random_state(stream_seed(seed, number, 0))
            for batch in loader:
                optimizer.zero_grad()
                loss(network(batch["image"], details=True, attention=False), batch["label"]).backward()
                optimizer.step()
            states.append({name: tensor.numpy().copy() for name, tensor in network.state_dict().items()})
        weights = averaged(states, counts)
    return weights


def test_two_rounds_of_two_sites_equal_federated_averaging_by_hand(sites):
    counts = [len(json.loads(Path(site["datalist"]).read_text())["training"]) for site in sites.values()]
    assert min(counts) > 1
    torch.manual_seed(5)
    workflow = training(sites["first"])
    network = workflow.parser.get_parsed_content("network_def")
    start = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    found, losses = by_client(sites, start, counts)
    assert all(np.isfinite(losses))
    expected = by_hand(sites, start, counts)
    moved = max(float(np.abs(expected[name] - start[name]).max()) for name in start)
    assert moved > 1e-4  # the second round too: no learning rate has run out
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
