"""Image files of a plain folder, and which patient a folder stands for."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from .table_columns import PATHOLOGY_WORDS, SPLIT_WORDS

__all__ = ["find_images", "folder_patients", "is_dicom"]

SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm", ".nii", ".nii.gz")


def find_images(root: Path) -> tuple[list[str], list[str]]:
    """Walk a folder once, links to folders included; hidden files and folders are passed over.

    Files without a known suffix are images if they begin as DICOM files do.

    Returns:
        Paths of the images and of the other files, sorted.
    """
    images: list[str] = []
    others: list[str] = []
    entered: set[str] = set()
    for folder, children, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        children[:] = [] if real in entered else [child for child in children if not child.startswith(".")]
        if real in entered:
            continue
        entered.add(real)
        for name in names:
            path = os.path.join(folder, name)
            if not name.startswith("."):
                (images if name.lower().endswith(SUFFIXES) or is_dicom(path) else others).append(path)
    return sorted(images), sorted(others)


def folder_patients(images: Sequence[str]) -> dict[str, str]:
    """The patient of each image: its first folder below the one that holds them all; none for an image in none.

    Raises:
        ValueError: if these folders are classes or splits instead of patients.
    """
    base = Path(os.path.commonpath([os.path.dirname(path) for path in images]))
    inside = {path: Path(path).relative_to(base).parts for path in images}
    patients = {path: parts[0] for path, parts in inside.items() if len(parts) > 1}
    _refuse_classes(base, sorted(set(patients.values())))
    return patients


def is_dicom(path: str) -> bool:
    """Whether a file begins as DICOM media files do (PS3.10)."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _refuse_classes(root: Path, folders: list[str]) -> None:
    kinds: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        word = re.sub("[^a-z0-9]+", " ", folder.lower()).strip()
        kind = "split" if word in SPLIT_WORDS else "pathology" if word in PATHOLOGY_WORDS and len(word) > 1 else ""
        if kind:
            kinds[kind].append(folder)
    for kind, found in kinds.items():
        if len(found) > 1:
            raise ValueError(
                f"{root}: the folders {', '.join(sorted(found))} are values of {kind}, not patients; give a table "
                f"(csv) with the columns image, patient_id and {kind}"
            )
