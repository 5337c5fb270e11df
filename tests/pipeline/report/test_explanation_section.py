"""How explanation measures are read."""

import pytest
from mammo.pipeline.report.explanation_section import reading


def gap(low: float, high: float) -> dict[str, float]:
    return {"value": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("name", "bounds", "said"),
    [
        ("pointing_hit", (0.1, 0.2), "better"),
        ("pointing_hit", (-0.2, -0.1), "worse"),
        ("pointing_hit", (-0.1, 0.1), "no difference"),
        ("background_ratio", (-0.2, -0.1), "better"),
        ("background_ratio", (0.1, 0.2), "worse"),
    ],
)
def test_a_map_is_better_where_it_lies_on_the_good_side_of_chance(name, bounds, said):
    assert reading(name, {"above_chance": {"chance": gap(*bounds)}}) == said


def test_the_chance_of_the_breast_decides_where_there_is_one():
    measure = {"above_chance": {"energy_in_roi_chance": gap(0.1, 0.2), "energy_in_roi_chance_breast": gap(-0.1, 0.1)}}
    assert reading("energy_in_roi", measure) == "no difference"
