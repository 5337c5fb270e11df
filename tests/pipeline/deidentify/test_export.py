"""The export of a folder: resumable, nothing lost in silence, nothing private in the output."""

import csv
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mammo.pipeline.deidentify import DeidentifyReport, Pseudonyms, deidentify, find_files
from mammo.pipeline.deidentify.export import SETTINGS_FILE
from mammo.pipeline.phantom import generate
from mammo.transforms import LoadMammogramd
from pydicom import dcmread
from pydicom.dataset import Dataset

Mammogram = Callable[[], Dataset]
Write = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path, mammogram: Mammogram, write: Write) -> list[Path]:
    """Three images of a study, a table and a picture that is none."""
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    for number in range(3):
        ds = mammogram()
        ds.SOPInstanceUID, ds.InstanceNumber = f"1.2.3.4.{number}", number
        write(ds, folder / f"{number}.dcm")
    (folder / "Doe.csv").write_text("Doe,Jane\n")
    (folder / "empty.dcm").write_bytes(b"")
    return find_files([folder])


def outputs(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.dcm")}


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def counts(report: DeidentifyReport) -> tuple[int, int, int, int]:
    return report.written, report.kept, report.duplicates, len(report.set_aside)


def test_every_file_is_written_or_set_aside_with_a_reason(tmp_path: Path, study: list[Path], key: bytes) -> None:
    report = deidentify(study, tmp_path / "out", key=key)
    assert counts(report) == (3, 0, 0, 2)
    assert {Path(item["file"]).name: item["reason"] for item in report.set_aside} == {
        "Doe.csv": "not_an_image",
        "empty.dcm": "not_an_image",
    }
    assert report.summary().splitlines() == [
        "3 files written, 0 kept, 0 duplicates",
        "2 files set aside: 2 not_an_image",
    ]


def test_a_patient_is_a_folder_and_no_name_is_the_sources(tmp_path: Path, study: list[Path], key: bytes) -> None:
    deidentify(study, tmp_path / "out", key=key)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {Pseudonyms(key).patient("PAT42"), SETTINGS_FILE}
    assert all(len(path.name) == 24 for path in outputs(tmp_path / "out"))


def test_same_key_same_bytes_and_other_key_other_everything(tmp_path: Path, study: list[Path], key: bytes) -> None:
    for name, used in {"one": key, "two": key, "other": key[::-1]}.items():
        deidentify(study, tmp_path / name, key=used)
    one, two, other = (outputs(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert not one.keys() & other.keys()


def test_started_again_it_keeps_what_is_whole_and_redoes_the_rest(
    tmp_path: Path, study: list[Path], key: bytes
) -> None:
    out = tmp_path / "out"
    deidentify(study, out, key=key)
    before = outputs(out)
    cut, missing, whole = sorted(before)
    (out / cut).write_bytes(before[cut][:-10])
    (out / missing).unlink()
    written_at = (out / whole).stat().st_mtime_ns
    assert counts(deidentify(study, out, key=key)) == (2, 1, 0, 2)
    assert outputs(out) == before
    assert (out / whole).stat().st_mtime_ns == written_at


def test_a_source_that_changed_is_exported_anew(
    tmp_path: Path, study: list[Path], mammogram: Mammogram, write: Write, key: bytes
) -> None:
    deidentify(study[:1], tmp_path / "out", key=key)
    ds = mammogram()
    ds.KVP = "31"
    write(ds, study[0])
    assert counts(deidentify(study[:1], tmp_path / "out", key=key)) == (1, 0, 0, 0)


def test_copies_of_a_file_are_exported_once_and_counted(tmp_path: Path, study: list[Path], key: bytes) -> None:
    copy = tmp_path / "copy.dcm"
    shutil.copy(study[0], copy)
    assert counts(deidentify([study[0], copy], tmp_path / "out", key=key)) == (1, 0, 1, 0)


@pytest.mark.parametrize("change", [{"key": bytes(range(1, 41))}, {"dates": "remove"}, {"burned_in": "warn"}])
def test_a_folder_holds_one_key_and_one_profile(
    tmp_path: Path, study: list[Path], key: bytes, change: dict[str, Any]
) -> None:
    deidentify(study, tmp_path / "out", key=key)
    with pytest.raises(ValueError, match="holds an export with other settings"):
        deidentify(study, tmp_path / "out", **{"key": key} | change)


def test_a_folder_with_other_files_is_refused(tmp_path: Path, study: list[Path], key: bytes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "list.csv").write_text("Doe\n")
    with pytest.raises(ValueError, match="is not an empty folder; what else lies in it would be exported"):
        deidentify(study, tmp_path / "out", key=key)


def test_a_source_inside_the_output_is_refused(tmp_path: Path, study: list[Path], key: bytes) -> None:
    with pytest.raises(ValueError, match="is a source and lies in the output folder"):
        deidentify(study, tmp_path, key=key)


@pytest.mark.parametrize(("name", "value"), [("burned_in", "ignore"), ("dates", "keep")])
def test_unknown_options_are_refused_by_name(tmp_path: Path, key: bytes, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}='{value}'; expected one of"):
        deidentify([], tmp_path / "out", key=key, **{name: value})  # type: ignore[arg-type]


def test_there_is_no_crosswalk_unless_asked_for(tmp_path: Path, study: list[Path], key: bytes) -> None:
    before = set(tmp_path.rglob("*"))
    deidentify(study, tmp_path / "out", key=key)
    assert not [path for path in set(tmp_path.rglob("*")) - before if path.suffix == ".csv"]


def test_the_crosswalk_is_private_complete_and_outside(tmp_path: Path, study: list[Path], key: bytes) -> None:
    table = tmp_path / "private" / "crosswalk.csv"
    deidentify(study[:1], tmp_path / "out", key=key, crosswalk=table)
    deidentify(study[1:], tmp_path / "out", key=key, crosswalk=table)
    assert table.stat().st_mode & 0o777 == 0o600
    rows = rows_of(table)
    assert {row["file"] for row in rows} == {str(path) for path in study[:3]}
    for row in rows:
        written, source = dcmread(tmp_path / "out" / row["output"]), dcmread(row["file"])
        assert (row["patient_id"], row["patient_pseudonym"]) == (source.PatientID, written.PatientID)
        assert (row["image_uid"], row["image_uid_pseudonym"]) == (source.SOPInstanceUID, written.SOPInstanceUID)
        assert (row["study_uid"], row["study_uid_pseudonym"]) == (source.StudyInstanceUID, written.StudyInstanceUID)
        assert (row["accession_number"], row["accession_pseudonym"]) == ("ACC123", written.AccessionNumber)
        assert row["days_moved_back"] == str(Pseudonyms(key).days(written.PatientID))


def test_files_of_one_relative_name_in_two_places_keep_a_row_each(
    tmp_path: Path, study: list[Path], key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "private" / "crosswalk.csv"
    for hospital, source in (("a", study[0]), ("b", study[1])):
        (tmp_path / hospital).mkdir()
        shutil.copy(source, tmp_path / hospital / "1.dcm")
        monkeypatch.chdir(tmp_path / hospital)
        deidentify(["1.dcm"], tmp_path / "out", key=key, crosswalk=table)
    assert {row["image_uid"] for row in rows_of(table)} == {dcmread(path).SOPInstanceUID for path in study[:2]}


@pytest.mark.parametrize("place", ["out/crosswalk.csv", "out/deep/crosswalk.csv", "link/crosswalk.csv"])
def test_a_crosswalk_in_the_output_is_refused(tmp_path: Path, study: list[Path], key: bytes, place: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(ValueError, match="is the crosswalk and lies in the output folder"):
        deidentify(study, tmp_path / "out", key=key, crosswalk=tmp_path / place)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_crosswalk_is_not_written_over(tmp_path: Path, study: list[Path], key: bytes) -> None:
    (tmp_path / "thesis.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="is there and is not a crosswalk"):
        deidentify(study, tmp_path / "out", key=key, crosswalk=tmp_path / "thesis.csv")
    assert (tmp_path / "thesis.csv").read_text() == "a,b\n"
    assert not (tmp_path / "out").exists()


def test_burned_in_text_is_refused_or_marked(tmp_path: Path, mammogram: Mammogram, export: Callable[..., Any]) -> None:
    ds = mammogram()
    ds.BurnedInAnnotation = "YES"
    report, _ = export(ds)
    assert [item["reason"] for item in report.set_aside] == ["burned_in"]
    report, written = export(ds, burned_in="warn")
    assert (report.written, report.burned_in) == (1, 1)
    assert (written.BurnedInAnnotation, written.PatientIdentityRemoved) == ("YES", "NO")
    assert "DeidentificationMethodCodeSequence" not in written


def test_the_check_of_pixels_decides_where_the_header_is_silent(
    mammogram: Mammogram, export: Callable[..., Any]
) -> None:
    ds = mammogram()
    del ds.BurnedInAnnotation
    report, written = export(ds)
    assert "BurnedInAnnotation" not in written
    assert report.not_looked_at == 1
    assert "1 files say nothing of burned-in text" in report.summary()
    assert export(ds, looks_burned_in=lambda path: False)[1].BurnedInAnnotation == "NO"
    report, written = export(ds, looks_burned_in=lambda path: True)
    assert ([item["reason"] for item in report.set_aside], written) == (["burned_in"], None)
    assert export(ds, looks_burned_in=lambda path: True, burned_in="warn")[1].BurnedInAnnotation == "YES"


def test_a_check_that_fails_exports_nothing(mammogram: Mammogram, export: Callable[..., Any]) -> None:
    def fails(path: Path) -> bool:
        raise RuntimeError(f"Doe^Jane in {path}")

    report, written = export(mammogram(), looks_burned_in=fails)
    assert written is None
    assert report.set_aside[0]["reason"] == "burned_in_check_failed"
    assert "Doe" not in report.set_aside[0]["message"]


def test_nothing_private_is_printed_or_logged(
    tmp_path: Path,
    mammogram: Mammogram,
    write: Write,
    key: bytes,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write(mammogram(), tmp_path / "a.dcm")
    # Values that pydicom warns of and quotes.
    data = path.read_bytes().replace(b"20200301", b"Doe^Jane").replace(b"ACC123", b"Doe\xff12")
    path.write_bytes(data)
    with caplog.at_level(logging.DEBUG):
        report = deidentify([path], tmp_path / "out", key=key)
    assert report.written == 1
    printed = capfd.readouterr()
    assert not any("Doe" in text for text in (printed.out, printed.err, caplog.text, report.summary()))
    assert not logging.getLogger("pydicom").disabled


def test_an_unreadable_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        find_files([tmp_path / "nowhere"])


def test_a_missing_file_is_set_aside(tmp_path: Path, key: bytes) -> None:
    report = deidentify([tmp_path / "nowhere.dcm"], tmp_path / "out", key=key)
    assert [item["reason"] for item in report.set_aside] == ["missing"]


def test_the_list_of_files_set_aside_is_private(tmp_path: Path, study: list[Path], key: bytes) -> None:
    path = deidentify(study, tmp_path / "out", key=key).save(tmp_path / "set_aside.csv")
    assert path.stat().st_mode & 0o777 == 0o600
    assert {row["reason"] for row in rows_of(path)} == {"not_an_image"}


def test_the_settings_tell_nothing_of_the_key(tmp_path: Path, study: list[Path], key: bytes) -> None:
    deidentify(study, tmp_path / "out", key=key)
    text = (tmp_path / "out" / SETTINGS_FILE).read_text()
    assert json.loads(text)["dates"] == "shift"
    assert key.hex() not in text
    assert Pseudonyms(key).fingerprint() in text


def test_workers_give_the_same(tmp_path: Path, study: list[Path], key: bytes) -> None:
    one = deidentify(study, tmp_path / "one", key=key)
    two = deidentify(study, tmp_path / "two", key=key, workers=2)
    assert outputs(tmp_path / "one") == outputs(tmp_path / "two")
    assert counts(one) == counts(two)


def test_a_file_that_kills_its_process_is_set_aside(tmp_path: Path, study: list[Path], key: bytes) -> None:
    def crash(path: Path) -> bool:
        if path == study[1]:
            os._exit(139)
        return False

    report = deidentify(study, tmp_path / "out", key=key, workers=2, looks_burned_in=crash)
    whole = deidentify(study, tmp_path / "whole", key=key)
    reasons = {item["file"]: item["reason"] for item in report.set_aside}
    assert reasons == {item["file"]: item["reason"] for item in whole.set_aside} | {str(study[1]): "crashed"}
    assert report.written == whole.written - 1


def test_a_phantom_reads_the_same_before_and_after(tmp_path: Path, key: bytes) -> None:
    generate(tmp_path / "phantom", patients=2, seed=5, preset="demo")
    files = [path for path in find_files([tmp_path / "phantom"]) if path.suffix == ".dcm"]
    table = tmp_path / "crosswalk.csv"
    report = deidentify(files, tmp_path / "out", key=key, burned_in="warn", crosswalk=table)
    assert report.set_aside == []
    rows = rows_of(table)
    assert len(rows) == len(files)
    assert len({row["patient_pseudonym"] for row in rows}) == 2
    for row in rows:
        before, after = (LoadMammogramd()({"image": path}) for path in (row["file"], tmp_path / "out" / row["output"]))
        np.testing.assert_array_equal(before["image"].numpy(), after["image"].numpy())
        assert (before["laterality"], before["view"]) == (after["laterality"], after["view"])
