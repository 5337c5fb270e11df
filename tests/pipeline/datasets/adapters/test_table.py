"""A dataset of one's own: tables with the spellings people use, and plain folders."""

from pathlib import Path

import pandas as pd
import pydicom
import pytest
from mammo.pipeline.datasets.adapters.table import table
from mammo.pipeline.datasets.adapters.table_columns import FIELDS, clean_cell
from mammo.pipeline.datasets.records import check_datalist, check_leaks
from mammo.pipeline.datasets.schema import RECORD_FIELDS
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


def write_dicom(path: Path, patient: str, side: str, view: str) -> None:
    header = pydicom.Dataset()
    header.SOPClassUID, header.SOPInstanceUID = DigitalMammographyXRayImageStorageForPresentation, generate_uid()
    header.PatientID, header.Modality, header.ImageLaterality, header.ViewPosition = patient, "MG", side, view
    header.ManufacturerModelName = "Model"
    header.Rows = header.Columns = 2
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelData = 8, 8, 7, bytes(4)
    header["PixelData"].VR = "OB"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


@pytest.fixture
def make(tmp_path):
    def tree(rows, name="my.csv", **how):
        frame = pd.DataFrame(rows)
        path = tmp_path / name
        if path.suffix == ".xlsx":
            frame.to_excel(path, index=False)
        else:
            frame.to_csv(path, index=False, **how)
        for column in ("image", "Path"):
            for image in frame.get(column, ()):
                if image and "gone" not in image:
                    (tmp_path / image.replace("\\", "/")).parent.mkdir(parents=True, exist_ok=True)
                    (tmp_path / image.replace("\\", "/")).touch()
        return tmp_path

    return tree


def one(make, **cells):
    record = by_id(table(make([{"image": "a.png", "patient_id": "P1", **cells}]), csv="my.csv")[0])
    return record["a.png"]


def test_every_field_is_one_of_the_schema_or_the_split():
    assert set(FIELDS) <= set(RECORD_FIELDS)


@pytest.mark.parametrize(("field", "text", "value"), [
    ("laterality", "LEFT", "L"), ("laterality", "r", "R"), ("view", "mlo", "MLO"), ("view", "Cranio-caudal", "CC"),
    ("pathology", "Malign", "MALIGNANT"), ("pathology", "benign", "BENIGN"), ("pathology", "No finding", "NORMAL"),
    ("pathology", "benign without callback", "BENIGN_WITHOUT_CALLBACK"), ("birads", "4a", 4),
    ("birads", "BI-RADS 0", 0),
    ("birads", "5.0", 5), ("birads", "BIRADS4C", 4), ("density", "3", "C"), ("density", "ACR b", "B"),
    ("density", "BI-RADS D", "D"), ("density", "2.0", "B"), ("density", "fatty", "FATTY"), ("age", "064Y", 64),
    ("age", "51.0", 51), ("implant", "no", False), ("implant", "1", True), ("split", "VAL", "validation"),
    ("pixel_spacing_mm", "0.07", [0.07, 0.07]), ("pixel_spacing_mm", r"0.07\0.08", [0.07, 0.08]),
])  # fmt: skip
def test_spellings_are_understood(field, text, value):
    assert clean_cell(field, text) == {field: value}


@pytest.mark.parametrize(("field", "text"), [
    ("laterality", "B"), ("view", "axial"), ("pathology", "2"), ("pathology", "1"), ("pathology", "0"), ("birads", "7"),
    ("birads", "3a"), ("birads", "45"), ("density", "E"), ("density", "40"), ("age", "200"), ("age", "-3"),
    ("split", "fold 1"), ("pixel_spacing_mm", "0"), ("pixel_spacing_mm", "fine"), ("label_provenance", "guess"),
])  # fmt: skip
def test_what_is_not_understood_is_refused_with_its_text(field, text):
    with pytest.raises(ValueError, match=repr(text)):
        clean_cell(field, text)


