"""VinDr-Mammo in miniature: both tables with their quirks; the images are empty files."""

import csv

import pytest
from mammo.pipeline.datasets import encode_labels
from mammo.pipeline.datasets.adapters.vindr_mammo import CATEGORIES, vindr_mammo
from mammo.pipeline.datasets.records import check_datalist, check_leaks

BREAST = ["study_id", "series_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads",
          "breast_density", "split"]  # fmt: skip
FINDING = [*BREAST[:-1], "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax", "split"]


def breast(study: str, view: str = "LCC", split: str = "training", **given: str) -> dict[str, str]:
    image = f"{study}-{view}"
    row = {"study_id": study, "series_id": "s", "image_id": image, "laterality": view[0], "view_position": view[1:]}
    row |= {"height": "100", "width": "80", "breast_birads": "BI-RADS 2", "breast_density": "DENSITY B"}
    return row | {"split": split} | given


def finding(row: dict[str, str], categories: str, box: str = "", birads: str = "BI-RADS 4") -> dict[str, str]:
    corners = box.split() or [""] * 4
    return row | {
        "finding_categories": categories,
        "finding_birads": birads,
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)),
    }


def write(path, columns, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def make(tmp_path):
    def tree(breasts, findings=(), missing=()):
        write(tmp_path / "breast-level_annotations.csv", BREAST, breasts)
        write(tmp_path / "finding_annotations.csv", FINDING, findings)
        for row in breasts:
            if row["image_id"] not in missing:
                folder = tmp_path / "images" / row["study_id"]
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{row['image_id']}.dicom").touch()
        return tmp_path

    return tree


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


def test_categories_are_matched_whole(make):
    rows = [breast(f"s{n}") for n in range(len(CATEGORIES))]
    root = make(rows, [finding(row, f"['{name}']", "1 2 3 4") for row, name in zip(rows, CATEGORIES, strict=True)])
    datalist, report = vindr_mammo(root)
    check_datalist(datalist)
    records = by_id(datalist)
    for row, kind in zip(rows, CATEGORIES.values(), strict=True):
        assert [f["type"] for f in records[row["image_id"]]["findings"]] == [kind]
    assert len(set(CATEGORIES.values())) == 10  # "Asymmetry" lies inside two others
    assert report.problems == []


def test_boxes_are_rows_first_and_cut_to_the_image(make):
    row = breast("s1")
    root = make([row], [finding(row, "['Mass']", "-3.5 10 50 120.5")])
    record = by_id(vindr_mammo(root)[0])["s1-LCC"]
    assert record["boxes"] == [[10.0, 0.0, 100.0, 50.0]]
    assert record["findings"][0]["box"] == [10.0, 0.0, 100.0, 50.0]
    assert record["findings"][0]["assessment"] == 4


def test_a_box_of_two_categories_gives_two_findings_and_one_box(make):
    row = breast("s1")
    root = make([row], [finding(row, "['Mass', 'Skin Retraction']", "1 2 30 40")])
    record = by_id(vindr_mammo(root)[0])["s1-LCC"]
    assert [f["type"] for f in record["findings"]] == ["mass", "skin_retraction"]
    assert record["boxes"] == [[2.0, 1.0, 40.0, 30.0]]
    assert "abnormality" not in record


def test_birads_and_density_are_read_and_pathology_is_not_made_of_them(make):
    rows = [
        breast("s1", breast_birads="BI-RADS 5"),
        breast("s2", breast_density=""),
        breast("s3", breast_density="DENSITY X"),
    ]
    datalist, report = vindr_mammo(make(rows, [finding(row, "['No Finding']", birads="") for row in rows]))
    records = by_id(datalist)
    assert (records["s1-LCC"]["birads"], records["s1-LCC"]["density"]) == (5, "B")
    assert "density" not in records["s2-LCC"]
    assert "density" not in records["s3-LCC"]
    assert [(p["row"], p["reason"]) for p in report.problems] == [(3, "unknown breast_density: 'DENSITY X'")]
    assert not any({"pathology", "label_provenance", "abnormality"} & r.keys() for r in records.values())


def test_an_image_counts_once_whatever_its_rows_say(make):
    """A mass in one row and none in another: the released training counted such images as both."""
    rows = [breast(f"s{n}", split="test" if n == 4 else "training") for n in range(5)]
    findings = [
        finding(rows[0], "['Mass']", "1 2 30 40"),
        finding(rows[0], "['Skin Thickening']", "50 2 60 40"),
        finding(rows[1], "['Asymmetry']", "1 2 30 40"),
        finding(rows[2], "['No Finding']", birads=""),
        finding(rows[3], "['Asymmetry']", "1 2 30 40"),
        finding(rows[3], "[]"),
    ]
    records = by_id(vindr_mammo(make(rows, findings))[0])
    assert len(records) == 5
    tasks = ["finding_mass", "finding_skin_thickening", "finding_asymmetry"]
    labels = [record["label"] for record in encode_labels([records[f"s{n}-LCC"] for n in range(5)], tasks)]
    # The fourth has a row that may have said anything, the fifth none.
    assert labels == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [-1, -1, 1], [-1, -1, -1]]
    assert records["s2-LCC"]["findings"] == []
    assert set(records["s2-LCC"]["looked_for"]) == set(CATEGORIES.values())
    assert not {"findings", "looked_for"} & records["s4-LCC"].keys()


