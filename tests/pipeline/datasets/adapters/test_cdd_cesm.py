"""CDD-CESM in TCIA's layout in miniature: the workbook with its sheets, the hand-drawn regions, empty images."""

import json
import math

import pandas as pd
import pytest
from mammo.pipeline.datasets.adapters.cdd_cesm import WORKBOOK, WORKBOOK_COLUMNS, cdd_cesm
from mammo.pipeline.datasets.adapters.cdd_cesm_sheets import SHEETS
from mammo.pipeline.datasets.records import check_datalist, check_leaks

FOLDERS = {"DM": "Low energy images of CDD-CESM", "CM": "Subtracted images of CDD-CESM"}
DETAILS = ["Image_name", "BIRADS", "Mass shape", "Mass margin", "Findings"]


def image(name: str, **given: object) -> dict[str, object]:
    patient, side, kind, view = name.strip().split("_")
    row = dict.fromkeys(WORKBOOK_COLUMNS, "_") | {"Image_name": name, "Patient_ID": int(patient[1:]), "Side": side}
    row |= {"View": view, "Type": "DM" if kind == "DM" else "CESM", "Age": 46, "BIRADS": 1, "Machine": 1}
    row |= {"Breast density (ACR)": "C" if kind == "DM" else "_", "Pathology Classification/ Follow up": "Normal"}
    return row | given


@pytest.fixture
def make(tmp_path):
    def tree(rows, sheets=None, folders=FOLDERS, suffix=".jpg"):
        with pd.ExcelWriter(tmp_path / WORKBOOK) as workbook:
            pd.DataFrame(rows, columns=list(WORKBOOK_COLUMNS)).to_excel(workbook, sheet_name="all", index=False)
            for name in SHEETS:
                listed = (sheets or {}).get(name, [])
                pd.DataFrame(listed, columns=DETAILS).to_excel(workbook, sheet_name=name, index=False)
        for row in rows:
            folder = tmp_path / "CDD-CESM" / folders["DM" if row["Type"] == "DM" else "CM"]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{row['Image_name']}{suffix}").touch()
        return tmp_path

    return tree


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


PAIR = [image("P12_L_DM_CC"), image("P12_L_CM_CC")]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("all", {"P12_L_DM_CC": "low_energy", "P12_L_CM_CC": "subtracted"}),
        ("low_energy", {"P12_L_DM_CC": "low_energy"}),
        ("subtracted", {"P12_L_CM_CC": "subtracted"}),
    ],
)
def test_both_kinds_of_images_are_found_and_chosen(make, asked, expected):
    datalist, report = cdd_cesm(make(PAIR), images=asked)
    check_datalist(datalist)
    records = by_id(datalist)
    assert {name: record["extra"]["image_type"] for name, record in records.items()} == expected
    assert {record["patient_id"] for record in records.values()} == {"P12"}
    assert len([p for p in report.problems if p["kind"] == "excluded"]) == 2 - len(expected)
    assert report.unresolved == []


def test_the_density_of_the_low_energy_image_holds_for_the_subtracted_one(make):
    rows = [*PAIR, image("P12_R_CM_CC")]
    records = by_id(cdd_cesm(make(rows), images="subtracted")[0])
    assert records["P12_L_CM_CC"]["density"] == "C"
    assert "density" not in records["P12_R_CM_CC"]


def test_labels_carry_where_they_come_from(make):
    rows = [image(f"P{n}_L_DM_CC", **{"Pathology Classification/ Follow up": word})
            for n, word in enumerate(("Normal", "Benign", "Malignant"))]  # fmt: skip
    records = by_id(cdd_cesm(make(rows))[0])
    assert {(r["pathology"], r["label_provenance"]) for r in records.values()} == {
        ("NORMAL", "outcome"), ("BENIGN", "outcome"), ("MALIGNANT", "biopsy")
    }  # fmt: skip
    assert {r["device"] for r in records.values()} == {"machine 1"}


def test_names_that_end_in_a_blank_are_found_and_doubles_reported(make):
    rows = [image("P4_L_DM_MLO "), image("P5_L_DM_MLO"), image("P5_L_DM_MLO")]
    datalist, report = cdd_cesm(make(rows))
    assert set(by_id(datalist)) == {"P4_L_DM_MLO", "P5_L_DM_MLO"}
    assert [(p["row"], p["reason"]) for p in report.problems] == [(3, "the image is listed twice: first in row 2")]


