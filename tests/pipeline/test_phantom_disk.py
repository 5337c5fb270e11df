import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from mammo.pipeline.phantom import generate, in_test_split, patient

TABLES = {
    "mass_case_description_train_set.csv",
    "mass_case_description_test_set.csv",
    "calc_case_description_train_set.csv",
    "calc_case_description_test_set.csv",
}
SEED, PATIENTS = 5, 12


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "data"
    generate(folder, patients=PATIENTS, seed=SEED, preset="standard")
    return folder


@pytest.fixture(scope="module")
def truth(root):
    with open(root / "truth.csv", newline="") as file:
        return list(csv.DictReader(file))


def table_rows(root, *names):
    rows = []
    for name in names or sorted(TABLES):
        with open(root / name, newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_four_tables_are_there(root):
    assert {path.name for path in root.glob("*_set.csv")} == TABLES


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_headers_are_those_of_cbis_ddsm(name, root, real_data):
    original = (real_data / "cbis_ddsm/csv" / name).read_bytes().split(b"\r\n")[0]
    assert (root / name).read_bytes().split(b"\r\n")[0] == original


@pytest.mark.parametrize(("prefix", "column"), [("mass", "ROI mask file path"), ("calc", "cropped image file path")])
def test_one_quoted_path_of_each_row_ends_with_a_newline(prefix, column, root):
    rows = table_rows(root, f"{prefix}_case_description_train_set.csv")
    assert rows
    for row in rows:
        assert [name for name, value in row.items() if value.endswith("\n")] == [column]
        assert row[column].strip().endswith(".dcm")


def test_each_affected_view_has_one_row_and_the_other_breast_has_none(root, truth):
    named = {row["image file path"].split("/")[0] for row in table_rows(root)}
    affected = {Path(row["path"]).parts[1] for row in truth if row["pathology"]}
    assert named == affected
    assert len(truth) == 4 * PATIENTS
    assert len(affected) == 2 * PATIENTS


def test_every_path_of_the_tables_leads_to_files_by_its_first_part_and_series(root):
    series = {}
    for path in (root / "CBIS-DDSM").rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert header.PatientID == path.relative_to(root).parts[1]
        series.setdefault((header.PatientID, header.SeriesInstanceUID), []).append(header)
    for row in table_rows(root):
        for column in ("image file path", "cropped image file path", "ROI mask file path"):
            folder, study, uid, _ = row[column].strip().split("/")
            assert all(header.StudyInstanceUID == study for header in series[folder, uid])


def test_folders_are_those_of_the_usual_download(root, truth):
    for row in truth:
        _, _, study, series, file = Path(row["path"]).parts
        header = pydicom.dcmread(root / row["path"], stop_before_pixels=True)
        assert study == f"07-20-2016-DDSM-NA-{header.StudyInstanceUID[-5:]}"
        assert series == f"1.000000-full mammogram images-{header.SeriesInstanceUID[-5:]}"
        assert file == "1-1.dcm"


def test_files_decode_to_the_image_in_memory_whatever_their_syntax_and_polarity(root, truth):
    seen, drawn = set(), {}
    for index in range(PATIENTS):
        for view in patient(index, seed=SEED, preset="standard", test=in_test_split(index, 0.25)):
            drawn[f"P_{index + 1:05d}", view.laterality[0], view.view] = view.image
    for row in truth:
        ds = pydicom.dcmread(root / row["path"])
        values = ds.pixel_array
        if ds.PhotometricInterpretation == "MONOCHROME1":
            values = 4095 - values
        image = drawn[row["patient_id"], row["laterality"], row["view"]]
        np.testing.assert_array_equal(values, np.rint(image * 4095).astype(np.uint16))
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (16, 12, 11)
        seen |= {ds.PhotometricInterpretation, ds.file_meta.TransferSyntaxUID.name}
    assert seen == {
        "MONOCHROME1",
        "MONOCHROME2",
        "Explicit VR Little Endian",
        "RLE Lossless",
        "JPEG 2000 Image Compression (Lossless Only)",
    }


def test_headers_say_what_the_truth_says(root, truth):
    for row in truth:
        header = pydicom.dcmread(root / row["path"], stop_before_pixels=True)
        assert header.Modality == "MG"
        assert header.SOPClassUID == pydicom.uid.DigitalMammographyXRayImageStorageForPresentation
        assert header.SOPInstanceUID == row["image_id"] == header.file_meta.MediaStorageSOPInstanceUID
        assert (header.ImageLaterality, header.ViewPosition) == (row["laterality"], row["view"])
        assert header.PatientOrientation[0] == ("A" if row["laterality"] == "L" else "P")
        assert (header.Rows, header.Columns) == (int(row["rows"]), int(row["columns"]))
        assert list(header.ImagerPixelSpacing) == [0.4, 0.4]


def test_identifiers_are_valid_and_images_have_their_own(root):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in root.rglob("*.dcm")]
    uids = [header.SOPInstanceUID for header in headers]
    assert len(set(uids)) == len(uids)
    for header in headers:
        for uid in (header.SOPInstanceUID, header.SeriesInstanceUID, header.StudyInstanceUID):
            assert uid.is_valid


