"""EMBED in miniature: both tables in their true columns; the images are empty files below another prefix."""

import csv
import os

import pytest
from mammo.pipeline.datasets.adapters.embed import embed
from mammo.pipeline.datasets.adapters.embed_paths import locate_images
from mammo.pipeline.datasets.records import check_datalist, check_leaks

PREFIX = "/mnt/NAS2/mammo/anon_dicom"
CLINICAL = ["empi_anon", "acc_anon", "side", "bside", "asses", "tissueden", "numfind", "path_severity", "massshape",
            "massmargin", "massdens", "calcfind", "calcdistri", "implanfind", "RACE_DESC",
            "ETHNIC_GROUP_DESC"]  # fmt: skip
METADATA = ["empi_anon", "acc_anon", "anon_dicom_path", "ImageLateralityFinal", "ViewPosition", "FinalImageType",
            "spot_mag", "ROI_coords", "match_level", "Rows", "Columns", "ManufacturerModelName",
            "BreastImplantPresent"]  # fmt: skip


def image(exam: str, side: str = "L", view: str = "CC", **given: str) -> dict[str, str]:
    name = given.pop("name", f"{exam}-{side}{view}")
    path = f"{PREFIX}/cohort_1/P{exam[1]}/{exam}/series/{name}.dcm"
    row = {"empi_anon": f"P{exam[1]}", "acc_anon": exam, "anon_dicom_path": path, "ImageLateralityFinal": side}
    row |= {"ViewPosition": view, "FinalImageType": "2D", "ROI_coords": "()"}
    return dict.fromkeys(METADATA, "") | row | given


def finding(exam: str, side: str, **given: str) -> dict[str, str]:
    row = {"empi_anon": f"P{exam[1]}", "acc_anon": exam, "side": side, "numfind": "1"}
    return dict.fromkeys(CLINICAL, "") | row | given


