"""Detection measures against hand counts, a slow loop and MONAI's own FROC."""

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics.detection import (
    FALSE_POSITIVES,
    evaluate_detections,
    found_lesions,
    weighted_sensitivity_at_rate,
)
from mammo.pipeline.metrics.detection_precision import average_precisions, precision_intervals
from mammo.pipeline.metrics.patient_sweep import PatientSweep
from mammo.pipeline.metrics.weighted import ThresholdSweep
from monai.metrics.froc import compute_froc_curve_data

BOX = ["row0", "col0", "row1", "col1"]


def table(rows: list[tuple], *, scored: bool) -> pd.DataFrame:
    names = ["image_id", "patient_id", "class", *(["score"] if scored else []), *BOX]
    return pd.DataFrame(rows, columns=names).assign(dataset="set")


@pytest.fixture
def images() -> pd.DataFrame:
    return pd.DataFrame({"dataset": "set", "image_id": ["a", "b", "c", "d"], "patient_id": ["1", "1", "2", "3"]})


@pytest.fixture
def lesions() -> pd.DataFrame:
    rows = [
        ("a", "1", "mass", 0, 0, 10, 10),
        ("a", "1", "calcification", 20, 20, 24, 24),
        ("b", "1", "mass", 5, 5, 9, 9),
    ]
    return table(rows, scored=False)


@pytest.fixture
def detections() -> pd.DataFrame:
    rows = [
        ("a", "1", "mass", 0.9, 0, 0, 10, 10),
        ("a", "1", "mass", 0.8, 2, 2, 12, 12),  # hits the same lesion again: neither found twice nor false
        ("a", "1", "mass", 0.7, 20, 20, 24, 24),  # the place of the other class
        ("b", "1", "mass", 0.2, 4, 4, 9, 9),
        ("c", "2", "calcification", 0.5, 0, 0, 4, 4),
        ("d", "3", "mass", 0.6, 0, 0, 4, 4),
    ]
    return table(rows, scored=True)


def test_hits_are_those_counted_by_hand(detections, lesions):
    scores, wrong = found_lesions(detections, lesions)
    np.testing.assert_array_equal(scores, [0.9, -1, 0.2])
    np.testing.assert_array_equal(wrong, [False, False, True, False, True, True])


def test_the_centre_and_the_overlap_are_two_criteria():
    lesion = table([("a", "1", "mass", 0, 0, 10, 10)], scored=False)
    small_inside = table([("a", "1", "mass", 0.5, 4, 4, 6, 6)], scored=True)  # overlap 0.04
    beside = table([("a", "1", "mass", 0.5, 6, 0, 16, 10)], scored=True)  # centre at row 11, overlap 0.25
    assert found_lesions(small_inside, lesion, "centre")[0] == 0.5
    assert found_lesions(small_inside, lesion, "overlap")[0] == -1
    assert found_lesions(beside, lesion, "centre")[0] == -1
    assert found_lesions(beside, lesion, "overlap")[0] == 0.5


def test_sensitivities_are_those_counted_by_hand(detections, lesions, images):
    """Scores from above: hit .9, false .7 .6 .5, hit .2; 4 images, so one false positive is a rate of 0.25."""
    found = evaluate_detections(detections, lesions, images, ["mass", "calcification"], draws=20)
    at = {rate: interval["value"] for rate, interval in found["froc"]["all"]["sensitivity_at"].items()}
    expected = {"0.125": 1 / 3, "0.25": 1 / 3, "0.5": 1 / 3, "1": 2 / 3, "2": 2 / 3, "4": 2 / 3, "8": 2 / 3}
    assert at == pytest.approx(expected)
    assert found["froc"]["all"]["mean_sensitivity"]["value"] == pytest.approx(np.mean(list(expected.values())))
    assert found["froc"]["mass"]["sensitivity_at"]["0.5"]["value"] == 1
    assert found["froc"]["calcification"]["sensitivity_at"]["8"]["value"] == 0
    assert found["counts"] == {
        "images": 4, "images_with_lesion": 2, "images_without_lesion": 2, "patients": 3, "lesions": 3, "detections": 6,
    }  # fmt: skip


