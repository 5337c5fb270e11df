"""CMMD in miniature: a clinical table, and headers of a few pixels in NBIA's folders."""

from pathlib import Path

import pandas as pd
import pydicom
import pytest
from mammo.pipeline.datasets.adapters.cmmd import cmmd
from mammo.pipeline.datasets.records import check_datalist, check_leaks
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

VIEWS = {"CC": "399162004", "MLO": "399368009"}
ROWS = [
    ("D1-0001", "R", "44", "2", "calcification", "Benign", None),
    ("D1-0087", "L", "50", "2", "mass", "Benign", None),
    ("D1-0087", "R", "50", "2", "both", "Malignant", None),
    ("D2-0003", "L", "61", "2", "mass", "Malignant", "Luminal B"),
    ("D2-0004", "R", "39", "2", "mass", "Malignant", None),
    ("D2-0005", "L", "39", "2", "mass", "Unclear", None),
    ("D2-0004", "R", "39", "2", "mass", "Benign", None),
]
COLUMNS = ("ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype")


def write_header(path: Path, patient: str, side: str | None, view: str, **tags: object) -> None:
    header = pydicom.Dataset()
    header.SOPClassUID, header.SOPInstanceUID = DigitalMammographyXRayImageStorageForPresentation, generate_uid()
    header.PatientID, header.Modality, header.Manufacturer = patient, "MG", "Maker"
    header.StudyInstanceUID = f"1.2.{int(patient[3:])}"
    if side:
        header.ImageLaterality = side
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = VIEWS[view], "SCT", view
    header.ViewCodeSequence = [code]
    header.ImagerPixelSpacing = ["0.094", "0.094"]
    header.Rows = header.Columns = 2
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelData = 8, 8, 7, bytes(4)
    header["PixelData"].VR = "OB"
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def write_patient(root: Path, patient: str, sides: str) -> None:
    folder = root / "CMMD" / patient / "07-18-2010-NA-NA-12345" / "1.000000-NA-54321"
    images = [(side, view) for side in sides for view in VIEWS]
    for number, (side, view) in enumerate(images, start=1):
        write_header(folder / f"1-{number}.dcm", patient, side, view)


@pytest.fixture
def tree(tmp_path):
    pd.DataFrame(ROWS, columns=COLUMNS).to_excel(tmp_path / "CMMD_clinicaldata_revision.xlsx", index=False)
    write_patient(tmp_path, "D1-0001", "R")
    write_patient(tmp_path, "D1-0087", "RL")
    write_patient(tmp_path, "D2-0003", "RL")
    return tmp_path


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


def test_the_header_and_not_the_order_of_the_files_tells_the_breast(tree):
    datalist, _ = cmmd(tree)
    check_datalist(datalist)
    assert check_leaks(datalist) == {}
    records = by_id(datalist)
    # Right images come first on disk; the left breast is the benign one.
    assert records["D1-0087_L_CC"]["pathology"] == "BENIGN"
    assert records["D1-0087_R_MLO"]["pathology"] == "MALIGNANT"
    assert Path(records["D1-0087_R_CC"]["image"]).name == "1-1.dcm"
    assert {r["label_provenance"] for r in records.values() if "pathology" in r} == {"biopsy"}


def test_what_table_and_header_know_is_in_the_record(tree):
    record = by_id(cmmd(tree)[0])["D2-0003_L_MLO"]
    assert (record["age"], record["subtype"], record["abnormality"]) == (61, "Luminal B", "mass")
    assert record["findings"] == [{"id": "1", "type": "mass", "pathology": "MALIGNANT"}]
    assert (record["view"], record["study_id"], record["manufacturer"]) == ("MLO", "1.2.3", "Maker")
    assert record["pixel_spacing_mm"] == [0.094, 0.094]
    assert record["licence"] == "CC BY 4.0"


def test_of_mass_and_calcification_it_is_not_said_which_is_malignant(tree):
    record = by_id(cmmd(tree)[0])["D1-0087_R_CC"]
    assert record["abnormality"] == "both"
    assert [(f["type"], "pathology" in f) for f in record["findings"]] == [("mass", False), ("calcification", False)]


