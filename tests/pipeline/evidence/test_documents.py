"""Model card and CLAIM checklist: complete, filled in where the run knows, plain where it does not."""

import json
import re

import pandas as pd
import pytest
import torch
from mammo.pipeline.evaluation import evaluate_table
from mammo.pipeline.evidence.claim import ITEMS, claim_checklist
from mammo.pipeline.evidence.documents import DocumentWriter
from mammo.pipeline.evidence.facts import gather_facts
from mammo.pipeline.evidence.model_card import model_card
from mammo.pipeline.evidence.verify import verify_run

MITCHELL = [
    "Model Details", "Intended Use", "Factors", "Metrics", "Evaluation Data", "Training Data", "Quantitative Analyses",
    "Ethical Considerations", "Caveats and Recommendations",
]  # fmt: skip


def facts_of(run):
    return gather_facts(run / "test", datalist=run.parent / "datalist.json", checkpoint=run / "checkpoints/best.pt")


@pytest.fixture
def card(run) -> str:
    return model_card(facts_of(run))


@pytest.fixture
def checklist(run) -> str:
    return claim_checklist(facts_of(run))


def test_the_card_has_the_headings_of_mitchell_in_order(card):
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == MITCHELL


def test_the_card_tells_the_figures_and_thresholds_of_the_run(card, run):
    metrics = json.loads((run / "test/metrics.json").read_text())
    points = json.loads((run / "test/operating_points.json").read_text())
    auc = metrics["levels"]["image"]["auc"]
    assert f"| AUC, image | {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f}) |" in card
    assert f"youden {points['thresholds']['image']['youden']:.4f}" in card
    assert points["checkpoint_sha256"] in card
    assert "test: 80 images of 40 patients" in card
    assert "6 numbers in its weights" in card  # counters of steps are no weights
    assert "Share of the labelled training patients in use: 10 %" in card


def test_it_says_research_use_only_and_whether_probabilities_are_calibrated(card):
    assert "research use only" in card
    assert "Probabilities mean something only with the temperature" in card


def test_the_checklist_has_all_42_items_each_with_an_answer(checklist):
    numbers = [int(number) for number in re.findall(r"^\*\*(\d+)\. ", checklist, re.MULTILINE)]
    assert numbers == list(range(1, 43)) == list(ITEMS)
    answers = re.split(r"^\*\*\d+\. .*$", checklist, flags=re.MULTILINE)[1:]
    assert all(answer.strip().startswith("- ") for answer in answers)


def test_what_no_run_can_know_is_left_to_the_authors(card, checklist):
    for item in ("Funding and its role", "Registration"):
        after = checklist.split(f"{item}**")[1].strip().splitlines()[0]
        assert after.startswith("- To be filled by the authors: ")
    assert "To be filled by the authors: who made the model" in card


def test_what_a_run_does_not_hold_is_not_made_up(run):
    for name in ("config.yaml", "test/config.yaml", "test/environment.json", "test/operating_points.json"):
        (run / name).unlink()
    card = model_card(facts_of(run))
    assert "Starting weights: to be filled by the authors (not in config.yaml of training)." in card
    assert "Revision of the code: to be filled by the authors (not in environment.json)." in card


def test_several_classes_have_a_card_and_a_checklist_too(run):
    table = pd.read_csv(run / "test/predictions.csv", dtype={"patient_id": str})
    several = table.assign(
        probability_0=1 - table["probability"], probability_1=table["probability"] / 2,
        probability_2=table["probability"] / 2, label=table.index % 3,
    ).drop(columns="probability")  # fmt: skip
    task = {"name": "density", "classes": ["A", "B", "C"], "ordered": True}
    metrics, points = evaluate_table(several, task, draws=5)
    (run / "test/metrics.json").write_text(json.dumps(metrics))
    (run / "test/operating_points.json").write_text(json.dumps(points))
    card, checklist = model_card(facts_of(run)), claim_checklist(facts_of(run))
    assert "density, A against B against C" in card
    assert "Quadratic kappa" in card
    assert checklist.count("\n**") == 42