def by_loop(lesion_scores, false_scores, images: int, rate: float) -> float:
    """The sensitivity of every threshold in turn."""
    best = 0.0
    for threshold in [*lesion_scores, *false_scores]:
        if threshold >= 0 and sum(s >= threshold for s in false_scores) <= rate * images:
            best = max(best, sum(s >= threshold for s in lesion_scores) / len(lesion_scores))
    return best


def of_rows(hits, false, images: int, rate: float):
    """The statistic where each image, lesion and false positive is a patient of its own, in this order."""
    count, rows = images + len(hits) + len(false), np.arange(images + len(hits) + len(false))
    of_image, of_lesion, of_false = np.split(rows, [images, images + len(hits)])
    sweep = PatientSweep(hits[hits >= 0], of_lesion[hits >= 0], false, of_false, count)
    return weighted_sensitivity_at_rate(sweep, np.isin(rows, of_lesion), np.isin(rows, of_image), rate)


def test_weighted_sensitivity_equals_a_slow_loop_and_repeated_rows():
    rng = np.random.default_rng(0)
    hits, false = rng.random(12).round(1), rng.random(30).round(1)
    hits[:4] = -1
    times = np.r_[rng.integers(1, 3, 9), rng.integers(0, 3, 12), rng.integers(0, 3, 30)]
    for rate in FALSE_POSITIVES:
        statistic = of_rows(hits, false, 9, rate)
        assert statistic(np.ones((1, 51)))[0] == pytest.approx(by_loop(hits, false, 9, rate))
        repeated = by_loop(np.repeat(hits, times[9:21]), np.repeat(false, times[21:]), times[:9].sum(), rate)
        assert statistic(times[None].astype(float))[0] == pytest.approx(repeated)


def test_points_of_monais_froc_curve_are_reached():
    rng = np.random.default_rng(1)
    hits, false = rng.random(10), rng.random(40)
    rates, sensitivities = compute_froc_curve_data(false, hits, len(hits), 8)
    for rate, sensitivity in zip(rates, sensitivities, strict=True):
        found = of_rows(hits, false, 8, rate)(np.ones((1, 58)))[0]
        assert found >= sensitivity - 1e-9
    highest = {rate: max(s for r, s in zip(rates, sensitivities, strict=True) if r <= rate) for rate in (1, 2, 4)}
    for rate, sensitivity in highest.items():
        assert of_rows(hits, false, 8, rate)(np.ones((1, 58)))[0] == pytest.approx(sensitivity)


def test_a_sweep_by_patients_counts_what_a_sweep_by_rows_counts_at_the_scores_of_right_ones():
    rng = np.random.default_rng(2)
    labels, scores, owners = rng.integers(0, 2, 60) == 1, rng.random(60).round(1), rng.integers(0, 7, 60)
    weights = rng.integers(0, 3, (5, 7)).astype(float)
    by_row = ThresholdSweep(labels, scores)
    sweep = PatientSweep(scores[labels], owners[labels], scores[~labels], owners[~labels], 7)
    kept = np.isin(by_row.thresholds, sweep.thresholds)
    assert 0 < len(sweep.thresholds) == kept.sum()
    for found, expected in zip(sweep(weights), by_row(weights[:, owners]), strict=True):
        np.testing.assert_allclose(found, expected[:, kept])


