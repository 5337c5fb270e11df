"""Figures: what is drawn is what was given."""

import json

import numpy as np
import pytest
from mammo.pipeline.metrics import read_predictions
from mammo.pipeline.report.plots import calibration_figure, explanation_figure, history_figure, ranking_figure
from matplotlib import pyplot
from sklearn.metrics import roc_curve


@pytest.fixture(scope="module")
def tests(fake_runs):
    frames = {name: read_predictions(path / "test/predictions.csv") for name, path in fake_runs.classifiers.items()}
    return {name: frame[frame["split"] == "test"] for name, frame in frames.items()}


def test_drawing_leaves_no_figure_in_the_global_state():
    history_figure({"a": {"train": [{"epoch": 1, "loss": 2.0}], "validation": []}})
    assert pyplot.get_fignums() == []


def test_the_roc_curve_is_that_of_scikit_learn_with_a_band_per_model(tests):
    axes = ranking_figure(tests, {}, draws=50).axes[0]
    rows = tests["pretrained"]
    false, true, _ = roc_curve(rows["label"], rows["probability"])
    line = next(line for line in axes.lines if line.get_label() == "pretrained")
    np.testing.assert_allclose(line.get_xydata(), np.column_stack([false, true]))
    assert len(axes.collections) == 2


def test_bands_hold_the_curve(tests):
    axes = ranking_figure({"one": tests["pretrained"]}, {}, draws=400).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "one")
    outline = axes.collections[0].get_paths()[0].vertices
    for x in (0.2, 0.5, 0.8):
        heights = outline[np.isclose(outline[:, 0], x), 1]
        assert heights.min() <= np.interp(x, line.get_xdata(), line.get_ydata()) <= heights.max()


def test_the_threshold_is_marked_on_the_curve(tests):
    axes = ranking_figure({"one": tests["pretrained"]}, {"one": 0.5}, draws=20).axes[0]
    square = next(line for line in axes.lines if line.get_marker() == "s")
    rows = tests["pretrained"]
    called, truth = rows["probability"] >= 0.5, rows["label"] == 1
    assert square.get_xdata() == pytest.approx((called & ~truth).sum() / (~truth).sum())
    assert square.get_ydata() == pytest.approx((called & truth).sum() / truth.sum())


def test_one_run_shows_the_parts_of_its_loss_and_two_do_not():
    history = {"train": [{"epoch": 1, "iteration": 5, "loss": 2.0, "spectral": 1.0}], "validation": []}
    labels = [line.get_label() for line in history_figure({"a": history}).axes[0].lines]
    assert labels == ["total", "spectral"]
    labels = [line.get_label() for line in history_figure({"a": history, "b": history}).axes[0].lines]
    assert labels == ["a", "b"]


def test_a_loss_that_is_no_number_leaves_a_gap():
    history = {"train": [{"epoch": e, "loss": v} for e, v in ((1, 2.0), (2, None), (3, 1.0))], "validation": []}
    (line,) = history_figure({"a": history}).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [2.0, np.nan, 1.0])


def test_formula_signs_in_names_are_drawn_as_they_are(tests, tmp_path):
    figure = ranking_figure({"a$_{$": tests["pretrained"]}, {}, draws=10)
    figure.savefig(tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size > 1000


def test_calibration_points_are_those_of_the_metrics(fake_runs):
    metrics = json.loads((fake_runs.classifiers["pretrained"] / "test/metrics.json").read_text())
    axes = calibration_figure({"a": metrics["calibration"]}).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "as the model gives it")
    points = metrics["calibration"]["before"]["reliability"]
    np.testing.assert_allclose(line.get_xydata(), np.column_stack([points["predicted"], points["observed"]]))


def test_no_measures_no_figure():
    assert explanation_figure({"gradcam": {"measures": {}}}) is None
