"""Tables of predictions: what must be in them, and how images become breasts and patients."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from monai.utils import StrEnum

REQUIRED = ("image_id", "patient_id", "label", "probability")
CLASS_COLUMN = r"^probability_(\d+)$"
LABEL_COLUMN = r"^(?:label|probability)_(.+)$"
NO_LABEL = frozenset({"label_provenance"})
"""Fields of a record whose column looks like that of a label."""
SUM_TOLERANCE = 1e-3
"""A softmax in half precision sums to 1 within this."""
TEXT_COLUMNS = (
    "image_id",
    "patient_id",
    "study_id",
    "laterality",
    "view",
    "dataset",
    "split",
    "density",
    "abnormality",
    "birads",
    "manufacturer",
    "device",
)


class Level(StrEnum):
    """What one row of an evaluation stands for."""

    IMAGE = "image"
    BREAST = "breast"
    PATIENT = "patient"


LEVELS = {
    "image": (Level.IMAGE, "max"),
    "breast_max": (Level.BREAST, "max"),
    "breast_mean": (Level.BREAST, "mean"),
    "patient_max": (Level.PATIENT, "max"),
    "patient_mean": (Level.PATIENT, "mean"),
}
"""What is evaluated: the level, and how the images of a breast or patient become one probability."""


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

    Labels are 0 (negative), 1 (positive) or -1 (unknown), probabilities lie in [0, 1], an image occurs once. A
    table of K > 2 classes has the columns ``probability_0`` to ``probability_{K-1}``, which sum to 1, and labels
    below K. A table of many labels has the columns ``label_NAME`` and ``probability_NAME`` of each, two labels at
    least.

    Args:
        frame: the table.
        where: what to call it in an error, its path for example.

    Raises:
        ValueError: a column is missing, or a row is wrong; the message names the first such row.
    """
    classes, labels = class_columns(frame), label_columns(frame)
    required = REQUIRED if not classes else (*REQUIRED[:-1], *classes)
    if labels:
        required = (*REQUIRED[:2], *(f"{kind}_{name}" for kind in ("label", "probability") for name in labels))
    absent = [name for name in required if name not in frame.columns]
    if absent:
        raise ValueError(f"{where}: column {', '.join(absent)} is missing; needed are {', '.join(required)}")
    if len(labels) == 1:
        raise ValueError(f"{where}: {labels[0]!r} is the only label; name its columns label and probability")
    keys = [name for name in ("dataset", "split", "image_id") if name in frame.columns]
    faults = _class_faults(frame, classes) if classes else _faults(frame, labels)
    faults |= {"has no patient_id": frame["patient_id"].isna(), "occurs twice": frame.duplicated(keys)}
    for fault, rows in faults.items():
        if rows.any():
            image = frame.loc[rows.to_numpy(dtype=bool), "image_id"].iloc[0]
            raise ValueError(f"{where}: image {image!r} {fault} ({int(rows.sum())} such rows)")
    return frame


def class_columns(frame: pd.DataFrame) -> list[str]:
    """The columns ``probability_0``, ``probability_1``, ... of a table of several classes, in order; else none."""
    if "probability" in frame.columns:
        return []
    numbers = sorted(int(match) for match in frame.columns.str.extract(CLASS_COLUMN, expand=False).dropna())
    return [f"probability_{number}" for number in range(numbers[-1] + 1)] if numbers else []


def label_columns(frame: pd.DataFrame) -> list[str]:
    """Names of the labels of a table of many, ``label_NAME`` and ``probability_NAME``, in its order; else none."""
    one = {"label", "probability"} & set(frame.columns) or class_columns(frame)
    if one or not any(str(column).startswith("probability_") for column in frame.columns):
        return []
    names = frame.columns[~frame.columns.isin(NO_LABEL)].str.extract(LABEL_COLUMN, expand=False).dropna()
    return list(dict.fromkeys(names))


def class_probabilities(frame: pd.DataFrame) -> np.ndarray:
    """Probabilities ``(n, K)`` of a table of several classes."""
    return frame[class_columns(frame)].to_numpy(dtype=np.float64)


