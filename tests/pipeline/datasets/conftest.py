"""CBIS-DDSM in miniature: invented cases in the true tables, on disk in each of the layouts that users have."""

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

ROOT_UID = "1.3.6.1.4.1.9590.100.1.2"
DESCRIPTIONS = {"full": "full mammogram images", "crop": "cropped images", "mask": "ROI mask images"}
COMMON = ["left or right breast", "image view", "abnormality id", "abnormality type"]
PATHS = ["image file path", "cropped image file path", "ROI mask file path"]
COLUMNS = {
    "mass": ["patient_id", "breast_density", *COMMON, "mass shape", "mass margins"],
    "calc": ["patient_id", "breast density", *COMMON, "calc type", "calc distribution"],
}


def case(patient: str, side: str = "LEFT", view: str = "CC", **given: str) -> dict[str, str]:
    """One row: ``kind`` mass or calc, ``part`` Training or Test, and any column by a short name."""
    row = {"kind": "mass", "part": "Training", "id": "1", "density": "2", "shape": "OVAL", "margins": "CIRCUMSCRIBED"}
    row |= {"assessment": "4", "pathology": "BENIGN", "subtlety": "3", "patient": patient, "side": side, "view": view}
    return row | given


class CbisTree:
    """Writes tables and files below ``root``; ``layout`` is A, B, C, D or E."""

    def __init__(self, root: Path, layout: str, tables: str = "csv") -> None:
        self.root, self.layout = root, layout
        self.tables = root / tables
        self.info: list[dict[str, str]] = []
        self.image_size, self.mask_size, self.crop_size = (24, 16), (24, 16), (6, 5)
        self.separate_series = self.mask_first = self.without_descriptions = False
        self.numbers: dict[str, int] = {}

    def uid(self, key: str) -> str:
        return f"{ROOT_UID}.{10**20 + self.numbers.setdefault(key, len(self.numbers) + 10001)}"

    def write(self, cases: list[dict[str, str]], skip_files: tuple[str, ...] = ()) -> Path:
        rows: dict[tuple[str, str], list[dict[str, str]]] = {
            (kind, part): [] for kind in ("mass", "calc") for part in ("Training", "Test")
        }
        for item in cases:
            rows[item["kind"], item["part"]].append(self._row(item))
            name = self._name(item)
            if name not in skip_files:
                self.image(name)
            if f"{name}_{item['id']}" not in skip_files:
                self._roi(f"{name}_{item['id']}")
        self.tables.mkdir(parents=True, exist_ok=True)
        for (kind, part), listed in rows.items():
            name = f"{kind}_case_description_{'train' if part == 'Training' else 'test'}_set.csv"
            columns = [*COLUMNS[kind], "assessment", "pathology", "subtlety", *PATHS]
            with open(self.tables / name, "w", newline="") as file:
                writer = csv.DictWriter(file, columns)  # quotes what holds a line break, ends lines with CRLF
                writer.writeheader()
                writer.writerows(listed)
        if self.layout == "D":
            with open(self.tables / "dicom_info.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, list(self.info[0]))
                writer.writeheader()
                writer.writerows(self.info)
        return self.root

    def image(self, name: str) -> None:
        self._file(name, f"{name}/series", "full", self._textured(self.image_size), 1)

    def _name(self, item: dict[str, str]) -> str:
        return f"{item['kind'].title()}-{item['part']}_{item['patient']}_{item['side']}_{item['view']}"

    def _roi_series(self, name: str, role: str) -> str:
        return f"{name}/series-{role}" if self.separate_series else f"{name}/series"

    def _roi(self, name: str) -> None:
        mask = np.zeros(self.mask_size, np.uint8)
        mask[5:11, 4:9] = 255
        pixels = {"crop": self._textured(self.crop_size), "mask": mask}
        order = ("mask", "crop") if self.mask_first else ("crop", "mask")
        for number, role in enumerate(order, start=1):
            self._file(name, self._roi_series(name, role), role, pixels[role], 1 if self.separate_series else number)

    def _row(self, item: dict[str, str]) -> dict[str, str]:
        name = self._name(item)
        roi = f"{name}_{item['id']}"
        density, first, second = (COLUMNS[item["kind"]][i] for i in (1, 6, 7))
        paths = [
            f"{folder}/{self.uid(folder + '/study')}/{self.uid(series)}/00000{number}.dcm"
            for folder, series, number in (
                (name, f"{name}/series", 0),
                (roi, self._roi_series(roi, "crop"), item["kind"] == "calc"),
                (roi, self._roi_series(roi, "mask"), item["kind"] == "mass"),
            )
        ]
        paths[2 if item["kind"] == "mass" else 1] += "\n"  # as in the true tables
        return {
            "patient_id": item["patient"],
            density: item["density"],
            "left or right breast": item["side"],
            "image view": item["view"],
            "abnormality id": item["id"],
            "abnormality type": "mass" if item["kind"] == "mass" else "calcification",
            first: item["shape"],
            second: item["margins"],
            **{name: item[name] for name in ("assessment", "pathology", "subtlety")},
            **dict(zip(PATHS, paths, strict=True)),
        }

    def _textured(self, size: tuple[int, int]) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)

    def _file(self, folder: str, series: str, role: str, pixels: np.ndarray, number: int) -> None:
        study_uid, series_uid = self.uid(f"{folder}/study"), self.uid(series)
        # NBIA names a folder that holds both files after one of them: here after the mask.
        middle = DESCRIPTIONS["mask" if role == "crop" and not self.separate_series else role]
        study, tail = study_uid[-5:], series_uid[-5:]
        path = {
            "A": f"CBIS-DDSM/{folder}/07-20-2016-DDSM-NA-{study}/1.000000-{middle}-{tail}/1-{number}.dcm",
            "B": f"{folder}/07-20-2016-DDSM-{study}/1-{middle}-{tail}/00000{number - 1}.dcm",
            "C": f"{folder}/{study_uid}/{series_uid}/0000000{number}.dcm",
            "D": f"jpeg/{series_uid}/{number}-204.jpg",
            "E": f"dicom/{study_uid}/{series_uid}/{self.uid(f'{series}/{number}')}.dcm",
        }[self.layout]
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        description = "" if self.without_descriptions else DESCRIPTIONS[role]
        if self.layout == "D":
            cv2.imwrite(str(target), pixels)
            self.info.append(
                {"image_path": f"CBIS-DDSM/{path}", "PatientID": folder, "SeriesInstanceUID": series_uid,
                 "SeriesDescription": description, "Rows": str(pixels.shape[0]), "Columns": str(pixels.shape[1])}
            )  # fmt: skip
            return
        write_dicom(target, pixels, folder, study_uid, series_uid, description)


def write_dicom(path: Path, pixels: np.ndarray, patient: str, study: str, series: str, description: str) -> None:
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, f"{series}.1"
    dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = patient, study, series
    dataset.Modality, dataset.SeriesDescription = "MG", description
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def cbis_tree(tmp_path: Path) -> Callable[..., CbisTree]:
    return lambda layout="A", tables="csv": CbisTree(tmp_path / "cbis", layout, tables)


@pytest.fixture
def cbis_case() -> Callable[..., dict[str, str]]:
    return case


@pytest.fixture
def record() -> Callable[..., dict]:
    """A record of the given patient, with an image that need not exist."""

    def make(patient: str = "P1", image_id: str | None = None, **known: object) -> dict:
        image_id = image_id or f"{patient}_image"
        return {"image": f"{image_id}.dcm", "patient_id": patient, "image_id": image_id, "dataset": "tiny", **known}

    return make
