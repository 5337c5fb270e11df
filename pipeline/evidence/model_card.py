"""``MODEL_CARD.md``: the headings of Mitchell et al. 2019 (arXiv:1810.03993), filled in as far as a run knows."""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics import RESEARCH_USE
from .facts import RunFacts
from .sentences import (
    architecture,
    interval,
    known,
    lowest_groups,
    results,
    section_lines,
    settings,
    thresholds,
    unknown,
)


def model_card(facts: RunFacts) -> str:
    """The card as Markdown; every line names the file it comes from, or what the authors must add."""
    parts = {
        "Model Details": _details(facts),
        "Intended Use": _intended_use(facts),
        "Factors": _factors(facts),
        "Metrics": _metrics(facts),
        "Evaluation Data": _evaluation_data(facts),
        "Training Data": _training_data(facts),
        "Quantitative Analyses": [],
        "Ethical Considerations": _ethics(facts),
        "Caveats and Recommendations": _caveats(facts),
    }
    lines = ["# Model card", "", f"**{RESEARCH_USE}**"]
    for heading, points in parts.items():
        lines += ["", f"## {heading}", "", *(f"- {point}" for point in points)]
        if heading == "Quantitative Analyses":
            lines += _analyses(facts)
    return "\n".join(lines) + "\n"


def _details(facts: RunFacts) -> list[str]:
    environment, training = facts.environment, facts.training
    versions = ", ".join(f"{name} {version}" for name, version in (environment.get("versions") or {}).items())
    start = training.get("pretrained") or ("random weights" if "pretrained" in training else None)
    return [
        f"Model: {architecture(facts)} (config.yaml and checkpoint of training).",
        known("Task", _task(facts), "metrics.json"),
        known("Starting weights", start, "config.yaml of training"),
        known("Training", settings(training), "config.yaml of training"),
        known("Revision of the code", environment.get("git_revision"), "environment.json"),
        known("Software", versions or None, "environment.json"),
        known("SHA-256 of the weights", facts.points.get("checkpoint_sha256"), "operating_points.json"),
        unknown("who made the model, its date, version and licence, and where to send questions"),
    ]


def _task(facts: RunFacts) -> str | None:
    if not facts.task:
        return None
    if facts.labels:
        return f"{facts.task['name']}, which of {', '.join(facts.task['labels'])} an image shows"
    return f"{facts.task['name']}, {' against '.join(facts.task['classes'])}"


def _intended_use(facts: RunFacts) -> list[str]:
    return [
        "Intended: research on reading mammograms, on data like those below.",
        "Out of scope: diagnosis, triage or treatment of patients; images that are no 2-D mammograms.",
        unknown("the users meant, and the place of the model in their work"),
    ]


def _factors(facts: RunFacts) -> list[str]:
    told = ", ".join(column.replace("_", " ") for column in facts.metrics["subgroups"])
    return [
        known("Groups told apart in the evaluation", told or None, "metrics.json"),
        unknown("groups that matter and are not in the data, such as race, ethnicity or site"),
    ]


def _metrics(facts: RunFacts) -> list[str]:
    bootstrap = facts.metrics["bootstrap"]
    lines = [
        "AUC and average precision rank; they need no threshold. Expected calibration error and Brier score judge the "
        "probabilities.",
        f"Intervals: {bootstrap['level']:.0%} by {bootstrap['draws']} bootstrap draws of {bootstrap['unit']}s, seed "
        f"{bootstrap['seed']} (metrics.json).",
    ]
    if facts.has_two_classes or facts.labels:
        missing = f"none, {facts.points.get('reason', 'for none was chosen')}" if facts.points else None
        told = thresholds(facts) or missing
        lines.append(known("Thresholds, chosen on validation images only", told, "operating_points.json"))
    calibration = facts.metrics["calibration"]
    temperature = calibration["temperature"]
    said = f"none, {calibration['reason']}" if temperature is None else f"{temperature:.3f}"
    return [*lines, known("Temperature, fitted on validation images only", said, "metrics.json")]


def _evaluation_data(facts: RunFacts) -> list[str]:
    found = facts.metrics["counts"]
    return [
        *_dataset(facts),
        f"Evaluated: {found['images']} test images of {found['patients']} patients, {found['unlabelled']} of them "
        "without a label and left out (metrics.json).",
        f"Patients in test and in validation: {found['patients_in_test_and_validation']} (metrics.json).",
        *section_lines(facts, ["validation", "test"]),
    ]


def _training_data(facts: RunFacts) -> list[str]:
    share = facts.training.get("label_percentage")
    said = None if share is None else f"{share} %"
    return [
        *section_lines(facts, ["training"]),
        known("Share of the labelled training patients in use", said, "config.yaml of training"),
    ]


def _dataset(facts: RunFacts) -> list[str]:
    about = facts.datalist
    lines = [known(key.capitalize(), about.get(key), "datalist") for key in ("name", "description", "licence")]
    leak = about.get("known_leak")
    return lines + ([f"Known leak of its split: {leak} (datalist)."] if leak else [])


def _analyses(facts: RunFacts) -> list[str]:
    lines = _table(("Measure on test images", "Value (95 % interval)"), results(facts))
    worst = lowest_groups(facts)
    if worst:
        lines += ["", "The group that fares worst in each column; among many groups one does so by chance:", ""]
        lines += _table(("Column", "Group", "Value (95 % interval)"), worst)
    return lines


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"

    return [line(header), line(["---"] * len(header)), *map(line, rows)]


def _ethics(facts: RunFacts) -> list[str]:
    return [
        "Mammograms are health data; nothing in this card names a patient.",
        unknown("ethics approval or waiver, consent, and harms that a wrong answer may do in the place meant"),
    ]


def _caveats(facts: RunFacts) -> list[str]:
    lines = []
    if facts.has_two_classes:
        found = facts.metrics["counts"]
        known_rows = found["positive"] + found["negative"]
        lines.append(
            f"{found['positive']} of {known_rows} labelled test images are positive (metrics.json): predictive values, "
            "net benefit and calibration hold for such a share only."
        )
    if facts.labels:
        shares = ", ".join(f"{name} {part['positive']} of {part['images']}" for name, part in facts.labels.items())
        lines.append(
            f"Test images with each label: {shares} (metrics.json): predictive values, average precision and "
            "calibration hold for such shares only."
        )
    temperature = facts.metrics["calibration"]["temperature"]
    if temperature is None:
        lines.append("Probabilities are not calibrated.")
    else:
        error = interval(facts.metrics["calibration"]["after"]["ece"])
        lines.append(f"Probabilities mean something only with the temperature; ECE is then {error} (metrics.json).")
    lines.append("An explanation map that looks right does not prove that the model reasons rightly.")
    return [*lines, unknown("results on data of other sites and devices, which this run has not seen")]
