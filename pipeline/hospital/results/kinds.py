"""Kinds of result objects: their names, their series, and which are made where a site asks for nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["DEFAULT", "SERIES_NUMBERS", "WRITERS", "check_kinds"]

WRITERS: Mapping[str, str] = {
    "sr": "structured_report",
    "overlay": "overlay",
    "presentation": "presentation_state",
    "mask": "breast_mask",
    "heat": "heat_map",
    "key": "key_objects",
    "pdf": "document",
    "cad": "cad_report",
}
"""Name of the module, and of the function in it, that makes the objects of a kind."""

SERIES_NUMBERS: Mapping[str, int] = {
    "sr": 9300,
    "overlay": 9301,
    "presentation": 9302,
    "mask": 9303,
    "heat": 9304,
    "key": 9305,
    "pdf": 9306,
    "cad": 9307,
}
"""Series Number (0020,0011) of each kind: behind those of modalities and workstations, and never given anew."""

DEFAULT = ("sr", "overlay", "presentation")
"""A report for machines, a picture that every viewer shows, and marks on the original."""


def check_kinds(kinds: Iterable[str]) -> list[str]:
    """The kinds asked for, each once.

    Raises:
        ValueError: for an unknown one, with the known ones.
    """
    asked = list(dict.fromkeys(kinds))
    unknown = [kind for kind in asked if kind not in WRITERS]
    if unknown:
        known = ", ".join(WRITERS)
        raise ValueError(f"unknown kind of result object: {', '.join(map(repr, unknown))}; known are {known}")
    return asked
