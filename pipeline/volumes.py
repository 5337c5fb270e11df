"""Scores of slices put together to scores of tomosynthesis volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pandas as pd
from ignite.engine import Events
from monai.engines import Workflow
from monai.utils import StrEnum, look_up_option

from .datasets.slices import volume_id
from .handlers import PredictionWriter, write_table

__all__ = ["SlicePooling", "VolumeWriter", "pool_slices"]


class SlicePooling(StrEnum):
    """How the probabilities of its slices become that of a volume."""

    MAX = "max"
    """The most suspicious slice decides: for a positive and a negative class."""
    MEAN = "mean"


def pool_slices(table: pd.DataFrame, pooling: str = SlicePooling.MAX) -> pd.DataFrame:
    """One row a volume from rows of slices; pictures that are no slices stay as they are.

    Args:
        table: as :class:`~mammo.pipeline.handlers.PredictionWriter` writes it, with ``probability``, or
            ``probability_0`` and so on for several classes.
        pooling: see :class:`SlicePooling`.

    Returns:
        The columns of the table, with the id of the volume as ``image_id``, and ``slices``, their number.

    Raises:
        ValueError: ``max`` with several classes, whose probabilities would no longer add up to 1; or slices of one
            volume with different labels.
    """
    how = look_up_option(pooling, SlicePooling)
    scores = [name for name in table.columns.astype(str) if name.startswith("probability")]
    if how is SlicePooling.MAX and len(scores) > 1:
        raise ValueError("slice_pooling max is for two classes; take mean, which keeps the sum of several at 1")
    keyed = table.assign(image_id=table["image_id"].astype(str).map(volume_id), slices=1)
    groups = keyed.groupby(
        [name for name in ("dataset", "split", "image_id") if name in table], sort=False, dropna=False
    )
    mixed = groups["label"].nunique() > 1
    if mixed.any():
        raise ValueError(f"slices of {mixed.index[mixed.to_numpy()][0]!r} have different labels")
    rules = dict.fromkeys(keyed.columns, "first") | dict.fromkeys(scores, how.value) | {"slices": "sum"}
    return groups.agg(rules).reset_index(drop=True)


class VolumeWriter:
    """Write ``slices.csv``, one row a slice, and from it ``predictions.csv``, one row a volume.

    Args:
        path: the table of volumes; that of slices is put beside it.
        pooling: see :class:`SlicePooling`.
        slices: further arguments of :class:`~mammo.pipeline.handlers.PredictionWriter`, whose records are the slices'.
    """

    def __init__(self, path: str | Path, *, pooling: str = SlicePooling.MAX, **slices: Any) -> None:
        self.path = Path(path)
        self.slices = PredictionWriter(self.path.with_name("slices.csv"), **slices)
        self.place = self.slices.place
        self.pooling = look_up_option(pooling, SlicePooling)

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        self.slices.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def write(self, engine: Workflow) -> None:
        """Read the table of slices, which was just written, and write that of volumes."""
        if idist.get_rank() == 0:
            text = dict.fromkeys(("image_id", "patient_id", "dataset"), "string")
            write_table(pool_slices(pd.read_csv(self.slices.path, dtype=text), self.pooling), self.path)
