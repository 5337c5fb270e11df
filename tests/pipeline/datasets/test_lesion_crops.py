import copy

import cv2
import numpy as np
import pytest
import torch
from mammo.pipeline.datasets import all_records, check_datalist, check_leaks, load_datalist, save_datalist
from mammo.pipeline.datasets.lesion_classes import lesion_class
from mammo.pipeline.datasets.lesion_crops import lesion_crops, named_findings, random_crops
from mammo.transforms.crop_region import PrepareLesiond

SHAPE = (300, 200)


def breast():
    """A half-ellipse on the left edge, textured, 8 bits."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    inside = ((rows - 150) / 126) ** 2 + (columns / 140) ** 2 < 1
    texture = cv2.GaussianBlur(np.random.default_rng(0).random(SHAPE, dtype=np.float32), (0, 0), 8)
    return (inside * (150 + 600 * (texture - texture.mean())) + 4).astype(np.uint8), inside


@pytest.fixture
def write(tmp_path):
    def make(name, pixels):
        cv2.imwrite(str(tmp_path / name), pixels)
        return str(tmp_path / name)

    return make


@pytest.fixture
def films(record, write):
    """Two films: a mass with a box and a calcification with a mask; a finding without a place."""
    image = write("film.png", breast()[0])
    mask = np.zeros(SHAPE, np.uint8)
    mask[200:210, 20:50] = 255
    mass = {
        "id": "1",
        "type": "mass",
        "pathology": "MALIGNANT",
        "assessment": 5,
        "subtlety": 2,
        "margins": ["SPICULATED"],
    }
    calcification = {"id": "2", "type": "calcification", "pathology": "BENIGN_WITHOUT_CALLBACK", "assessment": 2}
    whole = {"pathology": "MALIGNANT", "abnormality": "mass", "birads": 5, "subtlety": 4, "margins": ["SPICULATED"]}
    known = {"laterality": "L", "view": "CC", "density": "C", "age": 61, "label_provenance": "biopsy", "report": "seen"}
    first = record("P1", "f1", image=image, **whole, **known)
    first["findings"] = [mass | {"box": [100, 40, 140, 60]}, calcification | {"roi_mask": write("mask.png", mask)}]
    second = record("P2", "f2", image=image, findings=[{"type": "asymmetry"}])
    return {
        "name": "tiny", "description": "two films", "licence": "CC BY 3.0", "root": "/", "known_leak": "none really",
        "known_leak_patients": [], "training": [first], "validation": [], "test": [second],
    }  # fmt: skip


def test_each_finding_with_a_place_becomes_a_record_of_its_own(films):
    crops, report = lesion_crops(films, min_side_px=1)
    check_datalist(crops)
    mass, calcification = crops["training"]
    assert (mass["image_id"], calcification["image_id"]) == ("f1#1", "f1#2")
    assert mass["image"] == calcification["image"] == films["training"][0]["image"]
    assert mass["crop"] == [100, 30, 140, 70]
    assert calcification["crop"] == [190, 20, 220, 50]
    assert (crops["validation"], crops["test"]) == ([], [])
    assert report.counts == {
        "findings": 3, "places told": 1, "masks of the image's size": 1, "images": 2, "images without a finding": 0,
        "crops": 2,
    }  # fmt: skip
    assert [problem["item"] for problem in report.problems] == ["f2#1"]


def test_labels_are_the_findings_own_not_the_images(films):
    mass, calcification = lesion_crops(films)[0]["training"]
    assert (mass["pathology"], mass["abnormality"], mass["birads"], mass["subtlety"]) == ("MALIGNANT", "mass", 5, 2)
    assert mass["margins"] == ["SPICULATED"]
    assert calcification["pathology"] == "BENIGN_WITHOUT_CALLBACK"
    assert (calcification["abnormality"], calcification["birads"]) == ("calcification", 2)
    assert "subtlety" not in calcification
    assert "margins" not in calcification
    assert calcification["findings"][0]["box"] == calcification["boxes"][0] == [200, 20, 210, 50]
    assert len(calcification["roi_masks"]) == 1


def test_what_holds_for_the_image_stays_and_what_is_said_of_all_of_it_goes(films):
    mass = lesion_crops(films)[0]["training"][0]
    for field in ("patient_id", "dataset", "laterality", "view", "density", "age", "label_provenance"):
        assert mass[field] == films["training"][0][field]
    assert "report" not in mass


def test_label_without_a_source_names_none(films):
    del films["training"][0]["findings"][0]["pathology"]
    mass = lesion_crops(films)[0]["training"][0]
    assert "pathology" not in mass
    assert "label_provenance" not in mass


def test_datalist_keeps_licence_root_leaks_and_says_what_it_is(films):
    crops, _ = lesion_crops(films, margin=0.25, types=["mass"])
    for key in ("licence", "root", "known_leak", "known_leak_patients"):
        assert crops[key] == films[key]
    assert crops["name"] == "tiny: lesions"
    assert crops["description"] == (
        "lesions: mass, margin 0.25, 32 px at least, masks of another size: skip; two films"
    )


def test_margin_and_least_side_shape_the_square(films):
    mass, calcification = lesion_crops(films, margin=0.5, min_side_px=50)[0]["training"]
    assert mass["crop"] == [90, 20, 150, 80]  # 40 * 1.5
    assert calcification["crop"] == [180, 10, 230, 60]  # 30 * 1.5 = 45 < 50


def test_other_types_are_counted_and_their_masks_not_read(films):
    films["training"][0]["findings"][1]["roi_mask"] = "gone.png"
    crops, report = lesion_crops(films, types=["mass"])
    assert [r["image_id"] for _, r in all_records(crops)] == ["f1#1"]
    assert report.counts["findings of other types"] == 2
    assert report.problems == []


def test_lists_given_are_left_alone(films):
    before = copy.deepcopy(films)
    lesion_crops(films)
    assert films == before


def test_mask_of_another_size_follows_the_policy(films, write):
    mask = np.zeros((150, 100), np.uint8)
    mask[100:105, 10:25] = 1
    films["training"][0]["findings"][1]["roi_mask"] = write("half.png", mask)
    skipped, report = lesion_crops(films)
    assert [r["image_id"] for r in skipped["training"]] == ["f1#1"]
    assert report.counts["masks of another size, left out"] == 1
    calcification = lesion_crops(films, mask_policy="resize")[0]["training"][1]
    assert calcification["boxes"] == [[200, 20, 210, 50]]
    assert "roi_masks" not in calcification


@pytest.mark.parametrize(
    ("given", "expected"),
    [(["1", "2"], ["1", "2"]), (["1", "1"], ["1", "2"]), ([None, "b"], ["1", "2"]), (["x", "y"], ["x", "y"])],
)
def test_findings_get_names_of_their_own(record, given, expected):
    findings = [{"id": name} if name else {} for name in given]
    assert [finding["id"] for finding in named_findings(record(findings=findings))] == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"types": ["mas"]}, "unknown finding type 'mas'"),
        ({"margin": -1}, "margin=-1"),
        ({"min_side_px": 0}, "min_side_px=0"),
        ({"mask_policy": "guess"}, "skip"),
    ],
)
def test_bad_option_is_refused(films, arguments, words):
    with pytest.raises(ValueError, match=words):
        lesion_crops(films, **arguments)


def test_crops_survive_the_disk_and_are_read_at_their_place(films, tmp_path):
    crops, _ = lesion_crops(films | {"root": str(tmp_path)})
    again = load_datalist(save_datalist(crops, tmp_path / "lesions.json"))
    assert again["training"][0]["crop"] == crops["training"][0]["crop"]
    item = PrepareLesiond(spatial_size=(40, 40))(again["training"][0])
    expected = torch.from_numpy(breast()[0][100:140, 30:70].astype(np.float32) / 255)
    torch.testing.assert_close(item["image"][0].as_tensor(), expected)


@pytest.mark.parametrize(
    ("abnormality", "pathology", "expected"),
    [
        ("mass", "BENIGN", "BENIGN_MASS"),
        ("mass", "BENIGN_WITHOUT_CALLBACK", "BENIGN_MASS"),
        ("mass", "MALIGNANT", "MALIGNANT_MASS"),
        ("calcification", "BENIGN", "BENIGN_CALCIFICATION"),
        ("calcification", "MALIGNANT", "MALIGNANT_CALCIFICATION"),
        ("background", None, "BACKGROUND"),
        ("mass", None, None),
        ("mass", "NORMAL", None),
        ("asymmetry", "MALIGNANT", None),
        (None, "MALIGNANT", None),
    ],
)
def test_class_is_type_and_pathology(record, abnormality, pathology, expected):
    known = {"abnormality": abnormality, "pathology": pathology}
    assert lesion_class(record(**{k: v for k, v in known.items() if v is not None})) == expected


def test_random_crops_lie_on_the_breast_and_say_nothing_of_findings(films):
    crops, report = random_crops(films, per_image=5, side_px=48, min_breast_share=0.9, workers=2)
    check_datalist(crops)
    assert check_leaks(crops) == {}
    inside = breast()[1]
    for _, crop in all_records(crops):
        row0, col0, row1, col1 = map(int, crop["crop"])
        assert row1 - row0 == col1 - col0 == 48
        assert min(row0, col0) >= 0
        assert inside[row0:row1, col0:col1].mean() > 0.8  # the mask found is not the drawn one to the pixel
        assert not {"pathology", "abnormality", "findings", "boxes", "birads", "label_provenance"} & crop.keys()
    assert [r["image_id"] for r in crops["test"]] == [f"f2#random{n}" for n in range(1, 6)]
    assert report.counts["squares"] == 10
    assert crops["training"][0]["crop"] != crops["test"][0]["crop"]  # each image draws for itself


def test_random_crops_depend_on_the_seed_and_on_nothing_else(films):
    draw = lambda films, seed: random_crops(films, per_image=2, side_share=0.25, seed=seed)[0]  # noqa: E731
    alone = {**films, "training": []}
    assert draw(films, 3) == draw(films, 3)
    assert draw(films, 3)["test"] == draw(alone, 3)["test"]
    assert draw(films, 3)["test"] != draw(films, 4)["test"]
    row0, _, row1, _ = draw(films, 3)["test"][0]["crop"]
    assert row1 - row0 == 50  # a quarter of 200 columns


def test_images_without_a_crop_are_reported(films, write):
    films["training"][0]["image"] = "gone.png"
    films["test"][0]["image"] = write("black.png", np.eye(200, 300, dtype=np.uint8))
    crops, report = random_crops(films, per_image=1, side_px=32)
    assert list(all_records(crops)) == []
    reasons = {problem["item"]: problem["reason"] for problem in report.problems}
    assert reasons == {"f1": "missing: no such file", "f2": "no breast is found"}
    assert report.counts["images without a square"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"per_image": 1}, "give one of the two"),
        ({"per_image": 1, "side_px": 32, "side_share": 0.1}, "give one of the two"),
        ({"per_image": 0, "side_px": 32}, "per_image=0"),
        ({"per_image": 1, "side_px": 0}, "side_px=0"),
        ({"per_image": 1, "side_share": 1.5}, "side_share=1.5"),
        ({"per_image": 1, "side_px": 32, "min_breast_share": 2}, "min_breast_share=2"),
    ],
)
def test_bad_option_of_random_crops_is_refused(films, arguments, words):
    with pytest.raises(ValueError, match=words):
        random_crops(films, **arguments)
