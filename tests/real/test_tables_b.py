"""The true tables of CMMD and CDD-CESM, and tables in the true layout of VinDr-Mammo, RSNA 2022 and EMBED; the images
are empty files, or headers of a few pixels, in their true folders.
"""

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from mammo.pipeline.datasets.adapters.cdd_cesm import cdd_cesm
from mammo.pipeline.datasets.adapters.cmmd import cmmd
from mammo.pipeline.datasets.adapters.embed import embed
from mammo.pipeline.datasets.adapters.rsna_2022 import rsna_2022
from mammo.pipeline.datasets.adapters.table import table
from mammo.pipeline.datasets.adapters.vindr_mammo import vindr_mammo
from mammo.pipeline.datasets.records import check_datalist, check_leaks
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

CMMD_PATIENTS = 40


def by_id(datalist):
    check_datalist(datalist)
    assert check_leaks(datalist) == {}
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def copied(source: Path, target: Path) -> Path:
    """The files of a folder, writable."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)
    return target


def write_cmmd_image(path: Path, patient: str, side: str, view: str) -> None:
    header = pydicom.Dataset()
    header.SOPClassUID, header.SOPInstanceUID = DigitalMammographyXRayImageStorageForPresentation, generate_uid()
    header.PatientID, header.Modality, header.ImageLaterality = patient, "MG", side
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator = {"CC": "399162004", "MLO": "399368009"}[view], "SCT"
    header.ViewCodeSequence = [code]
    header.Rows = header.Columns = 2
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelData = 8, 8, 7, bytes(4)
    header["PixelData"].VR = "OB"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def cmmd_tables(real_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = real_data / "cmmd"
    return pd.read_excel(folder / "CMMD_clinicaldata_revision.xlsx"), pd.read_csv(folder / "metadata.csv")


@pytest.fixture(scope="module")
def cmmd_download(real_data, cmmd_tables, tmp_path_factory) -> Path:
    """Some patients of either cohort, in the folders that NBIA's list names, with as many images as it says."""
    root = copied(real_data / "cmmd", tmp_path_factory.mktemp("cmmd") / "CMMD")
    listed = cmmd_tables[1].set_index("Subject ID").sort_index()
    chosen = [*listed.index[:CMMD_PATIENTS], *listed.index[-CMMD_PATIENTS:], "D1-0087"]
    sides = cmmd_tables[0].groupby("ID1")["LeftRight"].agg("".join)
    for patient in dict.fromkeys(chosen):
        row = listed.loc[patient]
        folder = root.joinpath(*row["File Location"].split("\\")[1:])
        views = [
            (side, view)
            for side in (sides[patient] if row["Number of Images"] == 2 else "RL")
            for view in ("CC", "MLO")
        ]
        for number, (side, view) in enumerate(views[: row["Number of Images"]], start=1):
            write_cmmd_image(folder / f"1-{number}.dcm", patient, side, view)
    return root


def test_cmmd_has_1872_rows_of_1775_patients_and_each_is_used_or_reported(cmmd_download, cmmd_tables):
    clinical, listed = cmmd_tables
    datalist, report = cmmd(cmmd_download)
    records = by_id(datalist)
    assert (report.counts["rows"], report.counts["patients"]) == (1872, 1775)
    assert report.counts["images"] == len(records)
    labelled = {(r["patient_id"], r["laterality"]): r for r in records.values() if "pathology" in r}
    told = clinical.set_index(["ID1", "LeftRight"])
    for key, record in labelled.items():
        assert record["pathology"] == told.loc[key, "classification"].upper()
        assert record["abnormality"] == told.loc[key, "abnormality"]
        assert record["age"] == told.loc[key, "Age"]
        assert record.get("subtype") == (told.loc[key, "subtype"] if pd.notna(told.loc[key, "subtype"]) else None)
    lost = [p for p in report.unresolved if p["table"].endswith(".xlsx")]
    assert len(lost) + len(labelled) == 1872
    # Patients whose images are not here, by NBIA's list; its separators of Windows are gone.
    missing = [p for p in report.unresolved if p["table"] == "metadata.csv"]
    assert len(missing) == 1775 - len({r["patient_id"] for r in records.values()})
    assert all(p["item"].startswith("CMMD/D") for p in missing)
    assert listed["Number of Images"].sum() == 5202


def test_cmmd_patient_87_is_benign_on_the_left_and_malignant_on_the_right(cmmd_download):
    records = by_id(cmmd(cmmd_download)[0])
    assert records["D1-0087_L_CC"]["pathology"] == "BENIGN"
    assert records["D1-0087_R_CC"]["pathology"] == "MALIGNANT"


def test_cmmd_unlabelled_breasts_are_those_of_four_images_and_one_row(cmmd_download, cmmd_tables):
    clinical, listed = cmmd_tables
    records = by_id(cmmd(cmmd_download, unlabelled="normal")[0])
    assumed = {r["patient_id"] for r in records.values() if r["label_provenance"] == "assumed"}
    four = set(listed.loc[listed["Number of Images"] == 4, "Subject ID"])
    one = set(clinical["ID1"].value_counts().loc[lambda counts: counts == 1].index)
    assert assumed == four & one & {r["patient_id"] for r in records.values()}
    assert assumed


