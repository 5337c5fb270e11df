"""How our result objects are named, in files and in their headers, and known again; quick to import."""

from __future__ import annotations

__all__ = ["MANUFACTURER", "file_name", "is_ours", "kind_of", "title"]

MANUFACTURER = "mammo"
"""Manufacturer (0008,0070) of every result object."""


def file_name(kind: str, number: int = 1) -> str:
    """Of an object of a kind: never anything that a header says."""
    return f"{kind}-{number}.dcm"


def kind_of(name: str) -> str:
    """The kind of a file that :func:`file_name` named."""
    return name.removesuffix(".dcm").rpartition("-")[0]


def title(description: str) -> str:
    """Series Description (0008,103E) of our objects; at most the 64 characters of its value representation."""
    return f"AI {description} - research use only"[:64]


def is_ours(manufacturer: str, series_description: str) -> bool:
    """Whether Manufacturer (0008,0070) and Series Description (0008,103E) are as in our results."""
    return manufacturer.strip() == MANUFACTURER and series_description.startswith("AI ")
