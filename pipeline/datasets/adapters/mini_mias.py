"""Mini-MIAS (Suckling et al. 1994): 322 film mammograms, all MLO, 200 micron pixels; research use only."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import Finding, Record

__all__ = ["mini_mias"]

SIZE = 1024
LICENCE = "MIAS licence agreement: research use only"
TISSUES = {"F": "FATTY", "G": "FATTY_GLANDULAR", "D": "DENSE_GLANDULAR"}
SEVERITIES = {"B": "BENIGN", "M": "MALIGNANT"}
TYPES = {
    "CALC": "calcification",
    "CIRC": "mass",
    "SPIC": "mass",
    "MISC": "mass",
    "ARCH": "architectural_distortion",
    "ASYM": "asymmetry",
}
MARGINS = {"CIRC": "CIRCUMSCRIBED", "SPIC": "SPICULATED", "MISC": "ILL_DEFINED"}

_LINE = re.compile(
    r"(mdb\d{3})\s+([FGD])\s+(?:NORM|(CALC|CIRC|SPIC|MISC|ARCH|ASYM)\s+([BM])(?:\s+(\d+)\s+(\d+)\s+(\d+))?.*)\s*"
)


class _Line(NamedTuple):
    """One line of Info.txt; ``kind`` is None for a normal image, ``circle`` where no place is given."""

    image_id: str
    tissue: str
    kind: str | None
    severity: str | None
    circle: tuple[int, int, int] | None


def mini_mias(root: str | Path, *, seed: int = 0) -> tuple[Datalist, ImportReport]:
    """List mini-MIAS from its ``Info.txt`` and the images (``mdbNNN.pgm`` or ``.png``) at or below ``root``.

    Film N belongs to patient (N + 1) // 2; odd films are right breasts, even ones left (Info.txt, note 1).
    Circles are given from the bottom left corner: row = 1023 - y. Patients are dealt 60/20/20, stratified by
    pathology.

    Args:
        root: the dataset's folder.
        seed: of the split.

    Raises:
        ValueError: if Info.txt or all images are missing.
    """
    root = Path(os.path.abspath(root))
    info = next(iter(sorted(root.rglob("[Ii]nfo.txt"))), None)
    if info is None:
        raise ValueError(f"{root}: Info.txt not found here or below; it comes with mini-MIAS and lists its films")
    report = ImportReport("mini-MIAS")
    lines = defaultdict(list)
    for text in info.read_text(encoding="latin-1").splitlines():
        if match := _LINE.fullmatch(text.strip()):
            name, tissue, kind, severity, *circle = match.groups()
            place = (int(circle[0]), int(circle[1]), int(circle[2])) if circle[0] else None
            lines[name].append(_Line(name, tissue, kind, severity, place))
    # A PNG beside the PGM of the same film is preferred: it is what most readers open.
    files = {path.stem: path for suffix in ("pgm", "png") for path in sorted(root.rglob(f"mdb*.{suffix}"))}
    records = []
    for name, group in lines.items():
        if name in files:
            records.append(_record(group, files[name]))
        else:
            report.add("image", "the image is not on disk", table=info.name, item=name)
    report.counts |= {"films listed": len(lines), "images": len(records)}
    if not records:
        raise ValueError(
            f"{root}: none of the {len(lines)} films of {info} is on disk; expected mdb001.pgm or .png ..."
        )
    return patient_split_datalist(records, "mini-MIAS", LICENCE, root, seed), report


def _record(lines: Sequence[_Line], path: Path) -> Record:
    number = int(lines[0].image_id[3:])
    record = Record(
        image=str(path),
        patient_id=f"MIAS{(number + 1) // 2:03d}",
        image_id=lines[0].image_id,
        dataset="mini_mias",
        laterality="R" if number % 2 else "L",
        view="MLO",
        density=TISSUES[lines[0].tissue],
        pathology="NORMAL",
        label_provenance="reader",
        pixel_spacing_mm=[0.2, 0.2],
        licence=LICENCE,
        raw={"background": lines[0].tissue},
    )
    abnormal = [line for line in lines if line.kind]
    if abnormal:
        findings = [_finding(line, index) for index, line in enumerate(abnormal, start=1)]
        worst = max(findings, key=lambda finding: finding["pathology"])  # BENIGN < MALIGNANT
        record["findings"] = findings
        record["pathology"] = worst["pathology"]
        record["abnormality"] = worst["type"]
        if margins := sorted({margin for finding in findings for margin in finding.get("margins", ())}):
            record["margins"] = margins
        if boxes := [finding["box"] for finding in findings if "box" in finding]:
            record["boxes"] = boxes
    return record


def _finding(line: _Line, number: int) -> Finding:
    kind, severity = str(line.kind), str(line.severity)
    finding = Finding(
        id=str(number),
        type=TYPES[kind],
        pathology=SEVERITIES[severity],
        raw={"class": kind, "severity": severity},
    )
    if kind in MARGINS:
        finding["margins"] = [MARGINS[kind]]
    if line.circle:
        finding["box"] = _box(*line.circle)
        finding["circle"] = _circle(*line.circle)
        finding["raw"]["x y radius"] = " ".join(map(str, line.circle))
    return finding


def _circle(x: int, y: int, radius: int) -> list[float]:
    return [float(SIZE - 1 - y), float(x), float(max(radius, 1))]


def _box(x: int, y: int, radius: int) -> list[float]:
    """Box around a circle, in rows and columns of the image, half-open and inside it."""
    row = SIZE - 1 - y
    edges = (row - radius, x - radius, row + radius + 1, x + radius + 1)
    return [float(min(max(edge, 0), SIZE)) for edge in edges]
