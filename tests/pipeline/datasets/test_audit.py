import csv
import shutil

import cv2
import numpy as np
import pytest
from mammo.pipeline.datasets.audit import audit
from mammo.pipeline.phantom import patient


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Six breasts of three women as PNG files: 0a, 0b, 1a, ..."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(3):
        for name, view in zip("ab", patient(index, seed=0, preset="demo", views=("CC",)), strict=True):
            cv2.imwrite(str(folder / f"{index}{name}.png"), np.rint(view.image * 255).astype(np.uint8))
    return folder


@pytest.fixture
def entry(pictures):
    def make(picture, patient_id=None, image_id=None, dataset="x", **fields):
        path = picture if "/" in str(picture) else pictures / f"{picture}.png"
        image_id = image_id or str(picture)
        return {
            "image": str(path),
            "patient_id": patient_id or f"P{picture[0]}",
            "image_id": image_id,
            "dataset": dataset,
            **fields,
        }

    return make


@pytest.fixture
def clean(entry):
    return {
        "name": "clean",
        "training": [entry("0a"), entry("0b")],
        "validation": [entry("1a")],
        "test": [entry("2a"), entry("2b")],
    }


def kinds(report):
    return [finding.kind for finding in report.findings]


def test_a_clean_datalist_passes(clean):
    report = audit(clean)
    assert report.findings == []
    assert not report.failed
    report.raise_for_leaks()
    assert report.compared == 5
    assert "2 training, 1 validation, 2 test images" in report.summary()
    assert "passed: no undeclared leak" in report.summary()


def test_a_patient_in_two_sections_is_a_leak(clean, entry):
    clean["test"].append(entry("0b", image_id="other"))
    clean["training"].pop()
    (found,) = audit(clean).leaks
    assert (found.kind, found.what) == ("patient", "x/P0")
    assert found.sections == ("training", "test")
    assert found.images == ("x/0a", "x/other")


def test_equal_ids_of_two_datasets_are_two_patients_and_two_studies(clean, entry):
    clean["training"][0]["study_id"] = "S"
    clean["test"].append(entry("1b", "P0", dataset="y", study_id="S"))
    assert audit(clean).findings == []


def test_a_study_in_two_sections_is_a_leak_under_other_patient_names(clean):
    clean["training"][0]["study_id"] = clean["test"][0]["study_id"] = "1.2.3"
    (found,) = audit(clean, images=False).leaks
    assert (found.kind, found.what, found.patients) == ("study", "x/1.2.3", ("x/P0", "x/P2"))


def test_one_file_under_two_names_is_a_leak(clean, entry, pictures):
    clean["test"].append(entry("0a", "P9", "again"))
    (found,) = audit(clean, images=False).leaks
    assert (found.kind, found.what) == ("file", str(pictures / "0a.png"))


def test_a_link_to_a_file_is_that_file(clean, entry, pictures, tmp_path):
    (tmp_path / "link.png").symlink_to(pictures / "0a.png")
    clean["test"].append(entry(tmp_path / "link.png", "P9", "link"))
    assert kinds(audit(clean, images=False)) == ["file"]


def test_equal_contents_are_a_leak_and_told_once(clean, entry, pictures, tmp_path):
    shutil.copy(pictures / "0a.png", tmp_path / "copy.png")
    clean["test"].append(entry(tmp_path / "copy.png", "P9", "copy"))
    (found,) = audit(clean).leaks
    assert (found.kind, found.images) == ("file", ("x/0a", "x/copy"))
    assert audit(clean, images=False).findings == []


def test_a_mirrored_and_recompressed_copy_is_a_leak(clean, entry, pictures, tmp_path):
    image = cv2.imread(str(pictures / "0a.png"), cv2.IMREAD_UNCHANGED)
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D((200, 300), 1, 0.9), image.shape[::-1])
    cv2.imwrite(str(tmp_path / "copy.jpg"), turned[:, ::-1])
    clean["test"].append(entry(tmp_path / "copy.jpg", "P9", "copy", dataset="y"))
    report = audit(clean, workers=2)
    (found,) = report.leaks
    assert (found.kind, found.images, found.sections) == ("image", ("x/0a", "y/copy"), ("training", "test"))
    assert 0 < found.distance <= 24
    assert audit(clean, threshold=0).findings == []
    with pytest.raises(
        ValueError, match=rf"look the same \(distance {found.distance}\) in training, test: x/0a, y/cop"
    ):
        report.raise_for_leaks()


