"""A synthetic exam as a hospital sends it: four views of one patient in one study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from .dicom import Address, uid, write_view
from .views import View, patient

__all__ = ["WrittenView", "write_study"]


class WrittenView(NamedTuple):
    """A view and its file."""

    path: Path
    view: View


def write_study(
    folder: str | Path, *, index: int = 0, seed: int = 0, date: str = "20260105", **options: Any
) -> list[WrittenView]:
    """Write the four views of patient ``index`` as DICOM, with one patient, one study and a series each.

    Args:
        folder: made where missing; files are named by side and view.
        index: number of the patient, from 0.
        seed: of the phantom.
        date: Study Date (0008,0020); another date is another study of the patient.
        options: as of :func:`~mammo.pipeline.phantom.patient`.

    Returns:
        The views with their files, the affected breast first.
    """
    study = uid("study", seed, index, date)
    made = []
    for number, view in enumerate(patient(index, seed=seed, **options), start=1):
        name = f"{view.laterality[0]}_{view.view}"
        address = Address(
            f"PHANTOM-{seed}-{index:05d}", study, uid(study, name), uid(study, name, "image"),
            f"{view.laterality[0]} {view.view}", date, number, f"Phantom^{seed}-{index}",
        )  # fmt: skip
        path = Path(os.path.abspath(folder)) / f"{name}.dcm"
        write_view(view, address, path)
        made.append(WrittenView(path, view))
    return made
