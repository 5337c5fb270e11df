"""The handler that turns an evaluator's predictions into ``metrics.json``."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import ignite.distributed as idist
import pandas as pd
from ignite.engine import Events
from monai.engines import Workflow

from .files import write_atomically
from .handlers import PredictionWriter
from .metrics import evaluate_predictions

logger = logging.getLogger(__name__)


class MetricsWriter:
    """Write ``metrics.json`` from the test rows of a prediction table; thresholds come from its validation rows.

    Args:
        path: the file to write.
        predictions: the handler that writes the table; list it before this one.
        draws: bootstrap draws of patients for the intervals.
        seed: of the bootstrap.
    """

    def __init__(self, path: str | Path, *, predictions: PredictionWriter, draws: int = 2000, seed: int = 0) -> None:
        self.path = Path(path)
        self.predictions = predictions
        self.draws = draws
        self.seed = seed

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        if idist.get_rank() != 0:
            return
        table = pd.read_csv(self.predictions.path, dtype={"image_id": str, "patient_id": str})
        test, validation = (table[table["split"] == split] for split in ("test", "validation"))
        metrics = evaluate_predictions(test, validation, draws=self.draws, seed=self.seed)
        write_atomically(self.path, json.dumps(metrics, indent=1, allow_nan=False).encode())
        auc, counts = metrics["levels"]["image"]["auc"], metrics["counts"]
        if auc["value"] is not None:
            found = f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
            logger.info("AUC of %d test images of %d patients: %s", counts["images"], counts["patients"], found)
        logger.info("%s and %s written", self.path, self.predictions.path)
