"""Results of a task of many labels, such as the margins of masses."""

from __future__ import annotations

from .blocks import Block, Table, missing
from .inputs import Run
from .wording import interval, number

MACRO = {
    "auc": "AUC, macro",
    "average_precision": "AP, macro",
    "exact_match": "All labels right",
    "hamming_loss": "Labels called wrongly",
}
RANKING = {"auc": "AUC", "average_precision": "AP"}
HIGHER = {"breast_mean": "breast, mean of its images", "exam_max": "exam, its most suspicious breast"}
RATES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "positive_predictive_value": "PPV"}


def label_name(name: str) -> str:
    """What readers call a label."""
    return name.replace("_", " ")


def label_blocks(run: Run) -> list[Block]:
    """Measures of all labels together, and of each."""
    metrics = run.metrics or {}
    image = metrics["levels"]["image"]
    whole = [["one image", *(interval(image[key]) for key in MACRO), f"{image['rows']:,}"]]
    told = [label_name(name) for name in image["labels_told"]]
    note = (
        f"Macro: the mean over {', '.join(told) or 'no label'}; chance is 0.5 for AUC. An image with two labels is "
        "positive for both. All labels right, and the share called wrongly: at the thresholds chosen on validation "
        "patients. In brackets: 95 % interval by resampling patients."
    )
    rows = [
        [label_name(name), *(interval(part[key]) for key in RANKING), f"{part['positive']:,} of {part['images']:,}"]
        for name, part in metrics["labels"].items()
    ]
    chance = "Each label against the images without it. AP: chance is the share of images with the label."
    return [
        Table(f"{run.name}: all labels", ["Level", *MACRO.values(), "Rows"], whole, note),
        Table(f"{run.name}: each label", ["Label", *RANKING.values(), "Images with it"], rows, chance),
        *_higher(run),
    ]


def _higher(run: Run) -> list[Block]:
    """AUC of each label per breast and exam, where the predictions know which images belong together."""
    levels = (run.metrics or {})["levels"]
    told = {words: levels[key]["labels"] for key, words in HIGHER.items() if "labels" in levels.get(key, {})}
    if not told:
        return []
    names = next(iter(told.values()))
    rows = [[label_name(name), *(interval(labels[name]["auc"]) for labels in told.values())] for name in names]
    note = "AUC; chance is 0.5. A breast or an exam has a label where one of its images has it."
    return [Table(f"{run.name}: each label of breasts and exams", ["Label", *told], rows, note)]


def label_decisions(run: Run) -> list[Block]:
    """What the threshold of each label decides on test images."""
    labels = (run.metrics or {})["labels"]
    rows = [
        [label_name(name), number(part["threshold"]["value"]), *(interval(part[key], 2) for key in RATES)]
        for name, part in labels.items()
        if part["threshold"]["value"] is not None
    ]
    without = {label_name(n): p["threshold"]["reason"] for n, p in labels.items() if p["threshold"]["value"] is None}
    cure = "A threshold is chosen on validation predictions."
    blocks: list[Block] = [missing(f"the threshold of {name} ({reason})", cure) for name, reason in without.items()]
    if rows:
        note = "The threshold of each label gave the greatest sensitivity + specificity on validation patients."
        header = ["Label", "Threshold", *RATES.values()]
        blocks.insert(0, Table(f"{run.name}: decisions on each label, test images", header, rows, note))
    return blocks
