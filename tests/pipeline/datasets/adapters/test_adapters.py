import csv
import inspect
import re

import cv2
import numpy as np
import pytest
from mammo.pipeline.datasets import (
    ADAPTERS,
    cdd_cesm,
    check_datalist,
    check_leaks,
    load_datalist,
    mini_mias,
    prepare_dataset,
)
from mammo.pipeline.datasets.adapters.cdd_cesm import COLUMNS

# Invented rows in the true form of Info.txt.
INFO = """
2nd column: Character of background tissue:
mdb001 G CIRC B 535 425 197
mdb002 G NORM
mdb003 D CALC M *NOTE 3*
mdb004 F SPIC B 10 1000 40
mdb004 F MISC M 500 500 20
mdb005 F NORM
"""


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


@pytest.fixture
def mias(tmp_path):
    root = tmp_path / "mias"
    (root / "images").mkdir(parents=True)
    (root / "Info.txt").write_text(INFO)
    for number in range(1, 5):
        cv2.imwrite(str(root / "images" / f"mdb{number:03}.pgm"), np.zeros((8, 8), np.uint8))
    return root


@pytest.fixture
def cesm(tmp_path):
    root = tmp_path / "cesm"
    (root / "images").mkdir(parents=True)
    rows = []
    for number in range(10):
        for side, pathology in (("L", "Normal"), ("R", "Malignant" if number % 2 else "Benign")):
            name = f"P{number}_{side}_CM_CC"
            cv2.imwrite(str(root / "images" / f"{name}.png"), np.zeros((8, 8), np.uint8))
            rows.append(
                dict.fromkeys(COLUMNS, "") | {"image": f"images/{name}.png", "image_name": name, "view": "CC",
                "patient_id": f"P{number}", "laterality": side, "pathology": pathology, "age": "46",
                "birads": "4$3" if side == "R" else "1", "density_acr": "C" if number else "_"}
            )  # fmt: skip
    rows.append(rows[0] | {"image": "images/gone.png", "image_name": "gone"})
    with open(root / "metadata.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return root


def test_mias_films_are_paired_into_patients_and_sides(mias):
    records = by_id(mini_mias(mias)[0])
    assert {(r["patient_id"], r["laterality"]) for r in records.values()} == {
        ("MIAS001", "R"), ("MIAS001", "L"), ("MIAS002", "R"), ("MIAS002", "L")
    }  # fmt: skip
    assert {r["view"] for r in records.values()} == {"MLO"}


def test_mias_circles_count_rows_from_the_bottom(mias):
    records = by_id(mini_mias(mias)[0])
    # Centre (x 535, y 425), radius 197: row 1023 - 425 = 598.
    assert records["mdb001"]["boxes"] == [[598 - 197, 535 - 197, 598 + 198, 535 + 198]]
    # Centre (10, 1000) reaches beyond the left and the upper edge.
    assert records["mdb004"]["boxes"][0] == [0, 0, 23 + 41, 10 + 41]


def test_mias_lesions_without_a_place_have_no_box(mias):
    record = by_id(mini_mias(mias)[0])["mdb003"]
    assert record["pathology"] == "MALIGNANT"
    assert record["abnormality"] == "calcification"
    assert "boxes" not in record


def test_mias_images_with_two_lesions_take_the_worst(mias):
    record = by_id(mini_mias(mias)[0])["mdb004"]
    assert (record["pathology"], record["density"], len(record["findings"])) == ("MALIGNANT", "FATTY", 2)
    assert record["margins"] == ["ILL_DEFINED", "SPICULATED"]


def test_mias_normals_are_normal_and_missing_films_reported(mias):
    datalist, report = mini_mias(mias)
    assert by_id(datalist)["mdb002"]["pathology"] == "NORMAL"
    assert [p["item"] for p in report.unresolved] == ["mdb005"]


def test_mias_without_info_or_images_is_refused(tmp_path, mias):
    for path in (mias / "images").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="none of the 5 films"):
        mini_mias(mias)
    (mias / "Info.txt").unlink()
    with pytest.raises(ValueError, match=r"Info\.txt not found"):
        mini_mias(mias)


def test_cesm_rows_become_records_and_unknown_stays_absent(cesm):
    records = by_id(cdd_cesm(cesm)[0])
    assert records["P1_R_CM_CC"]["pathology"] == "MALIGNANT"
    assert records["P1_R_CM_CC"]["birads"] == 4
    assert records["P1_R_CM_CC"]["raw"]["birads"] == "4$3"
    assert records["P1_R_CM_CC"]["density"] == "C"
    assert "density" not in records["P0_L_CM_CC"]
    assert records["P0_L_CM_CC"]["age"] == 46


def test_cesm_is_dealt_60_20_20_by_patient(cesm):
    datalist, report = cdd_cesm(cesm)
    assert check_leaks(datalist) == {}
    assert [len({r["patient_id"] for r in datalist[n]}) for n in ("training", "validation", "test")] == [6, 2, 2]
    assert {r["pathology"] for r in datalist["test"]} == {"NORMAL", "BENIGN", "MALIGNANT"}
    assert [p["item"] for p in report.unresolved] == ["gone"]


def test_cesm_names_a_missing_column(cesm):
    table = cesm / "metadata.csv"
    table.write_text(table.read_text().replace("density_acr", "density"))
    with pytest.raises(ValueError, match="column 'density_acr' is missing"):
        cdd_cesm(cesm)


@pytest.mark.parametrize("name", ADAPTERS)
def test_each_adapter_takes_a_root_and_a_seed_and_refuses_an_empty_folder(name, tmp_path):
    parameters = list(inspect.signature(ADAPTERS[name]).parameters)
    assert parameters[0] == "root"
    assert "seed" in parameters
    with pytest.raises(ValueError, match="not found"):
        ADAPTERS[name](tmp_path)


def test_prepare_writes_a_datalist_and_the_problems_beside_it(cesm, tmp_path, caplog):
    caplog.set_level("INFO")
    datalist = prepare_dataset("cdd_cesm", cesm, tmp_path / "out" / "list.json", seed=3, split=None)
    check_datalist(datalist)
    loaded = load_datalist(tmp_path / "out" / "list.json")
    assert by_id(loaded) == by_id(datalist)
    assert len((tmp_path / "out" / "list.problems.csv").read_text().splitlines()) == 2
    assert re.search(r"training +12 +6\b", caplog.text)


def test_prepare_names_an_unknown_dataset_or_option(tmp_path):
    with pytest.raises(ValueError, match="unknown dataset 'ddsm'; known are cbis_ddsm"):
        prepare_dataset("ddsm", tmp_path, tmp_path / "list.json")
    with pytest.raises(ValueError, match="mini_mias has no option 'split'; it has seed"):
        prepare_dataset("mini_mias", tmp_path, tmp_path / "list.json", split="official")
