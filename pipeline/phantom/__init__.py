"""Synthetic mammograms with planted, known lesions, written as real DICOM in CBIS-DDSM's layout."""

from .case import Case, in_test_split
from .dataset import generate
from .hostile import write_hostile
from .original_tables import write_rsna_layout, write_vindr_layout
from .presets import PRESETS, Preset
from .report_tables import write_report_tables
from .study import WrittenView, write_study
from .version import FROZEN, PHANTOM_VERSION, fingerprint
from .views import Lesion, View, patient

__all__ = [
    "FROZEN",
    "PHANTOM_VERSION",
    "PRESETS",
    "Case",
    "Lesion",
    "Preset",
    "View",
    "WrittenView",
    "fingerprint",
    "generate",
    "in_test_split",
    "patient",
    "write_hostile",
    "write_report_tables",
    "write_rsna_layout",
    "write_study",
    "write_vindr_layout",
]
