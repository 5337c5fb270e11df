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


def test_view_modifiers_are_reported() -> None:
    ds, modifier = with_code("399162004", "SCT"), Dataset()
    modifier.CodeMeaning = "Implant Displaced"
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = [modifier]
    assert read_view(ds).view_modifiers == ["Implant Displaced"]
