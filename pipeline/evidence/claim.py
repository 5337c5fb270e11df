"""``CLAIM.md``: the 42 items of CLAIM 2020, in words of our own, filled in as far as a run knows.

Source: Mongan, Moy and Kahn, Checklist for Artificial Intelligence in Medical Imaging, Radiology: Artificial
Intelligence 2020;2(2):e200029. The checklist itself is to be had there; the short words here only say which item
is meant.
"""

from __future__ import annotations

from .facts import RunFacts
from .sentences import architecture, known, locked, lowest_groups, results, section_lines, settings, unknown

ITEMS: dict[int, str] = {
    1: "Title or abstract: names the kind of AI",
    2: "Abstract: structured",
    3: "Background, intended use and role",
    4: "Aims and hypotheses",
    5: "Prospective or retrospective",
    6: "Goal of the study",
    7: "Where the data come from",
    8: "Who was eligible",
    9: "Steps before the network",
    10: "Parts of the data that were chosen",
    11: "Definition of the data elements",
    12: "De-identification",
    13: "Missing data",
    14: "Definition of the reference standard",
    15: "Why this reference standard",
    16: "Who annotated, and how trained",
    17: "Annotation tools",
    18: "Variability of annotators",
    19: "Sample size",
    20: "How data went to the partitions",
    21: "Level at which partitions are apart",
    22: "The model in detail",
    23: "Software",
    24: "Starting weights",
    25: "Training in detail",
    26: "How the final model was selected",
    27: "Ensembles",
    28: "Measures of performance",
    29: "Significance and uncertainty",
    30: "Robustness",
    31: "Explanations and their validation",
    32: "External data",
    33: "Flow of patients or cases",
    34: "Demographics and clinical facts by partition",
    35: "Performance by partition",
    36: "Estimates with their precision",
    37: "Failures",
    38: "Limitations",
    39: "Implications for practice",
    40: "Registration",
    41: "Where the protocol is",
    42: "Funding and its role",
}
"""Number and our short name of each item."""

SECTIONS = {
    1: "Title and abstract", 3: "Introduction", 5: "Methods: design", 7: "Methods: data", 14: "Methods: ground truth",
    19: "Methods: partitions", 22: "Methods: model", 25: "Methods: training", 28: "Methods: evaluation",
    33: "Results: data", 35: "Results: performance", 38: "Discussion", 40: "Other information",
}  # fmt: skip
"""Heading that begins at an item."""

FOR_AUTHORS = {
    1: "name the method (deep learning, self-supervised Swin transformer) in title or abstract",
    2: "design, methods, results and conclusions in short",
    3: "the clinical question, what is known, and the role meant for the model",
    4: "aims and hypotheses, with the primary endpoint named beforehand",
    5: "how the data were collected in time",
    6: "whether the study makes a model, explores, or tests for non-inferiority",
    8: "how, where and when patients were found, and who was left out",
    11: "the meaning of each field of the dataset, with its documentation",
    12: "how the dataset was de-identified; mammo deidentify tells its own profile",
    15: "why this standard and no other",
    16: "number, training and experience of the annotators",
    17: "software and instructions of the annotators",
    18: "agreement between and within annotators, and how disagreement was settled",
    19: "the number of patients meant and why",
    39: "what the results mean for practice; of this software: research use only",
    40: "registration number and registry",
    41: "where the full protocol can be read",
    42: "sources of funding, and what role the funders had",
}  # fmt: skip
"""Items that no run can fill in, and what they ask for."""


def claim_checklist(facts: RunFacts) -> str:
    """The checklist as Markdown, item by item."""
    answers = {number: [unknown(text)] for number, text in FOR_AUTHORS.items()} | _answers(facts)
    lines = [
        "# CLAIM checklist (2020)",
        "",
        "Items of Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2020;2(2):e200029, in short words of our",
        "own; the full text is in the source. Filled in from the files of this run as far as they know.",
    ]
    for number, name in ITEMS.items():
        if number in SECTIONS:
            lines += ["", f"## {SECTIONS[number]}"]
        lines += ["", f"**{number}. {name}**", "", *(f"- {answer}" for answer in answers[number])]
    return "\n".join(lines) + "\n"


def _answers(facts: RunFacts) -> dict[int, list[str]]:
    return _data(facts) | _model(facts) | _evaluation(facts)


