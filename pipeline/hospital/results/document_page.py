"""The result on one page of paper, as PDF."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pydicom.dataset import Dataset

from ..aggregate import HANGING
from ..page_words import calibration_note
from ..result import NOTICE, StudyStatus, ViewResult
from .common import ObjectContext
from .drawing import boxed, heated
from .patient import patient_words
from .wording import ascii_text, breast_words, exam_words, refused_words, score_words

__all__ = ["draw_page"]

A4_INCHES = (8.27, 11.69)
_LEFT, _RIGHT = 0.06, 0.94
_THUMBNAIL_PX = 640
_REFUSED, _LONGEST = 8, 190  # lines, and characters of each: two rows; the structured report has it all
_COLOURS = {StudyStatus.ANALYSED: "#1a4a7a", StudyStatus.NOT_ANALYSED: "#8a5a00", StudyStatus.FAILED: "#a01818"}


def draw_page(context: ObjectContext) -> bytes:
    """A4, upright: whose exam, the answer, the breasts, the four views with heat, what was left out, stamps, notice.

    The bytes are the same for the same result and time.

    Raises:
        ValueError: the result has no pictures of a scored view.
    """
    # Without dates the bytes stay the same. Type 3 takes a third of the time of Type 42; text is text in both,
    # but before matplotlib 3.11 letters beyond Latin-1 are outlines only: seen and printed, not found by a search.
    with mpl.rc_context({"pdf.fonttype": 3, "font.family": "DejaVu Sans", "pdf.compression": 6}):
        figure = Figure(figsize=A4_INCHES)
        FigureCanvasPdf(figure)
        page = _Page(figure)
        _head(page, context)
        _answer(page, context)
        _views(page, context)
        _foot(page, context)
        buffer = io.BytesIO()
        told = {"Title": "AI result, research use only", "Creator": "mammo", "Producer": None, "CreationDate": None}
        figure.savefig(buffer, format="pdf", metadata=told)
    return buffer.getvalue()


class _Page:
    """A page that is written from top to bottom."""

    def __init__(self, figure: Figure) -> None:
        self.figure, self.y = figure, 0.965

    def write(self, text: str, size: float = 8.5, *, colour: str = "black", bold: bool = False) -> None:
        """Lines of text, wrapped."""
        across = int((_RIGHT - _LEFT) * A4_INCHES[0] * 72 / (size * (0.66 if bold else 0.57)))
        for line in textwrap.wrap(text, across) or [""]:
            weight = "bold" if bold else "normal"
            self.figure.text(_LEFT, self.y, line, size=size, color=colour, weight=weight, va="top", parse_math=False)
            self.y -= size * 1.4 / 72 / A4_INCHES[1]

    def skip(self, points: float) -> None:
        """Room between paragraphs."""
        self.y -= points / 72 / A4_INCHES[1]

    def rule(self) -> None:
        """A thin line across."""
        self.skip(3)
        self.figure.add_artist(Line2D([_LEFT, _RIGHT], [self.y, self.y], color="0.6", linewidth=0.6))
        self.skip(4)


def _head(page: _Page, context: ObjectContext) -> None:
    page.write("AI result of a mammography exam - research use only", 13, bold=True)
    page.write(patient_words(context.identity), 9)
    page.rule()


def _answer(page: _Page, context: ObjectContext) -> None:
    result = context.result
    title, *lines = exam_words(result)
    page.write(title, 11, colour=_COLOURS[result.status], bold=True)
    for line in lines:
        page.write(line)
    page.skip(3)
    for breast in reversed(result.breasts):  # right first, as views hang
        page.write(breast_words(breast, result.threshold), 9)
    page.skip(4)


def _views(page: _Page, context: ObjectContext) -> None:
    """Four panels in hanging order; of a repeated view the image with the highest score."""
    if not context.scored:
        return
    gap = 0.035
    height = min(0.27, (page.y - _foot_height(context)) / 2 - gap)
    width = (_RIGHT - _LEFT) / 2
    for number, (side, name) in enumerate(HANGING):
        there = [pair for pair in context.scored if (pair[0].laterality, pair[0].view) == (side, name)]
        corner = _LEFT + number % 2 * width, page.y - (number // 2 + 1) * (height + gap) + gap / 2
        panel = page.figure.add_axes((*corner, width, height))
        panel.set_axis_off()
        panel.set_anchor("E" if side == "R" else "W")  # chest walls back to back, where images are stored as usual
        title, colour = f"{side} {name}: no score", "#8a5a00"
        if there:
            title, colour = _panel(panel, context, there), "black"
        middle = corner[0] + width / 2, corner[1] + height + 0.004
        page.figure.text(*middle, title, size=8.5, color=colour, ha="center", parse_math=False)
    page.y -= 2 * (height + gap)
    page.write("Colour and boxes: where the model looked, scaled within each view; no outline of a lesion.", 7.5)
    page.skip(3)


def _panel(panel: Axes, context: ObjectContext, there: Sequence[tuple[ViewResult, Dataset]]) -> str:
    """Draw one of the images of a view; return its title."""
    view, source = max(there, key=lambda pair: pair[0].probability or 0)
    pictures = context.pictures(view)
    scale = pictures.image.shape[0] / int(source.Rows)
    drawn = boxed(heated(pictures.image, pictures.heat), [mark.box for mark in context.marks(view)], scale)
    smaller = min(1.0, _THUMBNAIL_PX / max(drawn.shape))
    if smaller < 1:
        size = round(drawn.shape[1] * smaller), round(drawn.shape[0] * smaller)
        drawn = np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)
    panel.imshow(drawn, interpolation="none")
    more = f", highest of {len(there)} images" if len(there) > 1 else ""
    return ascii_text(f"{view.name}: AI score {score_words(view)}{more}")


def _foot_height(context: ObjectContext) -> float:
    """About what stands below the views takes, as a share of the page."""
    return 0.2 + 0.028 * min(len(refused_words(context.result)), _REFUSED + 1)


def _foot(page: _Page, context: ObjectContext) -> None:
    refused = refused_words(context.result)
    if refused:
        page.write("Images without a score", 9, bold=True)
        for line in refused[:_REFUSED]:
            page.write(textwrap.shorten(line, _LONGEST, placeholder=" ..."), 8)
        if len(refused) > _REFUSED:
            page.write(f"and {len(refused) - _REFUSED} more, in the structured report", 8)
        page.skip(4)
    stamp = context.result.model
    if context.scored:
        page.write(calibration_note(context.result), 7.5)
    page.rule()
    when = context.now.strftime("%Y-%m-%d %H:%M")
    page.write(f"Model: {context.algorithm}, {context.version}, bundle {ascii_text(stamp.bundle)}", 7.5)
    page.write(f"Weights SHA-256: {stamp.weights_sha256}", 7.5)
    page.write(f"Job: {context.result.job[:16]}, made {when}", 7.5)
    page.skip(2)
    page.write(NOTICE, 9, bold=True)
