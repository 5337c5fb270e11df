"""Mammo-CLIP's two tables of reports in miniature: the published columns; the images are empty files."""

import csv

import pytest
from mammo.pipeline.datasets import check_datalist, check_leaks
from mammo.pipeline.datasets.adapters import mammo_clip_reports
from mammo.pipeline.datasets.adapters.mammo_clip_files import LONGEST_CELL, literal_list
from mammo.pipeline.datasets.adapters.mammo_clip_reports import BREAST_TABLE, IMAGE_TABLE

IMAGE_HEADER = ["patient_id", "GENDER", "AGE", "BIRADS_CATEGORY", "HISTORY", "FINDINGS", "IMPRESSION", "ASSESMENT",
                "RECOMENDATION", "CONCLUSION", "image_id", "fold", "view", "laterality", "img_size_row",
                "img_size_column", "BIRADS_numeric"]  # fmt: skip
BREAST_HEADER = ["patient_id", "laterality", "image", "view", "CC", "MLO", "text", "findings", "impressions",
                 "text_augment", "fold"]  # fmt: skip


def image(patient, name="a.png", side="L", view="CC", **given):
    row = dict.fromkeys(IMAGE_HEADER, "") | {"patient_id": patient, "image_id": name, "laterality": side, "view": view}
    return row | {"FINDINGS": "A mass.", "IMPRESSION": "Suspicious.", "fold": "1"} | given


def breast(patient, side="L", cc=("cc.png",), mlo=("mlo.png",), **given):
    row = {"patient_id": patient, "laterality": side, "image": [*cc, *mlo], "view": ["CC", "MLO"], "CC": list(cc)}
    row |= {"MLO": list(mlo), "text": ["a mass", "suspicious"], "findings": "A mass.", "impressions": "Suspicious."}
    return row | {"text_augment": ["one mass", "suspect"], "fold": "1"} | given


