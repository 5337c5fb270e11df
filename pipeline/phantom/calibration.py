"""Is the phantom an honest test? Three classifiers that must fail or succeed before any result on it counts.

The pathology must not show in the header or outside the lesion (``background``), nor in whole-image texture
that a linear model can use (``texture``), and it must show inside the lesion's true box (``oracle``). Run
``python -m mammo.pipeline.phantom.calibration --patients 400`` to print the three areas under the ROC curve.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..metrics.intervals import Interval, bootstrap
from ..metrics.weighted import weighted_auc
from ..texture_baseline import texture_features
from .lesion_features import lesion_features
from .views import View, patient

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Features of images with a lesion: ``(n, d)``, with ``(n,)`` labels (1 is malignant) and patients."""

    features: Features
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]


def background_features(view: View) -> Features:
    """What a header or the picture outside the lesion's box shows: ``(d,)``."""
    case = view.case
    header = [
        view.laterality == "LEFT",
        view.view == "CC",
        case.density,
        case.device == "film",
        case.marker == "framed",
        case.monochrome1,
        *(case.transfer_syntax == name for name in ("rle", "jpeg2000")),
        case.abnormality == "mass",
        case.index % 2,
    ]
    outside = view.breast.copy()
    if view.lesion is not None:
        row0, column0, row1, column1 = view.lesion.box
        outside[row0:row1, column0:column1] = False
    tissue, air = view.image[outside], view.image[~view.breast]
    levels = np.quantile(tissue, [0.05, 0.25, 0.5, 0.75, 0.95])
    pixels = [tissue.mean(), tissue.std(), *levels, air.mean(), air.std(), air.max()]
    extent = [view.breast.sum(), view.breast.any(axis=0).sum(), view.breast.any(axis=1).sum(), *view.nipple]
    return np.array([*header, *pixels, *extent], float)


def whole_image_features(view: View) -> Features:
    """Texture of the whole image, chest wall left, in the cells that version 1.0 was calibrated with: ``(1130,)``."""
    image = view.image if view.laterality == "LEFT" else view.image[:, ::-1]
    return texture_features(image, size=(192, 144), cell=24, orientations=8)


def cross_validated_auc(samples: Samples, *, strength: float = 1.0, folds: int = 5, seed: int = 0) -> Interval:
    """Area under the ROC curve of logistic regression, patients kept together, with a patient-bootstrap interval.

    Args:
        samples: features, labels and patients.
        strength: inverse of the penalty (scikit-learn's ``C``).
        folds: of the cross-validation.
        seed: of the folds.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_predict(
        model, samples.features, samples.labels, groups=samples.patients, cv=parts, method="decision_function"
    )
    return bootstrap(weighted_auc(samples.labels, scores), samples.patients)


EXTRACTORS: dict[str, tuple[Callable[[View], Features], float]] = {
    "background": (background_features, 0.1),
    "texture": (whole_image_features, 0.001),
    "oracle": (lesion_features, 0.1),
}
"""Features and strength of the three classifiers."""


def _all_features(index: int, seed: int, preset: str) -> list[tuple[int, int, dict[str, Features]]]:
    views = patient(index, seed=seed, preset=preset, unaffected=False)
    made = [{name: extract(view) for name, (extract, _) in EXTRACTORS.items()} for view in views]
    return [(int(view.case.malignant), index, item) for view, item in zip(views, made, strict=True)]


def calibrate(patients: int, *, seed: int, preset: str, workers: int = 1) -> dict[str, Interval]:
    """The three areas under the ROC curve of a phantom of ``patients`` patients: background, texture and oracle."""
    jobs = (delayed(_all_features)(i, seed, preset) for i in range(patients))
    rows = [row for made in Parallel(n_jobs=workers)(jobs) for row in made]
    labels, owners = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    return {
        name: cross_validated_auc(Samples(np.stack([row[2][name] for row in rows]), labels, owners), strength=strength)
        for name, (_, strength) in EXTRACTORS.items()
    }


def main() -> None:
    """Print the calibration of one preset as a table, and as JSON on the last line."""
    parser = argparse.ArgumentParser(description="Calibration of the phantom (docs/phantom.md).")
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    areas = calibrate(options.patients, seed=options.seed, preset=options.preset, workers=options.workers)
    for name, area in areas.items():
        print(f"{name:<12}{area.value:.3f} ({area.low:.3f} to {area.high:.3f})")
    print(json.dumps({name: area.as_dict() for name, area in areas.items()}))


if __name__ == "__main__":
    main()
