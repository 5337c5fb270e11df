"""The four classes of lesions, background beside them, and the margins of masses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BACKGROUND", "LESION_CLASSES", "MASS_MARGINS", "has_margin", "lesion_class"]

BACKGROUND = "background"
"""``abnormality`` of a patch without a finding."""

LESION_CLASSES = ("BENIGN_MASS", "MALIGNANT_MASS", "BENIGN_CALCIFICATION", "MALIGNANT_CALCIFICATION")
"""The four classes of MIRAM (arXiv:2503.07157), in its order; patch classifiers after Shen et al. 2019
(arXiv:1711.05775) put ``"BACKGROUND"`` before them."""


MASS_MARGINS = ("ILL_DEFINED", "CIRCUMSCRIBED", "SPICULATED", "MICROLOBULATED", "OBSCURED")
"""Words of BI-RADS that CBIS-DDSM describes margins with, in MIRAM's order; a mass may have several."""


def has_margin(record: Mapping[str, Any], margin: str) -> int | None:
    """1 where the margin is among those of the record, 0 where others are; None where none are known."""
    margins = record.get("margins")
    return int(margin in margins) if margins else None


def lesion_class(record: Mapping[str, Any]) -> str | None:
    """``"BACKGROUND"`` or one of :data:`LESION_CLASSES`; None for a record that is neither mass nor calcification,
    or whose pathology is unknown. Benign without callback counts as benign.
    """
    abnormality, pathology = record.get("abnormality"), record.get("pathology", "")
    if abnormality == BACKGROUND:
        return BACKGROUND.upper()
    if abnormality not in ("mass", "calcification") or pathology in ("", "NORMAL"):
        return None
    return f"{'MALIGNANT' if pathology == 'MALIGNANT' else 'BENIGN'}_{abnormality.upper()}"
