"""Sections about results: what is told of two classes, of several, of groups and of evidence."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.evaluation import evaluate_table
from mammo.pipeline.report import write_report
from mammo.pipeline.report.blocks import Group, Table
from mammo.pipeline.report.calibration_section import calibration_section
from mammo.pipeline.report.decision_section import threshold_section
from mammo.pipeline.report.headline import headline_section
from mammo.pipeline.report.inputs import read_run
from mammo.pipeline.report.label_blocks import label_blocks
from mammo.pipeline.report.plots import decision_curve_figure
from mammo.pipeline.report.provenance_section import provenance_section
from mammo.pipeline.report.result_section import paired_differences, result_section
from mammo.pipeline.report.subgroup_section import LOWEST, subgroup_section
from scipy.special import expit, softmax

DENSITY = {"name": "density", "classes": list("ABCD"), "ordered": True}
MARGINS = {"name": "margins", "labels": ["margin_ill_defined", "margin_spiculated", "margin_obscured"]}


@pytest.fixture(scope="module")
def run(fake_runs):
    return read_run("pretrained", fake_runs.classifiers["pretrained"])


@pytest.fixture(scope="module")
def density(tmp_path_factory):
    """A run of a task of four classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 160)
    scores = softmax(2 * np.eye(4)[labels] + rng.normal(0, 1, (160, 4)), axis=1)
    table = pd.DataFrame({f"probability_{k}": scores[:, k] for k in range(4)}).assign(
        image_id=[f"i{k}" for k in range(160)], patient_id=[f"p{k}" for k in range(160)], laterality="L",
        view=["CC", "MLO"] * 80, split=["validation"] * 80 + ["test"] * 80, label=labels,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("density")
    table.to_csv(folder / "predictions.csv", index=False)
    metrics, _ = evaluate_table(table, DENSITY, draws=20)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return read_run("density", folder)


@pytest.fixture(scope="module")
def margins(tmp_path_factory):
    """A run of three labels, of which an image may have several; validation lacks the last one."""
    rng = np.random.default_rng(0)
    truth = (rng.random((160, 3)) < 0.4).astype(int)
    scores = expit(2 * truth - 1 + rng.normal(0, 1, truth.shape))
    truth[:80, 2] = 0
    columns = {f"label_{name}": truth[:, k] for k, name in enumerate(MARGINS["labels"])}
    columns |= {f"probability_{name}": scores[:, k] for k, name in enumerate(MARGINS["labels"])}
    table = pd.DataFrame(columns).assign(
        image_id=[f"i{k}" for k in range(160)], patient_id=[f"p{k}" for k in range(160)],
        view=["CC", "MLO"] * 80, split=["validation"] * 80 + ["test"] * 80,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("margins")
    table.to_csv(folder / "predictions.csv", index=False)
    metrics, _ = evaluate_table(table, MARGINS, draws=20)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return read_run("margins", folder)


def tables(section):
    flat = [item for block in section.blocks for item in (block.items if isinstance(block, Group) else [block])]
    return {block.caption: block for block in flat if isinstance(block, Table)}


def words(section):
    return " ".join(str(getattr(block, "text", "")) for block in section.blocks)


def test_only_what_was_locked_is_claimed(run, density):
    def claimed(one):
        return words(headline_section([one], [], None, []))

    assert "with thresholds and temperature taken from validation" in claimed(run)
    assert "with temperature taken from validation" in claimed(density)
    metrics = json.loads(json.dumps(run.metrics))
    metrics["threshold"]["youden"] = {"value": None, "reason": "none"}
    metrics["calibration"] = {"temperature": None, "reason": "none", "before": metrics["calibration"]["before"]}
    assert "with no threshold and no temperature" in claimed(replace(run, metrics=metrics))


def test_every_locked_threshold_has_its_row(run):
    rows = tables(threshold_section([run]))["pretrained: operating points on test images"].rows
    assert [row[0] for row in rows] == [
        "best balance", "best F1", "specificity 0.80", "specificity 0.90", "specificity 0.95",
        "sensitivity 0.80", "sensitivity 0.90", "sensitivity 0.95",
    ]  # fmt: skip


def test_breasts_and_patients_have_thresholds_of_their_own(run):
    rows = tables(threshold_section([run]))["pretrained: decisions per breast and patient"].rows
    told = run.metrics["levels"]["patient_mean"]["threshold"]["youden"]["value"]
    assert any(row[0] == "patient, mean of the images" and row[2] == f"{told:.3f}" for row in rows)


def test_the_lowest_group_is_marked(run):
    for column, parts in run.metrics["subgroups"].items():
        lowest = [name for name, part in parts.items() if part.get("lowest")]
        shown = [table for caption, table in tables(subgroup_section([run])).items() if column in caption.lower()]
        for table in shown:
            assert [row[0] for row in table.rows if row[0].endswith(LOWEST)] == [name + LOWEST for name in lowest]


def test_the_decision_curve_is_drawn_beside_everybody_and_nobody(run):
    curve = run.metrics["decision_curve"]
    axes = decision_curve_figure({"one": curve}).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"one", "act on everybody", "act on nobody"}
    np.testing.assert_allclose(lines["one"].get_xydata(), np.column_stack([curve["threshold"], curve["model"]]))


def test_several_classes_are_told_class_by_class(density):
    found = tables(result_section([density], [], draws=10, seed=0))
    assert [row[0] for row in found["density: each class against the rest"].rows] == list("ABCD")
    matrix = np.array([row[1:] for row in found["density: confusion matrix"].rows], dtype=int)
    np.testing.assert_array_equal(matrix, density.metrics["confusion"])
    assert "Quadratic kappa" in found["density: results by level"].header


def test_several_classes_have_no_threshold_and_no_curve(density):
    assert "no threshold to choose" in words(threshold_section([density]))
    assert paired_differences([density, density], draws=5, seed=0) == []
    assert "telling A, B, C, D apart" in words(headline_section([density], [], None, []))
    assert set(tables(calibration_section([density]))) == {"Calibration error"}
    assert "density by View" in tables(subgroup_section([density]))


def test_a_report_of_several_classes_is_whole(density, tmp_path):
    path = write_report(tmp_path / "out.html", title="Density", classifiers={"density": density.folder})
    assert "confusion matrix" in path.read_text()


def test_other_classes_keep_their_names(run):
    other = json.loads(json.dumps(run.metrics)) | {
        "task": {"name": "abnormality", "classes": ["mass", "calcification"]}
    }
    renamed = type(run)(**{**vars(run), "metrics": other})
    assert "telling calcification from mass" in words(headline_section([renamed], [], None, []))
    header = next(
        table.header for caption, table in tables(threshold_section([renamed])).items() if "threshold" in caption
    )
    assert header == ["Truth", "Called calcification", "Called mass"]


def test_frozen_hashes_are_shown(fake_runs, tmp_path):
    folder = shutil.copytree(fake_runs.classifiers["pretrained"], tmp_path / "run")
    evidence = {"files": {"metrics.json": "ab12"}, "inputs": {"datalist": {"path": "d", "sha256": "cd34"}}}
    (folder / "test/evidence.json").write_text(json.dumps(evidence))
    section = provenance_section({"one": read_run("one", folder)}, None, None)
    rows = tables(section)["Frozen evidence (SHA-256)"].rows
    assert [list(row) for row in rows] == [["metrics.json", "ab12"], ["datalist", "cd34"]]


def test_many_labels_are_told_label_by_label(margins):
    found = tables(result_section([margins], [], draws=10, seed=0))
    image = margins.metrics["levels"]["image"]
    whole = found["margins: all labels"].rows[0]
    assert whole[1].startswith(f"{image['auc']['value']:.3f} ({image['auc']['low']:.3f} to ")
    rows = found["margins: each label"].rows
    assert [row[0] for row in rows] == ["margin ill defined", "margin spiculated", "margin obscured"]
    for row, part in zip(rows, margins.metrics["labels"].values(), strict=True):
        assert f"({part['auc']['low']:.3f} to {part['auc']['high']:.3f})" in row[1]
        assert row[-1] == f"{part['positive']} of 80"


def test_each_label_has_its_threshold_or_the_reason_for_none(margins):
    section = threshold_section([margins])
    rows = tables(section)["margins: decisions on each label, test images"].rows
    told = [margins.metrics["labels"][name]["threshold"]["value"] for name in MARGINS["labels"][:2]]
    assert [row[1] for row in rows] == [f"{value:.3f}" for value in told]
    assert "the threshold of margin obscured (validation predictions, margin_obscured: no positive" in words(section)


def test_many_labels_have_no_curve_and_no_pair(margins, run):
    assert paired_differences([margins, margins], draws=5, seed=0) == []
    assert set(tables(calibration_section([margins]))) == {"Calibration error"}
    assert "means over labels" in words(calibration_section([margins]))
    beside = tables(threshold_section([margins, run]))
    assert {"margins: decisions on each label, test images", "pretrained: operating points on test images"} <= set(
        beside
    )


def test_the_headline_of_many_labels_is_the_macro_auc(margins):
    section = headline_section([margins], [], None, [])
    said = words(section)
    assert "telling which of margin ill defined, margin spiculated, margin obscured an image shows" in said
    counts = margins.metrics["counts"]
    assert f"{counts['positive']['margin_obscured']} margin obscured; {counts['with_several_labels']} images" in said
    assert "with thresholds and temperature taken from validation" in said
    assert "takes the adaptive calibration error (ACE) (mean over labels) of margins from" in said
    tile = next(item for block in section.blocks for item in getattr(block, "items", []))
    assert (tile.label, tile.value) == (
        "Macro AUC, margins",
        f"{margins.metrics['levels']['image']['auc']['value']:.3f}",
    )


def test_groups_are_judged_by_macro_auc(margins):
    section = subgroup_section([margins])
    rows = tables(section)["margins by View"].rows
    assert rows[0][1].startswith(f"{margins.metrics['subgroups']['view']['CC']['auc']['value']:.3f} (")
    assert "Macro AUC: the mean over labels" in words(section)


def test_a_report_of_many_labels_is_whole(margins, tmp_path):
    path = write_report(tmp_path / "out.html", title="Margins", classifiers={"margins": margins.folder})
    assert "margins: decisions on each label, test images" in path.read_text()


def test_metrics_of_many_labels_without_a_needed_figure_are_refused_by_name(margins, tmp_path):
    metrics = json.loads(json.dumps(margins.metrics))
    del metrics["levels"]["image"]["hamming_loss"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=r"levels\.image\.hamming_loss"):
        read_run("margins", tmp_path)


def test_findings_are_told_per_breast_and_exam_where_these_are_known(margins):
    assert "breasts and exams" not in " ".join(block.caption for block in label_blocks(margins))
    area = {"value": 0.7, "low": 0.6, "high": 0.8}
    told = {name: {"auc": area} for name in margins.metrics["labels"]}
    levels = margins.metrics["levels"] | {
        "breast_mean": {"labels": told},
        "exam_max": {"auc": None, "reason": "no side"},
    }
    table = label_blocks(replace(margins, metrics=margins.metrics | {"levels": levels}))[-1]
    assert table.header == ["Label", "breast, mean of its images"]  # exams could not be told
    assert len(table.rows) == len(told)
    assert {row[1] for row in table.rows} == {"0.700 (0.600 to 0.800)"}
