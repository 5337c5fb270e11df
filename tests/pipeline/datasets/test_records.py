import json
import os
import stat

import pytest
from mammo.pipeline.datasets import (
    SchemaError,
    check_datalist,
    check_leaks,
    datalist_sha256,
    load_datalist,
    save_datalist,
)


@pytest.fixture
def datalist(record, tmp_path):
    images = tmp_path / "images"
    return {
        "name": "tiny",
        "root": str(tmp_path),
        "training": [
            record("P1", image=str(images / "a.dcm"), roi_masks=[str(images / "m.dcm")],
                   findings=[{"id": "1", "roi_mask": str(images / "m.dcm"), "box": [0.0, 1.0, 2.0, 3.0]}]),
            record("P1", "P1_other", image="/elsewhere/b.dcm"),
        ],
        "test": [record("P2", image=str(images / "c.dcm"))],
    }  # fmt: skip


def test_what_is_saved_is_loaded(datalist, tmp_path):
    path = save_datalist(datalist, tmp_path / "datalist.json")
    loaded = load_datalist(path)
    for section in ("training", "test"):
        assert [{k: v for k, v in r.items() if k != "split"} for r in loaded[section]] == datalist[section]
        assert {r["split"] for r in loaded[section]} == {section}


def test_paths_below_the_root_are_stored_relative_and_others_are_kept(datalist, tmp_path):
    content = json.loads(save_datalist(datalist, tmp_path / "datalist.json").read_text())
    first, other = content["training"]
    assert (first["image"], first["roi_masks"], first["findings"][0]["roi_mask"]) == (
        "images/a.dcm", ["images/m.dcm"], "images/m.dcm"
    )  # fmt: skip
    assert other["image"] == "/elsewhere/b.dcm"
    assert str(tmp_path) not in json.dumps(content)


def test_the_root_given_wins_over_the_one_stored_over_the_folder_of_the_file(datalist, tmp_path):
    path = save_datalist(datalist, tmp_path / "lists" / "datalist.json", keep_root=True)
    assert load_datalist(path)["test"][0]["image"] == str(tmp_path / "images" / "c.dcm")
    assert load_datalist(path, root="/other")["test"][0]["image"] == "/other/images/c.dcm"
    path = save_datalist(datalist, tmp_path / "lists" / "portable.json")
    assert load_datalist(path)["test"][0]["image"] == str(tmp_path / "lists" / "images" / "c.dcm")


def test_the_hash_does_not_depend_on_the_place_but_on_the_content(datalist, tmp_path):
    path = save_datalist(datalist, tmp_path / "datalist.json")
    hashes = {datalist_sha256(datalist), *(datalist_sha256(load_datalist(path, root)) for root in (None, "/a/b"))}
    # `split` is filled in by loading; it repeats the section's name.
    assert len({datalist_sha256(load_datalist(path, root)) for root in (None, "/a/b")}) == 1
    datalist["test"][0]["pathology"] = "BENIGN"
    assert datalist_sha256(datalist) not in hashes


def test_the_hash_is_the_same_before_saving_and_after_loading(datalist, tmp_path):
    assert datalist_sha256(load_datalist(save_datalist(datalist, tmp_path / "d.json"))) == datalist_sha256(datalist)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("laterality", "LEFT"), ("density", "2"), ("birads", 7), ("birads", True), ("birads", "4a"),
        ("pathology", "benign"), ("margins", "SPICULATED"), ("boxes", [[5, 0, 5, 9]]), ("boxes", [[0, 0, 1]]),
        ("pixel_spacing_mm", [0.1]), ("age", -1), ("image", ""), ("patient_id", 7), ("findings", {}),
        ("roi_masks", "mask.dcm"), ("split", "train"), ("raw", {"x": 1}), ("label", [0.5]), ("subtlety", 0),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_file_record_and_field(field, value, record, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"training": [record("P1"), {**record("P2"), field: value}]}))
    with pytest.raises(SchemaError, match=rf"bad\.json: training\[1\]: field '{field}' is .*; expected "):
        load_datalist(path)


def test_a_wrong_field_of_a_finding_is_named(record):
    with pytest.raises(SchemaError, match=r"training\[0\]\.findings\[1\]: field 'assessment' is 9"):
        check_datalist({"training": [record(findings=[{}, {"assessment": 9}])]})


def test_a_misspelt_field_is_refused_with_a_hint(record):
    with pytest.raises(SchemaError, match="unknown field 'patology'; did you mean 'pathology'"):
        check_datalist({"training": [record(patology="BENIGN")]})


@pytest.mark.parametrize("field", ["image", "patient_id", "image_id", "dataset"])
def test_a_missing_field_is_named(field, record):
    item = record()
    del item[field]
    with pytest.raises(SchemaError, match=f"the field '{field}' is missing"):
        check_datalist({"training": [item]})


def test_one_image_listed_twice_is_refused(record):
    with pytest.raises(SchemaError, match=r"test\[0\]: image_id 'P1_image' is already that of .*training\[0\]"):
        check_datalist({"training": [record()], "test": [record()]})


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not a JSON file"), ("[]", "expected an object"), ("{}", "none of the lists"),
                        ('{"train": []}', "unknown key 'train'"), ('{"training": {}}', "must be a list")]
)  # fmt: skip
def test_a_file_that_is_no_datalist_is_refused(text, words, tmp_path):
    path = tmp_path / "datalist.json"
    path.write_text(text)
    with pytest.raises(SchemaError, match=rf"datalist\.json: .*{words}"):
        load_datalist(path)


def test_a_datalist_that_is_refused_leaves_the_old_file_alone(datalist, tmp_path):
    path = save_datalist(datalist, tmp_path / "datalist.json")
    before = path.read_bytes()
    with pytest.raises(SchemaError):
        save_datalist({**datalist, "training": [{}]}, path)
    assert path.read_bytes() == before


def test_a_failed_write_leaves_the_old_file_and_no_other(datalist, tmp_path, monkeypatch):
    path = save_datalist(datalist, tmp_path / "lists" / "datalist.json")
    before = path.read_bytes()

    def fail(*_):
        raise OSError("broken")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="broken"):
        save_datalist({**datalist, "name": "other"}, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_datalist_is_readable_as_any_new_file(datalist, tmp_path):
    (tmp_path / "plain").touch()
    path = save_datalist(datalist, tmp_path / "datalist.json")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.fixture
def leaking(record):
    return {
        "training": [record("P1", "a"), record("P2", "b")],
        "validation": [record("P1", "c")],
        "test": [record("P3", "d"), record("P2", "e")],
    }


def test_leaking_patients_are_named_with_their_sections(leaking):
    with pytest.raises(ValueError, match=r"2 patients .*P1 \(training, validation\), P2 \(training, test\)"):
        check_leaks(leaking)


def test_a_declared_leak_is_returned_for_the_report(leaking):
    declared = {**leaking, "known_leak": "by-hand"}
    assert check_leaks(declared) == {"P1": ["training", "validation"], "P2": ["training", "test"]}


def test_a_leak_beyond_the_declared_patients_is_an_error(leaking):
    with pytest.raises(ValueError, match=r"1 patients .*P2"):
        check_leaks({**leaking, "known_leak": "by-hand", "known_leak_patients": ["P1"]})


def test_equal_ids_of_two_datasets_are_two_patients(record):
    assert check_leaks({"training": [record("P1")], "test": [record("P1", dataset="other")]}) == {}
