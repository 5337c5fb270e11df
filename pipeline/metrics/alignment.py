"""Predictions of several runs in one order, row by row the same image with the same labels."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .predictions import label_columns

__all__ = ["aligned_tables"]


def aligned_tables(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The tables in the order of dataset, patient and image.

    Args:
        tables: labelled predictions of each run, with one label or many.

    Raises:
        ValueError: a table is empty, or the images or their labels differ; the message names one.
    """
    if any(table.empty for table in tables):
        raise ValueError("no row has a known label: there is nothing to compare")
    keys = [name for name in ("dataset", "patient_id", "image_id") if all(name in table for table in tables)]
    first, *others = (table.sort_values(keys).reset_index(drop=True) for table in tables)
    labels = [f"label_{name}" for name in label_columns(first)] or ["label"]
    images = pd.MultiIndex.from_frame(first[keys])
    for other in others:
        if not first[keys].equals(other[keys]):
            alone = images.symmetric_difference(pd.MultiIndex.from_frame(other[keys]))
            raise ValueError(
                f"the runs differ in {len(alone)} images, {alone[0]!r} for one: compare like with like; in a study "
                "delete the evaluate-* folders and run it again"
            )
        if [f"label_{name}" for name in label_columns(other)] != [name for name in labels if name != "label"]:
            raise ValueError("the runs answer different questions: their labels have different names")
        if not first[labels].equals(other[labels]):
            image = images[(first[labels] != other[labels]).any(axis=1)][0]
            raise ValueError(f"the runs give image {image!r} different labels")
    return [first, *others]
