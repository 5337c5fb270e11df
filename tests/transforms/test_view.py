import pytest
from mammo.transforms.view import View, read_view
from pydicom.dataset import Dataset
from pydicom.sr import _snomed_dict
from pydicom.sr.codedict import codes


def with_code(value: str, scheme: str) -> Dataset:
    item, ds = Dataset(), Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "x"
    ds.ViewCodeSequence = [item]
    return ds


CID_4014 = {
    "CranioCaudal": View.CC,
    "MedioLateralObliqueProjection": View.MLO,
    "MedioLateralProjection": View.ML,
    "LateroMedial": View.LM,
    "LateroMedialOblique": View.LMO,
    "CaudoCranial": View.FB,
    "SuperolateralToInferomedialOblique": View.SIO,
    "InferomedialToSuperolateralOblique": View.ISO,
    "CranioCaudalExaggeratedLaterally": View.XCCL,
    "CranioCaudalExaggeratedMedially": View.XCCM,
}


@pytest.mark.parametrize(("keyword", "view"), CID_4014.items())
def test_view_codes_agree_with_the_standard(keyword: str, view: View) -> None:
    assert read_view(with_code(getattr(codes.cid4014, keyword).value, "SCT")).view == view


@pytest.mark.parametrize(("keyword", "view"), CID_4014.items())
@pytest.mark.parametrize("scheme", ["SRT", "SNM3", "99SDM"])
def test_old_srt_codes_mean_the_same(keyword: str, view: View, scheme: str) -> None:
    old = {new: srt for srt, new in _snomed_dict.mapping["SRT"].items()}
    assert read_view(with_code(old[getattr(codes.cid4014, keyword).value], scheme)).view == view


def test_code_wins_over_text() -> None:
    ds = with_code("399162004", "SCT")
    ds.ViewPosition = "MLO"
    assert read_view(ds)[2:4] == ("CC", "ViewCodeSequence")


def test_image_laterality_wins_over_series_laterality() -> None:
    ds = Dataset()
    ds.ImageLaterality, ds.Laterality = "R", "L"
    assert read_view(ds)[:2] == ("R", "ImageLaterality")


@pytest.mark.parametrize(
    ("keyword", "text", "side", "view"),
    [
        ("PatientID", "Mass-Training_P_00001_LEFT_CC", "L", "CC"),
        ("PatientID", "Calc-Test_P_00038_RIGHT_MLO_1", "R", "MLO"),
        ("SeriesDescription", "L MLO", "L", "MLO"),
        ("SeriesDescription", "RCC", "R", "CC"),
        ("SeriesDescription", "full mammogram images", None, None),
        ("SeriesDescription", "Right breast", "R", None),
        ("PatientID", "MILLER", None, None),
        ("PatientID", "R-1234", None, None),
        ("PatientID", "CC0815", None, None),
    ],
)
def test_text_tells_side_and_view(keyword: str, text: str, side: str | None, view: str | None) -> None:
    ds = Dataset()
    setattr(ds, keyword, text)
    found = read_view(ds)
    assert (found.laterality, found.view) == (side, view)


def test_cbis_view_is_in_patient_orientation() -> None:
    ds = Dataset()
    ds.PatientOrientation = "CC"
    assert read_view(ds)[2:4] == ("CC", "PatientOrientation")


def test_patient_orientation_of_the_standard_is_no_view() -> None:
    ds = Dataset()
    ds.PatientOrientation = ["A", "FR"]
    assert read_view(ds).view is None


def test_both_breasts_have_no_side() -> None:
    ds = Dataset()
    ds.ImageLaterality = "B"
    assert read_view(ds).laterality is None


def test_frame_laterality_of_multi_frame_objects_is_read() -> None:
    ds, group, anatomy = Dataset(), Dataset(), Dataset()
    anatomy.FrameLaterality = "R"
    group.FrameAnatomySequence = [anatomy]
    ds.SharedFunctionalGroupsSequence = [group]
    assert read_view(ds)[:2] == ("R", "FrameLaterality")


