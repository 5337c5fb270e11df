"""Frozen splits: any departure is told, and no identifier is published."""

import json

import pytest
from mammo.pipeline.reproduce.frozen import check_split, freeze, load_split, save_split, split_digest


def record(patient, image, malignant=False):
    pathology = "MALIGNANT" if malignant else "BENIGN"
    known = {"image": f"/somewhere/{image}.dcm", "patient_id": patient, "image_id": image, "dataset": "d"}
    return known | {"pathology": pathology}


def lists():
    """Five patients in two sections."""
    training = [record(f"Patient-{n}", f"{n}{view}", n == 1) for n in (1, 2, 3) for view in "ab"]
    return {"training": training, "test": [record("Patient-8", "8a", True), record("Patient-9", "9a")]}


@pytest.fixture
def frozen():
    return freeze(lists(), name="s", rule="r", tasks=["pathology"])


def test_a_split_is_itself_wherever_its_images_lie(frozen):
    moved = {k: [r | {"image": "/elsewhere/" + r["image_id"]} for r in v[::-1]] for k, v in lists().items()}
    assert check_split(frozen, lists()) == []
    assert check_split(frozen, moved) == []
    assert split_digest(moved) == split_digest(lists())


def test_a_patient_on_the_wrong_side_is_named(frozen):
    wrong = lists()
    wrong["training"].append(wrong["test"].pop())
    found = "\n".join(check_split(frozen, wrong))
    assert "test: 1 of its patients are in another section: Patient-9 (in training)" in found
    assert "training: 1 patients do not belong there: Patient-9" in found
    assert split_digest(wrong) != split_digest(lists())


def test_a_patient_who_is_missing_is_counted(frozen):
    wrong = lists() | {"test": lists()["test"][:1]}
    assert "test: 1 of its 2 patients are not there at all" in check_split(frozen, wrong)


def test_a_lost_image_another_image_and_another_label_are_told(frozen):
    lost, other, label = lists(), lists(), lists()
    lost["training"].pop()
    other["training"][0]["image_id"] = "other"
    label["test"][1]["pathology"] = "MALIGNANT"
    assert "training: 5 images, and the frozen split has 6" in check_split(frozen, lost)
    assert check_split(frozen, other) == ["training: as many images as in the frozen split, but others"]
    assert "test: 2 images of class 1 of pathology, and the frozen split has 1" in check_split(frozen, label)


def test_sections_can_be_counted_together():
    known = {"sections": {"training+validation": {"patients": 3, "images": 6}}}
    cut = lists() | {"validation": lists()["training"][4:], "training": lists()["training"][:4]}
    assert check_split(known, cut) == []
    assert check_split(known, cut | {"validation": []}) != []


def test_the_file_names_no_patient_and_reads_as_it_was(frozen, tmp_path):
    save_split(frozen, tmp_path / "split.json")
    text = (tmp_path / "split.json").read_text()
    assert "Patient-" not in text
    assert load_split(tmp_path / "split.json") == frozen == json.loads(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sections": {"tests": {}}}'])
def test_what_is_no_split_is_refused_by_name(text, tmp_path):
    (tmp_path / "wrong.json").write_text(text)
    with pytest.raises(ValueError, match=r"wrong\.json"):
        load_split(tmp_path / "wrong.json")
