"""VinDr's table of findings in miniature: the published columns, and PNG files of the sizes that boxes count in."""

import csv

import cv2
import numpy as np
import pytest
from mammo.pipeline.datasets import check_datalist, encode_labels
from mammo.pipeline.datasets.adapters import mammo_clip_detection
from mammo.pipeline.datasets.adapters.mammo_clip_detection import FINDING_TABLE
from mammo.pipeline.datasets.adapters.vindr_mammo import CATEGORIES

ORIGINAL, RESIZED = (60, 40), (30, 16)
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def finding(image="i1", names="['Mass']", box=(8.0, 12.0, 20.0, 36.0), patient="p1", **given):
    """A row; the box is x0, y0, x1, y1 in original pixels."""
    scales = (RESIZED[1] / ORIGINAL[1], RESIZED[0] / ORIGINAL[0]) * 2
    row = {"patient_id": patient, "series_id": "s", "image_id": f"{image}.png", "laterality": "L", "view": "CC"}
    row |= {"height": ORIGINAL[0], "width": ORIGINAL[1], "breast_birads": "BI-RADS 4", "breast_density": "DENSITY C"}
    row |= {"finding_categories": names, "finding_birads": "BI-RADS 5" if box else ""}
    row |= dict(zip(CORNERS, box or ("",) * 4, strict=True)) | {"split": "training"}
    resized = [edge * scale for edge, scale in zip(box, scales, strict=True)] if box else [""] * 4
    row |= dict(zip((f"resized_{name}" for name in CORNERS), resized, strict=True))
    return row | {"fold": "0", "density": "2"} | given


@pytest.fixture
def make(tmp_path):
    def tree(rows, shape=ORIGINAL):
        with open(tmp_path / FINDING_TABLE, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            folder = tmp_path / "images_png" / row["patient_id"]
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / row["image_id"]), np.zeros(shape, np.uint8))
        return tmp_path

    return tree


def listed(root, **options):
    datalist, report = mammo_clip_detection(root, resized_shape=RESIZED, **options)
    check_datalist(datalist)
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}, report


def test_rows_of_an_image_make_one_record_and_no_image_is_positive_and_negative(make):
    rows = [
        finding("i1", "['Mass']"),
        finding("i1", "['Asymmetry', 'Mass']", (0, 0, 10, 10)),
        finding("i1", "['Suspicious Calcification']", (1, 1, 9, 9)),
        finding("i2", "['No Finding']", None),
        finding("i3", "['Asymmetry']", (0, 0, 10, 10)),
    ]
    records, report = listed(make(rows))
    assert [f["type"] for f in records["i1"]["findings"]] == ["mass", "asymmetry", "mass", "calcification"]
    assert len(records["i1"]["boxes"]) == 3
    tasks = ["finding_mass", "finding_calcification", "finding_asymmetry", "finding_skin_retraction"]
    labels = {name: encode_labels([record], tasks)[0]["label"] for name, record in records.items()}
    assert labels == {"i1": [1, 1, 1, 0], "i2": [0, 0, 0, 0], "i3": [0, 0, 1, 0]}
    assert (records["i2"]["findings"], report.problems) == ([], [])


@pytest.mark.parametrize("shape", [ORIGINAL, RESIZED])
def test_boxes_count_in_the_pixels_of_the_picture_on_disk(make, shape):
    record = listed(make([finding()], shape))[0]["i1"]
    scale = np.array([shape[0] / ORIGINAL[0], shape[1] / ORIGINAL[1]] * 2)
    np.testing.assert_allclose(record["boxes"][0] / scale, [12, 8, 36, 20])
    assert record["findings"][0]["assessment"] == 5


def test_a_picture_of_another_size_has_findings_without_a_box(make):
    records, report = listed(make([finding()], (31, 16)))
    assert "boxes" not in records["i1"]
    assert [f["type"] for f in records["i1"]["findings"]] == ["mass"]
    assert [(p["kind"], p["row"]) for p in report.problems] == [("roi", 1)]
    assert "size is not known to the table: (31, 16)" in report.problems[0]["reason"]


def test_boxes_cut_at_the_wrong_side_are_reported(make):
    rows = [
        finding("i1", resized_ymin=24.0, resized_ymax=16.0),  # clipped to the width, as the published script did
        finding("i2", resized_xmax=""),
        finding("i3", resized_xmin=-4.0, resized_ymax=99.0),
    ]
    records, report = listed(make(rows, RESIZED))
    assert [(p["row"], p["reason"].split(",")[1].split(":")[0].strip()) for p in report.problems] == [
        (1, "it is empty"), (2, "a corner is no number")
    ]  # fmt: skip
    assert "boxes" not in records["i1"]
    assert records["i3"]["boxes"] == [[6.0, 0.0, 30.0, 8.0]]


def test_density_and_category_of_the_breast(make):
    rows = [
        finding("i1"),
        finding("i2", breast_density="", breast_birads=""),
        finding("i3", breast_density="DENSITY X", breast_birads="BI-RADS 9", finding_birads="9"),
    ]
    records, report = listed(make(rows))
    assert [(r.get("birads"), r.get("density")) for r in records.values()] == [(4, "C"), (None, "C"), (None, None)]
    assert [p["reason"].split(" ")[0] for p in report.problems] == ["birads", "birads", "density"]


def test_findings_that_cannot_be_read_leave_the_others_unknown(make):
    records, report = listed(make([finding("i1"), finding("i1", "Mass"), finding("i2", "['Scar']")]))
    assert encode_labels([records["i1"]], ["finding_mass", "finding_asymmetry"])[0]["label"] == [1, -1]
    assert [f["type"] for f in records["i2"]["findings"]] == ["other"]
    assert [p["row"] for p in report.problems] == [2, 3]


def test_rows_that_contradict_each_other_leave_the_image_out(make):
    rows = [finding("i1"), finding("i1", split="test"), finding("i2"), finding("i3", split="later")]
    records, report = listed(make(rows))
    assert set(records) == {"i2"}
    assert [p["reason"] for p in report.unresolved] == [
        "its rows do not agree on split: test, training", "unknown laterality or split: 'L' 'later'"
    ]  # fmt: skip


def test_unusable_options_and_folders_are_named(make):
    root = make([finding()])
    with pytest.raises(ValueError, match=r"none of its 1 rows has an image; .*name the folder with img_dir"):
        mammo_clip_detection(root, img_dir="elsewhere")
    with pytest.raises(ValueError, match="resized_shape must be rows and columns"):
        mammo_clip_detection(root, resized_shape=(912,))


def test_all_ten_types_are_looked_for(make):
    records, _ = listed(make([finding("i1", "['No Finding']", None)]))
    assert set(records["i1"]["looked_for"]) == set(CATEGORIES.values())
