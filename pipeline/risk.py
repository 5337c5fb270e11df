"""Handlers of a risk model's evaluation: the risk of every year, and its measures."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pandas as pd
from ignite.engine import Events
from monai.engines import Workflow

from .evidence.run_files import EXPLANATION_FILES, OPERATING_POINTS, remove_earlier
from .files import write_atomically
from .handlers import PREDICTION_COLUMNS, ImageTable
from .metrics.evaluate import RESEARCH_USE
from .metrics.survival import evaluate_risk

logger = logging.getLogger(__name__)

FOLLOW_UP = ("years_to_cancer", "years_to_last_followup")


class RiskWriter(ImageTable):
    """Collect a risk model's output and write ``predictions.csv``: per image ``risk_1`` to ``risk_K``, not falling.

    Args:
        path: the file to write.
        records: the records of the images; what they know, their follow-up too, goes beside the risks.
    """

    def __init__(self, path: str | Path, *, records: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(path, records=records, columns=(*PREDICTION_COLUMNS, *FOLLOW_UP))

    def scores(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """The risk of each year."""
        risks = output["pred"].unflatten(0, (-1, 2)).softmax(dim=1)[:, 1].tolist()
        return {f"risk_{year}": risk for year, risk in enumerate(risks, start=1)}


class RiskMetricsWriter:
    """Write ``metrics.json`` from the test rows of a :class:`RiskWriter`'s table.

    What an earlier evaluation of a classifier left in the same folder is removed: it is not of these predictions.

    Args:
        path: the file to write.
        predictions: the handler that writes the table; list it before this one.
        years: how many years are predicted.
        draws: bootstrap draws of patients for the intervals.
        seed: of the bootstrap.
    """

    def __init__(
        self, path: str | Path, *, predictions: RiskWriter, years: int = 5, draws: int = 2000, seed: int = 0
    ) -> None:
        self.path = Path(path)
        self.predictions = predictions
        self.options = {"years": years, "draws": draws, "seed": seed}

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        if idist.get_rank() != 0:
            return
        remove_earlier(self.path.parent, (*EXPLANATION_FILES, OPERATING_POINTS))
        table = pd.read_csv(self.predictions.path, dtype={"image_id": str, "patient_id": str})
        metrics = evaluate_risk(table[table["split"] == "test"].reset_index(drop=True), **self.options)
        content = {"notice": RESEARCH_USE, **metrics}
        write_atomically(self.path, json.dumps(content, indent=1, allow_nan=False).encode())
        found = metrics["concordance"]
        if found["value"] is not None:
            logger.info("concordance index of %d test images: %.3f", metrics["counts"]["images"], found["value"])
        logger.info("%s and %s written", self.path, self.predictions.path)
