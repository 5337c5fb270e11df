"""What the engine takes and what it refuses, by files as a PACS has them (spec: the scope gate)."""

import io
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
from mammo.pipeline.gate import gate_policy
from mammo.pipeline.hospital.decode import here
from mammo.pipeline.hospital.result import StudyStatus
from mammo.pipeline.hospital.study import StudyEngine
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import Code, codes
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

Change = Callable[[Dataset], None]


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def setting(**values) -> Change:
    def change(ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return change


def without(*keywords: str) -> Change:
    def change(ds: Dataset) -> None:
        for keyword in keywords:
            delattr(ds, keyword)

    return change


def all_of(*changes: Change) -> Change:
    def change(ds: Dataset) -> None:
        for one in changes:
            one(ds)

    return change


def compressed(syntax: str) -> Change:
    return lambda ds: ds.compress(syntax, generate_instance_uid=False)


def viewed(value: str, scheme: str, meaning: str, position: str) -> Change:
    return setting(ViewPosition=position, ViewCodeSequence=Sequence([code(value, scheme, meaning)]))


def modified(word: Code) -> Change:
    def change(ds: Dataset) -> None:
        ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([code(*word[:3])])

    return change


unnamed = setting(SeriesDescription="mammogram")


def as_monochrome1(ds: Dataset) -> None:
    values = 4095 - ds.pixel_array
    ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    ds.PixelData = values.astype(np.uint16).tobytes()


def mirrored(ds: Dataset) -> None:
    """The other breast's picture under this one's name, and no word of why."""
    ds.PixelData = np.ascontiguousarray(ds.pixel_array[:, ::-1]).tobytes()
    del ds.PatientOrientation


def blank(ds: Dataset) -> None:
    rng = np.random.default_rng(0)
    ds.PixelData = rng.integers(0, 30, (ds.Rows, ds.Columns)).astype(np.uint16).tobytes()


def two_frames(ds: Dataset) -> None:
    ds.NumberOfFrames = 2
    ds.PixelData = ds.PixelData * 2


CASES: list[tuple[str, Change, str | None]] = [
    ("as it is", lambda ds: None, None),
    ("MONOCHROME1", as_monochrome1, None),
    ("JPEG 2000 lossless", compressed(JPEG2000Lossless), None),
    ("JPEG-LS lossless", compressed(JPEGLSLossless), None),
    ("RLE", compressed(RLELossless), None),
    ("the older code of the view", viewed("R-10242", "SRT", "cranio-caudal", "CC"), None),
    ("no coded view", without("ViewCodeSequence"), None),
    ("no ViewPosition", without("ViewPosition"), None),
    ("Laterality for Image Laterality", all_of(without("ImageLaterality"), setting(Laterality="L")), None),
    ("contact magnification factor", setting(EstimatedRadiographicMagnificationFactor=1.08), None),
    ("nipple in profile", modified(codes.cid4015.NippleInProfile), None),
    ("another object", setting(SOPClassUID=CTImageStorage), "not_a_mammogram"),
    ("raw pixels", setting(PresentationIntentType="FOR PROCESSING"), "for_processing"),
    ("raw object", setting(SOPClassUID=DigitalMammographyXRayImageStorageForProcessing), "for_processing"),
    ("tomosynthesis", setting(SOPClassUID=BreastTomosynthesisImageStorage), "tomosynthesis"),
    ("several frames", two_frames, "multi_frame"),
    ("synthetic 2-D", setting(ImageType=["DERIVED", "PRIMARY", "TOMO_2D"]), "synthetic_2d"),
    ("subtracted", setting(ImageType=["DERIVED", "PRIMARY", "POST_CONTRAST", "SUBTRACTION"]), "contrast_enhanced"),
    ("screen shot", setting(SOPClassUID=SecondaryCaptureImageStorage), "secondary_capture"),
    ("magnified, by code", modified(codes.cid4015.Magnification), "magnification"),
    ("magnified, by factor", setting(EstimatedRadiographicMagnificationFactor=1.8), "magnification"),
    ("spot", modified(codes.cid4015.SpotCompression), "spot_compression"),
    ("implant pushed back", modified(codes.cid4015.ImplantDisplaced), "implant_displaced"),
    ("implant", setting(BreastImplantPresent="YES"), "implant"),
    ("tangential", modified(codes.cid4015.Tangential), "special_view"),
    ("cleavage", modified(codes.cid4015.Cleavage), "special_view"),
    ("part of a breast", setting(PartialView="YES"), "partial_view"),
    ("medio-lateral", viewed(*codes.cid4014.MedioLateralProjection[:3], "ML"), "view_not_standard"),
    (
        "no view at all",
        all_of(without("ViewCodeSequence", "ViewPosition"), setting(SeriesDescription="left")),
        "view_unknown",
    ),
    ("two views", setting(ViewPosition="MLO"), "view_conflict"),
    ("no side", all_of(unnamed, without("ImageLaterality")), "side_unknown"),
    ("two sides", setting(Laterality="R"), "side_conflict"),
    ("mirrored pixels", mirrored, "side_disagrees"),
    ("turned round, says the header", setting(PatientOrientation=["P", "L"]), "orientation_disagrees"),
    ("lossy", setting(LossyImageCompression="01", LossyImageCompressionRatio=10), "lossy"),
    ("during a biopsy", setting(ImageType=["ORIGINAL", "PRIMARY", "STEREO_MINUS"]), "biopsy"),
    ("a specimen", setting(PositionerType="NONE"), "specimen"),
    ("no breast in it", blank, "mask_empty"),
    ("another modality", setting(Modality="CT"), "not_a_mammogram"),
    ("colour", setting(PhotometricInterpretation="RGB", SamplesPerPixel=3), "unsupported_pixel_format"),
    ("far too large", setting(Rows=65535, Columns=65535), "too_large"),
    ("cut off", lambda ds: setattr(ds, "PixelData", ds.PixelData[: len(ds.PixelData) // 3 // 2 * 2]), "truncated"),
]


@pytest.fixture(scope="module")
def engine(model):
    return StudyEngine(model, decode=here(model.transform))


@pytest.fixture(scope="module")
def plain(exam) -> bytes:
    """The bytes of a left CC view, uncompressed."""
    [path] = [path for path, view in exam if (view.laterality, view.view) == ("LEFT", "CC")]
    ds = pydicom.dcmread(path)
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        ds.decompress(generate_instance_uid=False)
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize(("change", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_image_is_scored_or_refused_for_the_right_reason(tmp_path, engine, plain, change, reason):
    ds = pydicom.dcmread(io.BytesIO(plain))
    ds.SOPInstanceUID = generate_uid()
    change(ds)
    path = tmp_path / "image.dcm"
    ds.save_as(path, enforce_file_format=False)
    result = engine.process([path])
    if reason is None:
        assert result.status == StudyStatus.ANALYSED
        assert result.views[0].probability is not None
    else:
        assert result.status == StudyStatus.NOT_ANALYSED
        reasons = result.views[0].reasons if result.views else ("not_a_mammogram",) * result.others
        assert reason in reasons
        assert result.exam_score is None


def test_a_policy_can_take_what_a_site_wants(tmp_path, model, plain):
    ds = pydicom.dcmread(io.BytesIO(plain))
    ds.ImageType = ["DERIVED", "PRIMARY", "POST_CONTRAST", "SUBTRACTION"]
    ds.save_as(tmp_path / "image.dcm", enforce_file_format=False)
    policy = gate_policy("deploy", {"contrast_enhanced": "warn"})
    result = StudyEngine(model, policy=policy, decode=here(model.transform)).process([tmp_path / "image.dcm"])
    assert result.status == StudyStatus.ANALYSED
    assert "contrast_enhanced" in result.views[0].warnings
