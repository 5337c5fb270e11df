"""De-identification: copies of DICOM mammograms that may leave a hospital."""

from .export import deidentify, find_files
from .key import KEY_VARIABLE, create_key, load_key
from .profile import PROFILE, PROFILE_VERSION
from .pseudonyms import Pseudonyms
from .refusal import Refusal
from .summary import DeidentifyReport, FileSetAside

__all__ = [
    "KEY_VARIABLE",
    "PROFILE",
    "PROFILE_VERSION",
    "DeidentifyReport",
    "FileSetAside",
    "Pseudonyms",
    "Refusal",
    "create_key",
    "deidentify",
    "find_files",
    "load_key",
]
