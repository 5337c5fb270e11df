"""Tables of what a classifier looks at, beside chance and beside its twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import Block, Table, Text, Tone
from .explanation_words import BEHAVIOUR_WORDS, MAP_WORDS, Words, hardest, map_name, reading, reading_of_twin
from .wording import MINUS, UNKNOWN, interval, number, plural

MAIN_MAP = "gradcam"
"""The map of the first table, where there is one."""


def answer_tables(report: Mapping[str, Any]) -> list[Block]:
    """First behaviour and the measures of the main map, then those of the other maps.

    Each measure stands beside what would be good, its chance and, where there is one, its twin.
    """
    maps = report["maps"]
    main = MAIN_MAP if MAIN_MAP in maps else next(iter(maps))
    rows = _answers(report["behaviour"]["measures"], BEHAVIOUR_WORDS)
    rows += _answers(maps[main]["measures"], MAP_WORDS, f"{map_name(main)}: ")
    twin = report["twin"] is not None
    header = ["Measure", "Good", "Model", "Chance", *(["Twin", f"Model {MINUS} twin"] if twin else [])]
    note = (
        "Chance is that of the rival that is hardest to beat: a random pixel of the breast, else of the image; for "
        "changed decisions a model that looks at nothing but what was swapped; for insertion and deletion pixels in "
        "order from the centre of the breast. Words say on which side of chance, or of the twin, the whole 95 % "
        "interval of the difference lies; unclear where it holds zero."
    )
    others = [
        Table(map_name(kind), header, _answers(summary["measures"], MAP_WORDS))
        for kind, summary in maps.items()
        if kind != main
    ]
    return [Table("What the decision rests on", header, rows, note), *others]


def about(report: Mapping[str, Any]) -> list[Block]:
    """What was done, in words: threshold, sample and twin."""
    sample, threshold = report["expensive"], report["threshold"]["value"]
    called = "No threshold could be chosen on validation patients, so no decision is told."
    if threshold is not None:
        called = (
            f"An image is called malignant from a probability of {threshold:.3f} on, chosen on validation patients."
        )
    said = (
        f"{called} Erased parts get the grey of the air; markers and backgrounds are swapped with those of another "
        "patient. Maps are measured as they come, never cut off at the breast. Occlusion, insertion, deletion and "
        f"random weights cost much and are measured on {sample['images']:,} of {plural(sample['of_images'], 'image')} "
        f"({sample['malignant']:,} malignant), chosen by seed {sample['seed']}; insertion and deletion on the "
        "malignant ones."
    )
    blocks: list[Block] = [Text(said)]
    if report["twin"] is not None:
        blocks.append(
            Text(
                f"The twin is {report['twin']['checkpoint']}, given as trained alike without regularisation; this "
                "report does not check how it was trained. Differences are paired, on the same patients, of one "
                "training run each."
            )
        )
    return blocks


def map_table(kind: str, summary: Mapping[str, Any], classes: Sequence[str] = ("benign", "malignant")) -> Table:
    """All measures of one kind of map beside both chances.

    Args:
        kind: of map.
        summary: of that kind, see :func:`~mammo.pipeline.metrics.summarise_explanations`.
        classes: names of the classes; whether heat tells them apart is only told of two.
    """
    header = ["Measure", "Mean", "Chance, image", "Chance, breast", "Mean minus chance", "Than chance", "Images"]
    words = {name: said for name, said in MAP_WORDS.items() if name != "heat_auc" or len(classes) == 2}
    if "heat_auc" in words:
        hotter = classes[1][:1].upper() + classes[1][1:]
        words["heat_auc"] = words["heat_auc"]._replace(name=f"{hotter} images get more heat than all others (AUC)")
    rows = [_row(words[name].name, name, measure) for name, measure in _told(summary["measures"], words)]
    note = (
        "For the share outside the breast and blank maps lower is better, for all others higher. The difference is to "
        "the chance of the breast where there is one, else to that of the image."
    )
    return Table(map_name(kind), header, rows, note)


def blank(kind: str, summary: Mapping[str, Any]) -> Text:
    """How many maps show nothing; a warning if there are any."""
    said = f"{map_name(kind)}: {summary['degenerate']} of {summary['images']} maps are blank (constant or not finite)."
    if not summary["degenerate"]:
        return Text(said)
    return Text(f"{said} They count as misses and are left out of shares.", Tone.WARNING)


def _told(measures: Mapping[str, Mapping[str, Any]], words: Mapping[str, Words]) -> list[tuple[str, Mapping[str, Any]]]:
    """The measures that have words, in the order of the words."""
    return [(name, measures[name]) for name in words if name in measures]


def _answers(
    measures: Mapping[str, Mapping[str, Any]], words: Mapping[str, Words], prefix: str = ""
) -> list[list[str]]:
    rows = []
    for name, measure in _told(measures, words):
        said = words[name]
        title = prefix + (said.name[0].lower() + said.name[1:] if prefix else said.name)
        row = [title, said.wanted, interval(measure["mean"]), _beside_chance(name, measure)]
        if "twin" in measure:
            gap = measure["difference"]
            between = interval(gap, signed=True) if gap["value"] is not None else UNKNOWN
            row += [number(measure["twin"]["value"]), _with_words(between, reading_of_twin(name, gap))]
        rows.append(row)
    return rows


def _beside_chance(name: str, measure: Mapping[str, Any]) -> str:
    chances = list(measure["chance"].values())
    return _with_words(number(chances[-1]), reading(name, measure)) if chances else UNKNOWN


def _with_words(value: str, words: str) -> str:
    short = "unclear" if words == "no difference" else words  # the interval holds zero; a wide table has no room
    return value if words == UNKNOWN else f"{value}: {short}"


def _row(title: str, name: str, measure: Mapping[str, Any]) -> list[str]:
    chances = list(measure["chance"].values())
    gap = hardest(measure)
    return [
        title,
        interval(measure["mean"]),
        number(chances[0]) if chances else UNKNOWN,
        number(chances[1]) if len(chances) > 1 else UNKNOWN,
        interval(gap, signed=True) if gap else UNKNOWN,
        reading(name, measure),
        f"{measure['images']:,}",
    ]