def test_sheets_become_findings(make):
    sheets = {
        "mass_description": [["P12_L_DM_CC", 4, "Round-Oval", "Speculated ", "Two masses"]],
        "calcifications": [["P12_L_DM_CC ", "5$2", "_", "_", "Macrocalcification"]],
        "postoperative": [["P13_L_DM_CC", 2, "_", "_", "Flap"]],
        "mass enhancement_description": [["P12_L_CM_CC", 5, "Irregular ", "Irregular", "Mass"]],
    }
    records = by_id(cdd_cesm(make([*PAIR, image("P13_L_DM_CC", BIRADS="5$2")], sheets))[0])
    mass, calcification = records["P12_L_DM_CC"]["findings"]
    assert (mass["type"], mass["shapes"], mass["margins"]) == ("mass", ["OVAL", "ROUND"], ["SPICULATED"])
    assert mass["assessment"] == 4
    assert (calcification["type"], "assessment" in calcification) == ("calcification", False)
    assert calcification["raw"]["BIRADS"] == "5$2"
    assert records["P12_L_CM_CC"]["abnormality"] == "mass"
    assert records["P13_L_DM_CC"]["findings"][0]["raw"]["sheet"] == "postoperative"
    assert "abnormality" not in records["P13_L_DM_CC"]
    assert records["P13_L_DM_CC"]["birads"] == 5


def test_hand_drawn_regions_are_outlines_in_rows_and_columns(make):
    root = make([*PAIR, image("P13_L_DM_CC")])
    shapes = [
        ("P12_L_DM_CC.jpg", {"name": "polygon", "all_points_x": [1, 9, 9], "all_points_y": [20, 20, 60]}),
        ("P12_L_CM_CC .jpg", {"name": "ellipse", "cx": 50, "cy": 30, "rx": 20, "ry": 10, "theta": math.pi / 2}),
        ("P13_L_DM_CC.jpg", {"name": "circle", "cx": 50, "cy": 30, "r": 8}),
        ("P13_L_DM_CC.jpg", {"name": "point", "cx": 5, "cy": 3}),
        ("P13_L_DM_CC.jpg", {"name": "circle"}),
    ]
    columns = ["#filename", "region_shape_attributes"]
    table = pd.DataFrame([(name, json.dumps(shape)) for name, shape in shapes], columns=columns)
    table.to_csv(root / "Radiology_hand_drawn_segmentations_v2.csv", index=False)
    datalist, report = cdd_cesm(root)
    check_datalist(datalist)
    records = by_id(datalist)
    polygon = records["P12_L_DM_CC"]["findings"][0]
    assert polygon["polygon"] == [[20, 1], [20, 9], [60, 9]]
    assert records["P12_L_DM_CC"]["boxes"] == [[20, 1, 60, 9]]
    # Turned by a quarter, the long half axis of 20 runs along the rows.
    assert records["P12_L_CM_CC"]["boxes"][0] == pytest.approx([10, 40, 50, 60])
    assert [f["circle"] for f in records["P13_L_DM_CC"]["findings"]] == [[30, 50, 8]]
    assert [(p["row"], p["kind"]) for p in report.problems] == [(4, "roi"), (5, "roi")]


def test_both_images_of_a_patient_are_in_one_part(make):
    rows = [image(f"P{n}_{side}_{kind}_CC") for n in range(10) for side in "LR" for kind in ("DM", "CM")]
    datalist, _ = cdd_cesm(make(rows))
    assert check_leaks(datalist) == {}
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [24, 8, 8]


def test_a_missing_workbook_sheet_or_image_is_named(make, tmp_path):
    with pytest.raises(ValueError, match=r"metadata\.csv not found, nor Radiology-manual-annotations\.xlsx"):
        cdd_cesm(tmp_path)
    with pytest.raises(ValueError, match="images must be all, low_energy, subtracted, got 'DM'"):
        cdd_cesm(tmp_path, images="DM")
    root = make(PAIR)
    with pd.ExcelWriter(root / WORKBOOK) as workbook:
        pd.DataFrame(PAIR, columns=list(WORKBOOK_COLUMNS)).to_excel(workbook, sheet_name="all", index=False)
    with pytest.raises(ValueError, match=r"cannot be read as a table .*mass_description"):
        cdd_cesm(root)
    make(PAIR)
    for path in root.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(ValueError, match="none of its 2 rows can be used"):
        cdd_cesm(root)