@pytest.fixture
def make(tmp_path):
    def tree(rows, form="{}", without=(), missing=()):
        by_image = "image_id" in rows[0]
        columns = [name for name in (IMAGE_HEADER if by_image else BREAST_HEADER) if name not in without]
        extra = [name for name in rows[0] if name not in (*IMAGE_HEADER, *BREAST_HEADER)]
        with open(tmp_path / (IMAGE_TABLE if by_image else BREAST_TABLE), "w", newline="") as file:
            writer = csv.DictWriter(file, [*columns, *extra], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            names = [row["image_id"]] if by_image else [*row["CC"], *row["MLO"]]
            folder = tmp_path / "images_png" / form.format(row["patient_id"])
            folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                if isinstance(name, str) and name not in missing:
                    (folder / name).touch()
        return tmp_path

    return tree


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


def other(fold="0"):
    return image("other", fold=fold)


def test_sections_of_a_report_stay_apart_and_in_order(make):
    rows = [
        image("1", "both.png"),
        image("1", "one.png", FINDINGS="nan"),
        image("1", "none.png", FINDINGS="", IMPRESSION="NaN"),
        image("1", "same.png", IMPRESSION="A mass."),
        other(),
    ]
    datalist, report = mammo_clip_reports(make(rows))
    check_datalist(datalist)
    records = by_id(datalist)
    told = {name: (r.get("texts"), r.get("extra"), r.get("report")) for name, r in records.items()}
    assert told["1/both"] == (
        ["A mass.", "Suspicious."], {"sections": ["findings", "impression"]}, "A mass.\nSuspicious."
    )  # fmt: skip
    assert told["1/one"] == (["Suspicious."], {"sections": ["impression"]}, "Suspicious.")
    assert told["1/none"] == (None, None, None)
    assert told["1/same"] == (["A mass."], {"sections": ["findings"]}, "A mass.")
    assert [(p["kind"], p["row"], p["reason"]) for p in report.problems] == [("label", 3, "there is no report")]


def test_misspelled_columns_and_numbers_are_read(make):
    rows = [image("1", AGE="61.0", BIRADS_numeric="2.0", ASSESMENT="fine", RECOMENDATION="1 year", view="mlo"), other()]
    record = by_id(mammo_clip_reports(make(rows))[0])["1/a"]
    assert (record["age"], record["birads"], record["view"]) == (61, 2, "MLO")
    assert record["raw"]["ASSESMENT"] == "fine"
    assert record["raw"]["RECOMENDATION"] == "1 year"


@pytest.mark.parametrize("form", ["{}", "Patient_{}"])
def test_images_lie_in_folders_of_either_name(make, form):
    record = by_id(mammo_clip_reports(make([image("7"), other()], form=form))[0])["7/a"]
    assert record["image"].endswith(f"images_png/{form.format(7)}/a.png")


def test_a_row_of_a_breast_gives_a_record_per_image_with_its_rewordings(make):
    rows = [breast("1", cc=("a.png", "b.png")), breast("2", fold="0", text_augment="")]
    datalist, report = mammo_clip_reports(make(rows))
    check_datalist(datalist)
    records = by_id(datalist)
    assert {name: r["view"] for name, r in records.items()} == {
        "1/a": "CC", "1/b": "CC", "1/mlo": "MLO", "2/cc": "CC", "2/mlo": "MLO"
    }  # fmt: skip
    for name in ("1/a", "1/mlo"):
        assert records[name]["texts"] == ["a mass", "suspicious"]
        assert records[name]["augmented_texts"] == ["one mass", "suspect"]
    assert "augmented_texts" not in records["2/cc"]
    assert report.problems == []


def test_lists_that_do_not_fit_are_reported_and_never_run(make, tmp_path):
    mark = tmp_path / "was_run"
    rows = [
        breast("1", text_augment=["one"]),
        breast("2", text=f"[open({str(mark)!r}, 'w')]"),
        breast("3", text="['a', 3]"),
        breast("4", image=["cc.png", "mlo.png", "spot.png"], mlo=()),
        breast("5", text="[]", text_augment="", fold="0"),
        breast("6", text="['a mass', 'a mass', ' ']", text_augment="['x', 'y', 'z']"),
    ]
    datalist, report = mammo_clip_reports(make(rows))
    assert not mark.exists()
    assert [(p["kind"], p["row"], p["reason"].split(":")[0]) for p in report.problems] == [
        ("label", 1, "text_augment has 1 texts for 2"),
        ("image", 2, "not a list of Python"),
        ("image", 3, "not a list of texts"),
        ("excluded", 4, "the image is neither under CC nor under MLO"),
        ("excluded", 4, "the image is neither under CC nor under MLO"),
        ("label", 5, "there is no report"),
    ]
    records = by_id(datalist)
    assert "augmented_texts" not in records["1/cc"]
    assert "report" not in records["5/cc"]
    assert (records["6/cc"]["texts"], records["6/cc"]["augmented_texts"]) == (["a mass"], ["x"])


@pytest.mark.parametrize(
    "text", ["__import__('os')", "{'a': 1}", "'a'", "[" * 5000, "[" + "-" * 50000 + "1]", "['a',", "[nan]"]
)
def test_only_short_literal_lists_are_lists(text):
    with pytest.raises(ValueError, match="not a list of Python"):
        literal_list(text)
    with pytest.raises(ValueError, match="at most 100000"):
        literal_list("[" + "1," * LONGEST_CELL + "]")
    assert literal_list("['a', [\"it's\"]]") == ["a", ["it's"]]
    assert literal_list("") == []


def test_folds_become_sections(make):
    rows = [image(str(n), fold=str(n % 4)) for n in range(8)]
    datalist, _ = mammo_clip_reports(make(rows), fold=2, test_fold=3)
    assert {name: sorted(r["patient_id"] for r in datalist[name]) for name in ("training", "validation", "test")} == {
        "training": ["0", "1", "4", "5"], "validation": ["2", "6"], "test": ["3", "7"]
    }  # fmt: skip
    assert {r["split"] for r in datalist["validation"]} == {"validation"}
    assert mammo_clip_reports(make(rows))[0]["test"] == []
    dealt = mammo_clip_reports(make(rows), fold=None, seed=1)[0]
    assert [len(dealt[name]) for name in ("training", "validation", "test")] == [5, 2, 1]


def test_a_patient_in_two_folds_is_refused_or_left_out(make):
    rows = [image("1", "a.png", fold="1"), image("1", "b.png", side="R", fold="2"), image("2", fold="0"), image("3")]
    root = make(rows)
    with pytest.raises(ValueError, match=r"1 patients are in several folds \(1 in 1 and 2\).*leaking=exclude"):
        mammo_clip_reports(root)
    datalist, report = mammo_clip_reports(root, leaking="exclude")
    assert set(by_id(datalist)) == {"2/a", "3/a"}
    assert [(p["kind"], p["item"]) for p in report.problems] == [("excluded", "1")]


def test_a_split_column_stands_in_for_folds_and_validation_is_cut_by_patient(make):
    rows = [image(str(n), f"{k}.png") | {"split": "training" if n < 10 else "test"} for n in range(12) for k in "ab"]
    datalist, _ = mammo_clip_reports(make(rows, without=["fold"]), validation_fraction=0.2)
    assert check_leaks(datalist) == {}
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [16, 4, 4]
    assert {r["patient_id"] for r in datalist["test"]} == {"10", "11"}


def test_without_fold_and_split_patients_are_dealt(make):
    datalist, _ = mammo_clip_reports(make([image(str(n)) for n in range(10)], without=["fold"]))
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [6, 2, 2]


def test_unusable_rows_and_options_are_named(make):
    rows = [image("1"), image("1"), image("2", "gone.png"), image("3", side="B"), image("4", fold="x"), other(),
            image("")]  # fmt: skip
    root = make(rows, missing=["gone.png"])
    _, report = mammo_clip_reports(root)
    assert [(p["kind"], p["reason"].split(":")[0]) for p in report.problems] == [
        ("image", "the image is listed already, in row 1"),
        ("image", "the image is not on disk"),
        ("image", "unknown laterality"),
        ("image", "the patient is not given"),
        ("excluded", "the fold is no whole number"),
    ]
    with pytest.raises(ValueError, match="no image is in fold 9; the folds are 0, 1"):
        mammo_clip_reports(root, fold=9)
    with pytest.raises(ValueError, match="leaking must be refuse or exclude, got 'keep'"):
        mammo_clip_reports(root, leaking="keep")
    with pytest.raises(ValueError, match="fold and test_fold are both 1"):
        mammo_clip_reports(root, fold=1, test_fold=1)
    with pytest.raises(ValueError, match=r"none of its 7 rows has an image; .*name the folder with img_dir"):
        mammo_clip_reports(root, img_dir="elsewhere")
