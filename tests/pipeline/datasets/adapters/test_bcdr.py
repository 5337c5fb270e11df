import cv2
import numpy as np
import pytest
from mammo.pipeline.datasets.adapters.bcdr import bcdr
from mammo.pipeline.datasets.records import all_records, check_datalist, check_leaks

IMAGE_HEADER = "patient_id,study_id,series,image_filename,image_type_name,image_type_id,age,density"
FLAGS = (
    "mammography_nodule",
    "mammography_calcification",
    "mammography_microcalcification",
    "mammography_axillary_adenopathy",
    "mammography_architectural_distortion",
    "mammography_stroma_distortion",
)
OUTLINE_HEADER = (
    "patient_id,study_id,series,lesion_id,segmentation_id,image_view,image_filename,lw_x_points,lw_y_points,"
    f"mammography_type,{','.join(FLAGS)},age,density,classification"
)
SQUARE = " 4 9 9 4", " 10 10 16 16"


def path_of(patient, view):
    return f"patient_{patient}/study_{patient}0/img_{patient}_{patient}0_1_{view}.tif"


def image_row(patient, view, name=None, code=0, age="50", density=" 2"):
    return f"{patient},{patient}0,1, {path_of(patient, view)}, {name or view},{code},{age},{density}"


def outline_row(patient, view, classification, flags=(), points=SQUARE, code=1, lesion="1", segmentation="1"):
    values = ",".join(str(int(flag in flags)) for flag in FLAGS)
    return (
        f"{patient},{patient}0,1,{lesion},{segmentation},{code}, {path_of(patient, view)},{points[0]},{points[1]},"
        f"1,{values},50, 2, {classification}"
    )


def write_subset(root, name, images=None, outlines=None, folder=""):
    """A sub-dataset as downloaded: its folder, tables and a small picture for each row."""
    base = root / f"BCDR-{name.upper()}_dataset" / folder
    base.mkdir(parents=True, exist_ok=True)
    for kind, header, rows in (("img", IMAGE_HEADER, images), ("outlines", OUTLINE_HEADER, outlines)):
        if rows is not None:
            (base / f"bcdr_{name}_{kind}.csv").write_text("\n".join([header, *rows]) + "\n")
            for row in rows:
                path = base / row.split(",")[3 if kind == "img" else 6].strip()
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.zeros((40, 30), np.uint8))
    return base


def records_of(root):
    datalist, report = bcdr(root)
    check_datalist(datalist)
    assert check_leaks(datalist) == {}
    return {record["image_id"]: record for _, record in all_records(datalist)}, report


def reasons(report, kind):
    return [problem["reason"] for problem in report.problems if problem["kind"] == kind]


def test_blanks_in_front_of_values_do_not_matter(tmp_path):
    write_subset(tmp_path, "d01", [image_row(1, "RCC")], [outline_row(1, "RCC", "Malign", ["mammography_nodule"])])
    records, report = records_of(tmp_path)
    record = records["D01_img_1_10_1_RCC"]
    assert (record["pathology"], record["label_provenance"], record["abnormality"]) == ("MALIGNANT", "biopsy", "mass")
    assert (record["density"], record["age"], record["laterality"], record["view"]) == ("B", 50, "R", "CC")
    assert report.problems == []


def test_an_outline_is_a_polygon_of_rows_and_columns_with_its_box(tmp_path):
    write_subset(tmp_path, "f01", [image_row(1, "LO")], [outline_row(1, "LO", "Benign")])
    [finding] = records_of(tmp_path)[0]["F01_img_1_10_1_LO"]["findings"]
    assert finding["polygon"] == [[10, 4], [10, 9], [16, 9], [16, 4]]
    assert finding["box"] == [10, 4, 17, 10]
    assert finding["id"] == "1-1"
    assert "lw_x_points" not in finding["raw"]


def test_outlines_are_clipped_to_the_image(tmp_path):
    wide = " 20 99 99 20", " 30 30 99 99"
    outside = " 50 60 60", " 1 1 5"
    rows = [outline_row(1, "RCC", "Benign", points=wide), outline_row(1, "RCC", "Benign", points=outside, lesion="2")]
    write_subset(tmp_path, "d01", [image_row(1, "RCC")], rows)
    records, report = records_of(tmp_path)
    record = records["D01_img_1_10_1_RCC"]
    assert record["boxes"] == [[30, 20, 40, 30]]
    assert len(record["findings"]) == 2
    assert reasons(report, "roi") == ["the outline lies outside the image"]


