from pathlib import Path

import pytest
import torch
from mammo.pipeline.datasets import RunRecords, save_datalist
from mammo.transforms.errors import MammogramError
from monai.transforms import MapTransform


class Decode(MapTransform):
    """Takes the content of a text file for the image; an empty file is a bad one."""

    def __call__(self, data):
        text = Path(data["image"]).read_text()
        if not text:
            raise MammogramError(data["image"], "all_zero", "no pixel is above zero")
        return {**data, "image": torch.full((1, 2, 2), float(text))}


@pytest.fixture
def datalist(record, tmp_path):
    """Twenty training patients, half malignant, one without label; one validation patient; root is tmp_path."""

    def make(patient, pathology):
        (tmp_path / f"{patient}.txt").write_text("1")
        item = record(patient, image=str(tmp_path / f"{patient}.txt"))
        return item | ({"pathology": pathology} if pathology else {})

    training = [make(f"P{n:02}", "MALIGNANT" if n % 2 else "BENIGN") for n in range(20)]
    content = {"training": [*training, make("P77", None)], "validation": [make("P90", "BENIGN")]}
    return save_datalist({**content, "root": str(tmp_path)}, tmp_path / "datalist.json")


@pytest.fixture
def run(datalist, tmp_path):
    def make(**options):
        arguments = {"sections": ["training", "validation"], "transform": [Decode("image")],
                     "output_dir": tmp_path / "run", "cache_dir": tmp_path / "cache"} | options  # fmt: skip
        return RunRecords(datalist, **arguments)

    return make


def test_a_run_without_tasks_takes_every_image(run):
    records = run()
    assert {name: len(records[name]) for name in records} == {"training": 21, "validation": 1}
    assert len(list(Path(records["training"][0]["image"]).parent.joinpath("cache").glob("sources/*/*"))) == 22


def test_a_run_with_tasks_takes_labelled_training_images_only(run):
    records = run(tasks=["pathology"])
    assert len(records["training"]) == 20
    assert {tuple(r["label"]) for r in records["training"]} == {(0,), (1,)}
    assert records["validation"][0]["label"] == [0]


def test_a_label_percentage_thins_training_out_and_leaves_validation(run):
    records = run(tasks=["pathology"], label_percentage=10)
    assert sorted(r["label"] for r in records["training"]) == [[0], [1]]
    assert len(records["validation"]) == 1


def test_class_weights_come_from_the_labels_in_use(run, datalist):
    weights = run(tasks=["pathology"]).class_weights({"pathology": 2})
    torch.testing.assert_close(weights["pathology"], torch.ones(2))


def test_bad_images_are_listed_in_the_run_folder_and_left_out(run, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "P03.txt").write_text("")
    records = run()
    assert "P03" not in {r["patient_id"] for r in records["training"]}
    lines = (tmp_path / "run" / "quarantine.csv").read_text().splitlines()
    assert lines[0] == "image,image_id,reason,message"
    assert lines[1].endswith("P03_image,all_zero,no pixel is above zero")
    assert "1 images set aside: 1 all_zero" in caplog.text


def test_cases_are_picked_by_id(run):
    records = run(sections=["training"], cases=["P03_image", "P05_image"])
    assert [r["image_id"] for r in records["training"]] == ["P03_image", "P05_image"]
    with pytest.raises(ValueError, match="no image nobody in training"):
        run(sections=["training"], cases=["nobody"])


def test_a_section_without_images_is_an_error(run, tmp_path):
    (tmp_path / "P90.txt").write_text("")
    with pytest.raises(ValueError, match=r"no usable image in 'validation': all were set aside, .*quarantine.csv"):
        run()


def test_labels_of_one_class_are_an_error(run, tmp_path):
    for number in range(1, 20, 2):
        (tmp_path / f"P{number:02}.txt").write_text("")  # all malignant images are bad
    with pytest.raises(ValueError, match="'pathology' has 1 of 2 classes in the training images"):
        run(tasks=["pathology"])


def test_a_section_that_the_list_has_not_is_named_with_those_it_has(run):
    with pytest.raises(ValueError, match=r"'test': the list has only training \(21\), validation \(1\); .*--section"):
        run(sections=["test"])


def test_a_task_that_no_image_answers_is_an_error(run):
    with pytest.raises(ValueError, match=r"in 'training': none of its \d+ images has a label of density"):
        run(tasks=["density"])


def test_a_datalist_that_leaks_stops_the_run(record, tmp_path, run):
    leaking = {"training": [record("P1", "a")], "validation": [record("P1", "b")]}
    save_datalist(leaking, tmp_path / "datalist.json")
    with pytest.raises(ValueError, match=r"P1 \(training, validation\)"):
        run()


def test_asking_for_another_section_names_those_there_are(run):
    with pytest.raises(KeyError, match="training, validation"):
        run()["test"]


def test_images_left_without_a_label_may_stay(run):
    thinned = run(tasks=["pathology"], label_percentage=10)
    whole = run(tasks=["pathology"], label_percentage=10, keep_unlabelled=True)
    labels = {record["image_id"]: record["label"] for record in whole["training"]}
    assert len(labels) == 21
    assert {name: label for name, label in labels.items() if label != [-1]} == {
        record["image_id"]: record["label"] for record in thinned["training"]
    }
    assert len(whole["validation"]) == 1
    classes = {"pathology": 2}
    assert torch.equal(whole.class_weights(classes)["pathology"], thinned.class_weights(classes)["pathology"])


def test_labelled_images_are_drawn_as_often_as_asked(run):
    records = run(tasks=["pathology"], label_percentage=10, keep_unlabelled=True)
    weights = records.sampling_weights(0.25)
    labelled = [record["label"] != [-1] for record in records["training"]]
    assert sum(weights) == pytest.approx(1)
    assert sum(w for w, known in zip(weights, labelled, strict=True) if known) == pytest.approx(0.25)
    assert len(set(run(tasks=["pathology"]).sampling_weights(0.25))) == 1  # all are labelled
    with pytest.raises(ValueError, match="labelled_share"):
        records.sampling_weights(0)


def test_the_quarantine_of_an_earlier_run_does_not_stay(run, tmp_path):
    (tmp_path / "P03.txt").write_text("")
    run()
    (tmp_path / "P03.txt").write_text("1")
    run(cache_dir=None)
    assert not (tmp_path / "run/quarantine.csv").exists()


def test_an_optional_section_may_be_without_images(run, tmp_path):
    (tmp_path / "P90.txt").write_text("")
    records = run(optional=["validation"], tasks=["pathology"])
    assert records["validation"] == []
    assert run(sections=["training", "test"], optional=["test"])["test"] == []
