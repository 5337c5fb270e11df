"""VinDr's image-label table and RSNA's folds in miniature: the published columns; the images are empty files."""

import csv

import pytest
from mammo.pipeline.datasets import check_datalist, check_leaks, encode_labels
from mammo.pipeline.datasets.adapters import mammo_clip_rsna, mammo_clip_vindr
from mammo.pipeline.datasets.adapters.mammo_clip_tables import BREAST_TABLE, RSNA_TABLE
from mammo.pipeline.datasets.adapters.rsna_2022 import COLUMNS, LABELS
from mammo.pipeline.datasets.adapters.vindr_mammo import CATEGORIES
from mammo.pipeline.datasets.breast_pairs import breast_id


def told(side, *present):
    """The four lists of a breast: present right, present left, absent right, absent left."""
    absent = [name for name in CATEGORIES if name not in present]
    own = [list(present), absent]
    return [own[0], [], own[1], []] if side == "R" else [[], own[0], [], own[1]]


def breast(patient, side="L", cc=(), mlo=(), split="training", **given):
    row = {"patient_id": patient, "laterality": side, "split": split, "view": ["CC", "MLO"]}
    row |= {"CC": [f"{patient}{side}c.png"], "MLO": [f"{patient}{side}m.png"]}
    return row | {"CC_FINDING": told(side, *cc), "MLO_FINDING": told(side, *mlo)} | given


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def make(tmp_path):
    def tree(rows):
        write(tmp_path / BREAST_TABLE, rows)
        for row in rows:
            folder = tmp_path / "images_png" / row["patient_id"]
            folder.mkdir(parents=True, exist_ok=True)
            for side, letter in ((row["laterality"], letter) for letter in "cm"):
                (folder / f"{row['patient_id']}{side}{letter}.png").touch()
        return tmp_path

    return tree


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


def types(record):
    return [finding["type"] for finding in record["findings"]]


@pytest.mark.parametrize("side", ["L", "R"])
def test_each_view_has_the_findings_of_its_own_side(make, side):
    root = make([breast("1", side, ["Mass", "Asymmetry"], ["No Finding"]), breast("2", side, ["No Finding"])])
    datalist, report = mammo_clip_vindr(root)
    check_datalist(datalist)
    records = by_id(datalist)
    assert types(records[f"1{side}c"]) == ["mass", "asymmetry"]
    assert types(records[f"1{side}m"]) == []
    assert all(set(r["looked_for"]) == set(CATEGORIES.values()) for r in records.values())
    assert report.problems == []


def test_every_image_is_positive_or_negative_for_each_of_the_ten(make):
    rows = [breast(str(n), "L", [name], ["No Finding"]) for n, name in enumerate(CATEGORIES)]
    records = by_id(mammo_clip_vindr(make(rows))[0])
    tasks = [f"finding_{kind}" for kind in CATEGORIES.values()]
    for n in range(10):
        cc, mlo = encode_labels([records[f"{n}Lc"], records[f"{n}Lm"]], tasks)
        assert cc["label"] == [int(k == n) for k in range(10)]
        assert mlo["label"] == [0] * 10


@pytest.mark.parametrize(
    "lists",
    [["['Mass']", [], list(CATEGORIES), []], [["['Mass']"], [], list(CATEGORIES), []], ["Mass", [], [], []]],
)
def test_texts_inside_lists_are_refused_with_row_and_cure(make, lists):
    root = make([breast("1", "R"), breast("2", "R", CC_FINDING=lists)])
    with pytest.raises(ValueError, match=r"row 2: CC_FINDING holds the text .*Mass.*ast\.literal_eval"):
        mammo_clip_vindr(root)


@pytest.mark.parametrize(
    ("lists", "reason"),
    [
        ([["Mass"], [], ["Mass"], []], "present and absent at once: 'Mass'"),
        ([["Mass", "No Finding"], [], [], []], "present and absent at once"),
        ([["Mass"], ["Mass"], [], []], "a finding of the other side: 'Mass'"),
        ([["Scar"], [], [], []], "unknown finding: 'Scar'"),
        ([["Mass"], []], "expected four lists"),
        ("[Mass]", "not a list of Python"),
    ],
)
def test_contradictions_leave_the_findings_unknown(make, lists, reason):
    datalist, report = mammo_clip_vindr(make([breast("1", "R", CC_FINDING=lists, mlo=["Mass"])]))
    records = by_id(datalist)
    assert not {"findings", "looked_for"} & records["1Rc"].keys()
    assert types(records["1Rm"]) == ["mass"]
    assert [(p["kind"], p["row"]) for p in report.problems] == [("label", 1)]
    assert reason in report.problems[0]["reason"]


