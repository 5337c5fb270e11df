from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mammo.transforms import MammogramReader
from mammo.transforms.header import describe_file, describe_header
from pydicom import dcmread
from pydicom.dataset import Dataset

TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
PROJECTIONS = "1.2.840.10008.5.1.4.1.1.13.1.4"


def describe(header: Dataset, **tags: Any) -> dict[str, Any]:
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    return describe_header(header, "a.dcm")


def test_files_with_and_without_a_header_have_the_same_keys(header: Dataset) -> None:
    added_by_the_reader = {"voi", "backend", "frame", "beyond_bits_stored"}
    assert set(describe_file("a.png", 8, None)) == set(describe(header)) | added_by_the_reader


def test_facts_are_plain_values(header: Dataset) -> None:
    facts = describe(header, ImageType=["ORIGINAL", "PRIMARY"], LossyImageCompressionRatio=["2", "10"])
    assert {type(value) for value in facts.values()} <= {str, int, float, bool, list, type(None)}


def test_what_the_header_says_is_told(header: Dataset) -> None:
    facts = describe(
        header,
        ImageType=["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"],
        LossyImageCompressionRatio=["2", "10.5"],
        EstimatedRadiographicMagnificationFactor="1.8",
        NumberOfFrames="7",
        BurnedInAnnotation="YES",
        PaddleDescription="18X24",
        PartialView="YES",
        PositionerType="MAMMOGRAPHIC",
        BodyPartExamined="BREAST",
    )
    expected = {
        "is_dicom": True,
        "sop_class": header.SOPClassUID,
        "image_type": "ORIGINAL\\PRIMARY\\\\LOW_ENERGY",
        "lossy_ratio": 10.5,
        "magnification": 1.8,
        "frames": 7,
        "burned_in_annotation": "YES",
        "paddle": "18X24",
        "partial_view": "YES",
        "positioner": "MAMMOGRAPHIC",
        "body_part": "BREAST",
        "tomosynthesis": False,
        "synthetic_2d": False,
    }
    assert {name: facts[name] for name in expected} == expected


def test_what_the_header_does_not_say_is_none(header: Dataset) -> None:
    facts = describe(header)
    absent = ("image_type", "lossy_ratio", "magnification", "burned_in_annotation", "paddle", "view_modifiers")
    assert {facts[name] for name in absent} == {None}
    assert facts["frames"] == 1


@pytest.mark.parametrize(
    "tags",
    [
        {"SOPClassUID": TOMOSYNTHESIS},
        {"SOPClassUID": PROJECTIONS},
        {"ImageType": ["DERIVED", "PRIMARY", "TOMO", "NONE"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "TOMO_PROJ"]},
        {"VolumetricProperties": "VOLUME"},
        {"SOPClassUID": TOMOSYNTHESIS, "NumberOfFrames": 40, "SeriesDescription": "L CC C-View Tomo"},
    ],
)
def test_tomosynthesis_is_recognised(header: Dataset, tags: dict[str, Any]) -> None:
    facts = describe(header, **tags)
    assert (facts["tomosynthesis"], facts["synthetic_2d"]) == (True, False)


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageType": ["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"]},
        {"ImageType": ["DERIVED", "PRIMARY", "TOMO_2D"]},
        {"SeriesDescription": "L MLO C-View"},
        {"SeriesDescription": "RCC Intelligent 2D"},
        {"SeriesDescription": "R CC Insight 2D"},
        {"SeriesDescription": "S-View R CC"},
        {"SeriesDescription": "V-Preview L CC"},
        {"SeriesDescription": "Synthesized L CC"},
        {"DerivationDescription": "SYN2D"},
        {"ManufacturerModelName": "Synthetic 2D Engine"},
        {"SOPClassUID": TOMOSYNTHESIS, "VolumeBasedCalculationTechnique": "MAX_IP"},
    ],
)
def test_synthetic_mammograms_are_recognised_and_are_no_stack(header: Dataset, tags: dict[str, Any]) -> None:
    facts = describe(header, **tags)
    assert (facts["tomosynthesis"], facts["synthetic_2d"]) == (False, True)


@pytest.mark.parametrize(
    "tags",
    [
        {"DerivationDescription": "implant tags are synthetic"},
        {"SeriesDescription": "R CC"},
        {"SeriesDescription": "Tomo Combo L CC 2D"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "", "", "", "0001"]},
    ],
)
def test_plain_mammograms_are_neither(header: Dataset, tags: dict[str, Any]) -> None:
    facts = describe(header, **tags)
    assert (facts["tomosynthesis"], facts["synthetic_2d"]) == (False, False)


@pytest.mark.parametrize("keyword", ["EstimatedRadiographicMagnificationFactor", "LossyImageCompressionRatio"])
@pytest.mark.parametrize("text", [b"N/A   ", b"1e999 "])
def test_text_in_a_number_field_is_unknown(
    write_dicom: Callable[..., Path], tmp_path: Path, keyword: str, text: bytes
) -> None:
    path = write_dicom(np.eye(8, dtype=np.uint16), ImagerPixelSpacing=[0.1, 0.1], **{keyword: "654321"})
    data = path.read_bytes()
    assert data.count(b"654321") == 1
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(data.replace(b"654321", text))
    facts = describe_header(dcmread(broken), broken)
    assert facts["magnification"] is facts["lossy_ratio"] is None
    assert facts["pixel_spacing_mm"] == [0.1, 0.1]


def test_a_header_from_a_web_service_needs_no_pixels_and_no_file_meta() -> None:
    facts = describe_header(Dataset(), "1.2.3")
    assert facts["bits_stored"] is None
    assert facts["image_id"] == "1.2"  # the stem of what it was asked for under


def test_known_facts_travel_with_the_pixels(write_dicom: Callable[..., Path]) -> None:
    path = write_dicom(np.eye(8, dtype=np.uint16), ImageType=["ORIGINAL", "PRIMARY"])
    _, meta = MammogramReader().get_data(MammogramReader().read(path))
    assert meta["image_type"] == "ORIGINAL\\PRIMARY"
    assert meta["is_dicom"] is True
    assert None not in [value for value in meta.values() if isinstance(value, (str, type(None)))]
