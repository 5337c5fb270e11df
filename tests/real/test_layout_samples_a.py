"""Tables with the true header lines of INbreast, BCDR and CSAW-M; their rows are invented, the images empty files."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest
from mammo.pipeline.datasets.adapters.bcdr import bcdr
from mammo.pipeline.datasets.adapters.csaw_m import csaw_m
from mammo.pipeline.datasets.adapters.inbreast import inbreast
from mammo.pipeline.datasets.records import all_records, check_datalist


@pytest.fixture(scope="module")
def samples(real_data: Path) -> Path:
    return real_data / "layout_samples"


def rows_of(path, delimiter):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.mark.parametrize("table", ["INbreast.csv", "INbreast.xlsx"])
def test_both_tables_of_inbreast_give_every_image(samples, tmp_path, table):
    rows = rows_of(samples / "inbreast" / "INbreast.csv", ";")
    (tmp_path / "AllDICOMs").mkdir()
    shutil.copy(samples / "inbreast" / table, tmp_path)
    for number, row in enumerate(rows):
        view = row["View"].replace("MLO", "ML")
        name = f"{row['File Name']}_{number // 4:016x}_MG_{row['Laterality']}_{view}_ANON.dcm"
        (tmp_path / "AllDICOMs" / name).touch()
    datalist, report = inbreast(tmp_path)
    check_datalist(datalist)
    records = {record["image_id"]: record for _, record in all_records(datalist)}
    assert report.problems == []
    assert len(records) == len(rows)
    for row in rows:
        record = records[row["File Name"]]
        assert (record["laterality"], record["view"]) == (row["Laterality"], row["View"])
        assert (record["birads"], record["raw"]["Bi-Rads"]) == (int(row["Bi-Rads"][0]), row["Bi-Rads"])
        assert "ABCD".index(record["density"]) + 1 == int(row["ACR"])
    # The workbook of the same rows marks the images with a mass; a CSV does not.
    masses = sum(record["raw"].get("Mass") == "X" for record in records.values())
    assert masses == (0 if table.endswith("csv") else 20)


def test_outlines_of_bcdr_give_polygons_inside_their_boxes(samples, tmp_path):
    rows = rows_of(samples / "bcdr" / "bcdr_d01_outlines.csv", ",")
    shutil.copy(samples / "bcdr" / "bcdr_d01_outlines.csv", tmp_path)
    for row in rows:
        path = tmp_path / row["image_filename"].strip()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    datalist, report = bcdr(tmp_path)
    check_datalist(datalist)
    records = [record for _, record in all_records(datalist)]
    assert len(records) == len(rows)
    assert Counter(r["pathology"] for r in records) == Counter(
        {"Benign": "BENIGN", "Malign": "MALIGNANT"}[row["classification"].strip()] for row in rows
    )
    assert {p["reason"].split(":")[0] for p in report.problems} == {"unreadable header"}  # the images are empty
    for row in rows:
        [record] = [r for r in records if Path(r["image"]).name == Path(row["image_filename"]).name]
        x, y = ([int(text) for text in row[name].split()] for name in ("lw_x_points", "lw_y_points"))
        [finding] = record["findings"]
        assert finding["polygon"] == [[b, a] for a, b in zip(x, y, strict=True)]
        assert finding["box"] == [min(y), min(x), max(y) + 1, max(x) + 1]
        assert finding["type"] == "mass"
        assert record["age"] == int(row["age"])


def test_the_table_of_csaw_m_gives_every_image(samples, tmp_path):
    rows = rows_of(samples / "csaw_m" / "CSAW-M_test.csv", ";")
    (tmp_path / "labels").mkdir()
    for part in ("train", "test"):
        (tmp_path / "images" / "preprocessed" / part).mkdir(parents=True)
    shutil.copy(samples / "csaw_m" / "CSAW-M_test.csv", tmp_path / "labels")
    header = (samples / "csaw_m" / "CSAW-M_test.csv").read_text().splitlines()[0]
    (tmp_path / "labels" / "CSAW-M_train.csv").write_text(header + "\n")
    for row in rows:
        (tmp_path / "images" / "preprocessed" / "test" / row["Filename"]).touch()
    datalist, report = csaw_m(tmp_path)
    check_datalist(datalist)
    assert report.problems == []
    assert [r["masking"] for r in datalist["test"]] == [int(row["Label"]) for row in rows]
    assert [r["laterality"] for r in datalist["test"]] == [row["Dicom_image_laterality"][0] for row in rows]
    assert [r.get("pathology") for r in datalist["test"]] == [
        "MALIGNANT" if row["If_cancer"] == "1" else None for row in rows
    ]
