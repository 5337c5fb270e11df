"""Which images a detector may learn from, and where their lesions lie on the grid."""

import csv
import json
import os

import numpy as np
import pytest
import torch
from mammo.pipeline.datasets.lesion_boxes import LesionBoxesd
from mammo.pipeline.datasets.located_records import LocatedRecords, lesion_label
from monai.apps.detection.transforms.dictionary import ClipBoxToImaged
from PIL import Image


def record(image_id: str, **fields) -> dict:
    return {"image": f"{image_id}.png", "patient_id": image_id, "image_id": image_id, "dataset": "set", **fields}


MASS = {"type": "mass", "box": [1.0, 2, 11, 12]}
CALCIFICATION = {"type": "calcification", "box": [5.0, 5, 9, 9]}
UNPLACED = {"type": "mass", "assessment": 4}


@pytest.fixture
def sections() -> dict:
    return {
        "training": [
            record("both", findings=[MASS, CALCIFICATION]),
            record("calcification", findings=[CALCIFICATION]),
            record("unplaced", findings=[MASS, UNPLACED]),
            record("normal", pathology="NORMAL"),
            record("negative", birads=1),
            record("silent", density="B"),
        ],
        "validation": [record("boxes", boxes=[[0.0, 0, 4, 4]]), record("circle", findings=[{"circle": [9, 9, 2]}])],
    }


def test_images_with_places_and_images_known_to_be_free_are_kept(sections, tmp_path):
    found = LocatedRecords(sections, classes=["lesion"], output_dir=tmp_path)
    boxes = {r["image_id"]: r["boxes"] for section in found.values() for r in section}
    assert boxes == {
        "both": [MASS["box"], CALCIFICATION["box"]],
        "calcification": [CALCIFICATION["box"]],
        "normal": [],
        "negative": [],
        "boxes": [[0, 0, 4, 4]],
        "circle": [[7, 7, 12, 12]],
    }
    with open(tmp_path / "left_out.csv", newline="") as file:
        assert {row["item"] for row in csv.DictReader(file)} >= {"unplaced", "silent"}
    assert found.report.counts["images"] == 8
    assert found.report.counts["images kept"] == 6
    assert found.report.counts["of them without lesion"] == 2


def test_an_image_with_other_findings_only_is_free_of_the_class_sought(sections, tmp_path):
    found = LocatedRecords({"training": sections["training"]}, classes=["mass"], output_dir=tmp_path)
    boxes = {r["image_id"]: r["boxes"] for r in found["training"]}
    assert boxes == {"both": [MASS["box"]], "calcification": [], "normal": [], "negative": []}


def test_an_image_whose_readers_looked_for_the_classes_shows_none_of_them(tmp_path):
    ten = ["mass", "calcification", "asymmetry"]
    sections = {
        "training": [
            record("both", findings=[MASS, CALCIFICATION], looked_for=ten),
            record("searched", findings=[], looked_for=ten, birads=2),
            record("half", findings=[], looked_for=["mass"], birads=2),
            record("silent", birads=2),
        ]
    }
    two = LocatedRecords(sections, classes=["mass", "calcification"], output_dir=tmp_path)["training"]
    assert {r["image_id"]: len(r["boxes"]) for r in two} == {"both": 2, "searched": 0}
    any_lesion = LocatedRecords(sections, classes=["lesion"], output_dir=tmp_path)["training"]
    assert {r["image_id"]: len(r["boxes"]) for r in any_lesion} == {"both": 2, "searched": 0, "half": 0}


def test_a_mask_is_read_once_and_again_when_it_changed(tmp_path, monkeypatch):
    mask = np.zeros((40, 30), np.uint8)
    mask[10:20, 5:9] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.full((40, 30), 9, np.uint8)).save(tmp_path / "image.png")
    finding = {"type": "mass", "roi_mask": str(tmp_path / "mask.png")}
    sections = {"training": [{**record("a", findings=[finding]), "image": str(tmp_path / "image.png")}]}
    options = {"classes": ["lesion"], "output_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    assert LocatedRecords(sections, **options)["training"][0]["boxes"] == [[10, 5, 20, 9]]
    assert len(json.loads((tmp_path / "cache/lesion_boxes.json").read_text())) == 1
    with monkeypatch.context() as patch:
        patch.setattr("mammo.pipeline.datasets.roi_masks.read_mask", None)
        assert LocatedRecords(sections, **options)["training"][0]["boxes"] == [[10, 5, 20, 9]]
    Image.fromarray(mask[::-1]).save(tmp_path / "mask.png")
    os.utime(tmp_path / "mask.png", (1, 1))
    assert LocatedRecords(sections, **options)["training"][0]["boxes"] == [[20, 5, 30, 9]]


def test_a_section_without_any_lesion_is_refused(sections, tmp_path):
    with pytest.raises(ValueError, match="'training'"):
        LocatedRecords({"training": [record("normal", pathology="NORMAL")]}, classes=["lesion"], output_dir=tmp_path)


def test_an_unknown_class_is_refused(sections, tmp_path):
    with pytest.raises(ValueError, match="tumour"):
        LocatedRecords(sections, classes=["tumour"], output_dir=tmp_path)


def test_labels_are_places_in_the_list_of_classes():
    classes = ["mass", "calcification"]
    assert [lesion_label({"type": name}, classes) for name in ("calcification", "mass", "asymmetry")] == [1, 0, -1]
    assert lesion_label({}, ["lesion"]) == 0


def test_boxes_are_mapped_to_the_grid_of_a_mirrored_and_halved_image():
    # An original of 40 x 30 pixels, mirrored, then halved: column c of the grid is 29 - (2 c + 0.5).
    matrix = torch.tensor([[2.0, 0, 0.5], [0, -2, 28.5], [0, 0, 1]])
    item = {"findings": [{"box": [10.0, 4, 20, 10]}], "to_original": matrix}
    made = LesionBoxesd()(item)
    torch.testing.assert_close(made["boxes"], torch.tensor([[5.0, 10, 10, 13]]))
    assert made["box_labels"].tolist() == [0]


def test_boxes_are_clipped_at_the_rows_in_rows_and_at_the_columns_in_columns():
    """As the stages clip them, on a grid of 40 rows and 20 columns: the lower part of a tall box stays."""
    item = {"findings": [{"box": [30.0, 10, 50, 30]}, {"box": [5.0, -4, 36, 18]}], "to_original": torch.eye(3)}
    item |= {"image": torch.zeros(1, 40, 20)}
    clip = ClipBoxToImaged(box_keys="boxes", label_keys="box_labels", box_ref_image_keys="image")
    boxes = clip(LesionBoxesd()(item))["boxes"]
    torch.testing.assert_close(boxes, torch.tensor([[30.0, 10, 40, 20], [5, 0, 36, 18]]))


def test_no_finding_gives_no_box_of_the_right_shape():
    made = LesionBoxesd()({"findings": [], "to_original": torch.eye(3)})
    assert made["boxes"].shape == (0, 4)
    assert made["box_labels"].dtype == torch.int64
