import plistlib

import openpyxl
import pytest
from mammo.pipeline.datasets.adapters.inbreast import inbreast
from mammo.pipeline.datasets.adapters.inbreast_rois import MAX_BYTES, read_rois
from mammo.pipeline.datasets.records import all_records, check_datalist, check_leaks
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

HEADER = ["Patient ID", "Patient age", "Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads"]
ROWS, COLUMNS = 40, 30


def write_dicom(path):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    header.Rows, header.Columns = ROWS, COLUMNS
    header.save_as(path, enforce_file_format=False)


def write_rois(path, *rois):
    listed = [{"Name": name, "NumberOfPoints": len(points), "Point_px": points} for name, points in rois]
    image = {"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": listed}
    path.write_bytes(plistlib.dumps({"Images": [image]}))


def write_csv(root, rows):
    lines = [";".join(HEADER), *(";".join(row) for row in rows)]
    (root / "INbreast.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode())


def row(number, side, view, birads, density="2", date="200801"):
    return ["removed", "removed", side, view, date, number, density, birads]


@pytest.fixture
def root(tmp_path):
    """Three patients: two in ``aa`` and ``bb``, and ``cc`` with an image that is not on disk."""
    root = tmp_path / "INbreast Release 1.0"
    for folder in ("AllDICOMs", "AllXML", "PectoralMuscle/Pectoral Muscle XML"):
        (root / folder).mkdir(parents=True)
    for name in (
        "20000001_00000000000000aa_MG_L_CC_ANON",
        "20000002_00000000000000aa_MG_L_ML_ANON",
        "20000003_00000000000000bb_MG_R_CC_ANON",
    ):
        write_dicom(root / "AllDICOMs" / f"{name}.dcm")
    write_csv(
        root,
        [
            row("20000001", "L", "CC", "4a"),
            row("20000002", "L", "MLO", "6", density="   ", date="200907"),
            row("20000003", "R", "CC", "1", density="4"),
            row("20000004", "R", "CC", "2"),
        ],
    )
    triangle = ["(5.5, 10.25)", "(9.0, 10.0)", "(7.0, 14.75)"]
    write_rois(root / "AllXML" / "20000001.xml", ("Mass", triangle), ("Calcification", ["(20.0, 8.0)"]))
    write_rois(root / "PectoralMuscle" / "Pectoral Muscle XML" / "20000002.xml", ("Pectoral Muscle", triangle))
    return root


def by_id(datalist):
    return {record["image_id"]: record for _, record in all_records(datalist)}


def reasons(report, kind):
    return [(problem["item"], problem["reason"]) for problem in report.problems if problem["kind"] == kind]


def test_patients_come_from_the_file_name_and_studies_from_the_date(root):
    datalist, _ = inbreast(root)
    records = by_id(datalist)
    check_datalist(datalist)
    assert check_leaks(datalist) == {}
    assert {name: r["patient_id"][-2:] for name, r in records.items()} == {
        "20000001": "aa", "20000002": "aa", "20000003": "bb"
    }  # fmt: skip
    assert records["20000001"]["study_id"] != records["20000002"]["study_id"]


def test_the_views_name_in_the_table_replaces_that_of_the_file(root):
    records = by_id(inbreast(root)[0])
    assert [(r["laterality"], r["view"]) for r in records.values() if r["patient_id"].endswith("aa")] == [
        ("L", "CC"), ("L", "MLO")
    ]  # fmt: skip


def test_birads_letters_stay_raw_and_a_blank_density_is_absent(root):
    records = by_id(inbreast(root)[0])
    assert (records["20000001"]["birads"], records["20000001"]["raw"]["Bi-Rads"]) == (4, "4a")
    assert records["20000002"]["birads"] == 6
    assert "density" not in records["20000002"]
    assert records["20000003"]["density"] == "D"


def test_no_pathology_is_derived_from_birads(root):
    for record in by_id(inbreast(root)[0]).values():
        assert not {"pathology", "label_provenance", "age"} & set(record)
        assert "removed" not in record["raw"].values()
        assert "research" in record["licence"]


def test_points_are_column_first_and_boxes_are_half_open(root):
    mass, dot = by_id(inbreast(root)[0])["20000001"]["findings"]
    assert mass["type"] == "mass"
    assert mass["polygon"] == [[10.25, 5.5], [10.0, 9.0], [14.75, 7.0]]
    assert mass["box"] == [10, 5, 15, 10]
    assert dot["type"] == "calcification"
    assert dot["circle"] == [8, 20, 3]
    assert dot["box"] == [5, 17, 12, 24]
    assert "polygon" not in dot


def test_images_without_outlines_have_no_findings_and_those_with_several_kinds_no_abnormality(root):
    records = by_id(inbreast(root)[0])
    assert "findings" not in records["20000002"]  # it has an outline of the pectoral muscle only
    assert len(records["20000001"]["boxes"]) == 2
    assert "abnormality" not in records["20000001"]


def test_what_is_not_used_is_reported(root):
    write_dicom(root / "AllDICOMs" / "20000009_00000000000000dd_MG_R_CC_ANON.dcm")
    (root / "AllXML" / "20000004.xml").write_bytes((root / "AllXML" / "20000001.xml").read_bytes())
    _, report = inbreast(root)
    assert reasons(report, "image") == [("20000004", "the image is not on disk")]
    files = " ".join(reason for _, reason in reasons(report, "file"))
    assert "no row of the table lists the image" in files
    assert "outlines without a listed image" in files
    assert "pectoral muscle are not read: 1 files" in files


def test_values_that_contradict_or_make_no_sense_are_absent_and_reported(root):
    write_csv(
        root, [row("20000001", "R", "CC", "7"), row("20000003", "R", "CC", "1", "9"), row("20000003", "R", "CC", "1")]
    )
    datalist, report = inbreast(root)
    record = by_id(datalist)["20000001"]
    assert not {"laterality", "birads"} & set(record)
    assert [reason.split(":")[0] for _, reason in reasons(report, "label")] == [
        "table and file name disagree on the side", "unknown BI-RADS category", "unknown ACR density"
    ]  # fmt: skip
    assert reasons(report, "image") == [("20000003", "the image is listed twice")]


def test_the_workbook_serves_where_the_csv_is_missing(root):
    expected = by_id(inbreast(root)[0])
    (root / "INbreast.csv").unlink()
    book = openpyxl.Workbook()
    book.active.append([*HEADER, "Mass ", "Other Notes"])
    book.active.append(["removed", "removed", "L", "CC", 200801, 20000001, "2", "4a", "X", None])
    book.active.append(["removed", "removed", "L", "MLO", 200907.0, 20000002.0, " ", 6, None, None])
    book.active.append(["removed", "removed", "R", "CC", 200801, 20000003, 4, 1, None, None])
    book.active.append([None, None, None, None, None, None, None, None, 1, "total"])
    book.save(root / "INbreast.xlsx")
    datalist, report = inbreast(root)
    records = by_id(datalist)
    assert records["20000001"]["raw"].pop("Mass") == "X"
    assert records == expected
    assert [item for item, _ in reasons(report, "excluded")] == [""]


def test_an_old_workbook_alone_is_refused_with_the_way_out(root):
    (root / "INbreast.csv").rename(root / "INbreast.xls")
    with pytest.raises(ValueError, match=r"INbreast\.xls is of the old Excel format.*save it as INbreast\.xlsx"):
        inbreast(root)


def test_a_missing_column_and_missing_images_are_named(root):
    for path in (root / "AllDICOMs").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"none of the images.*AllDICOMs/<number>_<patient>_MG_"):
        inbreast(root)
    table = root / "INbreast.csv"
    table.write_text(table.read_text().replace("Bi-Rads", "Birads"))
    with pytest.raises(ValueError, match="column 'Bi-Rads' is missing"):
        inbreast(root)


