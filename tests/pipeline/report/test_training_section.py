"""The training section tells of a collapse where there is one, and is silent where nothing was measured."""

import json
from pathlib import Path

import pytest
from mammo.pipeline import feature_rank
from mammo.pipeline.report import training_section
from mammo.pipeline.report.blocks import Text, Tone
from mammo.pipeline.report.inputs import read_run
from mammo.pipeline.report.training_section import pretraining_section


def told(folder: Path, ranks: list[float | None]) -> list[Text]:
    """What is said of the rank of a run with one validation an epoch."""
    rows = [
        {"epoch": epoch, "reconstruction_l1": 0.1}
        | ({} if rank is None else {"feature_rank": rank, "feature_std": 0.125})
        for epoch, rank in enumerate(ranks, start=1)
    ]
    train = [{"epoch": epoch, "loss": 0.1} for epoch in range(1, len(ranks) + 1)]
    (folder / "history.json").write_text(json.dumps({"train": train, "validation": rows}))
    blocks = pretraining_section(read_run("pretrain", folder)).blocks
    return [block for block in blocks if isinstance(block, Text) and "collapsed" in block.heading]


@pytest.mark.parametrize(("last", "tone"), [(3.456, Tone.PLAIN), (1.01, Tone.WARNING)])
def test_the_last_rank_is_told_and_a_collapse_warned_of(last, tone, tmp_path):
    (block,) = told(tmp_path, [1.25, None, last])
    assert f"{last:.2f} after epoch 3, 1.25 after epoch 1" in block.text
    assert "0.125" in block.text
    assert block.tone is tone
    assert ("have collapsed" in block.text) is (tone is Tone.WARNING)


def test_nothing_is_said_of_a_rank_that_was_not_measured(tmp_path):
    assert told(tmp_path, [None, None]) == []


def test_the_log_and_the_report_warn_at_the_same_rank():
    assert training_section.COLLAPSED_RANK == feature_rank.COLLAPSED_RANK