def test_yes_and_no_are_pathology_only_when_no_has_a_meaning(make):
    rows = [{"image": f"{n}.png", "patient_id": n, "cancer": n % 2} for n in range(4)]
    root = make(rows)
    columns = {"pathology": "cancer"}
    datalist, report = table(root, csv="my.csv", columns=columns)
    assert not any("pathology" in record for record in by_id(datalist).values())
    assert [p["row"] for p in report.problems] == [1, 2, 3, 4]
    records = by_id(table(root, csv="my.csv", columns=columns, negative="BENIGN")[0])
    assert [records[f"{n}.png"]["pathology"] for n in range(4)] == ["BENIGN", "MALIGNANT"] * 2
    assert records["0.png"]["raw"] == {"pathology": "0"}


def test_columns_are_found_whatever_their_case_and_punctuation(make):
    rows = [{"Image Path": "a.png", "PatientID": "P1", "Side": "left", "View-Position": "CC", "BI-RADS": "4b"}]
    root = make(rows)
    (root / "a.png").touch()
    datalist, report = table(root, csv="my.csv", name="clinic", licence="ours")
    check_datalist(datalist)
    record = by_id(datalist)["a.png"]
    assert (record["patient_id"], record["laterality"], record["view"], record["birads"]) == ("P1", "L", "CC", 4)
    assert (record["dataset"], record["licence"]) == ("clinic", "ours")
    assert record["raw"] == {"laterality": "left", "birads": "4b"}
    assert report.problems == []


def test_given_columns_win_and_unused_ones_are_told_but_not_copied(make):
    rows = [{"image": "a.png", "PatID": "P1", "patient_id": "wrong", "Surname": "Doe"}]
    datalist, report = table(make(rows), csv="my.csv", columns={"patient_id": "PatID"})
    record = by_id(datalist)["a.png"]
    assert record["patient_id"] == "P1"
    assert "Doe" not in str(record)
    assert [p["item"] for p in report.problems] == ["patient_id, Surname"]
    assert "1 x column: not used (patient_id, Surname); --columns FIELD=COLUMN uses one" in report.summary()


def test_a_view_that_names_the_side_fills_it_and_contradictions_are_told(make):
    assert one(make, view="R-MLO")["laterality"] == "R"
    root = make([{"image": "a.png", "patient_id": "P1", "laterality": "L", "view": "RCC"}])
    assert [p["reason"] for p in table(root, csv="my.csv")[1].problems] == ["laterality is told twice: 'L' and 'R'"]


@pytest.mark.parametrize(("name", "how"), [("my.csv", {"sep": ";"}), ("my.csv", {"sep": "\t"}),
                                           ("my.csv", {"encoding": "utf-8-sig"}), ("my.xlsx", {})])  # fmt: skip
def test_separators_byte_order_marks_and_workbooks_read_alike(make, name, how):
    rows = [
        {"image": "a.png", "patient_id": "P1", "report": "Mass, left; benign", "age": 50},
        {"image": "b.png", "patient_id": "P2"},
    ]
    records = by_id(table(make(rows, name, **how), csv=name)[0])
    assert (records["a.png"]["report"], records["a.png"]["age"]) == ("Mass, left; benign", 50)
    assert not {"report", "age"} & records["b.png"].keys()


def test_unusable_rows_are_reported_with_their_number_and_the_rest_is_kept(make):
    rows = [
        {"image": "a.png", "patient_id": "P1", "birads": "3"},
        {"image": "gone.png", "patient_id": "P1", "birads": "3"},
        {"image": "", "patient_id": "P1", "birads": "3"},
        {"image": "b.png", "patient_id": "", "birads": "3"},
        {"image": "c.png", "patient_id": "P3", "birads": "high"},
        {"image": "a.png", "patient_id": "P1", "birads": "5"},
    ]
    datalist, report = table(make(rows), csv="my.csv")
    assert set(by_id(datalist)) == {"a.png", "c.png"}
    assert by_id(datalist)["a.png"]["birads"] == 3
    told = {(p["kind"], p["row"], p["reason"].split(":")[0]) for p in report.problems}
    assert told == {
        ("image", 2, "the image is not on disk"),
        ("image", 3, "the image is not given"),
        ("image", 4, "patient_id is missing or not understood"),
        ("label", 5, "birads not understood"),
        ("image", 6, "the image is listed already, in row 1"),
    }


