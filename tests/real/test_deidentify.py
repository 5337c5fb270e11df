"""Every real and derived DICOM file reads the same after its export, and none of its identifiers is left."""

import csv
from pathlib import Path

import pytest
import torch
from mammo.pipeline.deidentify import DeidentifyReport, deidentify, find_files
from mammo.transforms import LoadMammogramd
from pydicom import dcmread

Row = dict[str, str]
SAME = ("photometric", "presentation_intent", "pixel_spacing_mm", "bits_stored", "lossy", "breast_implant", "frames")
NAMES = ("PatientID", "PatientName", "AccessionNumber", "StudyID", "InstitutionName", "StudyDescription", "StudyDate")


@pytest.fixture(scope="module")
def exported(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DeidentifyReport, list[Row]]:
    """Output folder, report and crosswalk of all DICOM files."""
    folder = tmp_path_factory.mktemp("exported")
    files = [path for path in find_files([real_data / "dicom", real_data / "nyu_gmic"]) if path.suffix == ".dcm"]
    table = folder / "crosswalk.csv"
    report = deidentify(files, folder / "out", key=bytes(range(32)), burned_in="warn", crosswalk=table)
    return folder / "out", report, list(csv.DictReader(table.read_text().splitlines()))


def test_every_file_is_exported(exported: tuple[Path, DeidentifyReport, list[Row]]) -> None:
    _, report, rows = exported
    assert report.set_aside == []
    assert report.written == len(rows) == 31


def test_every_file_reads_the_same_before_and_after(exported: tuple[Path, DeidentifyReport, list[Row]]) -> None:
    out, _, rows = exported
    for row in rows:
        options = {"frame": 3} if "tomosynthesis" in row["file"] else {}
        before, after = (LoadMammogramd(**options)({"image": path}) for path in (row["file"], out / row["output"]))
        assert torch.equal(before["image"], after["image"]), row["file"]
        assert (before.get("laterality"), before.get("view")) == (after.get("laterality"), after.get("view"))
        facts = [[item["image"].meta.get(name) for name in SAME] for item in (before, after)]
        assert facts[0] == facts[1], row["file"]


def test_no_identifier_is_left(exported: tuple[Path, DeidentifyReport, list[Row]]) -> None:
    out, _, rows = exported
    for row in rows:
        source, header = dcmread(row["file"], stop_before_pixels=True), dcmread(out / row["output"])
        del header.PixelData
        header.save_as(out.parent / "header.dcm", enforce_file_format=True)
        left = (out.parent / "header.dcm").read_bytes()
        identifiers = [str(source.get(name, "")) for name in NAMES]
        identifiers += [str(uid.value) for uid in source if uid.VR == "UI" and uid.keyword != "SOPClassUID"]
        assert [text for text in identifiers if len(text) > 5 and text.encode() in left] == [], row["file"]
