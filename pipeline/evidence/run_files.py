"""Where the files of an evaluation lie, and what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import write_atomically

PREDICTIONS = "predictions.csv"
METRICS = "metrics.json"
OPERATING_POINTS = "operating_points.json"
ENVIRONMENT = "environment.json"
CONFIGURATION = "config.yaml"
EXPLANATION_FILES = (
    "explanations.csv", "explanations.json", "behaviour.csv", "twin/explanations.csv", "twin/behaviour.csv",
)  # fmt: skip
"""What an evaluation with explanations leaves beside its predictions."""


def remove_earlier(folder: Path, names: Sequence[str] = EXPLANATION_FILES) -> None:
    """Remove what an earlier evaluation left in a folder and the one at work may not write again.

    Left there it would be frozen as evidence of predictions that it was not made of.
    """
    for name in names:
        (folder / name).unlink(missing_ok=True)


def training_configuration(run: Path) -> Path:
    """The configuration that made a run's weights.

    It lies beside them; that of the run folder is of whoever began there last, even if it was refused.
    """
    kept = run / "checkpoints" / CONFIGURATION
    return kept if kept.is_file() else run / CONFIGURATION


def keep_configuration(run: Path) -> None:
    """Keep the configuration of a run folder beside the weights that it has just made."""
    made, kept = run / CONFIGURATION, run / "checkpoints" / CONFIGURATION
    if not made.is_file():
        kept.unlink(missing_ok=True)
    elif not kept.is_file() or kept.read_bytes() != made.read_bytes():
        write_atomically(kept, made.read_bytes())


def evaluation_folder(run: str | Path) -> Path:
    """The folder that holds ``predictions.csv``: the run folder itself, or its folder ``test``.

    Raises:
        FileNotFoundError: there is none in either.
    """
    for folder in (Path(run), Path(run) / "test"):
        if (folder / PREDICTIONS).is_file():
            return folder
    raise FileNotFoundError(f"{run}: no {PREDICTIONS} there or in its folder test; mammo evaluate writes it")


def read_json(path: str | Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: the file holds something else; the message names it.
        FileNotFoundError: it is not there.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); the run that wrote it may have been cut off") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found a {type(content).__name__}")
    return content
