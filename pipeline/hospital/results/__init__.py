"""DICOM objects of a result: a registry of kinds, and one file for each."""

from .kinds import DEFAULT, SERIES_NUMBERS, WRITERS, check_kinds
from .writing import write_objects

__all__ = ["DEFAULT", "SERIES_NUMBERS", "WRITERS", "check_kinds", "write_objects"]