def test_masks_have_the_image_s_size_and_two_values_and_crops_are_smaller(root, truth):
    by_folder = {Path(row["path"]).parts[1]: row for row in truth if row["pathology"]}
    apart = 0
    for folder, row in by_folder.items():
        files = sorted((root / "CBIS-DDSM" / f"{folder}_1").rglob("*.dcm"))
        images = [pydicom.dcmread(path) for path in files]
        apart += len({path.parent for path in files}) == 2
        assert len(images) == 2
        mask, crop = sorted((image.pixel_array for image in images), key=lambda a: -a.size)
        assert mask.shape == (int(row["rows"]), int(row["columns"]))
        assert set(np.unique(mask)) == {0, 255}
        rows, columns = np.nonzero(mask)
        box = [int(row[name]) for name in ("row0", "column0", "row1", "column1")]
        assert [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1] == box
        assert crop.shape[0] < mask.shape[0]
        assert crop.shape[1] < mask.shape[1]
    assert apart == 2  # both views of one patient in ten


def test_pathology_words_are_those_of_cbis_ddsm(root):
    words = {row["pathology"] for row in table_rows(root)}
    assert {"BENIGN", "MALIGNANT"} <= words <= {"BENIGN", "BENIGN_WITHOUT_CALLBACK", "MALIGNANT"}


def test_the_two_views_of_a_lesion_agree(truth):
    for index in range(PATIENTS):
        mine = [row for row in truth if row["patient_id"] == f"P_{index + 1:05d}" and row["pathology"]]
        for name in ("pathology", "size_mm", "mass_shape", "mass_margins", "calc_type", "density", "split"):
            assert len({row[name] for row in mine}) == 1


def test_no_patient_is_in_two_splits(truth):
    splits = {}
    for row in truth:
        splits.setdefault(row["patient_id"], set()).add(row["split"])
    assert set(map(len, splits.values())) == {1}


def test_workers_and_other_patients_do_not_change_a_patient(tmp_path):
    few = generate(tmp_path / "few", patients=2, seed=SEED, preset="demo", views="CC", test_fraction=0.0)
    generate(tmp_path / "more", patients=3, seed=SEED, preset="demo", views="CC", test_fraction=0.0, workers=2)
    assert few["images"] == 4
    small, large = ({n: b for n, b in contents(tmp_path / k).items() if n.suffix == ".dcm"} for k in ("few", "more"))
    assert small
    assert small == {name: large[name] for name in small}
    assert len(large) > len(small)


def test_a_worker_starts_without_monai():
    check = "import sys, mammo.pipeline.phantom; sys.exit(any(name in sys.modules for name in ('monai', 'torch')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_leaving_the_unaffected_breast_out_leaves_the_tables_alone(tmp_path):
    options = {"patients": 2, "seed": 1, "preset": "demo", "views": "CC", "test_fraction": 0.0}
    both = generate(tmp_path / "both", **options)
    one = generate(tmp_path / "one", unaffected=False, **options)
    assert (both["images"], one["images"]) == (4, 2)
    for name in TABLES:
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_the_same_phantom_is_not_written_twice(tmp_path):
    options = {"patients": 1, "seed": 0, "preset": "demo", "views": "CC", "unaffected": False}
    first = generate(tmp_path / "p", **options)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "p").rglob("*")}
    assert generate(tmp_path / "p", **options) == first
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "p").rglob("*")}
    assert json.loads((tmp_path / "p/phantom.json").read_text()) == first


