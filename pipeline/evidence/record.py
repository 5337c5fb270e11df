"""``evidence.json``: what an evaluation rests on, frozen by hashes."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from ..files import write_atomically
from .hashes import sha256_of
from .run_files import (
    CONFIGURATION,
    ENVIRONMENT,
    EXPLANATION_FILES,
    METRICS,
    OPERATING_POINTS,
    PREDICTIONS,
    read_json,
    training_configuration,
)

logger = logging.getLogger(__name__)

EVIDENCE = "evidence.json"
TRAINING = "training"
"""Among the inputs, the configuration that made the checkpoint."""
OWN_FILES = (
    PREDICTIONS, METRICS, OPERATING_POINTS, CONFIGURATION, ENVIRONMENT,
    "quarantine.csv", "slices.csv", *EXPLANATION_FILES,
)  # fmt: skip
"""Files of the evaluation's own folder that are hashed, as far as they are there."""
PROVENANCE = ("command", "git_revision", "platform", "seed", "versions")


class EvidenceWriter:
    """Write ``evidence.json`` once an evaluation is over.

    Args:
        directory: the evaluation's folder.
        datalist: the datalist of the run.
        checkpoint: the classifier's weights.
        twin: weights of the twin that the explanations were compared with, if any.
    """

    def __init__(
        self, directory: str | Path, *, datalist: str | Path, checkpoint: str | Path, twin: str | Path | None = None
    ) -> None:
        self.directory = Path(directory)
        self.outside = {"datalist": Path(datalist), "checkpoint": Path(checkpoint)}
        options = training_configuration(Path(checkpoint).parent.parent)
        if options.is_file():
            self.outside[TRAINING] = options
        if twin is not None:
            self.outside["twin"] = Path(twin)

    def write(self) -> None:
        """Write the file (the first process only).

        Raises:
            FileNotFoundError: the run left no predictions or metrics, or an input is gone.
        """
        if idist.get_rank() == 0:
            content = freeze(self.directory, self.outside)
            write_atomically(self.directory / EVIDENCE, json.dumps(content, indent=1, allow_nan=False).encode())
            logger.info("%s written; mammo verify checks it", self.directory / EVIDENCE)


def freeze(directory: Path, outside: dict[str, Path]) -> dict[str, Any]:
    """Hashes of an evaluation's files and inputs, with how it was made.

    Args:
        directory: the evaluation's folder.
        outside: inputs that lie elsewhere, by name; their places are kept relative to ``directory``, so that a tree
            may be moved as a whole.

    Raises:
        FileNotFoundError: predictions, metrics or an input are not there.
    """
    for name in (PREDICTIONS, METRICS):
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory / name} is not there; evaluate the classifier again")
    own = {name: sha256_of(directory / name) for name in OWN_FILES if (directory / name).is_file()}
    inputs = {
        name: {"path": os.path.relpath(path.resolve(), directory.resolve()), "sha256": sha256_of(path)}
        for name, path in outside.items()
    }
    path = directory / ENVIRONMENT
    environment = read_json(path) if path.is_file() else {}
    provenance = {name: environment[name] for name in PROVENANCE if name in environment}
    return {"files": own, "inputs": inputs, **provenance}