@pytest.mark.parametrize("points", [(" 1 2 3", " 1 2"), (" 1 2", " 1 2"), (" 1 2 x", " 1 2 3"), (" 1 2 inf", " 1 2 3")])
def test_an_unreadable_outline_keeps_its_lesion_without_a_place(tmp_path, points):
    write_subset(tmp_path, "d01", [image_row(1, "RCC")], [outline_row(1, "RCC", "Malign", points=points)])
    records, report = records_of(tmp_path)
    record = records["D01_img_1_10_1_RCC"]
    assert record["pathology"] == "MALIGNANT"
    assert "boxes" not in record
    assert [reason.split(":")[0] for reason in reasons(report, "roi")] == ["unreadable outline"]


@pytest.mark.parametrize(
    ("view", "expected"), [("RCC", ("R", "CC")), ("LCC", ("L", "CC")), ("RO", ("R", "MLO")), ("LO", ("L", "MLO"))]
)
def test_views_are_read_from_their_names(tmp_path, view, expected):
    write_subset(tmp_path, "dn01", [image_row(1, view)])
    [record] = records_of(tmp_path)[0].values()
    assert (record["laterality"], record["view"]) == expected


@pytest.mark.parametrize(
    ("code", "expected"), [(0, ("R", "CC")), (1, ("L", "CC")), (2, ("R", "MLO")), (3, ("L", "MLO"))]
)
def test_numbers_of_views_count_from_one_in_outlines_and_from_zero_in_images(tmp_path, code, expected):
    write_subset(tmp_path, "dn01", [image_row(1, "x", code=code)])
    write_subset(tmp_path, "f03", None, [outline_row(2, "x", "Benign", code=code + 1)])
    records, report = records_of(tmp_path)
    assert {(record["laterality"], record["view"]) for record in records.values()} == {expected}
    assert report.problems == []


def test_an_unknown_view_is_absent_and_reported(tmp_path):
    write_subset(tmp_path, "dn01", [image_row(1, "PR", code=4), image_row(2, "RCC", name="LO")])
    records, report = records_of(tmp_path)
    assert not any({"view", "laterality"} & set(record) for record in records.values())
    assert reasons(report, "label") == [
        "unknown view: 'PR'", "table and file name disagree on the view: LO and RCC"
    ]  # fmt: skip


def test_all_sub_datasets_below_a_folder_are_listed_in_one_go(tmp_path):
    for name in ("f01", "f02", "d01", "d02"):
        write_subset(tmp_path, name, [image_row(1, "RCC")], [outline_row(1, "RCC", "Benign")])
    for name in ("fn01", "dn01"):
        write_subset(tmp_path, name, [image_row(2, "RCC")])
    write_subset(tmp_path, "f03", None, [outline_row(1, "RCC", "Malignant")], folder="BCDR-F03")
    records, report = records_of(tmp_path)
    assert sorted(name.partition("_")[0] for name in records) == ["D01", "D02", "DN01", "F01", "F02", "F03", "FN01"]
    assert report.counts["images in more than one sub-dataset"] == 5
    # The same patient number is the same patient, so F03's repeated films cannot leak.
    assert {record["patient_id"] for record in records.values()} == {"BCDR1", "BCDR2"}


def test_normal_sub_datasets_are_normal_and_other_images_without_outline_unknown(tmp_path):
    write_subset(tmp_path, "fn01", [image_row(1, "RCC")])
    write_subset(tmp_path, "f01", [image_row(2, "RCC"), image_row(2, "LCC")], [outline_row(2, "RCC", "Benign")])
    records, _ = records_of(tmp_path)
    assert (records["FN01_img_1_10_1_RCC"]["pathology"], records["FN01_img_1_10_1_RCC"]["label_provenance"]) == (
        "NORMAL", "reader"
    )  # fmt: skip
    assert not {"pathology", "label_provenance", "findings"} & set(records["F01_img_2_20_1_LCC"])


