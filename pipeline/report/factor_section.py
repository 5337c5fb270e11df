"""Where Mammo-FActOR sees each finding: its boxes beside Grad-CAM's and beside chance, and cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .blocks import Block, Picture, Section, Table, Text, missing
from .embed import embed_png
from .inputs import ReportError, read_object
from .wording import MINUS, interval, plural, verdict

__all__ = ["factor_section"]

TITLE = "Findings located from labels of images"
MAX_CASES = 8
METHODS = {"factor": "FActOR", "gradcam": "Grad-CAM"}
MEASURES = {
    "hit_25": "Best box overlaps a true one by 0.25",
    "hit_50": "Best box overlaps a true one by 0.50",
    "iou": "Mean overlap of the best box",
    "pointing": "Hottest pixel lies in a true box",
    "ap_25": "Average precision at 0.25",
    "ap_50": "Average precision at 0.50",
}


def factor_section(folder: Path) -> Section:
    """Measures of each finding, then cases.

    Args:
        folder: run folder of factor_explain.

    Raises:
        ReportError: there is no such folder, or its ``localisation.json`` is another file.
    """
    if not folder.is_dir():
        raise ReportError(f"{folder}: there is no such folder (given for --factor)")
    path = folder / "localisation.json"
    if not path.is_file():
        return Section(TITLE, [missing("localisation.json", "`mammo factor_explain` writes it in its run folder.")])
    report = read_object(path)
    if not {"methods", "chosen_on"} <= set(report) or "factor" not in report["methods"]:
        raise ReportError(f"{path}: methods, chosen_on or the method factor is missing; run factor_explain again")
    methods = report["methods"]
    blocks: list[Block] = [Text(_about(report))]
    blocks += [_table(name, methods, report.get("factor_minus_gradcam")) for name in methods["factor"]["findings"]]
    return Section(TITLE, [*blocks, *_cases(folder / "figures")])


def _about(report: Mapping[str, Any]) -> str:
    chosen = "given" if report["chosen_on"] == "given" else "chosen on validation images, for each method its own"
    said = (
        "Mammo-FActOR learns from labels of whole images which places of a frozen encoder's map speak for a finding; "
        f"no box was learned from. A pixel of the breast is hot from a quantile on that was {chosen}; boxes surround "
        "hot parts. Chance is that of boxes of the same size anywhere in the breast."
    )
    rival = report["methods"].get("gradcam")
    of = "the zero-shot score" if rival is None or rival.get("of") == "zero-shot" else "a trained classifier"
    return said if rival is None else f"{said} Grad-CAM is that of {of}, by the same procedure."


def _table(finding: str, methods: Mapping[str, Any], differences: Mapping[str, Any] | None) -> Table:
    shown = [name for name in METHODS if name in methods]
    header = ["Measure", *(f"{METHODS[name]}{end}" for name in shown for end in ("", ", chance"))]
    header += [] if differences is None else [f"FActOR {MINUS} Grad-CAM", "Better"]
    rows = []
    for key, words in MEASURES.items():
        told = [methods[name]["findings"][finding]["measures"][key] for name in shown]
        row = [words, *(interval(one[part], 2) for one in told for part in ("value", "chance"))]
        if differences is not None:
            paired = differences[finding][key]["difference"]
            row += [interval(paired, 2, signed=True), verdict(paired, "FActOR", "Grad-CAM", "unclear")]
        rows.append(row)
    return Table(f"{finding.capitalize()}: boxes from heat-maps", header, rows, _note(finding, methods, shown))


def _note(finding: str, methods: Mapping[str, Any], shown: Sequence[str]) -> str:
    counts = methods["factor"]["findings"][finding]["counts"]
    chosen = "; ".join(
        f"{METHODS[name]}: quantile {one['quantile']:g}, places of {one['stride_px']} pixels"
        for name in shown
        if (one := methods[name]["chosen"][finding])
    )
    images = f"{counts['images_with_finding']:,} of {plural(counts['images'], 'test image')} show it"
    return f"{images}, {plural(counts['patients'], 'patient')} in all. {chosen}. 95 % patient-bootstrap intervals."


def _cases(folder: Path) -> list[Block]:
    paths = sorted(folder.glob("*.png"))
    if not paths:
        return [missing("case figures", "`mammo factor_explain --figures N` writes them as figures/*.png.")]
    chosen = paths[:MAX_CASES]
    rule = (
        f"{len(chosen)} of {plural(len(paths), 'case')}, the first by name, none picked by hand. Of each finding "
        "the channels that speak most for it, FActOR's map, and Grad-CAM. True boxes are yellow, the best predicted "
        "box is blue."
    )
    alt = "Mammogram {} with its strongest channels, heat-maps and boxes of each finding"
    return [Text(rule, heading="Cases"), *(Picture(embed_png(p), alt.format(p.stem), p.stem) for p in chosen)]
