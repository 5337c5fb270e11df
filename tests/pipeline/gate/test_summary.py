import csv
from pathlib import Path

import pytest
from mammo.pipeline.gate import GateSummary, Outcome, Verdict, gate_policy
from mammo.transforms import MammogramError

LOSSY = Verdict(Outcome.WARN, ("lossy",), ("lossy compression (0028,2110), 10 to 1",))
SPOT = Verdict(Outcome.REFUSE, ("spot_compression", "lossy"), ("the view is modified: spot", "lossy compression"))


@pytest.fixture
def summary() -> GateSummary:
    summary = GateSummary(gate_policy("deploy", {"lossy": "warn"}))
    summary.add("1.dcm", Verdict(Outcome.ACCEPT), dataset="one", manufacturer="Maker")
    summary.add("2.dcm", LOSSY, dataset="one", manufacturer="Other")
    summary.add("3.dcm", SPOT, dataset="two", manufacturer="Other")
    summary.add_unreadable(MammogramError("4.dcm", "truncated", 'ends, "early"'), dataset="two")
    return summary


def test_images_are_counted_by_outcome_overall_and_in_groups(summary: GateSummary) -> None:
    assert summary.outcomes() == {"all": {"accept": 1, "warn": 1, "refuse": 2}}
    assert summary.outcomes("dataset") == {"one": {"accept": 1, "warn": 1}, "two": {"refuse": 2}}
    assert summary.outcomes("manufacturer") == {
        "Maker": {"accept": 1},
        "Other": {"warn": 1, "refuse": 1},
        "unknown": {"refuse": 1},
    }


def test_an_image_counts_for_each_of_its_reasons(summary: GateSummary) -> None:
    assert summary.reasons() == {"all": {"lossy": 2, "spot_compression": 1, "truncated": 1}}
    assert summary.reasons("dataset")["two"] == {"lossy": 1, "spot_compression": 1, "truncated": 1}


def test_images_are_found_by_outcome_in_order(summary: GateSummary) -> None:
    assert summary.images("refuse") == ["3.dcm", "4.dcm"]
    assert summary.images("accept", "warn") == ["1.dcm", "2.dcm"]


def test_the_table_shows_every_count(summary: GateSummary) -> None:
    lines = summary.table().splitlines()
    assert lines[0] == "input gate, policy deploy+: 4 images, 1 accepted, 1 with a warning, 2 refused"
    rows = [line.split() for line in lines]
    assert ["lossy", "warn", "2"] in rows
    assert ["truncated", "refuse", "1"] in rows
    assert ["one", "1", "1", "0", "lossy", "1"] in rows
    assert ["Maker", "1", "0", "0"] in rows


def test_groups_of_which_nothing_is_known_are_not_shown() -> None:
    summary = GateSummary(gate_policy())
    summary.add("1.png", LOSSY)
    assert "manufacturer" not in summary.table()
    assert GateSummary(gate_policy()).table().endswith("0 images, 0 accepted, 0 with a warning, 0 refused")


def test_names_from_headers_cannot_command_the_terminal() -> None:
    summary = GateSummary(gate_policy())
    summary.add("1.dcm", LOSSY, manufacturer="\x1b[2JMaker\n" + "x" * 99)
    assert all(line.isprintable() for line in summary.table().splitlines())
    assert len(next(iter(summary.outcomes("manufacturer")))) == 32


def test_the_csv_holds_one_row_an_image(summary: GateSummary, tmp_path: Path) -> None:
    with open(summary.save(tmp_path / "sub" / "gate.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "outcome", "reasons", "messages"]
    assert [row["outcome"] for row in rows] == ["accept", "warn", "refuse", "refuse"]
    assert rows[2]["reasons"] == "spot_compression; lossy"
    assert rows[2]["messages"] == "the view is modified: spot | lossy compression"
    assert rows[3]["messages"] == 'ends, "early"'


def test_an_unknown_grouping_is_refused(summary: GateSummary) -> None:
    with pytest.raises(ValueError, match="by='model'; expected 'dataset'"):
        summary.outcomes("model")