@pytest.mark.parametrize(
    "content",
    [
        b"not xml",
        plistlib.dumps({"Images": []}, fmt=plistlib.FMT_BINARY),
        b'<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "aaaa">]><plist><dict/></plist>',
        plistlib.dumps({"Images": {"ROIs": 3}}),
        plistlib.dumps([1, 2]),
    ],
)
def test_a_broken_outline_file_is_reported_and_its_image_kept(root, content):
    (root / "AllXML" / "20000001.xml").write_bytes(content)
    datalist, report = inbreast(root)
    assert "findings" not in by_id(datalist)["20000001"]
    [(item, reason)] = reasons(report, "roi")
    assert item == "20000001"
    assert reason.startswith("unreadable outlines")


def test_an_outline_file_beyond_its_bound_is_not_read(tmp_path):
    path = tmp_path / "1.xml"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ValueError, match=r"1\.xml: larger than"):
        read_rois(path, None)


def test_an_unreadable_header_leaves_outlines_unclipped_and_is_reported(root):
    write_rois(root / "AllXML" / "20000001.xml", ("Mass", ["(-3, 5)", "(500, 5)", "(500, 9)"]))
    (root / "AllDICOMs" / "20000001_00000000000000aa_MG_L_CC_ANON.dcm").write_bytes(b"no DICOM")
    datalist, report = inbreast(root)
    assert by_id(datalist)["20000001"]["boxes"] == [[5, 0, 10, 501]]
    assert [reason for _, reason in reasons(report, "roi")] == [
        "unreadable header: outlines are not clipped to the image"
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Mass", "mass"),
        ("Calcifications", "calcification"),
        ("Cluster", "calcification"),
        ("Distortion", "architectural_distortion"),
        ("Assymetry", "asymmetry"),
        ("Asimmetry", "asymmetry"),
        ("Espiculated Region", "spiculated_region"),
        ("Spiculated  region ", "spiculated_region"),
        ("Unnamed", None),
        ("Point 3", None),
        ("", None),
        ("Cyst", "other"),
    ],
)
def test_misspelt_names_are_known_and_the_name_is_kept(tmp_path, name, kind):
    write_rois(tmp_path / "1.xml", (name, ["(1, 1)", "(5, 1)", "(5, 5)"]))
    rois = read_rois(tmp_path / "1.xml", (ROWS, COLUMNS))
    assert rois.findings[0].get("type") == kind
    assert rois.findings[0]["raw"]["name"] == name.strip()
    assert bool(rois.problems) == (kind == "other")


