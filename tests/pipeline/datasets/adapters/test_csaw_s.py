import cv2
import numpy as np
import pytest
from mammo.pipeline.datasets.adapters.csaw_s import MIN_AREA_PX, csaw_s
from mammo.pipeline.datasets.records import all_records, check_datalist, check_leaks
from skimage.measure import label, regionprops

SHAPE = 60, 40


def write(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros(SHAPE, np.uint8) if pixels is None else pixels)


def mask_of(*boxes, value=255):
    mask = np.zeros(SHAPE, np.uint8)
    for row0, col0, row1, col1 in boxes:
        mask[row0:row1, col0:col1] = value
    return mask


@pytest.fixture
def root(tmp_path):
    """Patients 000 to 004 for training, 010 for test."""
    train = tmp_path / "CsawS" / "anonymized_dataset"
    for patient in ("000", "001", "002", "003", "004"):
        for number in (0, 1):
            write(train / patient / f"{patient}_{number}.png")
            write(train / patient / f"{patient}_{number}_cancer.png", mask_of((10, 5, 20, 12)))
            write(train / patient / f"{patient}_{number}_non-mammary_tissue.png")
    test = tmp_path / "CsawS" / "test_data"
    write(test / "anonymized_dataset" / "010" / "010_0.png")
    for annotator in (1, 2, 3):
        box = (30, 10, 30 + 5 * annotator, 20)
        write(test / f"annotator_{annotator}" / "010" / "010_0_cancer.png", mask_of(box))
    return tmp_path


def by_id(datalist):
    check_datalist(datalist)
    assert check_leaks(datalist) == {}
    return {record["image_id"]: record for _, record in all_records(datalist)}


def reasons(report, kind):
    return [(problem["item"], problem["reason"]) for problem in report.problems if problem["kind"] == kind]


def image_of(root, name):
    return root / "CsawS" / "anonymized_dataset" / name[:3] / f"{name}.png"


def test_an_image_with_a_cancer_mask_is_malignant_on_the_readers_word(root):
    datalist, report = csaw_s(root)
    record = by_id(datalist)["000_1"]
    assert (record["pathology"], record["label_provenance"], record["patient_id"]) == ("MALIGNANT", "reader", "000")
    assert record["boxes"] == [[10, 5, 20, 12]]
    assert record["roi_masks"] == [record["findings"][0]["roi_mask"]]
    assert record["findings"][0]["type"] == "cancer"
    assert "CC BY-NC-ND" in record["licence"]
    assert report.counts["masks of other structures"] == 10
    assert report.problems == []


def test_each_connected_component_is_a_finding_with_its_own_box(root):
    rng = np.random.default_rng(0)
    mask = cv2.dilate((rng.random(SHAPE) > 0.99).astype(np.uint8), np.ones((5, 5), np.uint8))
    expected = {region.bbox for region in regionprops(label(mask, connectivity=2))}
    assert len(expected) > 3
    write(image_of(root, "000_0_cancer"), mask * 255)
    record = by_id(csaw_s(root)[0])["000_0"]
    assert {tuple(box) for box in record["boxes"]} == expected
    assert [finding["box"] for finding in record["findings"]] == record["boxes"]
    # The file shows all lesions, so it is the mask of none of them.
    assert not any("roi_mask" in finding for finding in record["findings"])
    assert len(record["roi_masks"]) == 1


def test_specks_are_left_out_and_counted(root):
    side = MIN_AREA_PX // 3
    mask = mask_of((10, 5, 20, 12), (40, 5, 43, 5 + side), (50, 30, 51, 30 + MIN_AREA_PX))
    write(image_of(root, "000_0_cancer"), mask)
    datalist, report = csaw_s(root)
    assert by_id(datalist)["000_0"]["boxes"] == [[10, 5, 20, 12], [50, 30, 51, 40]]
    assert reasons(report, "roi") == [("000_0", "specks of the cancer mask left out: 1 of fewer than 10 pixels")]


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_mask_of_one_value_is_empty_and_its_image_of_unknown_pathology(root, value):
    write(image_of(root, "000_0_cancer"), np.full(SHAPE, value, np.uint8))
    datalist, report = csaw_s(root)
    assert not {"pathology", "findings", "boxes", "roi_masks"} & set(by_id(datalist)["000_0"])
    assert report.counts["training images without a lesion"] == 1
    assert report.problems == []