def test_a_view_that_is_missing_and_images_that_are_not_there(make):
    rows = [
        breast("1", CC="", CC_FINDING=[[], [], [], []]),
        breast("2", CC=["gone.png"]),
        breast("3", split="x"),
        breast("4", CC="c.png"),
        breast("1", CC=[]),
    ]
    datalist, report = mammo_clip_vindr(make(rows))
    assert set(by_id(datalist)) == {"1Lm", "2Lm", "4Lm"}
    assert [(p["row"], p["reason"].split(":")[0]) for p in report.unresolved] == [
        (2, "the image is not on disk"), (3, "unknown laterality or split"), (3, "unknown laterality or split"),
        (4, "CC"), (5, "the image is listed twice"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"none of its 5 rows has an image; .*name the folder with img_dir"):
        mammo_clip_vindr(make(rows), img_dir="elsewhere")


def test_the_official_split_is_kept_and_validation_has_findings_too(make):
    rows = [breast(str(n), side, ["Mass"] if n < 4 else ["No Finding"]) for n in range(16) for side in "LR"]
    rows += [breast(str(n), split="test") for n in range(16, 20)]
    datalist, _ = mammo_clip_vindr(make(rows), validation_fraction=0.25)
    assert check_leaks(datalist) == {}
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [48, 16, 8]
    assert len({r["patient_id"] for r in datalist["validation"] if r["findings"]}) == 1


def rsna(patient, side="L", view="CC", fold=0, **given):
    row = dict.fromkeys((*COLUMNS, *LABELS), "") | {"patient_id": patient, "image_id": f"{patient}{side}{view}"}
    row |= {"laterality": side, "view": view, "cancer": "0", "biopsy": "0", "implant": "0", "fold": str(fold)}
    return row | given


@pytest.fixture
def make_rsna(tmp_path):
    def tree(rows):
        write(tmp_path / RSNA_TABLE, rows)
        for row in rows:
            path = tmp_path / "train_images_png" / row["patient_id"] / f"{row['image_id']}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return tree


def test_rsna_trains_on_two_folds_validates_on_one_and_tests_on_the_one_left_unused(make_rsna):
    rows = [rsna(str(n), side, fold=n % 4) for n in range(8) for side in "LR"]
    datalist, _ = mammo_clip_rsna(make_rsna(rows))
    check_datalist(datalist)
    folds = {name: {int(r["patient_id"]) % 4 for r in datalist[name]} for name in ("training", "validation", "test")}
    assert folds == {"training": {1, 2}, "validation": {0}, "test": {3}}
    whole = mammo_clip_rsna(make_rsna(rows), test_fold=None)[0]
    assert [len(whole[name]) for name in ("training", "validation", "test")] == [12, 4, 0]


def test_rsna_labels_and_names_are_of_the_breast(make_rsna):
    rows = [rsna("1", view=view, fold=1, cancer=c, biopsy=c) for view, c in (("CC", "1"), ("MLO", "1"))]
    rows += [rsna("1", "R", fold=1), rsna("2", fold=0), rsna("3", fold=3)]
    records = by_id(mammo_clip_rsna(make_rsna(rows))[0])
    assert {records[name]["pathology"] for name in ("1LCC", "1LMLO")} == {"MALIGNANT"}
    assert breast_id(records["1LCC"]) == breast_id(records["1LMLO"]) == "rsna_2022/1/L"
    assert breast_id(records["1RCC"]) != breast_id(records["1LCC"])
    assert records["1RCC"]["pathology"] == "NORMAL"


def test_rsna_leaks_and_wrong_options_are_refused(make_rsna):
    rows = [rsna("1", fold=1), rsna("1", "R", fold=2), rsna("2", fold=0), rsna("3", fold=3), rsna("4", fold=1)]
    root = make_rsna(rows)
    with pytest.raises(ValueError, match=r"1 patients are in several folds \(1 in 1 and 2\)"):
        mammo_clip_rsna(root)
    assert "1LCC" not in by_id(mammo_clip_rsna(root, leaking="exclude")[0])
    with pytest.raises(ValueError, match="known_bad must be keep or exclude, got 'drop'"):
        mammo_clip_rsna(root, known_bad="drop")
    with pytest.raises(ValueError, match=r"none of its 5 rows has an image; .*name the folder with img_dir"):
        mammo_clip_rsna(root, img_dir="elsewhere")
