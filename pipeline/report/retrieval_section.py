"""Whether images find their report and reports their image: recall beside chance, the matrix, and queries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .blocks import Block, Picture, Section, Table, Text, missing
from .embed import embed_png
from .inputs import ReportError, read_object
from .wording import interval, number, plural

__all__ = ["retrieval_section"]

TITLE = "Images and reports"
WAYS = {"image_to_text": "{} → report", "text_to_image": "report → {}"}
MEASURES = ("recall", "times_chance", "median_rank", "mean_reciprocal_rank")


def retrieval_section(folder: Path) -> Section:
    """Recall both ways, the similarity matrix and retrieval sheets.

    Args:
        folder: run folder of retrieval.

    Raises:
        ReportError: there is no such folder, or its ``retrieval.json`` is another file.
    """
    if not folder.is_dir():
        raise ReportError(f"{folder}: there is no such folder (given for --retrieval)")
    path = folder / "retrieval.json"
    if not path.is_file():
        return Section(TITLE, [missing("retrieval.json", "`mammo retrieval` writes it in its run folder.")])
    told = read_object(path)
    absent = {"level", "counts", "bootstrap", "equal_reports", *WAYS} - set(told)
    if absent:
        raise ReportError(f"{path}: {', '.join(sorted(absent))} is missing; run mammo retrieval again")
    blocks: list[Block] = [Text(_about(told))]
    blocks += [_table(told, way) for way in WAYS]
    matrix = folder / "figures" / "retrieval_matrix.png"
    if matrix.is_file():
        caption = (
            "Rows and columns stand by finding and side; within a kind by the words of the report. Every breast is "
            "turned to the same side when it is prepared, so that an image cannot tell left from right."
        )
        blocks.append(Picture(embed_png(matrix), "Cosines of all images and reports, by finding and side", caption))
    else:
        blocks.append(missing("figures/retrieval_matrix.png", "`mammo retrieval` draws it."))
    return Section(TITLE, [*blocks, *_sheets(folder / "figures")])


def _about(told: Mapping[str, Any]) -> str:
    counts, level = told["counts"], told["level"]
    left = sum(counts.get("left_out", {}).values())
    extra = f" {plural(left, 'image')} without a report, or of another view, left out." if left else ""
    return (
        f"{plural(counts['pairs'], level)} of {plural(counts['patients'], 'patient')} with "
        f"{plural(counts['reports'], 'different report')}; equal are reports of {told['equal_reports']}, and any of "
        f"them counts as found. Chance is a random order.{extra}"
    )


def _table(told: Mapping[str, Any], way: str) -> Table:
    found, level = told[way], told["level"]
    chance, blind = found["chance"], found.get("blind", {})
    rows = []
    for key in (key for key in found if key.startswith(MEASURES)):
        words = key.replace("_at_", "@").replace("_", " ")
        digits = 1 if key.startswith(("times", "median")) else 3
        expected = "1" if key.startswith("times") else number(chance.get(key), 0 if key == "median_rank" else 3)
        rows.append([words, interval(found[key], digits), expected] + [number(blind.get(key))] * bool(blind))
    header = ["Measure", "Model (95 % interval by patients)", "Chance"]
    note = "Times chance: recall over chance. A median rank of 1 is best."
    if blind:
        header.append("The commonest reports for every image")
        note += " Where reports repeat, who looks at no image beats chance by giving the commonest: the last column."
    return Table(WAYS[way].format(level), header, rows, note)


def _sheets(folder: Path) -> list[Block]:
    pictures: list[Block] = []
    said = {
        "report": "A report and the images nearest to it; a green frame marks its own.",
        "image": "An image and the reports nearest to it. Words that its own report has too are green; words that more "
        "than half of the reports have are not marked.",
    }
    for kind, words in said.items():
        paths = sorted(folder.glob(f"retrieval_{kind}_*.png"))
        if paths:
            rule = f"{words} The first query of each kind in turn; none was picked by hand."
            pictures.append(Text(rule, heading=f"Queries: one {kind} each"))
        pictures += [Picture(embed_png(path), f"What {kind} {k} finds") for k, path in enumerate(paths, start=1)]
    return pictures
