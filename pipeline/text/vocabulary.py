"""Words of the BI-RADS lexicon for the findings that reports are written about."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "COMPOSITIONS",
    "DEPTHS",
    "FINDINGS",
    "KINDS",
    "LEXICON",
    "NO_FINDING",
    "POSITIONS",
    "SHAPED_FINDINGS",
    "Kind",
    "spoken",
]

LEXICON = {
    "ILL_DEFINED": "indistinct",
    "CLUSTERED": "grouped",
    "DIFFUSELY_SCATTERED": "diffuse",
    "ROUND_AND_REGULAR": "round",
    "LUCENT_CENTER": "lucent-centered",
    "LUCENT_CENTERED": "lucent-centered",
    "EGGSHELL": "rim",
    "LARGE_RODLIKE": "large rod-like",
    "COARSE_POPCORN_LIKE": "coarse popcorn-like",
    "FINE_LINEAR_BRANCHING": "fine-linear branching",
}
"""The present lexicon's words (American College of Radiology, 5th edition of 2013) for those of older tables. Any
other word of a table is said as it is, with spaces for underscores."""

COMPOSITIONS = {
    "A": ("almost entirely fatty", "composed almost entirely of fat"),
    "B": (
        "composed of scattered areas of fibroglandular density",
        "mostly fatty with scattered areas of fibroglandular density",
    ),
    "C": ("heterogeneously dense", "heterogeneously dense throughout"),
    "D": ("extremely dense", "extremely dense, which lowers the sensitivity of mammography"),
}
"""Breast composition A to D, to follow "the breast is"."""

POSITIONS = {
    "": "in the {side}breast",
    **{
        name: f"in the {name} quadrant of the {{side}}breast"
        for name in ("upper outer", "upper inner", "lower outer", "lower inner")
    },
    **{name: f"in the {name} half of the {{side}}breast" for name in ("upper", "lower", "outer", "inner")},
    "central": "in the central {side}breast",
    "retroareolar": "in the retroareolar region of the {side}breast",
    "axillary tail": "in the axillary tail of the {side}breast",
}
"""Where a finding can be said to lie, by name; ``{side}`` is ``"left "``, ``"right "`` or nothing."""

DEPTHS = {"": "", **{name: f"at {name} depth" for name in ("anterior", "middle", "posterior")}}


SHAPED_FINDINGS = {
    "ARCHITECTURAL_DISTORTION": ("architectural_distortion", "with architectural distortion"),
    "LYMPH_NODE": ("lymph_node", "with the look of a lymph node"),
    "ASYMMETRIC_BREAST_TISSUE": ("global_asymmetry", "with asymmetric breast tissue"),
    "FOCAL_ASYMMETRIC_DENSITY": ("focal_asymmetry", "with focal asymmetric density"),
}
"""What CBIS-DDSM lists among the shapes of masses though it is a finding of its own: its kind, and how it is told."""


class Kind(NamedTuple):
    """How one kind of finding is worded.

    Attributes:
        nouns: names of a finding that is there; the first is the plain one.
        denied: names of what is said to be absent.
        looks: adjectives that may be drawn, by the finding's field that would know them; every one starts with ``""``.
        positions: where it can lie, names to templates as :data:`POSITIONS`.
        depths: depths that may be drawn.
        plural: the nouns are plural.
        article: the nouns take "a" or "an".
    """

    nouns: tuple[str, ...]
    denied: tuple[str, ...]
    looks: dict[str, tuple[str, ...]] = {}
    positions: dict[str, str] = POSITIONS
    depths: tuple[str, ...] = ("",)
    plural: bool = False
    article: bool = True


_SHAPES = ("", "oval", "round", "irregular")
_MARGINS = ("", "circumscribed", "obscured", "microlobulated", "indistinct", "spiculated")
# Those of suspicious morphology only: a table that lists typically benign calcifications says their type.
_CALCIFICATIONS = ("", "amorphous", "coarse heterogeneous", "fine pleomorphic", "fine-linear branching")
_DISTRIBUTIONS = ("", "grouped", "linear", "segmental", "regional", "diffuse")
_EXTENTS = ("", "subtle", "marked")
_ALL_DEPTHS = tuple(DEPTHS)
_HALVES = {name: POSITIONS[name] for name in ("", "upper", "lower", "outer", "inner")}
_AXILLA = {
    "": "in the {side}axilla",
    "low axilla": "low in the {side}axilla",
    "axillary tail": POSITIONS["axillary tail"],
    "breast": POSITIONS[""],
}

KINDS = {
    "mass": Kind(
        ("mass",),
        ("mass", "suspicious mass", "dominant mass", "discrete mass"),
        {"densities": ("", "high-density", "equal-density", "low-density"), "shapes": _SHAPES, "margins": _MARGINS},
        depths=_ALL_DEPTHS,
    ),
    "calcification": Kind(
        ("calcifications", "microcalcifications"),
        ("suspicious calcifications", "suspicious microcalcifications", "calcifications of concern"),
        {"distributions": _DISTRIBUTIONS, "calcification_types": _CALCIFICATIONS},
        depths=_ALL_DEPTHS,
        plural=True,
        article=False,
    ),
    "architectural_distortion": Kind(
        ("architectural distortion", "distortion of the architecture"),
        ("architectural distortion", "distortion of the architecture", "focal retraction of the parenchyma"),
        {"extent": _EXTENTS},
        depths=_ALL_DEPTHS,
        article=False,
    ),
    # A one-view finding in the lexicon: to deny every asymmetry would contradict a focal or global one.
    "asymmetry": Kind(
        ("asymmetry on a single view", "single-view asymmetry"),
        ("asymmetry on a single view", "single-view asymmetry"),
        {"extent": _EXTENTS},
        depths=_ALL_DEPTHS,
    ),
    "focal_asymmetry": Kind(
        ("focal asymmetry", "focal asymmetry on both views"),
        ("focal asymmetry", "focal asymmetry of concern"),
        {"extent": _EXTENTS},
        depths=_ALL_DEPTHS,
    ),
    "global_asymmetry": Kind(
        ("global asymmetry", "global asymmetry of the parenchyma"),
        ("global asymmetry", "global asymmetry of the parenchyma"),
        {"extent": _EXTENTS},
        positions=_HALVES,
    ),
    "skin_thickening": Kind(
        ("skin thickening", "thickening of the skin"),
        ("skin thickening", "thickening of the skin"),
        {"extent": _EXTENTS, "distributions": ("", "focal", "diffuse")},
        article=False,
    ),
    "skin_retraction": Kind(
        ("skin retraction", "retraction of the skin"),
        ("skin retraction", "retraction of the skin", "skin dimpling"),
        {"extent": _EXTENTS},
        article=False,
    ),
    "nipple_retraction": Kind(
        ("nipple retraction", "retraction of the nipple"),
        ("nipple retraction", "retraction of the nipple", "nipple inversion"),
        {"extent": _EXTENTS},
        positions={"": POSITIONS[""]},
        article=False,
    ),
    "lymph_node": Kind(
        ("lymph node",),
        ("suspicious lymph node", "enlarged lymph node", "adenopathy"),
        {"extent": ("", "enlarged", "prominent"), "shapes": ("", "round"), "densities": ("", "dense")},
        positions=_AXILLA,
    ),
    "no_finding": Kind(
        (),
        ("suspicious finding", "mammographic evidence of malignancy", "mammographic sign of malignancy"),
    ),
}
"""Every kind of finding by its name in :data:`~mammo.pipeline.datasets.schema.FINDING_TYPES`, and the normal breast."""

NO_FINDING = "no_finding"
FINDINGS = tuple(name for name in KINDS if name != NO_FINDING)
"""The ten findings of VinDr-Mammo's image-label table, in the order in which they are told."""


def spoken(word: str) -> str:
    """A table's word (``ILL_DEFINED``) as a report says it (``indistinct``)."""
    token = word.strip().upper().replace(" ", "_")
    return LEXICON.get(token, word.strip().lower().replace("_", " "))
