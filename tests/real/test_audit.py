"""The audit of CBIS-DDSM's own split, by its true tables, and of real films."""

import csv
from pathlib import Path

import cv2
import pytest
from mammo.pipeline.datasets import cbis_ddsm, mini_mias
from mammo.pipeline.datasets.audit import audit


@pytest.fixture(scope="module")
def tables(real_data: Path) -> list[dict[str, str]]:
    rows = []
    for path in (real_data / "cbis_ddsm" / "csv").glob("*_case_description_*_set.csv"):
        with open(path, newline="") as file:
            rows += [{**row, "part": path.name} for row in csv.DictReader(file)]
    return rows


@pytest.fixture(scope="module")
def download(real_data: Path, tables: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables, and all whole mammograms as empty files in NBIA's descriptive folders."""
    root = tmp_path_factory.mktemp("cbis")
    for path in (real_data / "cbis_ddsm" / "csv").glob("*_case_description_*_set.csv"):
        (root / path.name).write_bytes(path.read_bytes())
    for row in tables:
        patient, study, series, _ = row["image file path"].strip().split("/")
        folder = root / patient / f"07-20-2016-DDSM-NA-{study[-5:]}" / f"1.000000-full mammogram images-{series[-5:]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "1-1.dcm").touch()
    return root


def test_the_official_split_of_cbis_ddsm_leaks_31_patients(download, tables):
    train, test = ({r["patient_id"] for r in tables if part in r["part"]} for part in ("_train_", "_test_"))
    datalist, _ = cbis_ddsm(download, split="official")
    report = audit(datalist, images=False)
    leaks = [found for found in report.findings if found.kind == "patient"]
    assert {found.what for found in leaks} == {f"cbis_ddsm/{patient}" for patient in train & test}
    assert len(leaks) == 31
    assert all(found.declared for found in report.findings)
    assert not report.failed
    assert "31 x same patient in two sections or more, declared as cbis-official" in report.summary()
    undeclared = audit({**datalist, "known_leak_patients": datalist["known_leak_patients"][1:]}, images=False)
    assert {name for found in undeclared.leaks for name in found.patients} == {
        f"cbis_ddsm/{datalist['known_leak_patients'][0]}"
    }


def test_the_clean_split_of_cbis_ddsm_passes(download):
    datalist, _ = cbis_ddsm(download)
    report = audit(datalist, images=False)
    assert report.findings == []
    assert not report.failed


def test_real_films_are_told_apart_and_a_mirrored_copy_is_found(real_data, tmp_path):
    datalist, _ = mini_mias(real_data / "mini_mias")
    datalist = {**datalist, **{name: datalist[name][:12] for name in ("training", "validation", "test")}}
    assert audit(datalist, workers=2).findings == []
    film = datalist["training"][0]
    copy = tmp_path / "copy.jpg"
    cv2.imwrite(str(copy), cv2.imread(film["image"], cv2.IMREAD_UNCHANGED)[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    datalist["test"] = [*datalist["test"], {**film, "image": str(copy), "image_id": "copy", "patient_id": "other",
                                            "split": "test"}]  # fmt: skip
    (found,) = audit(datalist, workers=2).leaks
    assert found.kind == "image"
    assert found.images == (f"mini_mias/{film['image_id']}", "mini_mias/copy")