def test_points_beyond_the_frame_are_clipped_and_outlines_outside_it_reported(tmp_path):
    write_rois(
        tmp_path / "1.xml",
        ("Mass", ["(25.5, -4)", "(33, 2)", "(28, 6)"]),
        ("Mass", ["(-9, 3)", "(-2, 3)", "(-5, 8)"]),
        ("Calcification", ["(29.0, 39.0)"]),
        ("Calcification", ["(30.0, 39.0)"]),
    )
    rois = read_rois(tmp_path / "1.xml", (ROWS, COLUMNS))
    assert rois.findings[0]["polygon"] == [[0, 25.5], [2, 29], [6, 28]]
    assert rois.findings[0]["box"] == [0, 25, 7, 30]
    assert "box" not in rois.findings[1]
    assert rois.findings[2]["box"] == [36, 26, 40, 30]
    assert "box" not in rois.findings[3]
    assert len(rois.problems) == 2


def test_two_points_are_one_circle_around_both(tmp_path):
    write_rois(tmp_path / "1.xml", ("Calcification", ["(10, 20)", "(18, 20)"]))
    [finding] = read_rois(tmp_path / "1.xml", (ROWS, COLUMNS)).findings
    assert finding["circle"] == [20, 14, 4 + 3]
    assert finding["box"] == [13, 7, 28, 22]


@pytest.mark.parametrize("points", [[], ["(nan, 2)"], ["1"], ["(1, 2)", "x"], None, "(1, 2)"])
def test_outlines_with_unreadable_points_have_no_place_and_are_reported(tmp_path, points):
    rois = [{"Name": "Mass", "Point_px": points}] if points is not None else [{"Name": "Mass"}]
    (tmp_path / "1.xml").write_bytes(plistlib.dumps({"Images": [{"ROIs": rois}]}))
    read = read_rois(tmp_path / "1.xml", None)
    assert not {"box", "circle", "polygon"} & set(read.findings[0])
    assert len(read.problems) == 1


def test_each_birads_category_with_three_patients_is_in_each_section(tmp_path):
    (tmp_path / "AllDICOMs").mkdir()
    rows = []
    for number in range(18):
        (tmp_path / "AllDICOMs" / f"{number}_{number:016x}_MG_L_CC_ANON.dcm").touch()
        rows.append(row(str(number), "L", "CC", str(1 + number % 6)))
    write_csv(tmp_path, rows)
    datalist, _ = inbreast(tmp_path, seed=3)
    for section in ("training", "validation", "test"):
        assert {record["birads"] for record in datalist[section]} == {1, 2, 3, 4, 5, 6}
        assert {record["split"] for record in datalist[section]} == {section}
