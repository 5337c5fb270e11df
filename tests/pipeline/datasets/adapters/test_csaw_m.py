import pytest
from mammo.pipeline.datasets.adapters.csaw_m import csaw_m
from mammo.pipeline.datasets.records import all_records, check_datalist, check_leaks

HEADER = (
    "Filename;Label;Expert_1;Expert_2;Expert_3;Expert_4;Expert_5;If_cancer;If_interval_cancer;"
    "If_large_invasive_cancer;If_composite;Dicom_image_laterality;Dicom_window_center;Dicom_window_width;"
    "Dicom_photometric_interpretation;Libra_percent_density;Libra_dense_area;Libra_breast_area"
)


def row(name, label="3", cancer="0", side="Left", experts="-;-;-;-;-"):
    return f"{name}.png;{label};{experts};{cancer};0;0;0;{side};2000;4000;MONOCHROME2;46.1;40.0;247.2"


def write_part(root, part, rows):
    (root / "labels").mkdir(parents=True, exist_ok=True)
    (root / "labels" / f"CSAW-M_{part}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    folder = root / "images" / "preprocessed" / part
    folder.mkdir(parents=True, exist_ok=True)
    for text in rows:
        (folder / text.split(";")[0]).touch()


@pytest.fixture
def root(tmp_path):
    write_part(tmp_path, "train", [row(f"a{number}", str(1 + number % 8)) for number in range(80)])
    write_part(tmp_path, "test", [row("b0", "8", "1", "Right", "8;7;7;8;8"), row("b1")])
    return tmp_path


def by_id(datalist):
    check_datalist(datalist)
    assert check_leaks(datalist) == {}
    return {record["image_id"]: record for _, record in all_records(datalist)}


def test_the_label_is_the_masking_level_and_other_columns_stay_raw(root):
    datalist, report = csaw_m(root)
    record = by_id(datalist)["b0"]
    assert (record["masking"], record["laterality"], record["view"], record["patient_id"]) == (8, "R", "MLO", "b0")
    assert [record["raw"][f"Expert_{n}"] for n in range(1, 6)] == ["8", "7", "7", "8", "8"]
    assert record["raw"]["Libra_percent_density"] == "46.1"
    assert "density" not in record
    assert "CC BY-NC-ND" in record["licence"]
    assert report.problems == []
    assert report.counts["train images"] == 80


def test_values_given_as_a_dash_are_missing(root):
    records = by_id(csaw_m(root)[0])
    assert "Expert_1" not in records["a0"]["raw"]


def test_cancer_is_malignant_by_outcome_and_no_cancer_is_not_called_normal(root):
    records = by_id(csaw_m(root)[0])
    assert (records["b0"]["pathology"], records["b0"]["label_provenance"]) == ("MALIGNANT", "outcome")
    assert not {"pathology", "label_provenance"} & set(records["b1"])
    assert records["b1"]["raw"]["If_cancer"] == "0"


def test_the_test_table_is_the_test_section_and_validation_has_all_levels(root):
    datalist, _ = csaw_m(root)
    by_id(datalist)
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [64, 16, 2]
    assert {record["masking"] for record in datalist["validation"]} == set(range(1, 9))
    assert csaw_m(root, validation_fraction=0)[0]["validation"] == []


def test_a_seed_deals_the_same_way_again(root):
    names = [[r["image_id"] for r in csaw_m(root, seed=seed)[0]["validation"]] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_rows_without_image_and_images_without_row_are_reported(root):
    folder = root / "images" / "preprocessed" / "train"
    (folder / "a3.png").rename(folder / "stray.png")
    table = root / "labels" / "CSAW-M_train.csv"
    table.write_text(table.read_text() + row("a5") + "\n" + row("b1") + "\n")
    (folder / "b1.png").touch()
    datalist, report = csaw_m(root)
    assert len(by_id(datalist)) == 81
    assert {(p["kind"], p["row"], p["reason"]) for p in report.problems} == {
        ("image", 4, "the image is not on disk"),
        ("image", 81, "the image is listed twice"),
        ("file", 0, "no row of the table lists the image"),
        ("excluded", 0, "the image is also in the test table"),
    }


def test_values_that_make_no_sense_are_absent_and_reported(root):
    write_part(root, "test", [row("b0", "9", "2", "Both")])
    datalist, report = csaw_m(root)
    assert not {"masking", "pathology", "laterality"} & set(datalist["test"][0])
    assert [p["reason"].split(":")[0] for p in report.problems if p["kind"] == "label"] == [
        "unknown masking level, expected 1 to 8",
        "unknown If_cancer, expected 0 or 1",
        "unknown side, expected Left or Right",
    ]


def test_a_missing_table_column_or_all_images_are_named(root):
    for path in root.rglob("*.png"):
        path.unlink()
    with pytest.raises(ValueError, match=r"none of the images.*images/preprocessed/train/<Filename>"):
        csaw_m(root)
    table = root / "labels" / "CSAW-M_test.csv"
    table.write_text(table.read_text().replace("If_cancer", "Cancer"))
    with pytest.raises(ValueError, match=r"CSAW-M_test\.csv: the column 'If_cancer' is missing"):
        csaw_m(root)
    table.unlink()
    with pytest.raises(ValueError, match=r"CSAW-M_test\.csv not found"):
        csaw_m(root)
    with pytest.raises(ValueError, match="validation_fraction must be"):
        csaw_m(root, validation_fraction=1.0)