def margins(run):
    """The run with three labels in place of its classes; returns metrics and points."""
    table = pd.read_csv(run / "test/predictions.csv", dtype={"patient_id": str})
    labels = {f"label_{name}": (table.index // step) % 2 for step, name in ((1, "a"), (2, "b"), (5, "c"))}
    scores = {f"probability_{name}": table["probability"] for name in "abc"}
    many = table.drop(columns=["label", "probability"]).assign(**labels, **scores)
    found = evaluate_table(many, {"name": "margins", "labels": list("abc")}, draws=5)
    many.to_csv(run / "test/predictions.csv", index=False)
    for name, content in zip(("metrics", "operating_points"), found, strict=True):
        (run / f"test/{name}.json").write_text(json.dumps(content))
    return found


def test_many_labels_have_a_card_and_a_checklist_too(run):
    metrics, points = margins(run)
    card, checklist = model_card(facts_of(run)), claim_checklist(facts_of(run))
    assert "Task: margins, which of a, b, c an image shows" in card
    auc = metrics["levels"]["image"]["auc"]
    assert f"| Macro AUC, image | {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f}) |" in card
    assert f"| b: AUC | {metrics['labels']['b']['auc']['value']:.3f} (" in card
    assert f"images only: a {points['thresholds']['a']['youden']:.4f}, b " in card
    assert f"a {metrics['counts']['positive']['a']} of 80, b " in card
    assert "Brier score, with temperature, mean over labels" in card
    assert checklist.count("\n**") == 42
    assert "Task: margins: a, b, c (an image may show several)" in checklist
    assert "Locked on validation images: thresholds and temperature" in checklist


def test_metrics_of_many_labels_are_recomputed(run):
    margins(run)
    assert any(line.startswith("metrics.json, recomputed") for line in verify_run(run).same)
    table = pd.read_csv(run / "test/predictions.csv")
    table.assign(probability_b=table["probability_b"].to_numpy()[::-1]).to_csv(
        run / "test/predictions.csv", index=False
    )
    assert any("metrics.json, labels.b.auc" in line or "levels.image.auc" in line for line in verify_run(run).different)


def test_the_step_writes_both_files_beside_the_metrics(run):
    where = {"datalist": run.parent / "datalist.json", "checkpoint": run / "checkpoints/best.pt"}
    DocumentWriter(run / "test", **where).write()
    assert (run / "test/MODEL_CARD.md").read_text().startswith("# Model card")
    assert (run / "test/CLAIM.md").read_text().startswith("# CLAIM")


def test_a_file_that_is_no_yaml_is_named(run):
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(ValueError, match=r"config\.yaml: not valid YAML"):
        facts_of(run)


def test_the_checklist_tells_what_became_of_the_test_section(checklist):
    missing = checklist.split("**13. Missing data**")[1].split("**14.")[0]
    assert "The test section lists 80 images (datalist); 80 rows were scored, 0 of them without a label" in missing
    assert "quarantine.csv" in missing


def test_weights_of_a_reconstruction_are_none_of_the_classifier(run):
    state = {"head.weight": torch.zeros(2, 3), "reconstruction.decoder.weight": torch.zeros(50)}
    torch.save({"model": state}, run / "checkpoints/best.pt")
    assert facts_of(run).parameters == 6


def test_no_threshold_is_claimed_where_validation_has_one_class(run):
    table = pd.read_csv(run / "test/predictions.csv", dtype={"patient_id": str})
    one_class = table[(table["split"] == "test") | (table["label"] == 0)]
    task = {"name": "pathology", "classes": ["benign", "malignant"], "ordered": False}
    for rows, reason in ((one_class, "no positive"), (table[table["split"] == "test"], "no validation predictions")):
        metrics, points = evaluate_table(rows, task, draws=5)
        (run / "test/metrics.json").write_text(json.dumps(metrics))
        (run / "test/operating_points.json").write_text(json.dumps(points))
        card, checklist = model_card(facts_of(run)), claim_checklist(facts_of(run))
        measures = checklist.split("**28. ")[1].split("**29.")[0]
        assert "No threshold and no temperature: " in measures
        assert reason in measures
        assert reason in card.split("## Metrics")[1].split("##")[0]


def test_thresholds_and_temperature_are_claimed_where_they_are(checklist):
    assert "Locked on validation images: thresholds and temperature (operating_points.json)" in checklist