def test_paths_of_windows_masks_and_the_tables_own_folder(make):
    root = make([{"image": r"sub\a.png", "patient_id": "P1", "mask": "m.png; n.png"}])
    (root / "m.png").touch()
    datalist, report = table(root, csv="my.csv")
    record = by_id(datalist)["sub/a.png"]
    assert record["roi_masks"] == [str(root / "m.png")]
    assert [p["reason"] for p in report.problems] == ["the mask is not on disk: n.png"]
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    assert len(by_id(table(elsewhere, csv=root / "my.csv")[0])) == 1


def test_a_given_split_is_kept_and_validation_cut_from_training(make):
    rows = [{"image": f"{n}.png", "patient_id": f"P{n}", "split": "train" if n < 10 else "test"} for n in range(14)]
    datalist, _ = table(make(rows), csv="my.csv", validation_fraction=0.3)
    check_datalist(datalist)
    assert check_leaks(datalist) == {}
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [7, 3, 4]
    rows[0]["split"] = "val"
    datalist, _ = table(make(rows), csv="my.csv")
    assert [len(datalist[name]) for name in ("training", "validation", "test")] == [9, 1, 4]


def test_without_a_split_patients_are_dealt_by_pathology(make):
    rows = [{"image": f"{n}{view}.png", "patient": f"P{n}", "pathology": "cancer" if n < 5 else "normal"}
            for n in range(20) for view in ("CC", "MLO")]  # fmt: skip
    datalist, _ = table(make(rows), csv="my.csv")
    parts = [datalist[name] for name in ("training", "validation", "test")]
    assert check_leaks(datalist) == {}
    assert [sum(r["pathology"] == "MALIGNANT" for r in part) for part in parts] == [6, 2, 2]


def test_headers_fill_what_the_table_does_not_say(make):
    root = make([{"image": name} for name in ("a.dcm", "b.dcm", "c.png")])
    write_dicom(root / "a.dcm", "P1", "L", "CC")
    write_dicom(root / "b.dcm", "P1", "R", "MLO")
    datalist, report = table(root, csv="my.csv")
    records = by_id(datalist)
    assert (records["b.dcm"]["patient_id"], records["b.dcm"]["laterality"], records["b.dcm"]["view"]) == (
        "P1",
        "R",
        "MLO",
    )
    assert records["a.dcm"]["device"] == "Model"
    assert records["c.png"]["patient_id"] == "c.png"
    assert [p["item"] for p in report.problems] == ["c.png"]


