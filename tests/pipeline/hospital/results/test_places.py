"""A planted region is found again wherever an object shows it, in rows and columns of the image as stored."""

import highdicom as hd
import numpy as np
import pydicom
import pytest

from .conftest import FACTOR, box_of, by_source, drawn


@pytest.fixture
def truth(exams, files, objects):
    """Box of the region by SOP Instance UID."""
    polarity = next(name for name, made in objects.items() if made is files)
    names = [str(pydicom.dcmread(path).SOPInstanceUID) for path in exams[polarity]]
    return dict(zip(names, map(box_of, drawn()), strict=True))


def corners(box):
    """Columns and rows of a box, as DICOM writes points."""
    row0, column0, row1, column1 = box
    return {(column0, row0), (column1, row0), (column1, row1), (column0, row1)}


def points(values):
    return {tuple(point) for point in np.reshape(values, (-1, 2)).tolist()}


def test_it_is_the_region_of_the_report(files, truth):
    found = {}
    for group in hd.sr.srread(str(files["sr-1"])).content.get_planar_roi_measurement_groups():
        assert group.finding_type == pydicom.sr.codedict.codes.DCM.SelectedRegion
        assert group.roi.graphic_type == hd.sr.GraphicTypeValues.POLYLINE
        image = group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        found[image] = points(group.roi.value)
    assert found == {name: corners(box) for name, box in truth.items()}


def test_it_is_the_outline_of_the_presentation_state_with_the_score_beside_it(files, truth):
    found = by_source(files, "presentation")
    assert set(found) == set(truth)
    for name, box in truth.items():
        annotation = found[name].GraphicAnnotationSequence[0]
        (graphic,) = annotation.GraphicObjectSequence
        assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
        assert points(graphic.GraphicData) == corners(box)
        label = annotation.TextObjectSequence[0]
        assert label.UnformattedTextValue in ("AI 0.700 (1)", "AI 0.300 (1)")
        assert label.BoundingBoxTopLeftHandCorner[0] == box[1]
        assert label.BoundingBoxBottomRightHandCorner[1] == box[0]


def test_it_is_where_the_overlay_has_colour_and_nowhere_else(files, truth):
    found = by_source(files, "overlay")
    assert set(found) == set(truth)
    rows, columns = (edge // FACTOR for edge in drawn()[0].image.shape)
    for name, box in truth.items():
        picture = found[name].pixel_array[:rows, :columns].astype(int)
        coloured = np.ptp(picture, axis=2) > 0
        warm = np.nonzero(coloured & (picture[..., 0] > picture[..., 2]))  # the outline and its number are cyan
        row0, column0, row1, column1 = (int(edge) // FACTOR for edge in box)
        inside = np.s_[row0:row1, column0:column1]
        assert coloured[inside].all()
        assert row0 - 2 <= warm[0].min()
        assert warm[0].max() < row1 + 2
        assert column0 - 2 <= warm[1].min()
        assert warm[1].max() < column1 + 2


def test_it_is_where_the_map_is_hot(files, truth):
    found = by_source(files, "heat")
    assert set(found) == set(truth)
    for name, box in truth.items():
        values = found[name].pixel_array / found[name].MaximumFractionalValue
        row0, column0, row1, column1 = map(int, box)
        assert values.shape == drawn()[0].image.shape
        assert values[row0 + 1 : row1 - 1, column0 + 1 : column1 - 1].min() == 1
        values[row0 - 1 : row1 + 1, column0 - 1 : column1 + 1] = 0
        assert values.max() == 0


def test_it_is_a_finding_of_the_cad_report_on_the_right_image(files, truth):
    root = pydicom.dcmread(files["cad-1"])
    library = root.ContentSequence[1].ContentSequence
    found = {}
    for item in walk(root):
        if item.get("ValueType") == "CODE" and item.ConceptNameCodeSequence[0].CodeValue == "111059":
            assert item.ConceptCodeSequence[0].CodeMeaning == "Selected region"
            shapes = {child.GraphicType: child for child in item.ContentSequence if child.get("ValueType") == "SCOORD"}
            place = shapes["POLYLINE"].ContentSequence[0].ReferencedContentItemIdentifier
            assert place[:2] == [1, 2]
            image = library[place[2] - 1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            found[image] = points(shapes["POLYLINE"].GraphicData)
            (centre,) = points(shapes["POINT"].GraphicData)
            assert centre == tuple(np.mean(list(found[image]), axis=0))
    assert found == {name: corners(box) for name, box in truth.items()}


def walk(item):
    """A content item and all below it."""
    yield item
    for child in item.get("ContentSequence", []):
        yield from walk(child)


def test_the_mask_is_the_given_one_enlarged(files, exams, objects):
    polarity = next(name for name, made in objects.items() if made is files)
    found = by_source(files, "mask")
    for path, view in zip(exams[polarity], drawn(), strict=True):
        ds = found[str(pydicom.dcmread(path).SOPInstanceUID)]
        given = view.breast[::FACTOR, ::FACTOR]
        assert (ds.Rows, ds.Columns) == view.image.shape
        np.testing.assert_array_equal(ds.pixel_array.reshape(view.image.shape)[::FACTOR, ::FACTOR], given)
        again = hd.seg.Segmentation.from_dataset(ds).get_pixels_by_source_instance(
            [str(pydicom.dcmread(path).SOPInstanceUID)]
        )
        np.testing.assert_array_equal(again[0, ..., 0], np.kron(given, np.ones((FACTOR, FACTOR))))


def test_segmentations_and_overlays_keep_the_orientation_of_their_image(files, exams, objects):
    polarity = next(name for name, made in objects.items() if made is files)
    for path in exams[polarity]:
        source = pydicom.dcmread(path)
        for kind in ("overlay", "mask", "heat"):
            assert by_source(files, kind)[str(source.SOPInstanceUID)].PatientOrientation == source.PatientOrientation
        assert by_source(files, "overlay")[str(source.SOPInstanceUID)].ImageLaterality == source.ImageLaterality
