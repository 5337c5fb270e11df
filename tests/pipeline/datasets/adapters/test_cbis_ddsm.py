from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mammo.pipeline.datasets import cbis_ddsm, check_datalist, check_leaks
from mammo.pipeline.datasets.adapters.cbis_tables import TABLES, tokens

LAYOUTS = ["A", "B", "C", "D", "E"]


def by_id(datalist):
    return {r["image_id"]: r for name in ("training", "validation", "test") for r in datalist[name]}


@pytest.fixture
def cases(cbis_case):
    """Two training images of one patient, of which one has two masses, and a test patient with calcifications."""
    return [
        cbis_case("P_00001", pathology="BENIGN_WITHOUT_CALLBACK", margins="OBSCURED-CIRCUMSCRIBED", assessment="2"),
        cbis_case("P_00001", id="2", pathology="MALIGNANT", margins="SPICULATED", assessment="5", subtlety="5"),
        cbis_case("P_00001", view="MLO", density="3"),
        cbis_case("P_00002", "RIGHT", kind="calc", part="Test", shape="PLEOMORPHIC-PLEOMORPHIC", margins="NA"),
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_same_records(layout, cbis_tree, cases):
    root = cbis_tree(layout).write(cases)
    datalist, report = cbis_ddsm(root)
    check_datalist(datalist)
    records = by_id(datalist)
    assert set(records) == {
        "Mass-Training_P_00001_LEFT_CC", "Mass-Training_P_00001_LEFT_MLO", "Calc-Test_P_00002_RIGHT_CC"
    }  # fmt: skip
    assert report.problems == []
    for record in records.values():
        assert Path(record["image"]).is_file()
        assert len(record["roi_masks"]) == len(record["findings"])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mask_first", [False, True])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("described", [False, True])
def test_the_mask_is_found_whatever_the_file_order(layout, mask_first, separate, described, cbis_tree, cases):
    tree = cbis_tree(layout)
    tree.mask_first, tree.separate_series, tree.without_descriptions = mask_first, separate, not described
    for record in by_id(cbis_ddsm(tree.write(cases))[0]).values():
        for finding in record["findings"]:
            assert shape_of(finding["roi_mask"]) == (24, 16)
            assert shape_of(finding["crop"]) == (6, 5)
            assert finding["roi_mask"] != record["image"]


def shape_of(path):
    import cv2
    import pydicom

    return (
        cv2.imread(path, cv2.IMREAD_GRAYSCALE).shape
        if path.endswith("jpg")
        else pydicom.dcmread(path).pixel_array.shape
    )


def test_a_mask_of_another_size_than_its_image_is_told_by_its_grey_values_and_reported(cbis_tree, cases):
    tree = cbis_tree("C")
    tree.mask_size = (25, 16)
    datalist, report = cbis_ddsm(tree.write(cases))
    assert all(shape_of(p) == (25, 16) for r in by_id(datalist).values() for p in r["roi_masks"])
    assert [(p["kind"], p["reason"].split(":")[0]) for p in report.problems] == [
        ("roi", "mask and image differ in size")
    ] * 4


def test_a_crop_as_large_as_its_image_is_not_taken_for_the_mask(cbis_tree, cases):
    tree = cbis_tree("C")
    tree.crop_size = tree.image_size
    for record in by_id(cbis_ddsm(tree.write(cases))[0]).values():
        for path in record["roi_masks"]:
            assert len(np.unique(__import__("pydicom").dcmread(path).pixel_array)) == 2


def test_findings_are_gathered_and_the_record_takes_the_worst(cbis_tree, cases):
    record = by_id(cbis_ddsm(cbis_tree().write(cases))[0])["Mass-Training_P_00001_LEFT_CC"]
    assert [finding["pathology"] for finding in record["findings"]] == ["BENIGN_WITHOUT_CALLBACK", "MALIGNANT"]
    assert record["pathology"] == "MALIGNANT"
    assert record["birads"] == 5
    assert record["subtlety"] == 5
    assert record["density"] == "B"
    assert record["margins"] == ["CIRCUMSCRIBED", "OBSCURED", "SPICULATED"]
    assert (record["laterality"], record["view"], record["patient_id"]) == ("L", "CC", "P_00001")
    assert record["findings"][0]["raw"]["mass margins"] == "OBSCURED-CIRCUMSCRIBED"


@pytest.mark.parametrize("text", ["N/A", "NA", "", " na "])
def test_all_spellings_of_missing_are_empty(text):
    assert tokens(text) == []


def test_multi_values_do_not_depend_on_order_doubles_or_synonyms():
    assert tokens("OBSCURED-CIRCUMSCRIBED") == tokens("CIRCUMSCRIBED-OBSCURED-OBSCURED")
    assert tokens("LUCENT_CENTERED") == tokens("LUCENT_CENTER-LUCENT_CENTERED")


def test_impossible_density_and_subtlety_are_unknown_but_kept_verbatim(cbis_tree, cbis_case):
    root = cbis_tree().write([cbis_case("P_00001", density="0", subtlety="0")])
    record = by_id(cbis_ddsm(root)[0])["Mass-Training_P_00001_LEFT_CC"]
    assert "density" not in record
    assert "subtlety" not in record
    assert record["raw"]["breast_density"] == "0"
    assert record["findings"][0]["raw"]["subtlety"] == "0"


@pytest.fixture
def overlapping(cbis_case):
    """Ten training patients; P_00003 is in the test part too."""
    training = [
        cbis_case(f"P_{n:05}", pathology="MALIGNANT" if n % 2 else "BENIGN", view=view)
        for n in range(1, 11) for view in ("CC", "MLO")
    ]  # fmt: skip
    return [*training, cbis_case("P_00003", kind="calc", part="Test"), cbis_case("P_00090", part="Test")]


def test_official_clean_keeps_the_test_part_whole_and_drops_training_images_of_its_patients(cbis_tree, overlapping):
    datalist, report = cbis_ddsm(cbis_tree().write(overlapping))
    assert check_leaks(datalist) == {}
    assert "known_leak" not in datalist
    assert {r["patient_id"] for r in datalist["test"]} == {"P_00003", "P_00090"}
    assert "P_00003" not in {r["patient_id"] for name in ("training", "validation") for r in datalist[name]}
    assert [p["item"] for p in report.problems if p["kind"] == "excluded"] == [
        "Mass-Training_P_00003_LEFT_CC", "Mass-Training_P_00003_LEFT_MLO"
    ]  # fmt: skip


def test_official_keeps_all_and_declares_whom_it_leaks(cbis_tree, overlapping):
    datalist, _ = cbis_ddsm(cbis_tree().write(overlapping), split="official")
    assert datalist["known_leak"] == "cbis-official"
    assert list(check_leaks(datalist)) == datalist["known_leak_patients"] == ["P_00003"]
    assert len(by_id(datalist)) == 22


def test_validation_patients_come_from_training_and_hold_each_class(cbis_tree, overlapping):
    datalist, _ = cbis_ddsm(cbis_tree().write(overlapping), validation_fraction=0.3)
    assert {r["pathology"] for r in datalist["validation"]} == {"BENIGN", "MALIGNANT"}
    assert all("-Training_" in r["image_id"] for r in datalist["validation"])
    assert cbis_ddsm(cbis_tree().root, validation_fraction=0)[0]["validation"] == []


def test_the_seed_decides_the_validation_patients(cbis_tree, overlapping):
    root = cbis_tree().write(overlapping)
    chosen = [{r["patient_id"] for r in cbis_ddsm(root, seed=seed)[0]["validation"]} for seed in (0, 0, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len(set(map(frozenset, chosen))) > 1


@pytest.mark.parametrize("layout", ["A", "B", "C", "E"])
def test_images_without_a_row_join_their_patient_without_a_pathology(layout, cbis_tree, cases):
    tree = cbis_tree(layout)
    tree.image("Mass-Training_P_00001_RIGHT_CC")
    tree.image("Calc-Test_P_00002_LEFT_CC")
    tree.image("Mass-Training_P_00777_LEFT_CC")
    datalist, report = cbis_ddsm(tree.write(cases), validation_fraction=0)
    extra = by_id(datalist)["Mass-Training_P_00001_RIGHT_CC"]
    assert "pathology" not in extra
    assert (extra["laterality"], extra["split"]) == ("R", "training")
    assert by_id(datalist)["Calc-Test_P_00002_LEFT_CC"]["split"] == "test"
    assert [p["item"] for p in report.problems] == ["Mass-Training_P_00777_LEFT_CC"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_row_without_its_image_is_reported_with_table_and_row(layout, cbis_tree, cases):
    root = cbis_tree(layout).write(cases, skip_files=("Mass-Training_P_00001_LEFT_CC",))
    datalist, report = cbis_ddsm(root)
    assert [(p["table"], p["row"]) for p in report.unresolved] == [(TABLES[0], 1), (TABLES[0], 2)]
    assert "Mass-Training_P_00001_LEFT_CC" not in by_id(datalist)


def test_a_finding_without_mask_keeps_its_image(cbis_tree, cases):
    root = cbis_tree().write(cases, skip_files=("Mass-Training_P_00001_LEFT_MLO_1",))
    datalist, report = cbis_ddsm(root)
    assert "roi_masks" not in by_id(datalist)["Mass-Training_P_00001_LEFT_MLO"]
    assert [(p["kind"], p["item"]) for p in report.problems] == [("roi", "Mass-Training_P_00001_LEFT_MLO_1")]


def test_damaged_headers_are_reported_and_the_rest_goes_on(cbis_tree, cases):
    root = cbis_tree("E").write(cases)
    stray = root / "dicom" / "stray.dcm"
    stray.write_bytes(b"not a DICOM file")
    datalist, report = cbis_ddsm(root)
    assert len(by_id(datalist)) == 3
    assert [(p["kind"], p["item"]) for p in report.problems] == [("file", str(stray))]


def test_whole_images_of_layout_a_are_matched_without_reading_any_header(cbis_tree, cases, monkeypatch):
    root = cbis_tree().write(cases)
    for path in root.rglob("*full mammogram*/*.dcm"):
        path.write_bytes(b"")
    assert len(by_id(cbis_ddsm(root)[0])) == 3


def test_tables_are_found_in_the_root_and_through_a_link(cbis_tree, cases, tmp_path):
    root = cbis_tree("B", tables=".").write(cases)
    (tmp_path / "joined").mkdir()
    (tmp_path / "joined" / "download").symlink_to(root)
    assert len(by_id(cbis_ddsm(tmp_path / "joined")[0])) == len(by_id(cbis_ddsm(root)[0])) == 3


def test_a_link_to_its_own_parent_does_not_trap_the_walk(cbis_tree, cases):
    root = cbis_tree().write(cases)
    (root / "again").symlink_to(root)
    assert cbis_ddsm(root)[1].problems == []


def test_a_missing_table_is_named_with_all_four(cbis_tree, cases):
    root = cbis_tree().write(cases)
    (root / "csv" / TABLES[3]).unlink()
    with pytest.raises(ValueError, match=r"calc_case_description_test_set.csv not found.*mass_case_description_train"):
        cbis_ddsm(root)


def test_the_release_of_2017_is_recognised(cbis_tree, cases):
    root = cbis_tree().write(cases)
    (root / "csv" / TABLES[0]).write_text("patient_id,side,view,abn_num,pathology\nP_00001,LEFT,CC,1,BENIGN\n")
    with pytest.raises(ValueError, match="2017"):
        cbis_ddsm(root)


def test_no_image_at_all_is_an_error_that_says_what_was_expected(cbis_tree, cases):
    tree = cbis_tree()
    names = ("Mass-Training_P_00001_LEFT_CC", "Mass-Training_P_00001_LEFT_MLO", "Calc-Test_P_00002_RIGHT_CC")
    root = tree.write(cases, skip_files=names)
    with pytest.raises(ValueError, match=r"none of the 4 table rows.*Mass-Training_P_00001_LEFT_CC"):
        cbis_ddsm(root)


def test_rows_that_contradict_their_path_are_reported_not_guessed(cbis_tree, cases):
    root = cbis_tree().write(cases)
    table = root / "csv" / TABLES[0]
    table.write_text(table.read_text().replace("P_00001,3,LEFT", "P_00001,3,RIGHT"))
    datalist, report = cbis_ddsm(root)
    assert "Mass-Training_P_00001_LEFT_MLO" not in by_id(datalist)
    assert [(p["kind"], p["row"]) for p in report.problems] == [("image", 3)]


def test_a_list_of_paths_replaces_the_scan(cbis_tree, cases, tmp_path):
    root = cbis_tree().write(cases)
    full = sorted(path for path in root.rglob("*full mammogram*/*.dcm") if "MLO" not in str(path))
    listing = tmp_path / "dicom.txt"
    listing.write_text(f"{full[0]}\n\n{full[1].relative_to(root)}\n{root / 'gone.dcm'}\n")
    datalist, report = cbis_ddsm(root, dicom_list=listing)
    assert {r["image"] for r in by_id(datalist).values()} == set(map(str, full))
    problems = Counter(p["kind"] for p in report.problems)
    assert problems == {"image": 1, "file": 1, "roi": 3}


def test_a_list_without_any_file_is_an_error(cbis_tree, cases, tmp_path):
    listing = tmp_path / "dicom.txt"
    listing.write_text("nowhere.dcm\n")
    with pytest.raises(ValueError, match=r"none of its 1 paths exists"):
        cbis_ddsm(cbis_tree().write(cases), dicom_list=listing)


@pytest.mark.parametrize("option", [{"split": "random"}, {"validation_fraction": 1.0}])
def test_options_out_of_range_are_refused(option, tmp_path):
    with pytest.raises(ValueError, match=next(iter(option))):
        cbis_ddsm(tmp_path, **option)


def test_matching_reads_each_header_at_most_once(cbis_tree, cbis_case, monkeypatch):
    import pydicom

    root = cbis_tree("C").write([cbis_case(f"P_{n:05}") for n in range(1, 9)])
    read = Counter()
    original = pydicom.dcmread

    def count(path, *args, **kwargs):
        read[str(path)] += 1
        return original(path, *args, **kwargs)

    monkeypatch.setattr(pydicom, "dcmread", count)
    cbis_ddsm(root)
    assert max(read.values()) == 1
    assert len(read) == 24  # image, mask and crop of eight cases


def test_the_report_is_written_as_a_table(cbis_tree, cases, tmp_path):
    _, report = cbis_ddsm(cbis_tree().write(cases, skip_files=("Mass-Training_P_00001_LEFT_CC",)))
    lines = report.save(tmp_path / "out" / "problems.csv").read_text().splitlines()
    assert lines[0] == "kind,table,row,item,reason"
    assert len(lines) == 3
    assert "2 x image: the image is not on disk" in report.summary()
