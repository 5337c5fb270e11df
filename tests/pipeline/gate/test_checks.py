"""Each reason has facts that give it, alone, and facts beside them that do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mammo.pipeline.gate import Reason
from mammo.pipeline.gate.checks import find_reasons
from mammo.transforms.header import describe_file

PLAIN_JPEG, NEAR_LOSSLESS, J2K_LOSSY = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 81, 91))
MG_RAW, CAPTURE, SR = "1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.33"

GIVES: list[tuple[str, dict[str, Any]]] = [
    ("not_a_mammogram", {"sop_class": SR}),
    ("not_a_mammogram", {"modality": "CT"}),
    ("not_a_mammogram", {"modality": "CR", "body_part": "CHEST"}),
    ("specimen", {"positioner": "NONE"}),
    ("tomosynthesis", {"tomosynthesis": True, "frames": 60}),
    ("tomosynthesis", {"tomosynthesis": True}),
    ("multi_frame", {"frames": 2}),
    ("chosen_frame", {"tomosynthesis": True, "frames": 60, "frame": 0}),
    ("chosen_frame", {"frames": 60, "frame": "max"}),
    ("synthetic_2d", {"synthetic_2d": True}),
    ("contrast_enhanced", {"image_type": "DERIVED\\PRIMARY\\POST_CONTRAST\\SUBTRACTION"}),
    ("for_processing", {"presentation_intent": "FOR PROCESSING"}),
    ("for_processing", {"sop_class": MG_RAW, "presentation_intent": None}),
    ("unknown_intent", {"sop_class": None, "presentation_intent": None}),
    ("side_unknown", {"laterality": None}),
    ("side_conflict", {"laterality_conflict": "ImageLaterality L, SeriesDescription R"}),
    ("side_conflict", {"listed_laterality": "R"}),
    ("orientation_disagrees", {"patient_orientation": "P\\L"}),
    ("view_unknown", {"view": None}),
    ("view_not_standard", {"view": "ML"}),
    ("view_not_standard", {"view": "XCCL"}),
    ("view_conflict", {"view_conflict": "ViewCodeSequence CC, ViewPosition MLO"}),
    ("view_conflict", {"listed_view": "MLO"}),
    ("spot_compression", {"view_modifiers": "spot compression"}),
    ("magnification", {"view_modifiers": "nipple in profile; magnification"}),
    ("magnification", {"magnification": 1.3}),
    ("implant", {"breast_implant": "YES"}),
    ("implant", {"breast_implant": None, "implant": True}),
    ("implant_displaced", {"view_modifiers": "implant displaced"}),
    ("special_view", {"view_modifiers": "tangential"}),
    ("special_view", {"view_modifiers": "Arm Up"}),
    ("partial_view", {"partial_view": "YES"}),
    ("biopsy", {"image_type": "ORIGINAL\\PRIMARY\\STEREO_SCOUT"}),
    ("biopsy", {"paddle": "9cm biopsy"}),
    ("lossy", {"lossy": "01", "lossy_ratio": 10.0}),
    ("lossy", {"lossy": None, "transfer_syntax": PLAIN_JPEG}),
    ("lossy", {"transfer_syntax": NEAR_LOSSLESS}),
    ("beyond_bits_stored", {"beyond_bits_stored": True}),
    ("burned_in_declared", {"burned_in_annotation": "YES"}),
    ("side_marker", {"burned_in_px": 1, "burned_in_share": 0.004}),
    ("burned_in_text", {"burned_in_px": 2, "burned_in_share": 0.01}),
    ("mask_empty", {"mask_quality": "empty", "breast_share": 0.0, "wall": None}),
    ("mask_full_frame", {"mask_quality": "full_frame", "breast_share": 0.99, "wall": None}),
    ("mask_two_breasts", {"mask_quality": "two_breasts", "wall": None}),
    ("mask_cut_off", {"mask_quality": "cut_off", "wall": None}),
    ("mask_no_wall", {"mask_quality": "no_chest_wall_edge", "wall": None}),
    ("mask_small", {"breast_share": 0.049}),
    ("over_cropped", {"breast_share": 0.9}),
]
TOGETHER: list[tuple[set[str], dict[str, Any]]] = [
    ({"secondary_capture", "unknown_intent"}, {"sop_class": CAPTURE, "presentation_intent": None}),
    ({"side_disagrees", "orientation_disagrees"}, {"wall": "right"}),
    ({"specimen", "view_not_standard"}, {"view": "SPECIMEN"}),
    ({"spot_compression", "magnification"}, {"view_modifiers": "magnification; spot compression"}),
]
GIVES_NOTHING: list[dict[str, Any]] = [
    {},
    {"modality": "CR", "body_part": "Breast"},
    {"body_part": "CHEST"},  # the modality is MG
    {"image_type": "ORIGINAL\\PRIMARY\\\\LOW_ENERGY"},
    {"magnification": 1.29},
    {"magnification": None},
    {"view_modifiers": "nipple in profile; infra-mammary fold; anterior compression"},
    {"transfer_syntax": J2K_LOSSY},
    {"listed_laterality": "L", "listed_view": "CC"},
    {"laterality": None, "listed_laterality": "L"},
    {"view": None, "listed_view": "MLO"},
    {"wall": None},
    {"breast_share": 0.05},
    {"breast_share": 0.89},
    {"paddle": "24x30 standard"},
    {"frame": 0},
]


def reasons_of(facts: dict[str, Any]) -> list[str]:
    return [str(reason.value) for reason, _ in find_reasons(facts)]


@pytest.mark.parametrize(("reason", "change"), GIVES)
def test_these_facts_give_this_reason_and_no_other(plain: dict[str, Any], reason: str, change: dict[str, Any]) -> None:
    assert reasons_of(plain | change) == [reason]


@pytest.mark.parametrize(("reasons", "change"), TOGETHER)
def test_these_facts_give_several_reasons(plain: dict[str, Any], reasons: set[str], change: dict[str, Any]) -> None:
    assert set(reasons_of(plain | change)) == reasons


@pytest.mark.parametrize("change", GIVES_NOTHING)
def test_these_facts_give_no_reason(plain: dict[str, Any], change: dict[str, Any]) -> None:
    assert reasons_of(plain | change) == []


def test_every_reason_has_facts_that_give_it() -> None:
    without_header = {"no_header"}  # tested below
    shown = {reason for reason, _ in GIVES} | {reason for reasons, _ in TOGETHER for reason in reasons}
    assert shown | without_header == {reason.value for reason in Reason}


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize("orientation", ["A\\F", "P\\F", "A\\R", "P\\L", None, "CC"])
@pytest.mark.parametrize("wall", ["left", "right"])
def test_side_and_wall_agree_in_natural_hanging_or_as_the_orientation_says(
    plain: dict[str, Any], side: str, orientation: str | None, wall: str
) -> None:
    facts = plain | {"laterality": side, "patient_orientation": orientation, "wall": wall}
    told = {"A": "left", "P": "right"}[orientation[0]] if orientation and "\\" in orientation else None
    natural = {"L": "left", "R": "right"}[side]
    found = reasons_of(facts)
    assert ("side_disagrees" in found) == (wall != natural and wall != told)
    assert ("orientation_disagrees" in found) == (told is not None and wall != told)


def test_an_image_without_a_header_gets_no_reason_of_headers() -> None:
    assert reasons_of(describe_file("a.png", 8, None)) == ["no_header"]
    listed = {"listed_laterality": "L", "listed_view": "LM", "wall": "right", "mask_quality": "ok"}
    assert reasons_of(describe_file("a.png", 8, None) | listed) == ["no_header", "side_disagrees", "view_not_standard"]


def test_reasons_come_in_the_order_of_their_list(plain: dict[str, Any]) -> None:
    order = [str(reason.value) for reason in Reason]
    facts = plain | {name: value for _, change in GIVES for name, value in change.items()}
    found = reasons_of(facts)
    assert found == sorted(found, key=order.index)
    assert len(found) == len(set(found)) > 15
    assert reasons_of(dict(reversed(facts.items()))) == found


def test_messages_name_the_tag_and_the_value(plain: dict[str, Any]) -> None:
    [(_, message)] = find_reasons(plain | {"magnification": 1.8})
    assert "(0018,1114)" in message
    assert "1.8" in message


TEXTS = ("sop_class", "modality", "body_part", "image_type", "patient_orientation", "view", "view_modifiers", "paddle")


@given(st.dictionaries(st.sampled_from(TEXTS), st.text(max_size=200)))
def test_any_text_of_a_header_is_judged_and_shown_fit_for_a_terminal(texts: dict[str, str]) -> None:
    for _, message in find_reasons(texts):
        assert message.isprintable()
        assert len(message) < 160
