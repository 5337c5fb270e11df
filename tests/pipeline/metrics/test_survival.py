"""Risk measures against naive loops and hand counts."""

import numpy as np
import pandas as pd
import pytest
import torch
from mammo.pipeline.metrics import survival
from mammo.pipeline.metrics.survival import (
    evaluate_risk,
    mean_yearly_auc,
    outcomes_by,
    paired_log_odds,
    weighted_concordance,
)
from sklearn.metrics import roc_auc_score


def naive_concordance(times, events, risks) -> float:
    """Every ordered pair in turn."""
    right = known = 0.0
    for i in range(len(times)):
        for j in range(len(times)):
            later = times[j] > times[i] or (times[j] == times[i] and not events[j])
            if i != j and events[i] and later:
                known += 1
                right += 1.0 if risks[i] > risks[j] else 0.5 if risks[i] == risks[j] else 0.0
    return right / known


@pytest.fixture
def cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    times = rng.integers(0, 7, 60) + rng.choice([0, 0.5], 60)
    return times, rng.random(60) < 0.4, rng.random(60).round(1)


def test_concordance_equals_the_naive_count_over_all_pairs(cohort):
    assert weighted_concordance(*cohort)(np.ones((1, 60)))[0] == pytest.approx(naive_concordance(*cohort))


def test_blocks_of_events_do_not_change_the_concordance(cohort, monkeypatch):
    expected = weighted_concordance(*cohort)(np.ones((1, 60)))
    monkeypatch.setattr(survival, "BLOCK_ELEMENTS", 180)
    np.testing.assert_allclose(weighted_concordance(*cohort)(np.ones((1, 60))), expected)


def test_a_weight_of_two_is_a_row_that_is_there_twice(cohort):
    weights = np.ones(60)
    weights[:20], weights[20:30] = 2, 0
    repeated = [np.repeat(values, weights.astype(int)) for values in cohort]
    # A woman drawn twice is not compared with herself: a cancer is not later than itself.
    assert weighted_concordance(*cohort)(weights[None])[0] == pytest.approx(naive_concordance(*repeated))


def test_perfect_reversed_and_constant_risks():
    times, events = np.array([1.0, 2, 3, 5]), np.array([True, True, True, False])
    ones = np.ones((1, 4))
    assert weighted_concordance(times, events, -times)(ones) == 1
    assert weighted_concordance(times, events, times)(ones) == 0
    assert weighted_concordance(times, events, np.ones(4))(ones) == 0.5


def test_outcomes_are_those_of_the_definition():
    times, events = [0.0, 0.9, 1.0, 3.0, 0.5, 1.0, 6.0], [True, True, True, True, False, False, False]
    assert outcomes_by(times, events, 1).tolist() == [1, 1, 0, 0, -1, 0, 0]
    assert outcomes_by(times, events, 5).tolist() == [1, 1, 1, 1, -1, -1, 0]


@pytest.fixture
def table(cohort) -> pd.DataFrame:
    times, events, risks = cohort
    columns = {f"risk_{year}": np.minimum(1, risks * year / 5) for year in range(1, 6)}
    known = {
        "years_to_cancer": np.where(events, times, np.nan),
        "years_to_last_followup": np.where(events, np.nan, times),
    }
    ids = [str(number) for number in range(60)]
    return pd.DataFrame({"image_id": ids, "patient_id": [str(n // 2) for n in range(60)], **known, **columns})


def test_the_area_of_each_year_is_scikit_learns_on_the_known(table, cohort):
    found = evaluate_risk(table, draws=30)
    for year in range(1, 6):
        outcome = outcomes_by(cohort[0], cohort[1], year)
        known = outcome >= 0
        expected = roc_auc_score(outcome[known], table[f"risk_{year}"][known])
        assert found["auc"][str(year)]["value"] == pytest.approx(expected)
        assert found["auc"][str(year)]["cancer"] + found["auc"][str(year)]["no_cancer"] == known.sum()
        assert found["auc"][str(year)]["low"] <= expected <= found["auc"][str(year)]["high"]
    assert found["concordance"]["value"] == pytest.approx(naive_concordance(*cohort))


def test_without_a_cancer_there_are_reasons(table):
    found = evaluate_risk(table.assign(years_to_cancer=np.nan), draws=10)
    assert found["concordance"]["value"] is None
    assert "positive" in found["auc"]["5"]["reason"]


def test_a_risk_outside_the_unit_interval_is_refused(table):
    table.loc[3, "risk_2"] = 1.5
    with pytest.raises(ValueError, match="'3'"):
        evaluate_risk(table)


def test_the_key_metric_is_the_mean_of_the_years_that_have_both_outcomes():
    output = [
        {"pred": torch.tensor([0.0, 1, 0, 2]), "label": torch.tensor([0, 1])},
        {"pred": torch.tensor([0.0, 3, 1, 2]), "label": torch.tensor([0, 0])},
        {"pred": torch.tensor([0.0, 4, 0, 9]), "label": torch.tensor([0, -1])},
    ]
    log_odds, labels = paired_log_odds(output)
    torch.testing.assert_close(log_odds, torch.tensor([[1.0, 2], [3, 1], [4, 9]]))
    assert mean_yearly_auc(log_odds, labels) == 1  # year 2: 2 above 1; year 1 has no cancer
    with pytest.raises(ValueError, match="no year"):
        mean_yearly_auc(log_odds[:, :1], labels[:, :1])
