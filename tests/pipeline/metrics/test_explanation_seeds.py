"""Two recipes over several seeds: patients and seeds are drawn together."""

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import compare_explanations
from mammo.pipeline.metrics.explanation_seeds import compare_explanation_seeds


def run(seed: int, shift: float = 0.0, luck: float = 0.0) -> pd.DataFrame:
    """A seed's table: an effect of each image that all runs share, the recipe's shift and the seed's own luck."""
    image = np.random.default_rng(0).uniform(0.3, 0.5, 60)
    noise = np.random.default_rng(seed + 1).normal(0, 0.01, 60)
    frame = pd.DataFrame({
        "image_id": [f"i{k}" for k in range(60)], "patient_id": [f"p{k // 2}" for k in range(60)], "map": "gradcam",
        "degenerate": 0, "background_chance": 0.4, "background_ratio": image + shift + luck + noise,
    })  # fmt: skip
    return frame.sample(frac=1, random_state=seed)


def test_one_seed_a_side_equals_the_paired_comparison():
    a, b = run(1, -0.1), run(2)
    several = compare_explanation_seeds([a], [b], draws=200)["gradcam"]["difference"]
    single = compare_explanations(a, b, draws=200)["gradcam"]["difference"]
    assert several == pytest.approx(single)


def test_the_difference_is_that_of_the_means_over_seeds_and_images():
    a, b = [run(k, -0.1) for k in range(3)], [run(k + 10) for k in range(2)]
    found = compare_explanation_seeds(a, b, draws=100)["gradcam"]
    expected = [np.mean([frame["background_ratio"].mean() for frame in side]) for side in (a, b)]
    assert (found["mean_a"], found["mean_b"]) == pytest.approx(tuple(expected))
    assert found["difference"]["value"] == pytest.approx(expected[0] - expected[1])
    assert found["difference"]["high"] < 0
    assert (found["seeds_a"], found["seeds_b"], found["images"], found["left_out"]) == (3, 2, 60, 0)


def test_a_patient_of_many_images_counts_once():
    side = [run(k).assign(patient_id=lambda t: t["patient_id"].where(t["image_id"] > "i3", "p0")) for k in range(2)]
    shifted = [t.assign(background_ratio=t["background_ratio"] + 0.5 * (t["patient_id"] == "p0")) for t in side]
    found = compare_explanation_seeds(shifted, side, draws=20)["gradcam"]
    patients = side[0]["patient_id"].nunique()
    assert (side[0]["patient_id"] == "p0").sum() > 20
    assert found["difference"]["value"] == pytest.approx(0.5 / patients)
    assert found["mean_b"] == pytest.approx(
        np.mean([t.groupby("patient_id")["background_ratio"].mean().mean() for t in side])
    )


def test_the_luck_of_training_widens_the_interval():
    lucky = [0.1, -0.1, 0.05, -0.05]
    steady, moody = ([run(k, luck=scale * luck) for k, luck in enumerate(lucky)] for scale in (0, 1))
    other = [run(k + 10) for k in range(4)]

    def width(side: list[pd.DataFrame]) -> float:
        interval = compare_explanation_seeds(side, other, draws=400)["gradcam"]["difference"]
        return interval["high"] - interval["low"]

    assert width(moody) > 5 * width(steady)


def test_the_interval_holds_the_spread_of_drawn_seeds():
    """With patients that are all alike only the seeds vary: the means of two drawn from 0 and 1 are 0, 1/2 and 1."""
    sides = [run(0).assign(background_ratio=value) for value in (0.0, 1.0)]
    interval = compare_explanation_seeds(sides, [run(0).assign(background_ratio=0.0)], draws=400)["gradcam"]
    assert interval["difference"]["value"] == 0.5
    assert (interval["difference"]["low"], interval["difference"]["high"]) == (0, 1)


def test_images_that_a_run_lacks_are_left_out_and_counted():
    a, b, c = run(0), run(1), run(2)
    b = b[b["image_id"] != "i3"]
    c.loc[c["image_id"] == "i7", "background_ratio"] = np.nan
    found = compare_explanation_seeds([a, b], [c], draws=20)["gradcam"]
    assert (found["images"], found["left_out"]) == (58, 2)


@pytest.mark.parametrize(
    ("a", "b", "measure", "said"),
    [
        ([], [run(0)], "background_ratio", "at least one seed"),
        ([run(0)], [run(1).assign(map="attention")], "background_ratio", "each of the 2 runs"),
        ([run(0)], [run(1)], "insertion", "column insertion is missing"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, measure, said):
    with pytest.raises(ValueError, match=said):
        compare_explanation_seeds(a, b, measure)
