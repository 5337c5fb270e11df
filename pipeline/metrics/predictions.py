"""Tables of predictions: what must be in them, and how images become breasts and patients."""

from pathlib import Path

import numpy as np
import pandas as pd
from monai.utils import StrEnum

REQUIRED = ("image_id", "patient_id", "label", "probability")
TEXT_COLUMNS = (
    "image_id",
    "patient_id",
    "laterality",
    "view",
    "dataset",
    "split",
    "density",
    "abnormality",
    "birads",
)


class Level(StrEnum):
    """What one row of an evaluation stands for."""

    IMAGE = "image"
    BREAST = "breast"
    PATIENT = "patient"


def read_predictions(path: Path) -> pd.DataFrame:
    """Read and check a ``predictions.csv``.

    Identifiers and categories stay text, so that patient ``007`` keeps its zeros.

    Raises:
        ValueError: the file cannot be read as a table, or :func:`check_predictions` finds a fault.
    """
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, "string"), encoding="utf-8")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: not a readable table of predictions ({error})") from error
    return check_predictions(frame, str(path))


def check_predictions(frame: pd.DataFrame, where: str = "predictions") -> pd.DataFrame:
    """Refuse a table that would give wrong figures; return it unchanged.

    Labels are 0 (negative), 1 (positive) or -1 (unknown), probabilities lie in [0, 1], an image occurs once.

    Args:
        frame: the table.
        where: what to call it in an error, its path for example.

    Raises:
        ValueError: a column is missing, or a row is wrong; the message names the first such row.
    """
    absent = [name for name in REQUIRED if name not in frame.columns]
    if absent:
        raise ValueError(f"{where}: column {', '.join(absent)} is missing; needed are {', '.join(REQUIRED)}")
    probability = pd.to_numeric(frame["probability"], errors="coerce")
    keys = [name for name in ("dataset", "split", "image_id") if name in frame.columns]
    faults = {
        "has a label that is not 0, 1 or -1": ~pd.to_numeric(frame["label"], errors="coerce").isin([0, 1, -1]),
        "has a probability outside [0, 1] or none": ~probability.between(0, 1),
        "has no patient_id": frame["patient_id"].isna(),
        "occurs twice": frame.duplicated(keys),
    }
    for fault, rows in faults.items():
        if rows.any():
            image = frame.loc[rows.to_numpy(dtype=bool), "image_id"].iloc[0]
            raise ValueError(f"{where}: image {image!r} {fault} ({int(rows.sum())} such rows)")
    return frame


def patient_keys(frame: pd.DataFrame) -> np.ndarray:
    """``(n,)`` patient of each row; the data set is part of it: two sets may both have a patient 1."""
    patient = frame["patient_id"].astype(str)
    if "dataset" in frame.columns:
        patient = frame["dataset"].astype("string").fillna("").astype(str) + "/" + patient
    return patient.to_numpy(dtype=str)


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose label is known, label as int and probability as float."""
    known = frame[pd.to_numeric(frame["label"]) >= 0]
    return known.assign(label=known["label"].astype(int), probability=known["probability"].astype(float))


def aggregate(frame: pd.DataFrame, level: Level | str = Level.PATIENT, how: str = "max") -> pd.DataFrame:
    """One row per image, breast or patient.

    A breast (patient and laterality) or patient is positive if one of its images is. Rows of unknown label
    are left out first, of the probability too, so that label and probability speak of the same images.

    Args:
        frame: predictions of one split.
        level: what a row of the result stands for.
        how: ``max`` (the most suspicious image decides) or ``mean`` of the probabilities.

    Returns:
        Columns ``patient_id`` (with the data set, see :func:`patient_keys`), ``label``, ``probability`` and
        ``images``, the number of images behind the row.

    Raises:
        ValueError: ``how`` is neither, or a breast is asked for where laterality is not known.
    """
    if how not in ("max", "mean"):
        raise ValueError(f"how={how!r} is neither 'max' nor 'mean'")
    known = labelled(frame)
    known = known.assign(patient_id=patient_keys(known), images=1)
    keys = {Level.IMAGE: ["image_id"], Level.BREAST: ["laterality"], Level.PATIENT: []}[Level(level)]
    if level == Level.BREAST:
        unknown = len(known) if "laterality" not in known else int(known["laterality"].isna().sum())
        if unknown:
            raise ValueError(f"{unknown} of {len(known)} images have no laterality: no figure per breast")
    groups = known.groupby(["patient_id", *keys], sort=True)
    return groups.agg(label=("label", "max"), probability=("probability", how), images=("images", "sum")).reset_index()
