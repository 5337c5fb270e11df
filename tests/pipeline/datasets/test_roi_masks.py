import cv2
import nibabel
import numpy as np
import pydicom
import pytest
from mammo.pipeline.datasets.import_report import ImportReport
from mammo.pipeline.datasets.roi_masks import MaskPolicy, image_shape, locate_findings, mask_box, place_roi, read_mask
from mammo.transforms import MammogramError, MammogramReader
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

SHAPE = (240, 180)
BOX = [96, 40, 136, 88]


def texture(shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.random(shape, dtype=np.float32), (0, 0), 4)
    return np.clip(128 + 40 * (smooth - smooth.mean()) / smooth.std(), 1, 255).astype(np.uint8)


def drawn(shape=SHAPE, box=BOX, value=255):
    mask = np.zeros(shape, np.uint8)
    mask[box[0] : box[2], box[1] : box[3]] = value
    return mask


def dicom(path, pixels, photometric="MONOCHROME2"):
    ds = pydicom.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = SecondaryCaptureImageStorage, "1.2.3", "MG"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, photometric, 0
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)


@pytest.fixture
def write(tmp_path):
    def make(name, pixels, **known):
        path = tmp_path / name
        if path.suffix == ".dcm":
            dicom(path, pixels, **known)
        elif path.suffix == ".nii":
            nibabel.save(nibabel.Nifti1Image(pixels.T, np.eye(4)), path)
        else:
            cv2.imwrite(str(path), pixels)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("m.png", drawn()),
        ("m.png", drawn(value=1)),  # masks of 0 and 1 look black
        ("m.jpg", drawn()),  # grey at the rim
        ("m.dcm", drawn()),
        ("m.dcm", drawn().astype(np.uint16) * 257),
    ],
)
def test_mask_is_read_at_any_range_and_format(write, name, pixels):
    mask = read_mask(write(name, pixels))
    assert mask.shape == SHAPE
    assert mask_box(mask) == BOX
    assert (mask == (drawn() > 0)).all()


def test_inverted_dicom_mask_is_read_as_it_is_shown(write):
    assert mask_box(read_mask(write("m.dcm", 255 - drawn(), photometric="MONOCHROME1"))) == BOX


@pytest.mark.parametrize("name", ["i.png", "i.pgm", "i.tif", "i.jpg", "i.dcm", "i.nii"])
def test_size_from_the_header_is_that_of_the_pixels(write, name):
    path = write(name, texture())
    assert image_shape(path) == MammogramReader().read(path).shape == SHAPE


@pytest.mark.parametrize("content", [None, b"not an image"])
def test_file_without_a_picture_has_no_size(tmp_path, content):
    path = tmp_path / "i.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MammogramError, match=r"no such file|header cannot be read"):
        image_shape(str(path))


@pytest.mark.parametrize("policy", MaskPolicy)
def test_mask_of_the_images_size_needs_no_policy(write, policy):
    placed = place_roi(write("i.png", texture()), {"roi_mask": write("m.png", drawn())}, policy)
    assert placed == (BOX, "masks of the image's size", "", False, True)


def test_skip_leaves_a_mask_of_another_size_out_and_tells_both_sizes(write):
    placed = place_roi(write("i.png", texture()), {"roi_mask": write("m.png", drawn((250, 190)))}, MaskPolicy.SKIP)
    assert placed.box is None
    assert placed.reason == "mask and image differ in size: (250, 190) and (240, 180)"


def test_resize_scales_by_the_two_ratios(write):
    mask = write("m.png", drawn((120, 120), [48, 20, 68, 44]))  # rows x 2, columns x 1.5
    placed = place_roi(write("i.png", texture()), {"roi_mask": mask}, MaskPolicy.RESIZE)
    assert placed.box == [96, 30, 136, 66]
    assert placed.outcome == "masks of another size, resized"


def test_resized_box_holds_every_pixel_it_touches(write):
    mask = write("m.png", drawn((160, 180), [11, 40, 14, 88]))  # rows x 1.5: 16.5 to 21
    assert place_roi(write("i.png", texture()), {"roi_mask": mask}, MaskPolicy.RESIZE).box == [16, 40, 21, 88]