def _data(facts: RunFacts) -> dict[int, list[str]]:
    options, about = facts.training or facts.configuration, facts.datalist
    names = ("image_size", "resize", "background", "gate", "image_mean", "image_std")
    prepared = ", ".join(f"{name} {options[name]}" for name in names if name in options)
    share = options.get("label_percentage")
    provenance = {
        name: section["label_provenance"] for name, section in facts.sections.items() if "label_provenance" in section
    }
    leak = about.get("known_leak")
    apart = f"patient, with the known leak {leak}" if leak else "patient; a run refuses a datalist that leaks"
    return {
        7: [known("Dataset", about.get("name"), "datalist"), known("Licence", about.get("licence"), "datalist")],
        9: [
            "Modality and VOI LUT, polarity, chest wall to the left, breast mask, crop, resize "
            "(mammo.transforms.PrepareMammogramd).",
            known("Settings", prepared or None, "config.yaml"),
        ],
        10: [known("Share of labelled training patients", None if share is None else f"{share} %", "config.yaml")],
        13: _missing(facts),
        14: [
            known("Task", _classes(facts), "metrics.json"),
            known("Where the labels come from", provenance or None, "datalist"),
        ],
        20: [*section_lines(facts, ["training", "validation", "test"]), unknown("who made the split, and how")],
        21: [f"Level: {apart} (datalist)."],
        33: [
            *section_lines(facts, ["training", "validation", "test"]),
            unknown("a diagram of inclusion and exclusion"),
        ],
        34: [*section_lines(facts, ["training", "validation", "test"]), unknown("what else is known of the patients")],
    }


def _missing(facts: RunFacts) -> list[str]:
    """What became of the images of the test section."""
    listed, found = facts.sections.get("test", {}).get("images", 0), facts.metrics["counts"]
    return [
        f"The test section lists {listed} images (datalist); {found['images']} rows were scored, "
        f"{found['unlabelled']} of them without a label of this task (metrics.json).",
        "Images that were not scored have no label of any task, are in quarantine.csv with their reason, or are slices "
        "of one volume, which has one row.",
    ]


def _classes(facts: RunFacts) -> str | None:
    if not facts.task:
        return None
    words = facts.task["labels" if facts.labels else "classes"]
    return f"{facts.task['name']}: {', '.join(words)}{' (an image may show several)' if facts.labels else ''}"


def _model(facts: RunFacts) -> dict[int, list[str]]:
    training, environment = facts.training, facts.environment
    versions = ", ".join(f"{name} {version}" for name, version in (environment.get("versions") or {}).items())
    start = training.get("pretrained") or ("random weights" if "pretrained" in training else None)
    return {
        22: [f"{architecture(facts)} (config.yaml and checkpoint of training)."],
        23: [
            known("Versions", versions or None, "environment.json"),
            known("Revision of mammo", environment.get("git_revision"), "environment.json"),
        ],
        24: [known("Start", start, "config.yaml of training")],
        25: [
            known("Settings", settings(training), "config.yaml of training, which lists augmentations too"),
            unknown("how many models were trained, and how the settings were found"),
        ],
        26: [
            known("Checkpoint", facts.configuration.get("checkpoint"), "config.yaml"),
            "Of a run of mammo finetune, best.pt is the epoch of greatest AUC on validation patients.",
        ],
        27: ["None: one network (config.yaml)."],
    }


def _evaluation(facts: RunFacts) -> dict[int, list[str]]:
    bootstrap = facts.metrics["bootstrap"]
    worst = [f"{column}, {group}: {value} (metrics.json)." for column, group, value in lowest_groups(facts)]
    figures = [f"{name}: {value} (metrics.json)." for name, value in results(facts)]
    return {
        28: [
            "AUC, average precision, accuracy, calibration errors, Brier score (metrics.json).",
            locked(facts),
        ],
        29: [
            f"Intervals of {bootstrap['level']:.0%}: {bootstrap['draws']} bootstrap draws of {bootstrap['unit']}s, "
            f"seed {bootstrap['seed']} (metrics.json). Paired differences and DeLong: mammo compare.",
        ],
        30: [*(worst or ["No subgroups in the predictions."]), unknown("results of several seeds (mammo study)")],
        31: [
            "Maps with their measures beside chance: mammo explain, and mammo evaluate --explanations true "
            "(explanations.json where it was run).",
        ],
        32: [unknown("results on a dataset of another site; this run evaluated the dataset of item 7")],
        35: [*figures, unknown("figures of the training and validation patients, if they are to be shown")],
        36: [*figures],
        37: ["The most confident mistakes are listed by mammo report.", unknown("what they have in common")],
        38: [
            f"Groups that fare worst: {'; '.join(f'{c} {g}' for c, g, _ in lowest_groups(facts)) or 'none told apart'} "
            "(metrics.json).",
            unknown("bias of the data, uncertainty and limits of generalisation"),
        ],
    }
