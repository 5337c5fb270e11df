import cv2
import numpy as np
import pytest
from mammo.pipeline.datasets import all_records, check_datalist
from mammo.pipeline.datasets.background_patches import background_patches
from mammo.pipeline.datasets.lesion_classes import lesion_class

SHAPE = (300, 200)
BOX = [130, 30, 170, 70]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A breast on the left edge, as a file."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    inside = ((rows - 150) / 126) ** 2 + (columns / 140) ** 2 < 1
    texture = cv2.GaussianBlur(np.random.default_rng(0).random(SHAPE, dtype=np.float32), (0, 0), 8)
    path = tmp_path_factory.mktemp("films") / "film.png"
    cv2.imwrite(str(path), (inside * (150 + 600 * (texture - texture.mean())) + 4).astype(np.uint8))
    return str(path)


@pytest.fixture
def lesion(record, film):
    """A record with a box of 40 x 40 pixels; more findings and fields by keyword."""

    def make(patient="P1", image_id="f1", box=BOX, **known):
        findings = [{"id": "1", "type": "mass", "pathology": "MALIGNANT"} | ({"box": box} if box else {})]
        return record(patient, image_id, image=film, **{"findings": findings, "pathology": "MALIGNANT", **known})

    return make


def shares(patch, box):
    """Shared pixels as shares of both, counted on the grid."""
    one, two = np.zeros((2, *SHAPE), bool)
    for grid, (row0, col0, row1, col1) in ((one, patch), (two, box)):
        grid[int(row0) : int(row1), int(col0) : int(col1)] = True
    return (one & two).sum() / one.sum(), (one & two).sum() / two.sum()


def test_patches_are_the_fifth_class_and_nobody_calls_them_normal(lesion):
    patches, report = background_patches({"name": "tiny", "training": [lesion(density="B")]}, per_image=3)
    check_datalist(patches)
    assert [r["image_id"] for r in patches["training"]] == [f"f1#background{n}" for n in (1, 2, 3)]
    for patch in patches["training"]:
        assert (patch["abnormality"], patch["density"], lesion_class(patch)) == ("background", "B", "BACKGROUND")
        assert not {"pathology", "birads", "findings", "boxes"} & patch.keys()
    assert report.counts["squares"] == 3
    assert patches["name"] == "tiny: background patches"


@pytest.mark.parametrize("max_overlap", [0.0, 0.35])
def test_patches_have_the_lesions_side_and_keep_clear_of_it(lesion, film, max_overlap):
    patches, _ = background_patches({"training": [lesion()]}, per_image=40, max_overlap=max_overlap, min_side_px=1)
    assert len(patches["training"]) == 40
    breast = cv2.imread(film, cv2.IMREAD_GRAYSCALE) > 20
    found = [shares(patch["crop"], BOX) for patch in patches["training"]]
    assert max(map(max, found)) <= max_overlap
    if max_overlap:
        assert max(map(max, found)) > 0  # else the bound would say nothing
    for patch in patches["training"]:
        row0, col0, row1, col1 = map(int, patch["crop"])
        assert row1 - row0 == col1 - col0 == 40
        assert breast[row0:row1, col0:col1].mean() > 0.65


def test_small_lesion_inside_a_large_patch_counts_as_overlap(lesion):
    small = [148, 48, 152, 52]  # a hundredth of the patch
    patches, _ = background_patches({"training": [lesion(box=small)]}, per_image=40, side_px=40)
    assert max(shares(patch["crop"], small)[1] for patch in patches["training"]) <= 0.35


def test_margin_and_least_side_are_those_of_the_lesion_crops(lesion):
    patches, _ = background_patches({"training": [lesion(box=[140, 40, 150, 50])]}, margin=0.5, min_side_px=1)
    assert np.diff(np.array(patches["training"][0]["crop"])[[0, 2]]) == 15
    patches, _ = background_patches({"training": [lesion(box=[140, 40, 150, 50])]})
    assert np.diff(np.array(patches["training"][0]["crop"])[[0, 2]]) == 32