@pytest.fixture(scope="module")
def cesm_download(real_data, tmp_path_factory) -> Path:
    """TCIA's layout: the workbook and both folders; the low-energy images are empty files."""
    root = tmp_path_factory.mktemp("cesm")
    shutil.copyfile(
        real_data / "cdd_cesm" / "Radiology-manual-annotations.xlsx", root / "Radiology-manual-annotations.xlsx"
    )
    (root / "Subtracted images of CDD-CESM").symlink_to(real_data / "cdd_cesm" / "images")
    names = pd.read_excel(root / "Radiology-manual-annotations.xlsx")["Image_name"]
    for name in names[names.str.contains("_DM_")]:
        touch(root / "Low energy images of CDD-CESM" / f"{name}.jpg")
    return root


def test_cesm_workbook_and_its_metadata_table_give_the_same_subtracted_images(real_data, cesm_download):
    workbook = by_id(cdd_cesm(cesm_download, images="subtracted")[0])
    metadata = by_id(cdd_cesm(real_data / "cdd_cesm")[0])
    assert set(workbook) == set(metadata)
    assert len(workbook) == 677
    fields = ("patient_id", "laterality", "view", "pathology", "density", "birads", "age", "device", "split", "extra")
    for name, record in workbook.items():
        assert {f: record.get(f) for f in fields} == {f: metadata[name].get(f) for f in fields}


def test_cesm_has_two_images_of_each_view_and_four_double_rows(cesm_download):
    datalist, report = cdd_cesm(cesm_download)
    records = by_id(datalist)
    assert Counter(r["extra"]["image_type"] for r in records.values()) == {"low_energy": 677, "subtracted": 677}
    assert sum(p["reason"].startswith("the image is listed twice: first") for p in report.unresolved) == 4
    assert len(report.unresolved) == 4
    # Every name of the workbook's other sheets is of an image.
    sheets = pd.read_excel(cesm_download / "Radiology-manual-annotations.xlsx", sheet_name=None)
    assert len(sheets) == 9
    expected = sum(sheet["Image_name"].str.strip().nunique() for name, sheet in sheets.items() if name != "all")
    assert sum(len(r.get("findings", ())) for r in records.values()) == expected


def test_vindr_layout(real_data, tmp_path):
    root = copied(real_data / "layout_samples" / "vindr_mammo", tmp_path / "vindr")
    breasts = pd.read_csv(root / "breast-level_annotations.csv")
    findings = pd.read_csv(root / "finding_annotations.csv")
    for row in breasts.itertuples():
        touch(root / "images" / row.study_id / f"{row.image_id}.dicom")
    datalist, report = vindr_mammo(root)
    records = by_id(datalist)
    assert report.problems == []
    assert len(records) == len(breasts)
    assert len(datalist["test"]) == (breasts["split"] == "test").sum()
    boxed = findings.dropna(subset="xmin")
    assert sum(len(r.get("boxes", ())) for r in records.values()) == len(boxed)
    for row in boxed.itertuples():
        expected = [row.ymin, row.xmin, min(row.ymax, row.height), min(row.xmax, row.width)]
        assert records[row.image_id]["boxes"] == [pytest.approx(expected)]
    for row in breasts.itertuples():
        assert f"BI-RADS {records[row.image_id]['birads']}" == row.breast_birads


def test_rsna_layout(real_data, tmp_path):
    root = copied(real_data / "layout_samples" / "rsna", tmp_path / "rsna")
    train = pd.read_csv(root / "train.csv")
    for row in train.itertuples():
        touch(root / "train_images" / str(row.patient_id) / f"{row.image_id}.dcm")
    datalist, report = rsna_2022(root)
    records = by_id(datalist)
    assert report.problems == []
    assert len(records) == len(train)
    for row in train.itertuples():
        record = records[str(row.image_id)]
        assert (record["pathology"] == "MALIGNANT") == bool(row.cancer)
        assert record["implant"] == bool(row.implant)
        assert record.get("birads") == (None if pd.isna(row.BIRADS) else row.BIRADS)
        assert record.get("age") == (None if pd.isna(row.age) else row.age)


def test_embed_layout(real_data, tmp_path):
    root = copied(real_data / "layout_samples" / "embed", tmp_path / "embed")
    metadata = pd.read_csv(root / "EMBED_OpenData_metadata.csv")
    for path in metadata["anon_dicom_path"]:
        touch(root / path.removeprefix("images/"))
    datalist, report = embed(root, image_types="2D,cview")
    records = by_id(datalist).values()
    assert [p for p in report.problems if p["kind"] != "roi"] == []
    assert len(records) == len(metadata)
    assert sum(len(r.get("boxes", ())) for r in records) == metadata["num_roi"].sum()
    assert len(by_id(embed(root)[0])) == (metadata["FinalImageType"] == "2D").sum()
    sides = {(r["study_id"], r["laterality"]): r for r in records}
    clinical = pd.read_csv(root / "EMBED_OpenData_clinical.csv").dropna(subset="path_severity")
    for row in clinical.itertuples():
        for side in [row.side] if row.side in ("L", "R") else "LR":
            expected = "MALIGNANT" if row.path_severity < 2 else "BENIGN"
            assert sides[str(row.acc_anon), side]["pathology"] == expected


def test_a_metadata_table_reads_as_a_table_of_ones_own(real_data):
    root = real_data / "cdd_cesm"
    datalist, report = table(root, csv="metadata.csv", columns={"density": "density_acr"}, name="cesm")
    own, listed = by_id(datalist), by_id(cdd_cesm(root)[0])
    assert len(own) == 677
    assert report.unresolved == []
    for record in listed.values():
        same = own[f"images/{record['image_id']}.png"]
        for field in ("patient_id", "laterality", "view", "pathology", "density", "age"):
            assert same.get(field) == record.get(field)
