"""What a lesion is called: CBIS-DDSM's vocabulary, linked to the pathology by chance only.

No word gives the pathology away: each margin, shape, type and distribution occurs in both classes, with the odds that
radiologists meet. How the lesion looks follows the pathology and the words (:mod:`.mass`, :mod:`.calcification`).
"""

from dataclasses import dataclass

import numpy as np

from .case import Case

Odds = dict[str, float]

_SHAPES: dict[str, Odds] = {
    "BENIGN": {"OVAL": 0.42, "ROUND": 0.24, "LOBULATED": 0.26, "IRREGULAR": 0.08},
    "AMBIGUOUS": {"OVAL": 0.25, "ROUND": 0.1, "LOBULATED": 0.3, "IRREGULAR": 0.35},
    "MALIGNANT": {
        "IRREGULAR": 0.6,
        "IRREGULAR-ARCHITECTURAL_DISTORTION": 0.12,
        "LOBULATED": 0.14,
        "OVAL": 0.09,
        "ROUND": 0.05,
    },
}
_MARGINS: dict[str, Odds] = {
    "BENIGN": {
        "CIRCUMSCRIBED": 0.56,
        "OBSCURED": 0.17,
        "CIRCUMSCRIBED-OBSCURED": 0.1,
        "MICROLOBULATED": 0.06,
        "ILL_DEFINED": 0.11,
    },
    "AMBIGUOUS": {
        "ILL_DEFINED": 0.4,
        "OBSCURED-ILL_DEFINED": 0.2,
        "SPICULATED": 0.16,
        "MICROLOBULATED": 0.12,
        "CIRCUMSCRIBED": 0.12,
    },
    "MALIGNANT": {
        "SPICULATED": 0.46,
        "ILL_DEFINED": 0.2,
        "ILL_DEFINED-SPICULATED": 0.13,
        "MICROLOBULATED": 0.09,
        "MICROLOBULATED-ILL_DEFINED": 0.06,
        "OBSCURED": 0.06,
    },
}
_TYPES: dict[str, Odds] = {
    "BENIGN": {"PUNCTATE": 0.4, "ROUND_AND_REGULAR": 0.35, "COARSE": 0.15, "AMORPHOUS": 0.1},
    "AMBIGUOUS": {"AMORPHOUS": 0.5, "PUNCTATE": 0.25, "PLEOMORPHIC": 0.25},
    "MALIGNANT": {
        "PLEOMORPHIC": 0.5,
        "FINE_LINEAR_BRANCHING": 0.3,
        "PLEOMORPHIC-FINE_LINEAR_BRANCHING": 0.1,
        "AMORPHOUS": 0.1,
    },
}
_DISTRIBUTIONS: dict[str, Odds] = {
    "BENIGN": {"CLUSTERED": 0.85, "REGIONAL": 0.15},
    "AMBIGUOUS": {"CLUSTERED": 0.8, "SEGMENTAL": 0.2},
    "MALIGNANT": {"LINEAR": 0.4, "SEGMENTAL": 0.3, "CLUSTERED": 0.3},
}
_ASSESSMENTS: dict[str, Odds] = {
    "BENIGN": {"2": 0.2, "3": 0.4, "4": 0.4},
    "MALIGNANT": {"4": 0.55, "5": 0.4, "3": 0.05},
}


@dataclass(frozen=True)
class Words:
    """A lesion's description: ``first`` is shape or calcification type, ``second`` margins or distribution."""

    first: str
    second: str
    assessment: int
    subtlety: int
    pathology: str


def _pick(odds: Odds, rng: np.random.Generator) -> str:
    weights = np.array(list(odds.values()))
    return str(rng.choice(list(odds), p=weights / weights.sum()))


def draw_words(case: Case, usual_contrast: float, rng: np.random.Generator) -> Words:
    """Describe a patient's lesion; ``subtlety`` (5 is obvious) follows its contrast relative to the usual one."""
    look = "AMBIGUOUS" if case.ambiguous else case.pathology
    mass = case.abnormality == "mass"
    first = _pick((_SHAPES if mass else _TYPES)[look], rng)
    second = _pick((_MARGINS if mass else _DISTRIBUTIONS)[look], rng)
    assessment = int(_pick(_ASSESSMENTS[case.pathology], rng))
    unseen = assessment == 2 and rng.random() < 0.7
    return Words(
        first=first,
        second=second,
        assessment=assessment,
        subtlety=int(np.clip(round(3 + 4 * (case.contrast / usual_contrast - 1)), 1, 5)),
        pathology="BENIGN_WITHOUT_CALLBACK" if unseen else case.pathology,
    )
