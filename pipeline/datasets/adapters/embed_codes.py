"""The codes of EMBED's clinical table (its AWS_Open_Data_Clinical_Legend.csv), in the words of our records."""

from __future__ import annotations

from collections.abc import Mapping

from ..schema import Finding

__all__ = ["BIRADS", "BIRADS_ORDER", "DENSITY", "PATHOLOGY", "SIDES", "describe_findings"]

SIDES = {"L": "L", "R": "R", "B": "LR", "": "LR"}
"""Breasts that a row speaks of."""

BIRADS = {"A": 0, "N": 1, "B": 2, "P": 3, "S": 4, "M": 5, "K": 6, "X": None}
"""Assessments; X is none."""

BIRADS_ORDER = (1, 2, 3, 0, 4, 5, 6)
"""From least to most worrying."""

DENSITY = {"1": "A", "2": "B", "3": "C", "4": "D"}
"""Tissue densities; 5 is a male breast."""

PATHOLOGY = {0: "MALIGNANT", 1: "MALIGNANT", 2: "BENIGN", 3: "BENIGN", 4: "BENIGN", 5: "BENIGN"}

MASS_SHAPES = {
    **dict.fromkeys("GROXDL", "mass"),
    **dict.fromkeys("QA", "architectural_distortion"),
    **dict.fromkeys("TSV", "asymmetry"),
    "B": "global_asymmetry",
    "F": "focal_asymmetry",
    **dict.fromkeys("NY", "lymph_node"),
}
SHAPES = {"R": "ROUND", "O": "OVAL", "X": "IRREGULAR"}
# The present lexicon says indistinct and grouped for what film-time tables call ill-defined and clustered.
MARGINS = {"D": "CIRCUMSCRIBED", "U": "OBSCURED", "M": "MICROLOBULATED", "I": "ILL_DEFINED", "S": "SPICULATED"}
CALCIFICATIONS = {
    "A": "AMORPHOUS",
    "9": "BENIGN",
    "H": "COARSE_HETEROGENEOUS",
    "C": "COARSE_POPCORN_LIKE",
    "D": "DYSTROPHIC",
    "E": "EGGSHELL",
    "F": "FINE_LINEAR",
    "B": "FINE_LINEAR_BRANCHING",
    "I": "FINE_PLEOMORPHIC",
    "L": "LARGE_RODLIKE",
    "M": "MILK_OF_CALCIUM",
    "J": "OIL_CYST",
    "K": "PLEOMORPHIC",
    "P": "PUNCTATE",
    "R": "ROUND_AND_REGULAR",
    "S": "SKIN",
    "O": "LUCENT_CENTER",
    "U": "SUTURE",
    "V": "VASCULAR",
    "Q": "COARSE",
}
DISTRIBUTIONS = {
    "G": "CLUSTERED",
    "C": "CLUSTERED",
    "S": "SEGMENTAL",
    "R": "REGIONAL",
    "D": "DIFFUSELY_SCATTERED",
    "L": "LINEAR",
}
WORRYING = (0, 3, 4, 5, 6)


def describe_findings(
    identity: str, raw: Mapping[str, str], birads: int | None, pathology: str | None
) -> list[Finding]:
    """Findings of one clinical row: none, a mass or the like, calcifications, or both.

    Args:
        identity: number of the finding in its exam.
        raw: the row's cells that are not empty.
        birads: its assessment.
        pathology: of its specimen.

    Returns:
        A finding without a type where nothing is described but the assessment is worrying or something was sampled.
    """
    types = []
    if raw.keys() & {"massshape", "massmargin", "massdens"}:
        types.append(MASS_SHAPES.get(raw["massshape"].upper(), "other") if "massshape" in raw else "mass")
    if raw.keys() & {"calcfind", "calcdistri"}:
        types.append("calcification")
    if not types and birads not in WORRYING and "path_severity" not in raw:
        return []
    findings: list[Finding] = []
    for kind in types or [""]:
        finding = Finding(id=identity if not findings else f"{identity} {kind}", raw=dict(raw))
        if kind:
            finding["type"] = kind
        if birads is not None:
            finding["assessment"] = birads
        if pathology:
            finding["pathology"] = pathology
        _describe(finding, raw)
        findings.append(finding)
    return findings


def _describe(finding: Finding, raw: Mapping[str, str]) -> None:
    if finding.get("type") == "calcification":
        if types := _words(raw.get("calcfind", ""), CALCIFICATIONS):
            finding["calcification_types"] = types
        if distributions := _words(raw.get("calcdistri", ""), DISTRIBUTIONS):
            finding["distributions"] = distributions
        return
    if shapes := _words(raw.get("massshape", ""), SHAPES):
        finding["shapes"] = shapes
    if margins := _words(raw.get("massmargin", ""), MARGINS):
        finding["margins"] = margins


def _words(codes: str, words: Mapping[str, str]) -> list[str]:
    return sorted({words[code] for code in codes.upper() if code in words})