@pytest.mark.parametrize(
    ("classifications", "expected"),
    [
        (["Benign", "Malign"], "MALIGNANT"),
        (["Benign", "Benign"], "BENIGN"),
        (["Suspect", "Malignant"], "MALIGNANT"),
        (["Suspect", "Benign"], None),
        (["Insufficient"], None),
    ],
)
def test_an_image_has_the_worst_pathology_if_that_is_certain(tmp_path, classifications, expected):
    rows = [outline_row(1, "RCC", word, lesion=str(n)) for n, word in enumerate(classifications)]
    write_subset(tmp_path, "d01", [image_row(1, "RCC")], rows)
    [record], report = records_of(tmp_path)[0].values(), records_of(tmp_path)[1]
    assert record.get("pathology") == expected
    assert len(record["findings"]) == len(classifications)
    unknown = [word for word in classifications if word in ("Suspect", "Insufficient")]
    assert reasons(report, "label") == [f"unknown classification: {word!r}" for word in unknown]


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ([], None),
        (["mammography_nodule", "mammography_microcalcification"], "mass"),
        (["mammography_microcalcification"], "calcification"),
        (["mammography_axillary_adenopathy"], "lymph_node"),
        (["mammography_stroma_distortion", "mammography_architectural_distortion"], "architectural_distortion"),
        (["mammography_stroma_distortion"], "other"),
    ],
)
def test_lesions_that_are_neither_mass_nor_calcification_are_kept(tmp_path, flags, kind):
    write_subset(tmp_path, "f01", [image_row(1, "RCC")], [outline_row(1, "RCC", "Benign", flags)])
    [record] = records_of(tmp_path)[0].values()
    assert record["findings"][0].get("type") == kind
    assert record.get("abnormality") == kind


def test_a_density_of_nan_is_absent_and_an_unknown_one_reported(tmp_path):
    write_subset(tmp_path, "dn01", [image_row(1, "RCC", density=" NaN", age="NaN"), image_row(2, "RCC", density=" 7")])
    records, report = records_of(tmp_path)
    assert not any("density" in record for record in records.values())
    assert "age" not in records["DN01_img_1_10_1_RCC"]
    assert reasons(report, "label") == ["unknown density: '7'"]


def test_what_is_missing_or_superfluous_is_reported(tmp_path):
    rows = [image_row(1, "RCC"), image_row(2, "RCC"), image_row(1, "RCC")]
    base = write_subset(tmp_path, "f01", rows)
    (base / path_of(2, "RCC")).unlink()
    (base / "bcdr_f01_features.csv").touch()
    write_subset(tmp_path / "copy" / "of", "f01", rows[:1])
    records, report = records_of(tmp_path)
    assert len(records) == 1
    assert [(p["table"], p["row"], p["reason"]) for p in report.unresolved] == [
        ("bcdr_f01_img.csv", 3, "the image is listed twice"), ("bcdr_f01_img.csv", 2, "the image is not on disk")
    ]  # fmt: skip
    assert sorted(reason.split(":")[0] for reason in reasons(report, "file")) == [
        "a copy of a table",
        "bcdr_f01_outlines.csv not found",
        "computed features are not read",
    ]


def test_a_picture_without_a_header_leaves_outlines_unclipped(tmp_path):
    wide = " 4 99 99", " 10 10 50"
    base = write_subset(tmp_path, "d01", [image_row(1, "RCC")], [outline_row(1, "RCC", "Benign", points=wide)])
    (base / path_of(1, "RCC")).write_bytes(b"no picture")
    records, report = records_of(tmp_path)
    assert records["D01_img_1_10_1_RCC"]["boxes"] == [[10, 4, 51, 100]]
    assert reasons(report, "roi") == ["unreadable header: outlines are not clipped to the image"]


def test_a_missing_table_column_or_all_images_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"bcdr_<name>_img\.csv and .* not found here or below"):
        bcdr(tmp_path)
    base = write_subset(tmp_path, "d01", [image_row(1, "RCC")])
    (base / path_of(1, "RCC")).unlink()
    with pytest.raises(ValueError, match=r"none of the images.*BCDR-D01_dataset/patient_"):
        bcdr(tmp_path)
    table = base / "bcdr_d01_img.csv"
    table.write_text(table.read_text().replace("image_type_id", "type"))
    with pytest.raises(ValueError, match=r"bcdr_d01_img\.csv: the column 'image_type_id' is missing"):
        bcdr(tmp_path)
