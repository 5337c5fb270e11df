"""The four true tables of CBIS-DDSM; the images are empty files in their true folders."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest
from mammo.pipeline.datasets import ImportReport, cbis_ddsm, check_leaks
from mammo.pipeline.datasets.adapters.cbis_tables import TABLES, CaseRow, read_case_tables

ROWS = dict(zip(TABLES, (1318, 378, 1546, 326), strict=True))
IMAGES = dict(zip(TABLES, (1231, 361, 1227, 284), strict=True))


@pytest.fixture(scope="module")
def tables(real_data: Path) -> dict[str, Path]:
    return {name: real_data / "cbis_ddsm" / "csv" / name for name in TABLES}


@pytest.fixture(scope="module")
def rows(tables: dict[str, Path]) -> list[CaseRow]:
    report = ImportReport("CBIS-DDSM")
    listed = read_case_tables(tables, report)
    assert report.problems == []  # no row contradicts its path, none is listed twice
    return listed


@pytest.fixture(scope="module")
def download(tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All whole mammograms as empty files, in NBIA's descriptive folders."""
    root = tmp_path_factory.mktemp("cbis")
    for path in tables.values():
        shutil.copy(path, root)
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                patient, study, series, _ = row["image file path"].strip().split("/")
                series = f"1.000000-full mammogram images-{series[-5:]}"
                folder = root / "CBIS-DDSM" / patient / f"07-20-2016-DDSM-NA-{study[-5:]}" / series
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "1-1.dcm").touch()
    return root


def test_each_table_has_its_rows_and_images(rows):
    assert Counter(row.table for row in rows) == ROWS
    assert Counter(table for table, _ in {(row.table, row.name.image_id) for row in rows}) == IMAGES


def test_there_are_1566_patients_of_whom_31_are_in_both_parts(rows):
    train, test = ({r.name.patient_id for r in rows if r.name.part == part} for part in ("Training", "Test"))
    assert len(train | test) == 1566
    assert len(train & test) == 31


def test_the_folder_of_each_roi_is_the_image_and_the_abnormality(rows):
    for row in rows:
        assert {roi.folder for roi in row.rois} == {f"{row.name.image_id}_{row.values['abnormality id']}"}


def test_104_rows_keep_crop_and_mask_in_two_series(rows):
    assert sum(len(row.rois) == 2 for row in rows) == 104


def test_parsed_values_are_of_the_known_vocabulary(rows):
    findings = [row.finding() for row in rows]
    assert {shape for f in findings for shape in f.get("shapes", ())} == {
        "IRREGULAR", "OVAL", "LOBULATED", "ROUND", "ARCHITECTURAL_DISTORTION", "LYMPH_NODE",
        "ASYMMETRIC_BREAST_TISSUE", "FOCAL_ASYMMETRIC_DENSITY",
    }  # fmt: skip
    assert {margin for f in findings for margin in f.get("margins", ())} == {
        "SPICULATED", "ILL_DEFINED", "CIRCUMSCRIBED", "OBSCURED", "MICROLOBULATED"
    }  # fmt: skip
    assert {d for f in findings for d in f.get("distributions", ())} == {
        "CLUSTERED", "LINEAR", "REGIONAL", "DIFFUSELY_SCATTERED", "SEGMENTAL"
    }  # fmt: skip
    assert not {t for f in findings for t in f.get("calcification_types", ())} & {"LUCENT_CENTERED", "NA", "N/A"}
    assert {f["assessment"] for f in findings} == {0, 1, 2, 3, 4, 5}
    assert Counter(f["pathology"] for f in findings) == {
        "BENIGN": 130 + 528 + 194 + 577,
        "BENIGN_WITHOUT_CALLBACK": 67 + 474 + 37 + 104,
        "MALIGNANT": 129 + 544 + 147 + 637,
    }
    assert sum("subtlety" not in f for f in findings) == 2


def test_official_clean_holds_each_image_but_the_training_images_of_the_31(download, rows):
    datalist, report = cbis_ddsm(download)
    assert report.unresolved == []
    assert check_leaks(datalist) == {}
    assert len(datalist["test"]) == 361 + 284
    excluded = {p["item"] for p in report.problems if p["kind"] == "excluded"}
    tested = {row.name.patient_id for row in rows if row.name.part == "Test"}
    expected = {r.name.image_id for r in rows if r.name.part == "Training" and r.name.patient_id in tested}
    assert excluded == expected
    assert len(datalist["training"]) + len(datalist["validation"]) == 1231 + 1227 - len(expected)
    share = {
        name: sum(r["pathology"] == "MALIGNANT" for r in datalist[name]) / len(datalist[name])
        for name in ("training", "validation")
    }
    assert abs(share["training"] - share["validation"]) < 0.03  # dealt by patient, so images differ a little


def test_official_declares_the_31(download):
    datalist, _ = cbis_ddsm(download, split="official")
    assert len(datalist["known_leak_patients"]) == 31
    assert sorted(check_leaks(datalist)) == datalist["known_leak_patients"]
    assert sum(len(datalist[name]) for name in ("training", "validation", "test")) == 3103