def test_another_phantom_is_not_overwritten(tmp_path):
    generate(tmp_path / "p", patients=1, seed=0, preset="demo", views="CC", unaffected=False)
    with pytest.raises(ValueError, match="holds another phantom"):
        generate(tmp_path / "p", patients=1, seed=1, preset="demo", views="CC", unaffected=False)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("do not lose")
    with pytest.raises(ValueError, match="is not empty"):
        generate(tmp_path, patients=1, seed=0)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setitem(generate.__globals__, "_write_tables", fail)
    with pytest.raises(OSError, match="disk full"):
        generate(tmp_path / "p", patients=1, seed=0, preset="demo", views="CC", unaffected=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patients": 0}, "patients is 0"),
        ({"test_fraction": 1.0}, "test_fraction is 1.0"),
        ({"views": "LMLO"}, "views is 'LMLO'"),
        ({"preset": "easy"}, "preset 'easy'"),
        ({"device": "analogue"}, "device is 'analogue'"),
        ({"calcification_share": 1.5}, "calcification_share is 1.5"),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_written(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "p", **({"patients": 1, "seed": 0} | options))
    assert not (tmp_path / "p").exists()


def test_finer_pixels_show_the_same_patients_larger(tmp_path, truth):
    generate(tmp_path / "fine", patients=1, seed=SEED, preset="standard", unaffected=False, pixel_mm=0.2)
    with open(tmp_path / "fine/truth.csv", newline="") as file:
        fine = list(csv.DictReader(file))
    coarse = [row for row in truth if row["patient_id"] == fine[0]["patient_id"] and row["pathology"]]
    for one, other in zip(fine, coarse, strict=True):
        assert (one["pathology"], one["mass_margins"]) == (other["pathology"], other["mass_margins"])
        assert float(one["size_mm"]) == pytest.approx(float(other["size_mm"]), rel=0.1)
        assert [int(one["rows"]), int(one["columns"])] == [2 * int(other["rows"]), 2 * int(other["columns"])]
    header = pydicom.dcmread(tmp_path / "fine" / fine[0]["path"], stop_before_pixels=True)
    assert [float(mm) for mm in header.ImagerPixelSpacing] == [0.2, 0.2]


def test_workers_used_again_write_where_the_caller_stands_now(tmp_path, monkeypatch):
    """Worker processes live on between calls and keep the folder they were started in."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        generate("phantom", patients=2, seed=SEED, preset="demo", unaffected=False, workers=2)
        assert list((tmp_path / name / "phantom").rglob("*.dcm"))


def test_share_of_calcifications_and_vendor_change_nothing_else(tmp_path):
    plain = patient(0, seed=SEED, preset="demo", unaffected=False)
    unseen = patient(0, seed=SEED, preset="demo", unaffected=False, device="enhanced", calcification_share=0.1)
    assert [view.lesion.box for view in plain] == [view.lesion.box for view in unseen]
    assert [view.case.pathology for view in plain] == [view.case.pathology for view in unseen]
    assert all(not np.array_equal(one.image, other.image) for one, other in zip(plain, unseen, strict=True))
    for share, kind in ((0.0, "mass"), (1.0, "calcification")):
        cases = [patient(i, seed=SEED, views=("CC",), calcification_share=share)[0].case for i in range(3)]
        assert {case.abnormality for case in cases} == {kind}
    generate(tmp_path / "p", patients=2, seed=SEED, unaffected=False, calcification_share=1.0, device="enhanced")
    with open(tmp_path / "p/truth.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["device"] for row in rows} == {"enhanced"}
    assert {row["abnormality"] for row in rows} == {"calcification"}
    header = pydicom.dcmread(tmp_path / "p" / rows[0]["path"], stop_before_pixels=True)
    assert header.ManufacturerModelName == "enhanced"
