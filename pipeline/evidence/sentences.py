"""Sentences of a model card and of a checklist: a value with its source, or what the authors must add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .facts import AUTHORS, RunFacts

SETTINGS = (
    "max_epochs", "batch_size", "learning_rate", "weight_decay", "warmup", "patience", "beta", "gamma",
    "contrast_weight", "label_percentage", "seed",
)  # fmt: skip
"""Options of training that shape its result."""


def known(label: str, value: Any, source: str) -> str:
    """``label: value (source)``; without a value, what the authors must add."""
    if value is None or value in ("", {}):
        return f"{label}: {AUTHORS} (not in {source})."
    return f"{label}: {value} ({source})."


def unknown(what: str) -> str:
    """What no run can know."""
    return f"{AUTHORS[0].upper()}{AUTHORS[1:]}: {what}."


def interval(found: Mapping[str, Any] | None) -> str:
    """``0.812 (0.760 to 0.861)``, or why there is none."""
    if found is None or found.get("value") is None:
        return f"undefined ({(found or {}).get('reason', 'not measured')})"
    if found.get("low") is None:
        return f"{found['value']:.3f} ({found.get('reason', 'no interval')})"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def counts(values: Mapping[str, Any]) -> str:
    """``A 3, B 5``."""
    return ", ".join(f"{name} {count}" for name, count in values.items())


def section_lines(facts: RunFacts, names: Sequence[str]) -> list[str]:
    """One sentence for each section of the datalist and each thing known of it."""
    lines = []
    for name in names:
        section = facts.sections.get(name)
        if section is None:
            lines.append(f"{name}: none in the datalist.")
            continue
        told = [f"{section['images']} images of {section['patients']} patients"]
        told += [f"age {section['ages']}"] if section["ages"] else []
        told += [f"{key} {counts(values)}" for key, values in section.items() if isinstance(values, dict)]
        lines.append(f"{name}: {'; '.join(told)} (datalist).")
    return lines


def settings(options: Mapping[str, Any]) -> str | None:
    """Options of training in one line."""
    return ", ".join(f"{name} {options[name]}" for name in SETTINGS if name in options) or None


ENCODERS = {"efficientnet": "EfficientNet", "swin": "Swin transformer", "vit": "Vision Transformer"}


def architecture(facts: RunFacts) -> str:
    """The network in one line."""
    options = facts.training or facts.configuration
    image = options.get("image_size")
    named = "vit" if "ViTEncoder" in str(options.get("network_def")) else "swin"
    kind = ENCODERS[options.get("encoder", named)]
    return (
        f"{kind}, size {options.get('size', 'unknown')}, with {options.get('pooling', 'unknown')} pooling "
        f"and a linear head; {facts.parameters:,} numbers in its weights; input is an image and its breast mask"
        + (f" of {image[0]} x {image[1]} pixels" if isinstance(image, list) and len(image) == 2 else "")
    )


def results(facts: RunFacts) -> list[tuple[str, str]]:
    """The main figures, by name, with their intervals."""
    metrics = facts.metrics
    levels = {name: level for name, level in metrics["levels"].items() if level["auc"] is not None}
    mean = "Macro " if facts.labels else ""
    rows = [(f"{mean}AUC, {name.replace('_', ', ')}", interval(level["auc"])) for name, level in levels.items()]
    image = metrics["levels"]["image"]
    rows.append((f"{mean}average precision, image".capitalize(), interval(image["average_precision"])))
    if facts.has_two_classes:
        rows.append(("Probabilistic F1, image", interval(image["probabilistic_f1"])))
        rows += _decisions(metrics["threshold"])
    elif facts.labels:
        rows.append(("All labels of an image right, at the locked thresholds", interval(image["exact_match"])))
        rows.append(("Share of labels called wrongly (Hamming loss)", interval(image["hamming_loss"])))
        rows += _labels(facts.labels)
    else:
        names = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "kappa_quadratic": "Quadratic kappa"}
        rows += [(f"{words}, image", interval(image[key])) for key, words in names.items() if key in image]
    for when in ("before", "after"):
        errors = metrics["calibration"].get(when)
        if errors:
            said = "as the model gives it" if when == "before" else "with temperature"
            said += ", mean over labels" if facts.labels else ""
            rows.append((f"Calibration error (ECE), {said}", interval(errors["ece"])))
            rows.append((f"Brier score, {said}", interval(errors["brier"])))
    return rows


def locked(facts: RunFacts) -> str:
    """Whether thresholds and temperature were chosen on validation images, and why not."""
    points = facts.points
    if not points:
        return known("Thresholds and temperature chosen on validation images", None, "operating_points.json")
    found = {"thresholds": points.get("thresholds"), "temperature": points.get("temperature")}
    names = " and ".join(name for name, value in found.items() if value)
    if not names:
        return f"No threshold and no temperature: {points.get('reason', 'none was chosen')} (operating_points.json)."
    return f"Locked on validation images: {names} (operating_points.json)."


def lowest_groups(facts: RunFacts) -> list[tuple[str, str, str]]:
    """Column, group and figure of the group that fares worst in each column of subgroups."""
    found = []
    for column, parts in facts.metrics["subgroups"].items():
        for name, part in parts.items():
            if part.get("lowest"):
                name_of, key = ("AUC", "auc") if "auc" in part else ("accuracy", "accuracy")
                name_of = f"macro {name_of}" if facts.labels else name_of
                found.append((column.replace("_", " "), name, f"{name_of} {interval(part[key])}"))
    return found


def thresholds(facts: RunFacts) -> str:
    """The locked thresholds of images by rule, or of many labels by label; empty where there is none."""
    found = facts.points.get("thresholds", {})
    if facts.labels:
        return ", ".join(f"{name} {value:.4f}" for name, rules in found.items() for value in rules.values())
    return ", ".join(f"{rule} {value:.4f}" for rule, value in found.get("image", {}).items())


def _labels(labels: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = {
        "auc": "AUC", "average_precision": "average precision", "sensitivity": "sensitivity at the locked threshold",
        "specificity": "specificity at the locked threshold",
    }  # fmt: skip
    return [(f"{name}: {words}", interval(part[key])) for name, part in labels.items() for key, words in names.items()]


def _decisions(points: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for rule, point in points.items():
        if point["value"] is None or rule not in ("youden", "specificity_0.90", "sensitivity_0.90"):
            continue
        said = rule.replace("youden", "best balance").replace("_", " ")
        for rate in ("sensitivity", "specificity"):
            rows.append((f"{rate.capitalize()} at the threshold locked for {said}", interval(point[rate])))
    return rows
