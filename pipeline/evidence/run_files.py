"""Where the files of an evaluation lie, and what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
