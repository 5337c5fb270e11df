"""The suite of benchmarks: rows, exponents, the page; no benchmark is run."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from growth_fit import Growth, fit, plot  # noqa: E402
from measuring import compared, timings, valued  # noqa: E402
from page import Machine, Ran, page, table  # noqa: E402
from suite import SCRIPTS, busy  # noqa: E402

MACHINE = Machine("a processor", 2, 8.0, ["torch 1"])


def test_every_script_is_in_the_suite():
    with_main = {path.stem for path in BENCHMARKS.glob("*.py") if '__name__ == "__main__"' in path.read_text()}
    assert with_main - {"suite"} == set(SCRIPTS)


def test_ways_take_turns_and_the_first_round_warms_up():
    calls = []
    taken = timings({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 2, "b": 2}


def test_the_ratio_is_that_of_rounds_and_its_spread_holds_it():
    row = compared("x", {"ours": [1, 10, 2], "peer": [2, 40, 2]}, "ours", "peer", "a peer", "torch")
    assert (row.ratio, row.low, row.high) == (0.5, 0.25, 1)
    assert row.versions.startswith("torch ")


def test_one_round_has_no_spread():
    assert compared("x", {"ours": [1], "peer": [2]}, "ours", "peer", "a peer").low is None


@pytest.mark.parametrize("exponent", [-1.0, 0.5, 1.0, 2.0])
def test_a_power_law_gives_its_exponent(exponent):
    found, low, high = fit({n: [3 * n**exponent * noise for noise in (0.99, 1.0, 1.01)] for n in (1, 2, 4, 8)})
    assert found == pytest.approx(exponent, abs=1e-6)
    assert low < exponent < high


def test_a_fixed_part_lowers_the_exponent():
    assert fit({n: [5 + n, 5 + n] for n in (1, 2, 4, 8)})[2] < 1


def test_too_few_points_have_no_interval():
    with pytest.raises(ValueError, match="an interval needs 3 points of 2"):
        fit({1: [1.0, 1.1, 1.2]})


def growth() -> Growth:
    return Growth("preparing", "images", {1: [1, 1.1], 2: [2, 2.1], 4: [4, 4.1]}, 1.0, 0.9, 1.1)


def test_the_page_tells_peers_versions_machine_and_growth():
    rows = [
        valued("a step", "MB", 2, 4, "MONAI", "monai"),
        compared("b", {"o": [1, 2], "p": [2, 2]}, "o", "p", "torch"),
    ]
    ran = [Ran("one", rows, {}, [], 60, 0.2), Ran("two", [], {"bits": 3}, [], 60, 0.9)]
    ran.append(Ran("growth", [], {}, [growth()._asdict()], 60, 0.5))
    text = page(ran, MACHINE, "benchmarks.png")
    for words in (
        "**0.50**",
        "MONAI (monai ",
        "a processor",
        "20% to 90%",
        "median 50%",
        "1.00 (0.90 to 1.10)",
        "| bits | 3 |",
    ):
        assert words in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert all(len({line.count("|") for line in block.splitlines()}) == 1 for block in tables)
    assert len(table(rows).splitlines()) == 3


def test_the_figure_has_a_panel_a_work(tmp_path):
    plot([growth(), growth()._replace(work="a step")], tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_load_is_a_share():
    assert 0 <= busy() <= 1
