from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mammo.pipeline.gate import gate_files, gate_policy, gate_records, read_facts

Write = Callable[..., Path]
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"


def reasons_of(path: Path, policy: str = "deploy") -> tuple[str, ...]:
    [row] = gate_files(path, policy).rows
    return row.verdict.reasons


def test_a_plain_file_is_accepted(write: Write) -> None:
    [row] = gate_files(write(), "deploy").rows
    assert (row.verdict.outcome, row.verdict.reasons, row.manufacturer) == ("accept", (), "Maker")


def test_pixels_are_judged_against_the_header(write: Write, breast: np.ndarray) -> None:
    mirrored = np.ascontiguousarray(breast[:, ::-1])
    assert reasons_of(write(pixels=mirrored)) == ("side_disagrees", "orientation_disagrees")
    assert reasons_of(write(pixels=mirrored, PatientOrientation="")) == ("side_disagrees",)
    assert reasons_of(write(pixels=mirrored, PatientOrientation=["P", "R"])) == ()


def test_text_beside_the_breast_is_noticed(write: Write, breast: np.ndarray) -> None:
    ink = np.zeros(breast.shape, np.uint8)
    cv2.putText(ink, "L CC", (210, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    marked = np.maximum(breast, ink.astype(np.uint16) * 16)
    assert reasons_of(write(pixels=marked)) == ("side_marker",)
    cv2.putText(ink, "DOE^JANE", (150, 390), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    assert reasons_of(write(pixels=np.maximum(breast, ink.astype(np.uint16) * 16))) == ("burned_in_text",)


def test_values_beyond_the_bits_and_pictures_without_a_breast_are_noticed(write: Write, breast: np.ndarray) -> None:
    beyond = breast.copy()
    beyond[200, 20] |= 0x8000
    assert reasons_of(write(pixels=beyond)) == ("beyond_bits_stored",)
    noise = np.random.default_rng(0).integers(100, 110, breast.shape).astype(np.uint16)
    assert reasons_of(write(pixels=noise)) == ("mask_empty",)


def test_a_stack_is_named_and_refused_until_a_frame_is_chosen(write: Write, breast: np.ndarray) -> None:
    path = write(pixels=np.stack([breast] * 3), NumberOfFrames=3, SOPClassUID=TOMOSYNTHESIS)
    for policy in ("training", "deploy", "all"):
        [row] = gate_files(path, policy).rows
        assert (row.verdict.outcome, row.verdict.reasons) == ("refuse", ("tomosynthesis",))
    for frame in (1, "max"):
        [row] = gate_records([{"image": str(path), "frame": frame}]).rows
        assert (row.verdict.outcome, row.verdict.reasons) == ("warn", ("chosen_frame",))


def test_what_the_record_says_is_judged_too(write: Write) -> None:
    record = {"image": str(write()), "laterality": "R", "view": "CC", "implant": True, "dataset": "rsna"}
    [row] = gate_records([record]).rows
    assert set(row.verdict.reasons) == {"side_conflict", "implant"}
    assert row.dataset == "rsna"


def test_an_image_without_a_header_is_judged_by_pixels_and_record(tmp_path: Path, breast: np.ndarray) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), breast * 16)
    record = {"image": str(path), "laterality": "R", "view": "MLO", "manufacturer": "From the table"}
    [row] = gate_records([record], "deploy").rows
    assert row.verdict.reasons == ("no_header", "side_disagrees")
    assert row.manufacturer == "From the table"


def test_unreadable_files_are_rows_like_any_other(write: Write, tmp_path: Path) -> None:
    write("1.dcm")
    (tmp_path / "2.dcm").write_bytes((tmp_path / "1.dcm").read_bytes()[:5000])
    (tmp_path / "3.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    summary = gate_files(tmp_path)
    assert [Path(row.image).name for row in summary.rows] == ["1.dcm", "2.dcm", "3.png"]
    assert [row.verdict.reasons for row in summary.rows][1:] == [("truncated",), ("not_an_image",)]
    missing = gate_records([{"image": str(tmp_path / "4.dcm")}], gate_policy("all"))
    assert missing.rows[0].verdict[:2] == ("refuse", ("missing",))


def test_working_side_by_side_gives_the_same(write: Write) -> None:
    paths = [write(f"{n}.dcm", ViewPosition=view) for n, view in enumerate(["CC", "MLO", "ML", "CC"])]
    assert gate_files(paths, "deploy", workers=3).rows == gate_files(paths, "deploy").rows


def test_facts_are_those_of_the_preparing_reader(write: Write) -> None:
    facts = read_facts({"image": write()})
    assert facts["wall"] == "left"
    assert facts["mask_quality"] == "ok"
    assert facts["breast_share"] == pytest.approx(np.pi * 170 * 210 / 2 / (400 * 300), abs=0.03)


def test_no_image_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image files in"):
        gate_files(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        gate_files([tmp_path / "none.dcm"])