def test_register_finds_the_crop(write):
    image = texture()
    mask = write("m.png", drawn((246, 184), [102, 44, 142, 92]))  # 6 rows above and 4 columns before were cut off
    crop = write("c.png", image[96:136, 40:88])
    placed = place_roi(write("i.png", image), {"roi_mask": mask, "crop": crop}, MaskPolicy.REGISTER)
    assert placed == (BOX, "masks of another size, registered", "", False, False)


@pytest.mark.parametrize(
    ("crop", "words"),
    [(None, "no cropped image"), (texture((40, 48), seed=4), "not found in the image"), ("gone", "no such file")],
)
def test_register_gives_up_with_a_reason(write, crop, words):
    finding = {"roi_mask": write("m.png", drawn((246, 184)))}
    if crop is not None:
        finding["crop"] = "gone.png" if isinstance(crop, str) else write("c.png", crop)
    placed = place_roi(write("i.png", texture()), finding, MaskPolicy.REGISTER)
    assert placed.box is None
    assert placed.outcome == "masks of another size, not registered"
    assert words in placed.reason
    assert "(246, 184) and (240, 180)" in placed.reason


def test_mask_and_crop_that_change_places_are_told_apart(write):
    mask, crop = write("m.png", drawn()), write("c.png", texture((40, 48)))
    record = {"image": write("i.png", texture()), "image_id": "a", "findings": [{"roi_mask": crop, "crop": mask}]}
    report = ImportReport("tiny")
    ((finding,),) = locate_findings([record], "skip", 1, report)
    assert (finding["box"], finding["roi_mask"], finding["crop"]) == (BOX, mask, crop)
    assert [problem["reason"] for problem in report.problems] == ["mask and crop change places"]


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros(SHAPE, np.uint8), "every pixel is 0: there is no picture in it: m.png"),
        (texture(), "a picture, not a mask of two grey values: m.png"),
    ],
)
def test_file_that_is_no_mask_places_nothing(write, mask, words):
    placed = place_roi(write("i.png", texture()), {"roi_mask": write("m.png", mask)}, MaskPolicy.RESIZE)
    assert placed[:3] == (None, "masks not usable", words)


def test_missing_file_is_named(write):
    assert "no such file: gone.png" in place_roi("i.png", {"roi_mask": "gone.png"}, MaskPolicy.SKIP).reason
    assert "gone.png" in place_roi("gone.png", {"roi_mask": write("m.png", drawn())}, MaskPolicy.SKIP).reason


def test_mask_of_another_size_is_no_mask_of_the_image_any_more(write):
    finding = {"roi_mask": write("m.png", drawn((120, 90), [48, 20, 68, 44]))}
    record = {"image": write("i.png", texture()), "image_id": "a", "findings": [finding]}
    assert locate_findings([record], "resize", 1, ImportReport("tiny")) == [[{"box": BOX}]]


def test_every_finding_is_counted_once_and_none_is_lost_in_silence(write):
    image, mask, other = write("i.png", texture()), write("m.png", drawn()), write("o.png", drawn((250, 190)))
    findings = [
        {"id": "1", "box": [1, 2, 3, 4], "roi_mask": "never read"},
        {"id": "2", "circle": [20, 20, 5]},
        {"id": "3", "roi_mask": mask},
        {"id": "4", "roi_mask": other},
        {"id": "5", "type": "mass"},
    ]
    records = [{"image": image, "image_id": "a", "findings": findings}, {"image": image, "image_id": "b"}]
    report = ImportReport("tiny")
    located = locate_findings(records, "skip", 2, report)
    assert [finding.get("box") for finding in located[0]] == [[1, 2, 3, 4], [15, 15, 26, 26], BOX, None, None]
    assert located[1] == []
    assert "box" not in findings[2]  # the records given are left alone
    assert report.counts == {
        "findings": 5, "places told": 2, "masks of the image's size": 1, "masks of another size, left out": 1
    }  # fmt: skip
    assert sorted(problem["item"] for problem in report.problems) == ["a#4", "a#5"]
    assert {problem["kind"] for problem in report.problems} == {"roi"}


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="register"):
        locate_findings([], "stretch", 1, ImportReport("tiny"))
