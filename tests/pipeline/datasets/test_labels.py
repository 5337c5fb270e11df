import pytest
from mammo.pipeline.datasets import PRESETS, encode_labels, require_two_classes, resolve_tasks, task_sizes
from mammo.pipeline.datasets.schema import FINDING_TYPES


@pytest.mark.parametrize(
    ("task", "known", "label"),
    [
        ("pathology", {"pathology": "BENIGN"}, 0),
        ("pathology", {"pathology": "BENIGN_WITHOUT_CALLBACK"}, 0),
        ("pathology", {"pathology": "MALIGNANT"}, 1),
        ("pathology", {"pathology": "NORMAL"}, -1),
        ("pathology", {}, -1),
        ("malignant_vs_rest", {"pathology": "NORMAL"}, 0),
        ("malignant_vs_rest", {"pathology": "BENIGN_WITHOUT_CALLBACK"}, 0),
        ("malignant_vs_rest", {"pathology": "MALIGNANT"}, 1),
        ("density_fatty_dense", {"density": "FATTY"}, 0),
        ("density_fatty_dense", {"density": "DENSE_GLANDULAR"}, 1),
        ("density_fatty_dense", {"density": "FATTY_GLANDULAR"}, -1),
        ("density_fatty_dense", {"density": "D"}, -1),
        ("density", {"density": "C"}, 2),
        ("density", {"density": "FATTY"}, -1),
        ("abnormality", {"abnormality": "mass"}, 0),
        ("abnormality", {"abnormality": "calcification"}, 1),
        ("abnormality", {"abnormality": "asymmetry"}, -1),
        ("assessment", {"birads": 0}, 0),
        ("subtlety", {"subtlety": 1}, 0),
    ],
)
def test_presets_give_the_class_and_leave_the_rest_unknown(task, known, label, record):
    assert encode_labels([record(**known)], [task])[0]["label"] == [label]


@pytest.mark.parametrize(
    ("known", "mass", "calcification"),
    [
        ({}, -1, -1),
        ({"findings": [{"type": "mass"}]}, 1, -1),  # CBIS-DDSM's table of masses does not tell of calcifications
        ({"findings": [{"type": "mass"}], "looked_for": ["mass", "calcification"]}, 1, 0),
        ({"findings": [], "looked_for": ["mass"]}, 0, -1),
        ({"findings": []}, -1, -1),
        ({"abnormality": "calcification"}, -1, 1),
        ({"pathology": "NORMAL"}, 0, 0),
        ({"pathology": "NORMAL", "label_provenance": "reader"}, 0, 0),
        ({"pathology": "NORMAL", "label_provenance": "outcome"}, -1, -1),
        ({"pathology": "NORMAL", "label_provenance": "assumed"}, -1, -1),
        ({"pathology": "NORMAL", "label_provenance": "biopsy"}, -1, -1),
        ({"pathology": "NORMAL", "findings": [{"type": "cancer"}]}, -1, -1),
        ({"pathology": "BENIGN"}, -1, -1),
        ({"birads": 1}, 0, 0),
        ({"birads": 2}, -1, -1),
        ({"birads": 1, "boxes": [[0, 0, 1, 1]]}, -1, -1),
        ({"birads": 1, "pathology": "MALIGNANT"}, -1, -1),
    ],
)
def test_a_finding_is_there_or_not_only_where_the_record_knows(known, mass, calcification, record):
    assert encode_labels([record(**known)], ["finding_mass", "finding_calcification"])[0]["label"] == [
        mass, calcification
    ]  # fmt: skip


def test_every_type_of_finding_is_a_task_of_two_classes(record):
    for kind in FINDING_TYPES:
        assert task_sizes([f"finding_{kind}"]) == {f"finding_{kind}": 2}
        assert encode_labels([record(findings=[{"type": kind}])], [f"finding_{kind}"])[0]["label"] == [1]


def test_labels_follow_the_order_of_the_tasks(record):
    item = record(pathology="MALIGNANT", abnormality="mass")
    assert encode_labels([item], ["abnormality", "pathology", "density"])[0]["label"] == [0, 1, -1]


def test_the_records_given_are_left_alone(record):
    item = record(pathology="BENIGN")
    encode_labels([item], ["pathology"])
    assert "label" not in item


def test_words_stand_for_classes_whatever_their_case(record):
    tasks = {"pathology": ["benign", "malignant"]}
    labels = [encode_labels([record(pathology=p)], tasks)[0]["label"] for p in
              ("BENIGN", "BENIGN_WITHOUT_CALLBACK", "MALIGNANT")]  # fmt: skip
    assert labels == [[0], [0], [1]]


def test_own_classes_and_a_field_of_another_name(record):
    tasks = {"suspicious": {"field": "birads", "classes": [[1, 2, 3], [4, 5]]}}
    assert [encode_labels([record(birads=b)], tasks)[0]["label"][0] for b in (0, 2, 5)] == [-1, 0, 1]


def test_task_sizes_count_the_classes():
    assert task_sizes(["pathology", "density"]) == {"pathology": 2, "density": 4}
    assert task_sizes(list(PRESETS)) == {name: len(task.classes) for name, task in PRESETS.items()}


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (["cancer"], "unknown task 'cancer'"),
        ("pathology", "list of names"),
        ([], "list of names"),
        ({"cancer": [["A"], ["B"]]}, "no field 'cancer'"),
        ({"pathology": ["benign"]}, "two classes"),
        ({"pathology": [["MALIGNANT"], []]}, "two classes"),
        ({"pathology": ["benign", ["BENIGN", "MALIGNANT"]]}, "'BENIGN' is in more than one class"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(tasks, words):
    with pytest.raises(ValueError, match=words):
        resolve_tasks(tasks)


def test_one_class_of_training_labels_is_an_error_with_the_counts(record):
    records = encode_labels([record(pathology="BENIGN"), record(pathology="BENIGN"), record()], ["pathology"])
    with pytest.raises(ValueError, match=r"'pathology' has 1 of 2 classes .*BENIGN_WITHOUT_CALLBACK: 2, MALIGNANT: 0"):
        require_two_classes(records, ["pathology"])


def test_two_of_many_classes_are_enough(record):
    tasks = ["density"]
    require_two_classes(encode_labels([record(density="A"), record(density="D")], tasks), tasks)