def test_copies_of_copies_are_one_finding_with_the_nearest_distance(clean, entry, pictures, tmp_path):
    image = cv2.imread(str(pictures / "0a.png"), cv2.IMREAD_UNCHANGED)
    for name, change in {"same": image, "small": cv2.resize(image, None, fx=0.9, fy=0.9)}.items():
        cv2.imwrite(str(tmp_path / f"{name}.tiff"), change)
    clean["validation"].append(entry(tmp_path / "small.tiff", "P8", "small"))
    clean["test"].append(entry(tmp_path / "same.tiff", "P9", "same"))
    (found,) = audit(clean).leaks
    assert set(found.images) == {"x/0a", "x/small", "x/same"}
    assert found.distance == 0


def test_one_picture_of_two_patients_in_one_section_is_told_but_no_leak(clean, entry, pictures, tmp_path):
    image = cv2.imread(str(pictures / "0a.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(tmp_path / "copy.tiff"), image)
    clean["training"].append(entry(tmp_path / "copy.tiff", "P9", "copy"))
    report = audit(clean)
    assert kinds(report) == ["image"]
    assert not report.findings[0].leak
    assert not report.failed
    assert "1 x same image of two patients or more in one section" in report.summary()


def test_several_records_of_one_patient_in_one_section_may_share_a_file(clean, entry):
    clean["training"] += [entry("0a", image_id=f"patch{n}", crop=[0, 0, 10 + n, 10]) for n in range(3)]
    assert audit(clean).findings == []


@pytest.fixture
def leaking(clean, entry):
    """P0 and P1 leak; of P1 the two sections hold one file too."""
    clean["test"] += [entry("0b", image_id="more"), entry("1a", image_id="again")]
    return clean


def test_a_declared_leak_is_counted_and_does_not_fail(leaking):
    report = audit({**leaking, "known_leak": "by-hand"})
    assert sorted(kinds(report)) == ["file", "file", "patient", "patient"]
    assert all(finding.declared for finding in report.findings)
    assert not report.failed
    assert "2 x same patient in two sections or more, declared as by-hand" in report.summary()


def test_a_leak_beyond_the_declared_patients_fails(leaking):
    report = audit({**leaking, "known_leak": "by-hand", "known_leak_patients": ["P0"]})
    assert [(found.kind, found.patients) for found in report.leaks] == [("patient", ("x/P1",)), ("file", ("x/P1",))]
    with pytest.raises(ValueError, match=r"clean leaks in 2 places: patient x/P1 in validation, test"):
        report.raise_for_leaks()


def test_pictures_that_cannot_be_read_are_counted_and_named(clean, entry, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "empty1.png").touch()
    (tmp_path / "empty2.png").touch()
    clean["training"].append(entry(tmp_path / "broken.png", "P5", "broken"))
    clean["training"].append(entry(tmp_path / "empty1.png", "P6", "empty1"))
    clean["test"].append(entry(tmp_path / "empty2.png", "P7", "empty2"))
    report = audit(clean)
    assert report.findings == []
    assert [unread.image for unread in report.unread] == ["x/broken", "x/empty1", "x/empty2"]
    assert "broken.png" in report.unread[0].reason
    assert "5 pictures compared, 3 could not be read" in report.summary()


def test_a_datalist_without_one_readable_picture_is_refused(entry, tmp_path):
    datalist = {"training": [entry(tmp_path / "gone.png", "P1", "gone")], "test": []}
    with pytest.raises(ValueError, match=r"none of the 1 pictures can be read.*gone\.png"):
        audit(datalist)
    assert not audit(datalist, images=False).failed


def test_a_bad_threshold_is_refused_before_any_file_is_read(entry, tmp_path):
    datalist = {"training": [entry(tmp_path / "gone.png", "P1", "gone")]}
    with pytest.raises(ValueError, match="threshold must be from 0 to 64"):
        audit(datalist, threshold=100)


def test_an_empty_section_and_no_record_at_all_pass():
    assert not audit({"training": [], "test": []}).failed


def test_the_table_holds_each_finding_and_each_picture_not_read(leaking, entry, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    leaking["training"].append(entry(tmp_path / "broken.png", "P5", "broken"))
    report = audit({**leaking, "known_leak": "by-hand", "known_leak_patients": ["P0"]})
    with open(report.save(tmp_path / "audit.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == [*kinds(report), "unread"]
    assert rows[0] == {
        "kind": "patient", "what": "x/P0", "leak": "yes", "declared": "yes", "distance": "",
        "sections": "training; test", "patients": "x/P0", "images": "x/0a; x/0b; x/more",
    }  # fmt: skip
    assert rows[-1]["images"] == "x/broken"