def test_boxes_are_cut_at_the_width_in_columns_and_at_the_height_in_rows(make):
    """The released script cut ``ymax`` at the width: of a tall image the lower part of a box was lost."""
    row = breast("s1")  # 100 rows, 80 columns
    root = make([row], [finding(row, "['Mass']", "60 70 95 95")])
    assert by_id(vindr_mammo(root)[0])["s1-LCC"]["boxes"] == [[70.0, 60.0, 95.0, 80.0]]


def test_the_official_split_is_kept_and_validation_cut_by_study(make):
    rows = [breast(f"s{n}", view) for n in range(10) for view in ("LCC", "RMLO")]
    rows += [breast(f"t{n}", split="test") for n in range(3)]
    for row in rows[:10]:
        row["breast_birads"] = "BI-RADS 4"
    datalist, _ = vindr_mammo(make(rows), validation_fraction=0.4)
    assert check_leaks(datalist) == {}
    assert {r["patient_id"] for r in datalist["test"]} == {"t0", "t1", "t2"}
    assert [len(datalist[name]) for name in ("training", "validation")] == [12, 8]
    # Half of the studies are of category 4, in both parts.
    assert {name: sum(r["birads"] == 4 for r in datalist[name]) for name in ("training", "validation")} == {
        "training": 6, "validation": 4
    }  # fmt: skip
    assert {r["split"] for r in datalist["validation"]} == {"validation"}
    assert vindr_mammo(make(rows), validation_fraction=0)[0]["validation"] == []


def test_unusable_rows_are_reported_with_table_and_row(make):
    rows = [breast("s1"), breast("s2"), breast("s3", split="train"), breast("s1")]
    findings = [
        finding(rows[0], "Mass", "1 2 3 4"),
        finding(rows[0], "['Scar']", "1 2 3 4"),
        finding(rows[0], "['Mass']", "90 10 95 20"),
        finding(rows[1], "['Mass']", "1 2 3 4"),
        finding(breast("s9"), "['Mass']", "1 2 3 4"),
    ]
    datalist, report = vindr_mammo(make(rows, findings, missing=["s2-LCC"]))
    told = {(p["kind"], p["row"], p["reason"].split(":")[0]) for p in report.problems}
    assert told == {
        ("image", 2, "the image is not on disk"),
        ("image", 3, "unknown laterality or split"),
        ("image", 4, "the image is listed twice"),
        ("roi", 1, "not a list of categories"),
        ("roi", 2, "unknown category, taken as other"),
        ("roi", 3, "the box is empty or outside the image"),
        ("roi", 5, "the image is in no row of the breast-level table"),
    }
    kept = by_id(datalist)["s1-LCC"]["findings"]
    assert [(f["type"], "box" in f) for f in kept] == [("other", True), ("mass", False)]


def test_the_table_of_headers_gives_device_and_age(make):
    root = make([breast("s1"), breast("s2")])
    columns = ["SOP Instance UID", "Manufacturer", "Manufacturer's Model Name", "Patient's Age"]
    rows = [dict(zip(columns, ("s1-LCC", "SIEMENS", "Mammomat", "045Y"), strict=True))]
    write(root / "metadata.csv", columns, rows)
    records = by_id(vindr_mammo(root)[0])
    assert (records["s1-LCC"]["age"], records["s1-LCC"]["device"]) == (45, "Mammomat")
    assert "age" not in records["s2-LCC"]


def test_missing_tables_columns_and_images_are_named(make, tmp_path):
    root = make([breast("s1")], missing=["s1-LCC"])
    with pytest.raises(ValueError, match=r"none of its 1 rows has an image; expected images/<study_id>"):
        vindr_mammo(root)
    with pytest.raises(ValueError, match="validation_fraction must be at least 0 and below 1, got 1"):
        vindr_mammo(root, validation_fraction=1)
    make([breast("s1")])
    (root / "finding_annotations.csv").unlink()
    with pytest.raises(ValueError, match=r"finding_annotations\.csv not found"):
        vindr_mammo(root)
    table = root / "breast-level_annotations.csv"
    table.write_text(table.read_text().replace("breast_birads", "birads"))
    with pytest.raises(ValueError, match="column 'breast_birads' is missing"):
        vindr_mammo(root)
