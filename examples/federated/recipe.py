"""Federated averaging of bundle swin_mim by NVIDIA FLARE, in its simulator or as a job for a real federation.

Simulator:   MAMMO_SITES=FOLDER python recipe.py simulate START.safetensors WORKSPACE --sites 2
Federation:  python recipe.py export START.safetensors JOBS --sites 2 --client CODE/client.py

The job is configuration without code: sites and server run the files of this folder that are installed there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from nvflare.app_common.executors.client_api_executor import ClientAPIExecutor, ExecutionMode
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.client.config import ExchangeFormat
from nvflare.job_config.api import FedJob
from safetensors_persistor import SafetensorsPersistor

HERE = Path(__file__).resolve().parent
NAME = "swin_mim"
"""Of the job."""

POLICY = {
    "class_allow_list": [
        f"{made.__module__}.{made.__name__}" for made in (FedAvg, ClientAPIExecutor, SafetensorsPersistor)
    ],
    "allow_log_streaming": False,
}
"""For ``local/resources.json`` of every site and the server: build nothing but these, send no log to the server."""


def federated_averaging(start: str, client: str, sites: int, rounds: int) -> FedJob:
    """FLARE's FedAvg (McMahan et al. 2017, arXiv:1602.05629), each site counting with its images.

    Args:
        start: safetensors file of the weights that all begin with, on the server.
        client: where ``client.py`` is installed at the sites.
        sites: how many must take part; a round waits for all of them.
        rounds: how many.

    Raises:
        ValueError: a path is not absolute; each is another machine's.
    """
    for path in (start, client):
        if not Path(path).is_absolute():
            raise ValueError(f"{path} is not absolute: it is looked up on another machine")
    job = FedJob(name=NAME, min_clients=sites)
    job.set_app_packages([SafetensorsPersistor.__module__])  # else FLARE would put its source into the job
    job.to_server(SafetensorsPersistor(start), id="persistor")
    job.to_server(FedAvg(num_clients=sites, num_rounds=rounds))
    # What crosses the network are arrays, by FLARE's FOBS, which unpickles nothing.
    executor = ClientAPIExecutor(
        ExecutionMode.IN_PROCESS, task_script_path=client, params_exchange_format=ExchangeFormat.NUMPY
    )
    job.to_clients(executor, tasks=["train"])
    return job


def simulate(job: FedJob, workspace: Path, sites: int) -> int:
    """Run in FLARE's simulator, under the policy of a site that allows what the job needs and no more.

    Args:
        job: of :func:`federated_averaging`.
        workspace: a new folder. ``server/simulate_job/global.safetensors`` are the last weights.
        sites: how many processes, named ``site-1`` and on.

    Returns:
        0 where all went well.
    """
    local = workspace / "local"
    local.mkdir(parents=True)
    (local / "resources.json").write_text(json.dumps({"format_version": 2} | POLICY))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    return int(job.simulator_run(str(workspace), n_clients=sites, threads=sites))


def main() -> None:
    """Read the command line; run or write the job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("simulate", "export"))
    parser.add_argument("start", help="safetensors file of the first weights, on the server")
    parser.add_argument("folder", type=Path, help="simulate: new workspace; export: where the job's folder goes")
    parser.add_argument("--client", default=str(HERE / "client.py"), help="where it is installed at the sites")
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    if given.action == "simulate":
        given.start = str(Path(given.start).absolute())
    job = federated_averaging(given.start, given.client, given.sites, given.rounds)
    if given.action == "simulate":
        sys.exit(simulate(job, given.folder.absolute(), given.sites))
    job.export_job(str(given.folder))


if __name__ == "__main__":
    main()
