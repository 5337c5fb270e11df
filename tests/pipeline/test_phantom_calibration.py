"""The phantom's calibration, small: the figures of 400 patients are in docs/phantom.md."""

import numpy as np
import pytest
from mammo.pipeline.phantom import patient
from mammo.pipeline.phantom.calibration import Samples, background_features, calibrate, cross_validated_auc
from mammo.pipeline.phantom.lesion_features import lesion_features


@pytest.fixture(scope="module", params=["demo", "reports", "standard"])
def areas(request):
    return calibrate(80, seed=0, preset=request.param)


def test_header_and_background_do_not_show_the_pathology(areas):
    assert areas["background"].low < 0.5 < areas["background"].high


def test_linear_models_of_whole_image_texture_do_not_find_the_pathology(areas):
    assert areas["texture"].value < 0.70


def test_measurements_inside_the_true_box_show_the_pathology(areas):
    assert areas["oracle"].value > 0.95


def test_background_features_do_not_see_the_lesion():
    view = patient(0, seed=0, preset="demo", views=("CC",), unaffected=False, pixel_mm=0.8)[0]
    before = background_features(view)
    row0, column0, row1, column1 = view.lesion.box
    view.image[row0:row1, column0:column1] = 1
    np.testing.assert_array_equal(background_features(view), before)


def test_lesion_features_do_not_see_the_background():
    for index in range(8):
        view = patient(index, seed=0, preset="standard", views=("CC",), unaffected=False)[0]
        before = lesion_features(view)
        row0, column0, row1, column1 = view.lesion.box
        box = view.image[row0:row1, column0:column1].copy()
        view.image[:] = 1
        view.image[row0:row1, column0:column1] = box
        np.testing.assert_array_equal(lesion_features(view), before)


def test_a_breast_without_a_lesion_has_nothing_to_measure():
    view = patient(0, seed=0, preset="demo", views=("CC",), pixel_mm=0.8)[1]
    with pytest.raises(ValueError, match="no lesion to measure"):
        lesion_features(view)


def test_cross_validation_keeps_patients_together():
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(60), 4)
    labels = np.repeat(rng.permutation(np.arange(60) % 2), 4)
    # Each patient's images share a signature that says nothing about another patient's pathology.
    signature = np.repeat(rng.standard_normal((60, 40)), 4, axis=0) + 0.01 * rng.standard_normal((240, 40))
    area = cross_validated_auc(Samples(signature, labels, owners))
    assert area.low < 0.5 < area.high
