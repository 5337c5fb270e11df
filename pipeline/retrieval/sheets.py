"""What a query finds, as a reader would look at it: a report with its nearest images, an image with its reports."""

from __future__ import annotations

import io
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker
from numpy.typing import NDArray

from ..files import write_atomically
from .pairs import Pair

__all__ = ["image_sheet", "report_sheet", "taking_turns", "telling_words", "write_sheets"]

SHOWN = 5
HIT, MISS = "#007a53", "#8c8c8c"
LINE = 110
"""Letters in a line of a report."""
Floats = NDArray[np.float32]


def write_sheets(
    folder: Path,
    cosines: Floats,
    pairs: Sequence[Pair],
    reports: Sequence[Pair],
    report: NDArray[np.int64],
    picture: Callable[[Pair], Floats],
    *,
    count: int,
) -> None:
    """Write ``retrieval_report_NN.png`` and ``retrieval_image_NN.png`` for some queries, none picked by hand.

    Args:
        folder: receives them.
        cosines: ``(N, M)`` of pairs and reports.
        pairs: N of them.
        reports: the first pair of each of M different reports.
        report: ``(N,)``, the report of each pair.
        picture: the image ``(H, W)`` in [0, 1] to show for a pair.
        count: queries each way.
    """
    telling = telling_words([one.report for one in reports])
    for number, query in enumerate(taking_turns([one.group for one in reports])[:count], start=1):
        best = np.argsort(-cosines[:, query], kind="stable")[:SHOWN]
        found = [
            (picture(pairs[k]), f"cosine {cosines[k, query]:.3f}\n{pairs[k].group}", bool(report[k] == query))
            for k in best
        ]
        png = report_sheet(reports[query].report, found)
        write_atomically(folder / f"retrieval_report_{number:02d}.png", png)
    for number, query in enumerate(taking_turns([one.group for one in pairs])[:count], start=1):
        best = np.argsort(-cosines[query], kind="stable")[:SHOWN]
        told = [
            (reports[m].report, f"cosine {cosines[query, m]:.3f}, {reports[m].group}", bool(report[query] == m))
            for m in best
        ]
        png = image_sheet(picture(pairs[query]), pairs[query].report, told, telling)
        write_atomically(folder / f"retrieval_image_{number:02d}.png", png)


def taking_turns(groups: Sequence[str]) -> list[int]:
    """Places in the order of the data, the groups in turn: the first of each, then the second of each."""
    turn: Counter[str] = Counter()
    rank = []
    for group in groups:
        rank.append((turn[group], group))
        turn[group] += 1
    return sorted(range(len(groups)), key=lambda place: (*rank[place], place))


def telling_words(reports: Sequence[str]) -> set[str]:
    """Words, in small letters, that half of the reports or fewer have: the others tell no report from another."""
    counts = Counter(word for report in reports for word in set(_words(report)))
    return {word for word, count in counts.items() if count <= len(reports) / 2}


def report_sheet(report: str, found: Sequence[tuple[Floats, str, bool]]) -> bytes:
    """PNG of a report and the images nearest to it, each with what is said of it and whether this report is its own."""
    figure = Figure(figsize=(2.6 * SHOWN, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    lines = textwrap.wrap(report, 150)
    figure.suptitle("\n".join(["A report, and the images nearest to it:", *lines]), fontsize=10, x=0.01, ha="left")
    for number, axes in enumerate(figure.subplots(1, SHOWN)):
        axes.set_axis_off() if number >= len(found) else _panel(axes, number + 1, *found[number])
    return _png(figure)


def image_sheet(image: Floats, own: str, found: Sequence[tuple[str, str, bool]], telling: Collection[str]) -> bytes:
    """PNG of an image and the reports nearest to it; words that its own report has too are bold and green.

    Args:
        image: ``(H, W)`` in [0, 1].
        own: its report.
        found: text, what is said of it, and whether it is the image's own report, best first.
        telling: words that are marked, see :func:`telling_words`.
    """
    figure = Figure(figsize=(13.0, 5.0))
    FigureCanvasAgg(figure)
    picture = figure.add_axes((0.01, 0.04, 0.25, 0.88))
    picture.imshow(image, cmap="gray", vmin=0, vmax=1)
    picture.set_axis_off()
    picture.set_title("Image", fontsize=10)
    page = figure.add_axes((0.28, 0.02, 0.71, 0.96))
    page.set_axis_off()
    shared = set(_words(own)) & set(telling)
    blocks: list[Artist] = [_block("Its own report", own, "black", shared)]
    for number, (text, said, hit) in enumerate(found, start=1):
        heading = f"{number}.  {'Its own report' if hit else 'Another report'}: {said}"
        blocks.append(_block(heading, text, HIT if hit else MISS, shared))
    column = VPacker(children=blocks, align="left", pad=0, sep=9)
    page.add_artist(AnchoredOffsetbox("upper left", child=column, frameon=False, pad=0, borderpad=0))
    return _png(figure)


def _panel(axes: Axes, number: int, image: Floats, said: str, hit: bool) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    colour = HIT if hit else MISS
    axes.set_title(f"{number}.  {'This report' if hit else 'Another report'}: {said}", fontsize=9)
    axes.title.set_color(colour)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=4 if hit else 1)


def _block(heading: str, text: str, colour: str, shared: Collection[str]) -> VPacker:
    lines: list[Artist] = [TextArea(heading, textprops={"fontsize": 9, "color": colour, "weight": "bold"})]
    lines += [HPacker(children=list(_line(line, shared)), pad=0, sep=3) for line in textwrap.wrap(text, LINE)]
    return VPacker(children=lines, align="left", pad=0, sep=3)


def _line(line: str, shared: Collection[str]) -> Iterator[TextArea]:
    for word in line.split():
        marked = any(part in shared for part in _words(word))
        style = {"fontsize": 9, "color": HIT if marked else "#333333", "weight": "bold" if marked else "normal"}
        yield TextArea(word.replace("$", r"\$"), textprops=style)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png", bbox_inches="tight", pad_inches=0.12)
    return picture.getvalue()