def test_each_folder_is_a_patient_and_a_lone_image_its_own(tmp_path):
    for name in ("P1/a.png", "P1/visit 2/b.png", "P2/a.png", "c.png", "P2/notes.txt", ".cache/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    datalist, report = table(tmp_path)
    check_datalist(datalist)
    assert {name: record["patient_id"] for name, record in by_id(datalist).items()} == {
        "P1/a.png": "P1", "P1/visit 2/b.png": "P1", "P2/a.png": "P2", "c.png": "c.png"
    }  # fmt: skip
    assert {p["item"] for p in report.problems} == {"P2/notes.txt", "c.png"}


def test_a_folder_that_holds_all_is_no_patient_and_headers_tell(tmp_path):
    for number, patient in enumerate(("X", "X", "Y")):
        write_dicom(tmp_path / "images" / f"IM{number}", patient, "L", "CC")  # PACS exports have no suffix
    records = by_id(table(tmp_path)[0])
    assert {name: record["patient_id"] for name, record in records.items()} == {
        "images/IM0": "X", "images/IM1": "X", "images/IM2": "Y"
    }  # fmt: skip
    assert {record["view"] for record in records.values()} == {"CC"}


def test_words_of_the_tables_own_language_are_taken_as_told(make):
    rows = [
        {"image": f"{n}.png", "patient_id": n, "Histologie: b\u00f6sartig?": word} for n, word in ("aJ", "bn", "c?")
    ]
    root, columns = make(rows), {"pathology": "Histologie: b\u00f6sartig?"}
    datalist, report = table(root, csv="my.csv", columns=columns, values={"j": "MALIGNANT", "N": "BENIGN"})
    records = by_id(datalist)
    assert [records[f"{n}.png"].get("pathology") for n in "abc"] == ["MALIGNANT", "BENIGN", None]
    assert [(p["kind"], p["row"]) for p in report.problems] == [("label", 3)]


def test_one_patient_whom_a_complete_table_splits_is_told(tmp_path):
    for name in ("a", "b"):
        write_dicom(tmp_path / f"{name}.dcm", "X", "L", "CC")
    rows = [{"image": f"{n}.dcm", "patient_id": f"exam {n}", "laterality": "L", "view": "CC"} for n in ("a", "b")]
    pd.DataFrame(rows).to_csv(tmp_path / "my.csv", index=False)
    datalist, report = table(tmp_path, csv="my.csv")
    assert [p["reason"] for p in report.problems] == [
        "one Patient ID of the headers is taken as several patients: exam a, exam b"
    ]
    assert {record["device"] for record in by_id(datalist).values()} == {"Model"}


def test_one_patient_in_two_folders_is_told(tmp_path):
    for folder in ("2021", "2022"):
        write_dicom(tmp_path / folder / "a.dcm", "X", "L", "CC")
    report = table(tmp_path)[1]
    assert [p["reason"] for p in report.problems] == [
        "one Patient ID of the headers is taken as several patients: 2021, 2022"
    ]


@pytest.mark.parametrize(("folders", "kind"), [(("Benign", "malignant"), "pathology"), (("train", "test"), "split")])
def test_folders_of_classes_or_splits_are_not_taken_for_patients(tmp_path, folders, kind):
    for folder in folders:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()
    with pytest.raises(ValueError, match=f"are values of {kind}, not patients; give a table"):
        table(tmp_path)


def test_mistakes_are_named(make, tmp_path):
    with pytest.raises(ValueError, match="images not found here or below"):
        table(tmp_path)
    with pytest.raises(ValueError, match=r"the table my\.csv was not found"):
        table(tmp_path, csv="my.csv")
    root = make([{"image": "gone.png", "patient_id": "P1"}])
    with pytest.raises(ValueError, match="none of its 1 rows can be used; the first: the image is not on disk"):
        table(root, csv="my.csv")
    with pytest.raises(ValueError, match="no field 'patient'; did you mean 'patient_id'"):
        table(root, csv="my.csv", columns={"patient": "image"})
    with pytest.raises(ValueError, match=r"the column 'PatID' \(for patient_id\) is missing; found image, patient_id"):
        table(root, csv="my.csv", columns={"patient_id": "PatID"})
    with pytest.raises(ValueError, match="no column holds the images"):
        table(make([{"picture": "a"}]), csv="my.csv")
    with pytest.raises(ValueError, match="negative must be NORMAL or BENIGN, got 'no'"):
        table(root, csv="my.csv", negative="no")
    with pytest.raises(ValueError, match="give the table with csv"):
        table(root, columns={"image": "a"})
    (root / "my.csv").write_bytes("image,report\na.png,Gr\xf6\xdfe".encode("latin-1"))
    with pytest.raises(ValueError, match="not in UTF-8"):
        table(root, csv="my.csv")