def _faults(frame: pd.DataFrame, labels: list[str]) -> dict[str, pd.Series]:
    """Of two classes, or of each of many labels."""
    found = {}
    for end in [f"_{name}" for name in labels] or [""]:
        label = pd.to_numeric(frame[f"label{end}"], errors="coerce")
        probability = pd.to_numeric(frame[f"probability{end}"], errors="coerce")
        found[f"has a label{end} that is not 0, 1 or -1"] = ~label.isin([0, 1, -1])
        found[f"has a probability{end} outside [0, 1] or none"] = ~probability.between(0, 1)
    return found


def _class_faults(frame: pd.DataFrame, classes: list[str]) -> dict[str, pd.Series]:
    values = frame[classes].apply(pd.to_numeric, errors="coerce")
    known = range(-1, len(classes))
    label = pd.to_numeric(frame["label"], errors="coerce")
    return {
        f"has a label that is no whole number from -1 to {len(classes) - 1}": ~label.isin(known),
        "has a probability outside [0, 1] or none": ~((values >= 0) & (values <= 1)).all(axis=1),
        "has probabilities that do not sum to 1": (values.sum(axis=1) - 1).abs() > SUM_TOLERANCE,
    }


def patient_keys(frame: pd.DataFrame) -> np.ndarray:
    """``(n,)`` patient of each row; the data set is part of it: two sets may both have a patient 1."""
    patient = frame["patient_id"].astype(str)
    if "dataset" in frame.columns:
        patient = frame["dataset"].astype("string").fillna("").astype(str) + "/" + patient
    return patient.to_numpy(dtype=str)


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose label is known, one at least of many; labels as int and probabilities as float."""
    names = label_columns(frame)
    labels = [f"label_{name}" for name in names] or ["label"]
    scores = [f"probability_{name}" for name in names] or class_columns(frame) or ["probability"]
    known = frame[(frame[labels].apply(pd.to_numeric) >= 0).any(axis=1)]
    return known.astype(dict.fromkeys(labels, int) | dict.fromkeys(scores, float))


def checked_sections(test: pd.DataFrame, validation: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The labelled rows of both tables, as an evaluation needs them.

    Raises:
        ValueError: a table is malformed, or no test row has a known label.
    """
    known = labelled(check_predictions(test, "test predictions"))
    if known.empty:
        raise ValueError("test predictions: no row has a known label, there is nothing to evaluate")
    return known, None if validation is None else labelled(check_predictions(validation, "validation predictions"))


def aggregate(frame: pd.DataFrame, level: Level | str = Level.PATIENT, how: str = "max") -> pd.DataFrame:
    """One row per image, breast or patient.

    A breast (patient and laterality) or patient is positive if one of its images is. Rows of unknown label
    are left out first, of the probability too, so that label and probability speak of the same images. Of several
    classes the probabilities are averaged, and the images of a group must have one label.

    Args:
        frame: predictions of one split.
        level: what a row of the result stands for.
        how: ``max`` (the most suspicious image decides) or ``mean`` of the probabilities; of several classes
            ``mean`` alone.

    Returns:
        Columns ``patient_id`` (with the data set, see :func:`patient_keys`), ``label``, ``probability`` (or that
        of each class) and ``images``, the number of images behind the row.

    Raises:
        ValueError: ``how`` is neither, a breast is asked for where laterality is not known, the labels of a
            group differ where there are several classes, or the table is of many labels.
    """
    if label_columns(frame):
        raise ValueError("many labels are told per image alone: lesions of one breast or patient have their own")
    classes = class_columns(frame)
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
    if classes:
        return _aggregate_classes(groups, classes, how, str(level))
    return groups.agg(label=("label", "max"), probability=("probability", how), images=("images", "sum")).reset_index()


def _aggregate_classes(groups: Any, classes: list[str], how: str, level: str) -> pd.DataFrame:
    if how != "mean" and level != Level.IMAGE:
        raise ValueError(f"how={how!r}: probabilities of several classes are averaged; the largest of each sum to no 1")
    mixed = int((groups["label"].nunique() > 1).sum())
    if mixed:
        raise ValueError(f"the images of one {level} have different labels ({mixed} such): no figure per {level}")
    chosen = {name: (name, "mean") for name in classes}
    return groups.agg(label=("label", "max"), **chosen, images=("images", "sum")).reset_index()