def with_modifiers(*modifiers: tuple[str, str, str]) -> Dataset:
    ds, items = with_code("399162004", "SCT"), []
    for value, scheme, meaning in modifiers:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        items.append(item)
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = items
    return ds


def words_of(keyword: str) -> str:
    """ "SpotCompression" as the canonical words; one modifier is hyphenated in the standard."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in keyword).strip()
    return words.replace("infra mammary", "infra-mammary")


@pytest.mark.parametrize("keyword", codes.cid4015.dir())
def test_modifier_codes_of_the_standard_become_canonical_words(keyword: str) -> None:
    value = getattr(codes.cid4015, keyword).value
    old = {new: srt for srt, new in _snomed_dict.mapping["SRT"].items()}[value]
    coded = with_modifiers((value, "SCT", "x"))
    assert read_view(coded).view_modifiers == [words_of(keyword)]
    assert read_view(with_modifiers((old, "SNM3", "x"))).view_modifiers == [words_of(keyword)]


def test_an_unknown_modifier_keeps_its_own_words_and_a_known_meaning_needs_no_code() -> None:
    ds = with_modifiers(("1", "99LOCAL", "Arm Up"), ("2", "99LOCAL", "Implant Displaced"), ("3", "99LOCAL", "x"))
    ds.ViewCodeSequence[0].ViewModifierCodeSequence[2].add_new("CodeMeaning", "UT", "y" * 500)
    assert read_view(ds).view_modifiers[:2] == ["Arm Up", "implant displaced"]
    assert len(read_view(ds).view_modifiers[2]) == 64


def test_modifiers_beside_the_views_and_in_texts_are_read_once() -> None:
    ds = with_modifiers(("399055006", "SCT", "Spot Compression"))
    ds.ViewModifierCodeSequence = [ds.ViewCodeSequence[0].ViewModifierCodeSequence[0]]
    ds.PaddleDescription, ds.SeriesDescription = "10CM SPOT", "R CC MAG"
    assert read_view(ds).view_modifiers == ["spot compression", "magnification"]


@pytest.mark.parametrize("text", ["IMAGE", "R CC STANDARD", "MAGENTA"])
def test_words_that_only_contain_a_modifier_are_none(text: str) -> None:
    ds = Dataset()
    ds.SeriesDescription = text
    assert read_view(ds).view_modifiers == []


def test_contradicting_attributes_are_named() -> None:
    ds = with_code("399162004", "SCT")
    ds.ViewPosition, ds.ImageLaterality, ds.SeriesDescription = "MLO", "L", "R CC"
    info = read_view(ds)
    assert (info.view, info.laterality) == ("CC", "L")
    assert info.view_conflict == "ViewCodeSequence CC, ViewPosition MLO, SeriesDescription CC"
    assert info.laterality_conflict == "ImageLaterality L, SeriesDescription R"


def test_attributes_that_agree_are_no_conflict() -> None:
    ds = with_code("399162004", "SCT")
    ds.ViewPosition, ds.ImageLaterality, ds.SeriesDescription = "CC", "L", "LCC"
    assert read_view(ds)[-2:] == (None, None)


def test_a_description_of_the_whole_study_tells_nothing() -> None:
    ds = Dataset()
    ds.SeriesDescription = "R CC, L CC, R MLO, L MLO"
    assert read_view(ds)[:4] == (None, None, None, None)


@pytest.mark.parametrize(("value", "scheme"), [("127457009", "SCT"), ("G-8310", "SRT")])
def test_a_specimen_is_named(value: str, scheme: str) -> None:
    assert read_view(with_code(value, scheme)).view == View.SPECIMEN


def test_something_else_under_the_tag_of_a_sequence_is_no_sequence() -> None:
    ds = Dataset()
    ds.add_new("ViewCodeSequence", "LO", "CC")
    ds.add_new("SharedFunctionalGroupsSequence", "LO", "L")
    assert read_view(ds)[:4] == (None, None, None, None)