def test_normal_image_draws_from_the_sides_of_its_datasets_lesions(lesion, record, film):
    normal = [
        record("P2", "n", image=film, pathology="NORMAL"),
        record("P3", "o", image=film, birads=1),
        record("P4", "s", image=film, birads=2, findings=[], looked_for=["mass", "calcification"]),
    ]
    patches, _ = background_patches({"training": [lesion(), *normal]}, min_side_px=1)
    sides = {r["image_id"]: r["crop"][2] - r["crop"][0] for r in patches["training"]}
    assert sides == {f"{name}#background1": 40 for name in ("f1", "n", "o", "s")}


@pytest.mark.parametrize("known", [{"box": None}, {"findings": []}, {"findings": [], "pathology": "BENIGN"}])
def test_image_whose_findings_may_lie_anywhere_gives_nothing_and_is_reported(lesion, known):
    doubtful = lesion("P2", "f2", **known)
    if known.get("findings") == [] and "pathology" not in known:
        del doubtful["pathology"]
    patches, report = background_patches({"training": [lesion(), doubtful]})
    assert {r["patient_id"] for r in patches["training"]} == {"P1"}
    reasons = [problem["reason"] for problem in report.problems if problem["kind"] == "excluded"]
    assert reasons == ["where its findings lie is not known"]


def test_findings_of_the_same_film_stored_twice_are_avoided_in_both(lesion):
    view = {"laterality": "L", "view": "CC"}
    other = [60, 10, 120, 60]
    twice = {"training": [lesion(**view), lesion(image_id="f1b", box=other, **view)]}
    patches, _ = background_patches(twice, per_image=20, side_px=30, max_overlap=0)
    assert len(patches["training"]) == 40
    assert max(max(shares(patch["crop"], box)) for patch in patches["training"] for box in (BOX, other)) == 0
    elsewhere = {"training": [twice["training"][0], lesion(image_id="f1b", box=None, **view)]}
    assert list(all_records(background_patches(elsewhere, side_px=30)[0])) == []


def test_place_of_another_images_finding_does_not_vouch_for_an_unknown_image(lesion, record, film):
    view = {"laterality": "L", "view": "CC"}
    unknown = record("P1", "f0", image=film, **view)
    patches, _ = background_patches({"training": [lesion(**view), unknown]})
    assert [r["image_id"] for r in patches["training"]] == ["f1#background1"]


def test_image_without_room_is_counted(lesion):
    crowded = lesion(box=[0, 0, 300, 200])
    patches, report = background_patches({"test": [crowded]}, side_px=40)
    assert patches["test"] == []
    assert report.counts["images without a square"] == 1
    assert [problem["reason"] for problem in report.problems] == ["no square fits on the breast beside the findings"]


def test_same_seed_same_patches(lesion):
    films = {"training": [lesion(), lesion("P2", "f2")]}
    assert background_patches(films, seed=1, workers=1)[0] == background_patches(films, seed=1, workers=2)[0]
    assert background_patches(films, seed=1)[0]["training"] != background_patches(films, seed=2)[0]["training"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"side_px": 0}, "side_px=0"),
        ({"max_overlap": 1.5}, "max_overlap=1.5"),
        ({"min_breast_share": -0.1}, "min_breast_share=-0.1"),
        ({"per_image": 0}, "per_image=0"),
    ],
)
def test_bad_option_is_refused(lesion, arguments, words):
    with pytest.raises(ValueError, match=words):
        background_patches({"training": [lesion()]}, **arguments)


def test_without_any_lesion_a_side_is_asked_for(record, film):
    normal = {"training": [record("P2", "n", image=film, pathology="NORMAL")]}
    with pytest.raises(ValueError, match=r"no finding of tiny has a place.*give side_px"):
        background_patches(normal)
    assert len(background_patches(normal, side_px=32)[0]["training"]) == 1
