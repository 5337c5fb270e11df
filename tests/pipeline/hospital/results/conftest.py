"""A synthetic exam on disk in either polarity, and results made by hand: where a region lies in them is known."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from mammo.pipeline.hospital.aggregate import breasts_of, missing_views
from mammo.pipeline.hospital.result import (
    ModelStamp,
    Pictures,
    Region,
    StudyResult,
    StudyStatus,
    ViewResult,
)
from mammo.pipeline.hospital.results import WRITERS, write_objects
from mammo.pipeline.phantom import View, patient
from mammo.pipeline.phantom.dicom import Address, uid, write_view

NOW = datetime(2026, 1, 6, 10, 30, 5)
POLARITIES = ("MONOCHROME1", "MONOCHROME2")
PER_VIEW = ("overlay", "presentation", "mask", "heat")
NAME = "Иванова^Анна=山田^花子"
STAMP = ModelStamp("Planted network", "swin_mim", "0.3.0", "0.1.0", "ab" * 32, {"image_size": [224, 224]})
FACTOR = 2
"""Pixels of the stored image for one of its small copy."""

Change = Callable[[pydicom.Dataset], None]


@cache
def drawn() -> list[View]:
    """Four views of a synthetic patient."""
    return patient(1, seed=77, preset="demo")


def write_exam(folder: Path, polarity: str = "MONOCHROME2", change: Change | None = None) -> list[Path]:
    """Write the four views; ``change`` alters each header."""
    paths = []
    for number, view in enumerate(drawn(), start=1):
        name = f"{view.laterality[0]}_{view.view}"
        path = folder / f"{name}.dcm"
        case = replace(view.case, monochrome1=polarity == "MONOCHROME1", transfer_syntax="explicit")
        identifiers = uid(polarity, "study"), uid(polarity, name), uid(polarity, name, "image")
        address = Address("77", *identifiers, name, "20260105", number, "Roe^Jane")
        write_view(replace(view, case=case), address, path)
        ds = pydicom.dcmread(path)
        ds.SpecificCharacterSet, ds.PatientName, ds.IssuerOfPatientID = "ISO_IR 192", NAME, "Hospital"
        ds.PatientBirthDate, ds.StudyID, ds.AccessionNumber = "19610203", "7", "A123"
        ds.StudyDescription, ds.PatientAge = "Screening", "064Y"
        if change is not None:
            change(ds)
        with pydicom.config.disable_value_validation():
            ds.save_as(path)
        paths.append(path)
    return paths


def box_of(view: View) -> tuple[float, float, float, float]:
    """Where the region of a view is planted: another place in each, in rows and columns as stored."""
    rows, columns = view.image.shape
    across = 0.55 if view.laterality == "RIGHT" else 0.25
    down = 0.3 if view.view == "CC" else 0.5
    row, column = round(rows * down), round(columns * across)
    return float(row), float(column), float(row + 60), float(column + 44)


def planted(paths: list[Path], threshold: float | None = 0.5) -> StudyResult:
    """An analysed study with a region in each view; its left breast has the higher score, 0.7."""
    views, pictures = [], {}
    for path, view in zip(paths, drawn(), strict=True):
        box, side = box_of(view), view.laterality[0]
        rows, columns = (edge // FACTOR for edge in view.image.shape)
        heat = np.zeros((rows, columns), np.float32)
        row0, column0, row1, column1 = (int(edge) // FACTOR for edge in box)
        heat[row0:row1, column0:column1] = 1
        image = cv2.resize(view.image.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        name = str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        pictures[name] = Pictures(np.clip(image, 0, 1), view.breast[::FACTOR, ::FACTOR].copy(), heat)
        score = 0.7 if side == "L" else 0.3
        views.append(
            ViewResult(str(path), name, side, view.view, probability=score, regions=(Region(box, 1.0),))
        )  # fmt: skip
    return summed_up(tuple(views), pictures, threshold)


def summed_up(
    views: tuple[ViewResult, ...], pictures: dict[str, Pictures], threshold: float | None = 0.5
) -> StudyResult:
    """The analysed study of these views."""
    breasts = breasts_of(views)
    worst = max(breasts, key=lambda breast: breast.score)
    flagged = None if threshold is None else worst.score >= threshold
    return StudyResult(
        StudyStatus.ANALYSED, uid("study"), STAMP, views, breasts, worst.score, worst.laterality, threshold, flagged,
        missing_views(views), pictures=pictures,
    )  # fmt: skip


def without_scores(result: StudyResult, status: StudyStatus, reason: str, *codes: str) -> StudyResult:
    """The same images in a study that was not analysed, each refused with ``codes``."""
    messages = tuple(f"because of {code}" for code in codes)
    views = tuple(
        replace(view, probability=None, regions=(), reasons=codes, messages=messages) for view in result.views
    )
    bare = replace(result, status=status, reason=reason, breasts=(), exam_score=None, exam_breast=None, pictures={})
    return replace(bare, views=views, missing_views=missing_views(views), threshold=None, flagged=None)


def lines_of(tool: str, *paths: Path) -> list[str]:
    """What a tool says; the test is skipped where it is not installed."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (Debian: dicom3tools, dcmtk, poppler-utils)")
    done = subprocess.run([tool, *map(str, paths)], capture_output=True, text=True, errors="replace", check=False)
    return (done.stdout + done.stderr).splitlines()


@pytest.fixture(scope="session")
def exams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The exam's files by polarity."""
    return {polarity: write_exam(tmp_path_factory.mktemp(polarity), polarity) for polarity in POLARITIES}


@pytest.fixture(scope="session")
def result(exams: dict[str, list[Path]]) -> StudyResult:
    """An analysed study, its images MONOCHROME2."""
    return planted(exams["MONOCHROME2"])


@pytest.fixture(scope="session")
def objects(exams: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """Files of every kind by polarity and name."""
    made = {}
    for polarity, paths in exams.items():
        folder = tmp_path_factory.mktemp("objects") / polarity
        written = write_objects(planted(paths), folder, WRITERS, NOW)
        made[polarity] = {path.stem: path for path in written}
    return made


@pytest.fixture(params=POLARITIES)
def files(request: pytest.FixtureRequest, objects: dict[str, dict[str, Path]]) -> dict[str, Path]:
    """Files of every kind by name, once of images in either polarity."""
    return objects[request.param]


def by_source(files: dict[str, Path], kind: str) -> dict[str, pydicom.Dataset]:
    """Objects of a kind by the image that each is about."""
    found = {}
    for name, path in files.items():
        if name.split("-")[0] == kind:
            ds = pydicom.dcmread(path)
            found[_source(ds)] = ds
    return found


def _source(ds: pydicom.Dataset) -> str:
    if "SourceImageSequence" in ds:
        return ds.SourceImageSequence[0].ReferencedSOPInstanceUID
    return (
        ds.ReferencedSeriesSequence[0]
        .get("ReferencedInstanceSequence", ds.ReferencedSeriesSequence[0].get("ReferencedImageSequence"))[0]
        .ReferencedSOPInstanceUID
    )
