"""The section of retrieval, and a report without a classifier."""

import json

import numpy as np
import pytest
from mammo.pipeline.cli import main
from mammo.pipeline.metrics.retrieval import retrieval
from mammo.pipeline.report import ReportError
from mammo.pipeline.report.retrieval_section import retrieval_section
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    vectors = np.eye(12)
    told = retrieval(vectors, vectors, np.arange(12), np.arange(12), draws=20)
    counts = {"pairs": 12, "reports": 12, "patients": 12, "left_out": {"no report": 3}}
    about = {"level": "breast", "counts": counts, "bootstrap": {}, "equal_reports": "equal words"}
    (tmp_path / "figures").mkdir()
    (tmp_path / "retrieval.json").write_text(json.dumps(about | told))
    for name in ("matrix", "image_01", "image_02", "report_01"):
        Image.new("RGB", (30, 20), "green").save(tmp_path / f"figures/retrieval_{name}.png")
    return tmp_path


def test_recall_stands_beside_its_chance_and_every_picture_is_there(folder):
    blocks = retrieval_section(folder).blocks
    tables = [block for block in blocks if block.kind == "table"]
    assert [table.caption for table in tables] == ["breast → report", "report → breast"]
    rows = {row[0]: list(row[1:]) for row in tables[0].rows}
    assert rows["recall@5"] == ["1.000 (1.000 to 1.000)", "0.417", "0.417"]  # 5 of 12, by chance and blind
    assert rows["times chance@1"][0].startswith("12.0")
    assert "3 images without a report" in blocks[0].text
    assert sum(block.kind == "picture" for block in blocks) == 4


def test_a_report_needs_no_classifier_and_then_misses_none(folder, tmp_path):
    out = tmp_path / "page.html"
    assert main(["report", "--retrieval", str(folder), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert "Images and reports" in page
    assert "Calibration" not in page


def test_a_folder_without_results_is_told_and_another_file_refused(folder, tmp_path):
    with pytest.raises(ReportError, match="no such folder"):
        retrieval_section(tmp_path / "nowhere")
    (folder / "retrieval.json").write_text("{}")
    with pytest.raises(ReportError, match="run mammo retrieval again"):
        retrieval_section(folder)
    (folder / "retrieval.json").unlink()
    assert "mammo retrieval" in retrieval_section(folder).blocks[0].text