@pytest.mark.parametrize("value", [1, 255, 1000])
def test_masks_may_have_any_two_values_and_depth(root, value):
    mask = mask_of((10, 5, 20, 12), value=1).astype(np.uint16 if value > 255 else np.uint8) * value
    write(image_of(root, "000_0_cancer"), mask)
    assert by_id(csaw_s(root)[0])["000_0"]["boxes"] == [[10, 5, 20, 12]]


def test_the_test_part_is_the_test_section_with_the_masks_of_one_annotator(root):
    first = csaw_s(root)[0]["test"]
    third = csaw_s(root, annotator=3)[0]["test"]
    assert [record["image_id"] for record in first] == ["test_010_0"]
    assert first[0]["boxes"] == [[30, 10, 35, 20]]
    assert third[0]["boxes"] == [[30, 10, 45, 20]]
    assert first[0]["raw"] == {
        f"cancer mask of annotator {n}": f"CsawS/test_data/annotator_{n}/010/010_0_cancer.png" for n in (2, 3)
    }


def test_a_patient_of_both_parts_stays_in_the_test_part_only(root):
    test = root / "CsawS" / "test_data"
    write(test / "anonymized_dataset" / "003" / "003_0.png")
    write(test / "annotator_1" / "003" / "003_0_cancer.png", mask_of((1, 1, 9, 9)))
    datalist, report = csaw_s(root)
    records = by_id(datalist)
    assert [name for name in records if "003" in name] == ["test_003_0"]
    assert reasons(report, "excluded") == [
        ("003_0", "the patient is also in the test part"), ("003_1", "the patient is also in the test part")
    ]  # fmt: skip


def test_validation_patients_are_cut_from_training(root):
    datalist, _ = csaw_s(root, validation_fraction=0.4)
    by_id(datalist)
    assert [len({r["patient_id"] for r in datalist[name]}) for name in ("training", "validation", "test")] == [3, 2, 1]
    assert csaw_s(root, validation_fraction=0)[0]["validation"] == []


def test_a_mask_of_another_size_gives_no_box_and_is_reported(root):
    write(image_of(root, "000_0_cancer"), np.zeros((30, 40), np.uint8))
    datalist, report = csaw_s(root)
    assert "boxes" not in by_id(datalist)["000_0"]
    assert reasons(report, "roi") == [("000_0", "mask and image differ in size: (30, 40) and (60, 40)")]


def test_missing_and_broken_masks_and_stray_files_are_reported(root):
    image_of(root, "000_0_cancer").unlink()
    image_of(root, "001_0_cancer").write_bytes(b"no picture")
    whole = image_of(root, "002_0_cancer").read_bytes()
    image_of(root, "002_0_cancer").write_bytes(whole[:60])  # the header is whole, the pixels are not
    write(root / "CsawS" / "anonymized_dataset" / "000" / "999_0.png")
    (root / "CsawS" / "training_random_splits.json").write_text("{}")
    datalist, report = csaw_s(root)
    assert len(by_id(datalist)) == 11
    assert reasons(report, "roi") == [
        ("000_0", "no cancer mask on disk"),
        ("001_0", "the cancer mask cannot be read"),
        ("002_0", "the cancer mask cannot be read"),
    ]
    assert [reason.split(" ")[0] for _, reason in reasons(report, "file")] == ["not"]


def test_the_8_bit_copy_of_an_image_is_taken(root):
    write(image_of(root, "000_0_8bit"))
    datalist, report = csaw_s(root)
    assert by_id(datalist)["000_0"]["image"].endswith("000_0_8bit.png")
    assert len(reasons(report, "file")) == 1


def test_images_of_either_part_missing_and_bad_options_are_named(root, tmp_path_factory):
    with pytest.raises(ValueError, match=r"images not found.*CsawS/anonymized_dataset/<patient>"):
        csaw_s(tmp_path_factory.mktemp("empty"))
    (root / "CsawS" / "test_data").rename(root / "elsewhere")
    with pytest.raises(ValueError, match=r"images not found.*CsawS/test_data/anonymized_dataset/<patient>"):
        csaw_s(root / "CsawS")
    with pytest.raises(ValueError, match=r"annotator must be one of \(1, 2, 3\), got 4"):
        csaw_s(root, annotator=4)
    with pytest.raises(ValueError, match="validation_fraction must be"):
        csaw_s(root, validation_fraction=1)
