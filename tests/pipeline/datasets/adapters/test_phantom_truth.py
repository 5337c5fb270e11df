"""The phantom's truth as records, and in Mammo-CLIP's tables: what comes out is what was planted."""

import csv

import numpy as np
import pytest
from mammo.pipeline.datasets import ADAPTERS, all_records, check_datalist, check_leaks, encode_labels, prepare_dataset
from mammo.pipeline.datasets.adapters import phantom_truth
from mammo.pipeline.datasets.adapters.mammo_clip_detection import FINDING_TABLE
from mammo.pipeline.datasets.adapters.mammo_clip_reports import BREAST_TABLE as REPORT_TABLE
from mammo.pipeline.datasets.adapters.mammo_clip_reports import IMAGE_TABLE
from mammo.pipeline.datasets.adapters.mammo_clip_tables import BREAST_TABLE, RSNA_TABLE
from mammo.pipeline.datasets.roi_masks import image_shape
from mammo.pipeline.phantom import generate
from mammo.pipeline.phantom.report_tables import write_report_tables
from mammo.transforms.dicom import MammogramReader

SHAPE = (152, 91)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "data"
    generate(folder, patients=6, seed=5, test_fraction=0.25)
    return folder


@pytest.fixture(scope="module")
def tables(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("tables")
    return write_report_tables(root, out / "plain") | {
        "small": write_report_tables(root, out / "small", png_shape=SHAPE)
    }


@pytest.fixture(scope="module")
def truth(root):
    with open(root / "truth.csv", newline="") as file:
        return {row["image_id"]: row for row in csv.DictReader(file)}


def name(row):
    return f"{row['patient_id']}_{row['laterality']}_{row['view']}"


def test_every_image_is_listed_with_what_was_planted(root, truth):
    datalist, report = phantom_truth(root)
    check_datalist(datalist)
    records = {r["image_id"]: r for _, r in all_records(datalist)}
    assert records.keys() == truth.keys()
    assert report.problems == []
    assert {row["abnormality"] for row in truth.values()} == {"", "mass", "calcification"}
    for key, row in truth.items():
        record = records[key]
        assert record["pathology"] == (row["pathology"] or "NORMAL")
        assert [f["type"] for f in record["findings"]] == [row["abnormality"]] * bool(row["abnormality"])
        assert record["report"] == row["report"]
        assert (record["laterality"], record["view"], record["density"]) == (
            row["laterality"], row["view"], row["density"]
        )  # fmt: skip
        if row["abnormality"]:
            assert record["boxes"] == [[float(row[c]) for c in ("row0", "column0", "row1", "column1")]]
            words = row["mass_shape"] or row["calc_type"]
            told = record["findings"][0].get("shapes") or record["findings"][0]["calcification_types"]
            assert len(told) == len(words.split("-"))


def test_masses_and_calcifications_are_known_of_every_image(root, truth):
    records = [r for _, r in all_records(phantom_truth(root)[0])]
    labels = encode_labels(records, ["finding_mass", "finding_calcification", "finding_asymmetry"])
    for record in labels:
        kind = truth[record["image_id"]]["abnormality"]
        assert record["label"][:2] == [int(kind == "mass"), int(kind == "calcification")]
        assert record["label"][2] == (-1 if kind else 0)


def test_the_split_is_the_phantoms_and_validation_is_cut_by_patient(root, truth):
    datalist, _ = phantom_truth(root, validation_fraction=0.34, seed=2)
    assert check_leaks(datalist) == {}
    assert {r["image_id"] for r in datalist["test"]} == {k for k, row in truth.items() if row["split"] == "test"}
    assert datalist["validation"]
    assert phantom_truth(root, validation_fraction=0)[0]["validation"] == []


def test_a_damaged_truth_is_refused_and_missing_images_are_reported(root, truth, tmp_path):
    rows = list(truth.values())
    with open(tmp_path / "truth.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ValueError, match="none of its 24 rows has an image"):
        phantom_truth(tmp_path)
    path = tmp_path / rows[0]["path"]
    path.parent.mkdir(parents=True)
    path.touch()
    assert len(phantom_truth(tmp_path)[1].unresolved) == 23
    text = (tmp_path / "truth.csv").read_text()
    (tmp_path / "truth.csv").write_text(text.replace(",0.4,", ",wide,", 1))
    with pytest.raises(ValueError, match=r"row 1: could not convert.*generate the phantom again"):
        phantom_truth(tmp_path)


@pytest.mark.parametrize(
    ("adapter", "options"),
    [
        ("phantom", {}),
        ("mammo_clip_reports", {"csv": REPORT_TABLE}),
        ("mammo_clip_reports", {"csv": IMAGE_TABLE, "test_fold": 1}),
        ("mammo_clip_vindr", {}),
        ("mammo_clip_detection", {}),
        ("mammo_clip_rsna", {"img_dir": "images_png"}),
    ],
)
def test_every_layout_goes_through_prepare_with_all_images(adapter, options, root, tables, truth, tmp_path):
    assert adapter in ADAPTERS
    folder = root if adapter == "phantom" else tables["images"].parent
    datalist = prepare_dataset(adapter, folder, tmp_path / "list.json", **options)
    assert sum(1 for _ in all_records(datalist)) == len(truth)
    assert len((tmp_path / "list.problems.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize("adapter", ["mammo_clip_vindr", "mammo_clip_detection"])
def test_labelled_tables_tell_what_was_planted(adapter, tables, truth):
    records = {r["image_id"]: r for _, r in all_records(ADAPTERS[adapter](tables["vindr"].parent)[0])}
    for row in truth.values():
        own = encode_labels([records[name(row)]], ["finding_mass", "finding_calcification", "finding_lymph_node"])[0]
        assert own["label"] == [int(row["abnormality"] == kind) for kind in ("mass", "calcification")] + [0]
        assert own["split"] == row["split"] or (own["split"], row["split"]) == ("validation", "training")


@pytest.mark.parametrize("size", ["original", "small"])
def test_boxes_come_back_in_the_pixels_of_the_pictures(size, tables, truth):
    folder = (tables if size == "original" else tables["small"])["detection"].parent
    options = {} if size == "original" else {"resized_shape": SHAPE}
    records = {r["image_id"]: r for _, r in all_records(ADAPTERS["mammo_clip_detection"](folder, **options)[0])}
    for row in (row for row in truth.values() if row["abnormality"]):
        record = records[name(row)]
        rows, columns = image_shape(record["image"])
        assert (rows, columns) == (SHAPE if size == "small" else (int(row["rows"]), int(row["columns"])))
        scale = np.array([rows / int(row["rows"]), columns / int(row["columns"])] * 2)
        planted = [float(row[edge]) for edge in ("row0", "column0", "row1", "column1")]
        np.testing.assert_allclose(record["boxes"][0] / scale, planted)


def test_pictures_show_the_phantom_whatever_its_polarity(root, tables, truth):
    for row in list(truth.values())[:8]:
        shown = MammogramReader().read(root / row["path"]).pixels()
        folder = tables["images"].parent / "images_png" / row["patient_id"]
        again = MammogramReader().read(folder / f"{name(row)}.png").pixels()
        np.testing.assert_allclose(again, shown, atol=0.5 / 255 + 1e-6)


def test_texts_describe_the_breast_and_never_name_the_pathology(tables, truth):
    datalist, _ = ADAPTERS["mammo_clip_reports"](tables["images"].parent, csv=IMAGE_TABLE)
    records = {r["image_id"].split("/")[1]: r for _, r in all_records(datalist)}
    for row in truth.values():
        findings, impression = records[name(row)]["texts"]
        assert row["report"] in findings
        kind = {"": "No finding", "mass": "Mass", "calcification": "Calcifications"}[row["abnormality"]]
        assert impression == f"{kind} in the {'left' if row['laterality'] == 'L' else 'right'} breast."
        assert not {"malignant", "benign", "cancer"} & set((findings + impression).lower().split())


def test_rsna_cancer_is_the_planted_malignancy(tables, truth):
    datalist, _ = ADAPTERS["mammo_clip_rsna"](tables["rsna"].parent, img_dir="images_png")
    records = {r["image_id"]: r for _, r in all_records(datalist)}
    for row in truth.values():
        assert (records[name(row)]["pathology"] == "MALIGNANT") == (row["pathology"] == "MALIGNANT")
    assert {int(r["patient_id"][2:]) % 4 for r in datalist["validation"]} == {1}


def test_the_tables_have_the_published_names_and_refuse_what_is_no_phantom(tables, tmp_path):
    assert [tables[key].name for key in ("images", "breasts", "vindr", "detection", "rsna")] == [
        IMAGE_TABLE, REPORT_TABLE, BREAST_TABLE, FINDING_TABLE, RSNA_TABLE
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"truth\.csv not found"):
        write_report_tables(tmp_path)
    with pytest.raises(ValueError, match="folds is 1"):
        write_report_tables(tmp_path, folds=1)
