"""RSNA 2022 in miniature: the true columns; the images are empty files."""

import csv

import pytest
from mammo.pipeline.datasets.adapters.rsna_2022 import BAD_IMAGES, COLUMNS, LABELS, rsna_2022
from mammo.pipeline.datasets.records import check_datalist, check_leaks

HEADER = ["site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy", "invasive", "BIRADS",
          "implant", "density", "machine_id", "difficult_negative_case"]  # fmt: skip


def row(patient: str, image: str, side: str = "L", view: str = "CC", **given: str) -> dict[str, str]:
    plain = {"site_id": "1", "patient_id": patient, "image_id": image, "laterality": side, "view": view, "age": "64.0"}
    plain |= {"cancer": "0", "biopsy": "0", "invasive": "0", "BIRADS": "", "implant": "0", "density": ""}
    return plain | {"machine_id": "29", "difficult_negative_case": "False"} | given


@pytest.fixture
def make(tmp_path):
    def tree(rows, name="train", form="{patient_id}/{image_id}.dcm", missing=()):
        columns = HEADER if name == "train" else [c for c in HEADER if c not in LABELS]
        with open(tmp_path / f"{name}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        for item in rows:
            if item["image_id"] not in missing:
                path = tmp_path / f"{name}_images" / form.format(**item)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return tmp_path

    return tree


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


def test_the_columns_are_those_of_the_competition():
    assert {*COLUMNS, *LABELS} == set(HEADER)


@pytest.mark.parametrize(
    ("cancer", "biopsy", "pathology", "provenance"),
    [("1", "1", "MALIGNANT", "biopsy"), ("0", "1", "BENIGN", "biopsy"), ("0", "0", "NORMAL", "outcome")],
)
def test_pathology_comes_from_cancer_and_biopsy(make, cancer, biopsy, pathology, provenance):
    datalist, report = rsna_2022(make([row("1", "10", cancer=cancer, biopsy=biopsy)]))
    check_datalist(datalist)
    record = by_id(datalist)["10"]
    assert (record["pathology"], record["label_provenance"]) == (pathology, provenance)
    assert report.problems == []


def test_cancer_is_of_the_breast_and_not_of_the_other_one(make):
    rows = [row("1", "10", cancer="1", biopsy="1"), row("1", "11", view="MLO"), row("1", "12", side="R")]
    datalist, report = rsna_2022(make(rows))
    assert {i: r["pathology"] for i, r in by_id(datalist).items()} == {
        "10": "MALIGNANT", "11": "MALIGNANT", "12": "NORMAL"
    }  # fmt: skip
    # The second row says 0 for a breast that another row calls cancer: once for cancer, once for biopsy.
    assert [(p["kind"], p["row"]) for p in report.problems] == [("roi", 2), ("roi", 2)]


def test_sparse_columns_are_absent_where_empty_and_odd_views_stay(make):
    rows = [
        row("1", "10", view="LMO", BIRADS="0.0", density="C", implant="1", invasive="1"),
        row("1", "11", age="", machine_id=""),
    ]
    records = by_id(rsna_2022(make(rows))[0])
    first, second = records["10"], records["11"]
    assert (first["view"], first["birads"], first["density"], first["implant"]) == ("LMO", 0, "C", True)
    assert (first["age"], first["device"], first["extra"]["site"]) == (64, "29", "1")
    assert first["extra"]["invasive"] is True
    assert second["implant"] is False
    assert not {"birads", "density", "age", "device"} & second.keys()


@pytest.mark.parametrize(
    "form", ["{patient_id}/{image_id}.dcm", "{patient_id}/{image_id}.png", "{patient_id}_{image_id}.png"]
)
def test_dicom_and_png_copies_are_found(make, form):
    record = by_id(rsna_2022(make([row("1", "10")], form=form))[0])["10"]
    assert record["image"].endswith(form.format(patient_id="1", image_id="10"))


def test_known_bad_images_are_reported_and_left_out_on_request(make):
    bad = "1942326353"
    rows = [row("1", bad), row("27770", "20"), row("2", "30")]
    datalist, report = rsna_2022(make(rows))
    assert set(by_id(datalist)) == {bad, "20", "30"}
    assert {p["item"]: p["kind"] for p in report.problems} == {bad: "file", "20": "file"}
    assert "every pixel is zero" in report.problems[0]["reason"]
    datalist, report = rsna_2022(make(rows), known_bad="exclude")
    assert set(by_id(datalist)) == {"30"}
    assert {p["kind"] for p in report.problems} == {"excluded"}
    assert bad in BAD_IMAGES


def test_patients_are_dealt_60_20_20_with_cancers_in_each_part(make):
    rows = [row(str(p), f"{p}{side}", side=side, cancer=str(int(p < 5 and side == "L")), biopsy="0")
            for p in range(25) for side in "LR"]  # fmt: skip
    datalist, _ = rsna_2022(make(rows))
    assert check_leaks(datalist) == {}
    parts = [datalist[name] for name in ("training", "validation", "test")]
    assert [len({r["patient_id"] for r in part}) for part in parts] == [15, 5, 5]
    assert [sum(r["pathology"] == "MALIGNANT" for r in part) for part in parts] == [3, 1, 1]


def test_the_unlabelled_table_is_listed_only_when_asked_for(make):
    make([row(str(p), f"{p}0") for p in range(10)])
    root = make([row("77", "770"), row("78", "780")], name="test", missing=["780"])
    assert "770" not in by_id(rsna_2022(root)[0])
    datalist, report = rsna_2022(root, include_test=True)
    check_datalist(datalist)
    record = by_id(datalist)["770"]
    assert record["split"] == "training"
    assert not {"pathology", "label_provenance", "birads"} & record.keys()
    assert [(p["table"], p["row"]) for p in report.unresolved] == [("test.csv", 2)]


def test_unusable_rows_are_reported_and_missing_things_named(make):
    rows = [row("1", "10"), row("1", "10"), row("1", "11", side="B"), row("1", "12")]
    root = make(rows, missing=["12"])
    told = [(p["row"], p["reason"].split(":")[0]) for p in rsna_2022(root)[1].unresolved]
    assert told == [(2, "the image is listed twice"), (3, "unknown laterality"), (4, "the image is not on disk")]
    with pytest.raises(ValueError, match="known_bad must be keep or exclude, got 'drop'"):
        rsna_2022(root, known_bad="drop")
    for path in (root / "train_images").rglob("*.dcm"):
        path.unlink()
    with pytest.raises(ValueError, match="none of its 4 rows has an image"):
        rsna_2022(root)
    (root / "train.csv").write_text("patient_id,image_id\n1,2\n")
    with pytest.raises(ValueError, match="column 'site_id' is missing"):
        rsna_2022(root)