def test_average_precision_is_that_counted_by_hand(lesions, images):
    """One class: the better detection is false, the next is right, the other lesion is missed.

    Precision 1/2 up to recall 1/2 and 0 beyond: at COCO's 101 recalls 51 times 1/2.
    """
    rows = [("c", "2", "mass", 0.9, 0, 0, 4, 4), ("a", "1", "mass", 0.8, 0, 0, 10, 10)]
    found = average_precisions(table(rows, scored=True), lesions, images, ["mass", "calcification", "asymmetry"])
    assert found["classes"]["mass"]["0.50"] == pytest.approx(51 / 101 / 2)
    assert found["classes"]["calcification"]["0.50"] == 0
    assert found["classes"]["asymmetry"] is None
    assert found["0.50"] == pytest.approx(51 / 101 / 4)


def test_intervals_of_average_precision_hold_the_area_counted_by_hand(lesions, images):
    """As above: half of the lesions is reached, at a precision of a half."""
    rows = [("c", "2", "mass", 0.9, 0, 0, 4, 4), ("a", "1", "mass", 0.8, 0, 0, 10, 10)]
    names, options = ["mass", "calcification", "asymmetry"], {"draws": 200, "seed": 0}
    found = precision_intervals(table(rows, scored=True), lesions, images, names, options)
    assert found["classes"].keys() == {"mass", "calcification"}
    assert found["classes"]["mass"]["0.50"]["value"] == pytest.approx(1 / 4)
    assert found["classes"]["calcification"]["0.50"]["value"] == 0
    assert found["0.50"]["value"] == pytest.approx(1 / 8)
    # Draws differ by how often they hold the false detection's patient: never gives 1/2.
    assert found["classes"]["mass"]["0.50"]["low"] < 1 / 4
    assert found["classes"]["mass"]["0.50"]["high"] == pytest.approx(1 / 2)


def test_detections_below_all_that_is_right_change_no_precision_in_any_draw():
    rng = np.random.default_rng(3)
    corners = rng.integers(0, 40, (30, 2))
    lesions = table(
        [(f"i{n}", f"p{n % 9}", "mass", r, c, r + 8, c + 8) for n, (r, c) in enumerate(corners)], scored=False
    )
    images = lesions[["dataset", "image_id", "patient_id"]]
    shifted = lesions[::2].assign(row0=lesions["row0"] + 1, score=rng.uniform(0.3, 1, 15))
    false = lesions.assign(row0=80, row1=88, score=rng.uniform(0.3, 1, 30))
    low = pd.concat([false.assign(score=rng.uniform(0, 0.3, 30))] * 5)
    options = {"draws": 50, "seed": 1}
    few, many = (
        precision_intervals(pd.concat(parts), lesions, images, ["mass"], options)
        for parts in ([shifted, false], [shifted, false, low])
    )
    assert few == many
    assert 0 < few["0.50"]["low"] < few["0.50"]["value"] < few["0.50"]["high"] < 1


def test_perfect_detections_score_one(lesions, images):
    perfect = lesions.assign(score=0.5)
    found = evaluate_detections(perfect, lesions, images, ["mass", "calcification"], draws=20)
    assert found["average_precision"]["0.10:0.50"] == pytest.approx(1)
    assert found["froc"]["all"]["sensitivity_at"]["0.125"]["value"] == 1


def test_no_detection_at_all_finds_nothing(detections, lesions, images):
    found = evaluate_detections(detections.iloc[:0], lesions, images, ["mass"], draws=20)
    assert found["froc"]["all"]["sensitivity_at"]["8"]["value"] == 0
    assert found["average_precision"]["0.10"] == 0


def test_without_lesions_there_is_a_reason(detections, lesions, images):
    found = evaluate_detections(detections, lesions.iloc[:0], images, ["mass"], draws=20)
    assert found["froc"]["all"]["mean_sensitivity"]["reason"] == "no lesion"
    assert found["average_precision"]["reason"] == "no lesion"


def test_a_detection_of_an_image_that_is_not_listed_is_refused(detections, lesions, images):
    with pytest.raises(ValueError, match="'d'"):
        evaluate_detections(detections, lesions, images[:3], ["mass"])