@pytest.fixture
def make(tmp_path):
    def tree(images, findings=(), missing=(), home="images/cohort_1", cut="cohort_1"):
        (tmp_path / "tables").mkdir(exist_ok=True)
        tables = {"metadata": (METADATA, images), "clinical": (CLINICAL, findings)}
        for name, (columns, rows) in tables.items():
            with open(tmp_path / "tables" / f"EMBED_OpenData_{name}.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)
        for row in images:
            if row["anon_dicom_path"] not in missing:
                path = tmp_path / home / row["anon_dicom_path"].split(f"/{cut}/")[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return tmp_path

    return tree


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


def breasts(datalist):
    return {(r["study_id"], r["laterality"]): r for r in by_id(datalist).values()}


def test_findings_go_to_their_breast_and_those_of_both_to_both(make):
    exams = ("A1", "A2", "A3")
    images = [image(exam, side) for exam in exams for side in "LR"]
    rows = [finding("A1", "L", asses="S"), finding("A1", "R", asses="N"), finding("A2", "B", asses="B"),
            finding("A3", "", asses="N")]  # fmt: skip
    datalist, report = embed(make(images, rows))
    check_datalist(datalist)
    assert check_leaks(datalist) == {}
    assert {key: record["birads"] for key, record in breasts(datalist).items()} == {
        ("A1", "L"): 4, ("A1", "R"): 1, ("A2", "L"): 2, ("A2", "R"): 2, ("A3", "L"): 1, ("A3", "R"): 1
    }  # fmt: skip
    assert report.problems == []


@pytest.mark.parametrize(("letters", "birads"), [("N", 1), ("B", 2), ("P", 3), ("A", 0), ("S", 4), ("M", 5), ("K", 6),
                                                 ("NA", 0), ("AB", 0), ("PA", 0), ("AS", 4), ("X", None)])  # fmt: skip
def test_the_most_worrying_assessment_stands_and_x_is_none(make, letters, birads):
    rows = [finding("A1", "L", asses=letter) for letter in letters]
    record = breasts(embed(make([image("A1")], rows))[0])["A1", "L"]
    assert record.get("birads") == birads


@pytest.mark.parametrize(("severities", "pathology"), [
    (["0.0"], "MALIGNANT"), (["1"], "MALIGNANT"), (["2.0"], "BENIGN"), (["3"], "BENIGN"), (["4"], "BENIGN"),
    (["5.0"], "BENIGN"), (["6"], None), ([""], None), (["4.0", "1.0"], "MALIGNANT"), (["6", "5"], "BENIGN"),
])  # fmt: skip
def test_pathology_is_the_worst_specimen_and_never_made_up(make, severities, pathology):
    rows = [finding("A1", "L", path_severity=severity, asses="N") for severity in severities]
    record = breasts(embed(make([image("A1")], rows))[0])["A1", "L"]
    assert record.get("pathology") == pathology
    assert record.get("label_provenance") == ("biopsy" if pathology else None)
    kept = record["raw"].get("path_severity", "")
    assert kept == "; ".join(filter(None, severities))


def test_a_specimen_of_one_side_does_not_label_the_other(make):
    images = [image(exam, side) for exam in ("A1", "A2") for side in "LR"]
    rows = [finding("A1", "B", bside="L", path_severity="0", asses="M"),
            finding("A2", "L", bside="R", path_severity="0", asses="M")]  # fmt: skip
    datalist, report = embed(make(images, rows))
    labelled = {key for key, record in breasts(datalist).items() if "pathology" in record}
    assert labelled == {("A1", "L")}
    assert [(p["row"], p["reason"].split(",")[0]) for p in report.problems] == [
        (2, "the specimen is of another breast than the finding")
    ]


def test_codes_become_words_and_raw_keeps_them(make):
    rows = [
        finding("A1", "L", massshape="O", massmargin="I", calcfind="AP", calcdistri="G", asses="S", numfind="1.0"),
        finding("A1", "L", massshape="F", asses="P", numfind="2"),
        finding("A1", "L", asses="B", numfind="3"),
    ]
    record = breasts(embed(make([image("A1")], rows))[0])["A1", "L"]
    mass, calcification, asymmetry = record["findings"]
    assert (mass["id"], mass["type"], mass["shapes"], mass["margins"]) == ("1", "mass", ["OVAL"], ["ILL_DEFINED"])
    assert calcification["calcification_types"] == ["AMORPHOUS", "PUNCTATE"]
    assert calcification["distributions"] == ["CLUSTERED"]
    assert (asymmetry["type"], asymmetry["assessment"]) == ("focal_asymmetry", 3)
    assert mass["raw"]["massmargin"] == "I"
    assert "abnormality" not in record


def test_density_people_and_implants(make):
    images = [image("A1"), image("B2", BreastImplantPresent="NO"), image("C3", BreastImplantPresent="YES")]
    rows = [
        finding("A1", "L", tissueden="3.0", RACE_DESC="Asian", ETHNIC_GROUP_DESC="Hispanic", implanfind="N"),
        finding("B2", "L", tissueden="5"),
        finding("C3", "L", tissueden="1"),
        finding("C3", "L", tissueden="4"),
    ]
    records = breasts(embed(make(images, rows))[0])
    first = records["A1", "L"]
    assert (first["density"], first["implant"]) == ("C", True)
    assert (first["extra"]["race"], first["extra"]["ethnicity"]) == ("Asian", "Hispanic")
    assert "density" not in records["B2", "L"]  # a male breast
    assert "density" not in records["C3", "L"]  # rows that contradict each other
    assert records["C3", "L"]["raw"]["tissueden"] == "1; 4"
    assert [records[key]["implant"] for key in (("B2", "L"), ("C3", "L"))] == [False, True]


def test_regions_are_rows_first_nested_anyhow_and_cut_to_the_image(make):
    images = [
        image("A1", ROI_coords="((10, 20, 30, 40), (1, 2, 300, 400))", match_level="[1, 2]", Rows="100", Columns="90"),
        image("B2", ROI_coords="[[[5, 6, 7, 8]]]"),
        image("C3", ROI_coords="((10, 20, 10, 40),)"),
    ]
    datalist, report = embed(make(images))
    records = breasts(datalist)
    assert records["A1", "L"]["boxes"] == [[10, 20, 30, 40], [1, 2, 100, 90]]
    assert [f["raw"]["match_level"] for f in records["A1", "L"]["findings"]] == ["1", "2"]
    assert records["B2", "L"]["boxes"] == [[5, 6, 7, 8]]
    assert "boxes" not in records["C3", "L"]
    assert [(p["kind"], p["row"]) for p in report.problems] == [("roi", 3)]


def test_synthetic_and_spot_images_are_left_out_unless_asked_for(make):
    images = [image("A1", name="plain"), image("A1", name="synthetic", FinalImageType="cview"),
              image("A1", name="spot", spot_mag="1.0")]  # fmt: skip
    root = make(images)
    datalist, report = embed(root)
    assert set(by_id(datalist)) == {"plain"}
    assert [(p["kind"], p["row"], p["reason"]) for p in report.problems] == [
        ("excluded", 2, "FinalImageType is not asked for: cview"),
        ("excluded", 3, "a spot or magnification view"),
    ]
    assert set(by_id(embed(root, image_types="2D,spot")[0])) == {"plain", "spot"}
    assert set(by_id(embed(root, image_types=["2d", "cview"])[0])) == {"plain", "synthetic"}
    for unknown in ("3D", "spot", ""):
        with pytest.raises(ValueError, match=r"names no image of .* give some of 2D, cview"):
            embed(root, image_types=unknown)


@pytest.mark.parametrize(
    ("home", "cut"),
    [("images/cohort_1", "cohort_1"), ("cohort_1", "cohort_1"), ("dicom", "cohort_1"), ("flat", "series")],
)
def test_images_are_found_whatever_prefix_the_download_kept(make, home, cut):
    images = [image("A1"), image("A1", "R")]
    datalist, report = embed(make(images, home=home, cut=cut))
    assert set(by_id(datalist)) == {"A1-LCC", "A1-RCC"}
    assert report.unresolved == []


def test_paths_of_windows_and_folders_of_two_disks_are_followed(tmp_path):
    for name in ("disk1/cohort_1/P1/a.dcm", "disk2/cohort_2/P2/b.dcm"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    paths = [r"D:\mammo\cohort_1\P1\a.dcm", "/mnt/cohort_2/P2/b.dcm", "/mnt/cohort_2/P2/c.dcm"]
    found = locate_images(paths, tmp_path)
    assert [os.path.relpath(path, tmp_path) if path else "" for path in found] == [
        "disk1/cohort_1/P1/a.dcm", "disk2/cohort_2/P2/b.dcm", ""
    ]  # fmt: skip


def test_file_names_that_repeat_still_give_one_id_each(make):
    images = [image("A1", name="LCC"), image("B2", name="LCC"), image("C3")]
    assert set(by_id(embed(make(images))[0])) == {"A1_LCC", "B2_LCC", "C3-LCC"}


def test_images_that_are_not_there_are_reported_and_none_is_an_error(make):
    images = [image("A1"), image("B2")]
    root = make(images, missing=[images[1]["anon_dicom_path"]])
    assert [p["row"] for p in embed(root)[1].unresolved] == [2]
    for path in root.rglob("*.dcm"):
        path.unlink()
    with pytest.raises(ValueError, match=r"none of the 2 images of .* is under"):
        embed(root)
    (root / "tables" / "EMBED_OpenData_clinical.csv").unlink()
    with pytest.raises(ValueError, match=r"EMBED_OpenData_clinical\.csv or .*_reduced\.csv not found"):
        embed(root)


def test_unknown_codes_are_reported(make):
    rows = [finding("A1", "Q", asses="N"), finding("A1", "L", asses="Z"), finding("A1", "L", path_severity="9")]
    report = embed(make([image("A1")], rows))[1]
    assert [(p["row"], p["reason"].split(":")[0]) for p in report.problems] == [
        (1, "unknown side, the row is not used"), (2, "unknown asses"), (3, "unknown path_severity")
    ]  # fmt: skip