def test_the_unlabelled_breast_has_no_pathology_unless_assumed(tree):
    plain = by_id(cmmd(tree)[0])
    assert "pathology" not in plain["D2-0003_R_CC"]
    assert "subtype" not in plain["D2-0003_R_CC"]
    assumed = by_id(cmmd(tree, unlabelled="normal")[0])
    assert assumed["D2-0003_R_CC"]["pathology"] == "NORMAL"
    assert assumed["D2-0003_R_CC"]["label_provenance"] == "assumed"
    assert assumed["D2-0003_L_CC"]["label_provenance"] == "biopsy"


def test_rows_without_images_and_contradicting_rows_are_reported(tree):
    report = cmmd(tree)[1]
    reasons = {(p["row"], p["reason"].split(":")[0]) for p in report.unresolved}
    assert reasons == {
        (5, "no image of this breast is on disk"),
        (6, "unknown classification"),
        (7, "the breast is listed twice"),
    }
    assert report.counts["rows"] == len(ROWS)


def test_files_without_use_are_reported(tree):
    folder = tree / "CMMD" / "more"
    write_header(folder / "a.dcm", "D1-0001", None, "CC")
    write_header(folder / "b.dcm", "D1-9999", "L", "CC")
    write_header(folder / "c.dcm", "D1-0001", "R", "CC", SOPInstanceUID="1.2.3")
    (folder / "d.dcm").write_bytes((folder / "c.dcm").read_bytes())
    (folder / "e.dcm").write_bytes(b"nothing")
    datalist, report = cmmd(tree)
    told = {Path(p["item"]).name: p["reason"] for p in report.problems if p["kind"] in ("file", "excluded")}
    assert told["a.dcm"] == "the header does not tell the side"
    assert told["b.dcm"].endswith("D1-9999")
    assert told["d.dcm"].startswith("a copy")
    assert told["e.dcm"].startswith("unusable header")
    # A second right CC of the patient is kept under a name of its own.
    assert "D1-0001_R_CC_2" in by_id(datalist)


def test_a_csv_copy_reads_like_the_workbook(tree):
    expected = by_id(cmmd(tree)[0])
    workbook = tree / "CMMD_clinicaldata_revision.xlsx"
    pd.read_excel(workbook, dtype=str).to_csv(workbook.with_suffix(".csv"), index=False)
    workbook.unlink()
    assert by_id(cmmd(tree)[0]) == expected


def test_an_incomplete_download_is_told_from_nbias_list(tree):
    lines = [
        "Subject ID,Number of Images,File Location",
        r"D1-0001,2,.\CMMD\D1-0001\07-18-2010-NA-NA-12345\1.000000-NA-54321",
        r"D1-0087,6,.\CMMD\D1-0087\07-18-2010-NA-NA-12345\1.000000-NA-54321",
    ]
    (tree / "metadata.csv").write_text("\n".join(lines))
    problems = [p for p in cmmd(tree)[1].problems if p["table"] == "metadata.csv"]
    assert [(p["row"], p["item"]) for p in problems] == [(2, "CMMD/D1-0087/07-18-2010-NA-NA-12345/1.000000-NA-54321")]
    assert "4 of 6" in problems[0]["reason"]


def test_a_missing_table_column_or_image_is_named(tree, tmp_path):
    with pytest.raises(ValueError, match="unlabelled must be absent or normal, got 'benign'"):
        cmmd(tree, unlabelled="benign")
    for path in (tree / "CMMD").rglob("*.dcm"):
        path.unlink()
    with pytest.raises(ValueError, match="none of the 5 rows"):
        cmmd(tree)
    table = tree / "CMMD_clinicaldata_revision.xlsx"
    pd.DataFrame(ROWS, columns=[c.replace("LeftRight", "Side") for c in COLUMNS]).to_excel(table, index=False)
    with pytest.raises(ValueError, match="column 'LeftRight' is missing"):
        cmmd(tree)
    table.write_bytes(b"not a workbook")
    with pytest.raises(ValueError, match=r"clinicaldata_revision\.xlsx: cannot be read as a table"):
        cmmd(tree)
    table.unlink()
    with pytest.raises(ValueError, match="not found"):
        cmmd(tree)
