"""A presentation state shows the image as its own header asks."""

import numpy as np
import pydicom
import pytest
from mammo.pipeline.hospital.results import write_objects
from mammo.transforms import MammogramReader
from PIL import Image

from .conftest import NOW, POLARITIES, by_source, lines_of, planted, write_exam
from .test_writing import several_windows, window_and_lut


def narrow(ds):
    ds.WindowCenter, ds.WindowWidth = 1500, 900


@pytest.mark.parametrize("polarity", POLARITIES)
@pytest.mark.parametrize(("change", "tolerance"), [(narrow, 0.02), (window_and_lut, 0.02)])
def test_a_viewer_renders_it_as_the_reader_reads_the_image(polarity, change, tolerance, tmp_path):
    paths = write_exam(tmp_path / "in", polarity, change)
    states = write_objects(planted(paths), tmp_path / "out", ["presentation"], NOW)
    by_image = {by_source({path.stem: path}, "presentation").popitem()[0]: path for path in states}
    path = paths[0]
    drawn = tmp_path / "drawn.pgm"
    said = lines_of("dcmp2pgm", "-p", by_image[pydicom.dcmread(path).SOPInstanceUID], path, drawn)
    assert [line for line in said if line.startswith(("E:", "F:"))] == []
    picture = MammogramReader().read(path)
    shown = np.asarray(Image.open(drawn)) / 255
    assert np.abs(shown - np.asarray(picture.rows(slice(0, picture.shape[0])))).max() < tolerance


@pytest.mark.parametrize("polarity", POLARITIES)
def test_polarity_is_told_once(polarity, objects):
    ds = pydicom.dcmread(objects[polarity]["presentation-1"])
    assert ds.PresentationLUTShape == ("INVERSE" if polarity == "MONOCHROME1" else "IDENTITY")


def test_of_several_windows_it_has_the_first_with_its_function(tmp_path):
    paths = write_exam(tmp_path / "in", change=several_windows)
    (item,) = pydicom.dcmread(
        write_objects(planted(paths), tmp_path / "out", ["presentation"], NOW)[0]
    ).SoftcopyVOILUTSequence
    told = item.WindowCenter, item.WindowWidth, item.WindowCenterWidthExplanation, item.VOILUTFunction
    assert told == (2048, 4096, "A", "SIGMOID")


def test_marks_have_a_layer_and_a_colour_of_their_own(files):
    ds = pydicom.dcmread(files["presentation-1"])
    (layer,) = ds.GraphicLayerSequence
    assert layer.GraphicLayerRecommendedDisplayCIELabValue
    assert {item.GraphicLayer for item in ds.GraphicAnnotationSequence} == {layer.GraphicLayer}
    caption = ds.GraphicAnnotationSequence[0].TextObjectSequence[-1].UnformattedTextValue
    assert caption.startswith("AI - research use only\r\nR CC: AI score 0.300 (not calibrated)")
