"""Synthetic mammograms with planted, known lesions, written as real DICOM in CBIS-DDSM's layout."""

from .case import Case, in_test_split
from .fingerprint import FROZEN, fingerprint
from .generate import generate
from .patient import Lesion, View, patient
from .presets import PRESETS, Preset
from .version import PHANTOM_VERSION

__all__ = [
    "FROZEN",
    "PHANTOM_VERSION",
    "PRESETS",
    "Case",
    "Lesion",
    "Preset",
    "View",
    "fingerprint",
    "generate",
    "in_test_split",
    "patient",
]
