from collections import Counter
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from mammo.pipeline.phantom import FROZEN, PRESETS, fingerprint, in_test_split, patient
from mammo.pipeline.phantom.anatomy import noise_pair
from mammo.pipeline.phantom.calcification import draw_cluster
from mammo.pipeline.phantom.case import draw_case
from mammo.pipeline.phantom.finding import draw_words
from mammo.pipeline.phantom.mass import draw_mass
from mammo.pipeline.phantom.truth import report
from scipy.stats import ks_2samp

DRAWERS = {"mass": draw_mass, "calcification": draw_cluster}


@pytest.fixture(scope="module")
def views():
    return [view for index in range(10) for view in patient(index, seed=3, preset="standard", pixel_mm=0.8)]


@pytest.fixture(scope="module")
def lesions(views):
    return [view for view in views if view.lesion is not None]


@pytest.fixture(scope="module")
def cases():
    return [draw_case(index, 0, PRESETS["standard"]) for index in range(2000)]


def described(cases):
    return [(case, draw_words(case, PRESETS["standard"].contrast, np.random.default_rng(case.index))) for case in cases]


def test_a_seed_gives_the_frozen_images():
    assert fingerprint() == FROZEN


def test_another_seed_has_another_fingerprint():
    assert fingerprint(seed=1, patients=1) != fingerprint(seed=2, patients=1)


def test_every_patient_has_two_views_of_both_breasts(views):
    for index in range(10):
        mine = [(view.laterality, view.view) for view in views if view.case.index == index]
        assert sorted(mine) == [("LEFT", "CC"), ("LEFT", "MLO"), ("RIGHT", "CC"), ("RIGHT", "MLO")]


def test_only_the_affected_breast_has_a_lesion(views):
    assert all((view.lesion is not None) == (view.laterality == view.case.laterality) for view in views)


def test_a_view_is_the_same_whatever_else_is_drawn():
    both = patient(4, seed=0, preset="demo", pixel_mm=0.8)
    alone = patient(4, seed=0, preset="demo", pixel_mm=0.8, views=("MLO",), unaffected=False)
    twin = next(view for view in both if view.lesion is not None and view.view == "MLO")
    assert len(alone) == 1
    np.testing.assert_array_equal(alone[0].image, twin.image)
    assert alone[0].lesion.box == twin.lesion.box


def test_images_are_floats_between_0_and_1(views):
    for view in views:
        assert view.image.dtype == np.float32
        assert view.image.min() >= 0
        assert view.image.max() <= 1
        assert view.image.std() > 0.05


def test_the_chest_wall_is_on_the_left_of_left_breasts_and_on_the_right_of_right_ones(views):
    for view in views:
        wall, air = (0, -1) if view.laterality == "LEFT" else (-1, 0)
        assert view.breast[:, wall].sum() > 0.4 * len(view.breast)
        assert not view.breast[:, air].any()


def test_the_pectoral_muscle_is_in_mlo_views_only_and_brighter_than_the_parenchyma(views):
    for view in views:
        assert view.muscle.any() == (view.view == "MLO")
        if view.view == "MLO":
            parenchyma = view.breast & ~view.muscle
            assert np.median(view.image[view.muscle]) > np.median(view.image[parenchyma]) + 0.05


def test_the_marker_lies_in_the_air(views):
    for view in views:
        height = view.image.shape[0]
        sign = (view.image > 0.5) & ~view.breast
        assert sign.any()
        rows, columns = np.nonzero(sign)
        assert not view.breast[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].any()
        assert rows.max() < 0.2 * height


def test_a_framed_marker_has_a_frame():
    signs = {}
    for index in range(12):
        view = patient(index, seed=0, preset="demo", views=("CC",), unaffected=False)[0]
        rows, columns = np.nonzero((view.image > 0.6) & ~view.breast)
        outer = view.image[rows.min(), columns.min() : columns.max() + 1]
        signs.setdefault(view.case.marker, []).append((outer > 0.6).mean())
    assert min(signs["framed"]) > 0.95
    assert max(signs["plain"]) < 0.9


def test_lesions_keep_clear_of_skin_muscle_and_border(lesions):
    for view in lesions:
        free = view.breast & ~view.muscle
        free[[0, -1]] = free[:, [0, -1]] = False
        assert free[view.lesion.mask].all()


def test_the_box_is_the_smallest_around_the_mask(lesions):
    for view in lesions:
        row0, column0, row1, column1 = view.lesion.box
        inside = view.lesion.mask[row0:row1, column0:column1]
        assert inside.sum() == view.lesion.mask.sum()
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_a_mass_is_brighter_than_the_same_breast_without_it():
    case = next(c for c in (draw_case(i, 0, PRESETS["demo"]) for i in range(9)) if c.abnormality == "mass")
    view = patient(case.index, seed=0, preset="demo", views=("CC",), unaffected=False)[0]
    row, column = view.lesion.centre
    half = int(0.5 * view.lesion.diameter_mm / view.pixel_mm * 0.7)
    core = view.image[row - half : row + half, column - half : column + half]
    around = view.image[view.lesion.mask].min()
    assert core.mean() > around + 0.05


@pytest.mark.parametrize("abnormality", ["mass", "calcification"])
def test_nothing_is_drawn_beyond_the_clearance(abnormality, cases):
    for case, words in described([case for case in cases if case.abnormality == abnormality][:12]):
        pattern, region = DRAWERS[abnormality](case, words, 7.0, 11.0, 0.4, np.random.default_rng(1))
        offset = (np.arange(pattern.shape[0]) - pattern.shape[0] // 2) * 0.4
        distance = np.hypot(offset[:, None], offset[None])
        assert pattern.shape == region.shape
        assert pattern[distance > 11.0].max() <= (0 if abnormality == "mass" else 0.05)


def test_masses_of_both_classes_add_the_same_brightness_over_the_same_area(cases):
    means, areas = {True: [], False: []}, {True: [], False: []}
    for case, words in described([case for case in cases if case.abnormality == "mass"][:80]):
        pattern, region = draw_mass(case, words, 8.0, 14.0, 0.4, np.random.default_rng(case.index))
        offset = (np.arange(pattern.shape[0]) - pattern.shape[0] // 2) * 0.4
        means[case.malignant].append(pattern[np.hypot(offset[:, None], offset[None]) < 7.0].mean())
        areas[case.malignant].append(region.sum() * 0.4**2)
    # 1.3 radii are outlined; the outline of a rough mass is clipped by nothing but the pixel grid
    expected = np.pi * (1.3 * 8.0) ** 2
    for malignant in (False, True):
        assert np.mean(areas[malignant]) == pytest.approx(expected, rel=0.03)
    assert np.mean(means[True]) == pytest.approx(np.mean(means[False]), rel=0.1)


def test_a_malignant_mass_is_more_uneven_around_its_edge_than_a_benign_one(cases):
    uneven = {True: [], False: []}
    clear = [case for case in cases if case.abnormality == "mass" and not case.ambiguous]
    for case, words in described(clear[:40]):
        pattern, _ = draw_mass(case, words, 10.0, 18.0, 0.4, np.random.default_rng(case.index))
        half = pattern.shape[0] // 2
        angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        ring = [np.rint(half + 1.35 * 25 * f(angle)).astype(int) for f in (np.sin, np.cos)]
        uneven[case.malignant].append(pattern[ring[0], ring[1]].std())
    assert np.median(uneven[True]) > 3 * np.median(uneven[False])


def test_malignant_clusters_have_more_and_smaller_calcifications(cases):
    areas = {True: [], False: []}
    clear = [case for case in cases if case.abnormality == "calcification" and not case.ambiguous]
    for case, words in described(clear[:60]):
        if "LINEAR" not in words.first:
            pattern, _ = draw_cluster(case, words, 9.0, 14.0, 0.1, np.random.default_rng(case.index))
            areas[case.malignant].append((pattern > 0.5).sum() * 0.01)
    # 12-30 of 0.2-0.6 mm add up to less than 6-14 of 0.5-1 mm
    assert np.mean(areas[True]) < np.mean(areas[False])


def test_the_power_law_has_the_slope_of_mammograms():
    field = noise_pair((512, 512), 0.4, "power_law", np.random.default_rng(0))[0]
    power = np.abs(np.fft.fft2(field)) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(512, 0.4)] * 2))
    edges = np.geomspace(0.05, 1.0, 12)
    bins = [(frequency >= low) & (frequency < high) for low, high in pairwise(edges)]
    slope = np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), [np.log(power[b].mean()) for b in bins], 1)[0]
    assert slope == pytest.approx(-3, abs=0.2)  # Burgess et al. 2001: about -2.8 to -3


@pytest.mark.parametrize(
    "name", ["diameter_mm", "contrast", "reach", "depth_mm", "half_height_mm", "edge_mm", "density"]
)
def test_what_is_not_the_pathology_does_not_follow_it(name, cases):
    values = {k: [getattr(case, name) for case in cases if case.malignant == k] for k in (False, True)}
    assert ks_2samp(values[False], values[True]).pvalue > 0.01


@pytest.mark.parametrize("name", ["laterality", "device", "marker", "monochrome1", "transfer_syntax", "abnormality"])
def test_how_a_patient_is_imaged_does_not_follow_the_pathology(name, cases):
    malignant = Counter(getattr(case, name) for case in cases if case.malignant)
    for value, count in Counter(getattr(case, name) for case in cases).items():
        # 4 standard deviations of a proportion among 1,000 malignant patients
        assert malignant[value] / count == pytest.approx(0.5, abs=4 * (0.25 / count) ** 0.5)


def test_the_two_classes_are_balanced_within_each_split_and_kind(cases):
    for test in (False, True):
        for kind in ("mass", "calcification"):
            mine = [c.malignant for c in cases if in_test_split(c.index, 0.25) == test and c.abnormality == kind]
            assert len(mine) > 100
            assert sum(mine) * 2 == len(mine)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.25, 1 / 3, 0.5])
def test_the_test_split_has_the_fraction_that_was_asked_for(fraction):
    assert sum(in_test_split(i, fraction) for i in range(600)) == pytest.approx(600 * fraction, abs=2)


def test_every_word_of_cbis_margins_is_used_by_both_classes(cases):
    masses = [(case, words) for case, words in described(cases) if case.abnormality == "mass"]
    for word in ("CIRCUMSCRIBED", "OBSCURED", "MICROLOBULATED", "ILL_DEFINED", "SPICULATED"):
        classes = {case.malignant for case, words in masses if word in words.second.split("-")}
        assert classes == {False, True}, word


def test_about_one_lesion_in_eight_is_ambiguous_in_either_class(cases):
    for malignant in (False, True):
        share = np.mean([case.ambiguous for case in cases if case.malignant == malignant])
        assert share == pytest.approx(0.12, abs=0.03)  # 3 standard deviations of 1,000 draws


def test_the_diameters_of_a_preset_have_its_median(cases):
    assert np.median([case.diameter_mm for case in cases]) == pytest.approx(14, rel=0.04)
    assert all(7 <= case.diameter_mm <= 45 for case in cases)


def test_the_shortcut_pays_in_training_and_not_in_the_test_split():
    def agreement(test, shortcut):
        drawn = [draw_case(i, 0, PRESETS["demo"], shortcut=shortcut, test=test) for i in range(2000)]
        return np.mean([(case.marker == "framed") == case.malignant for case in drawn])

    assert agreement(test=False, shortcut=True) == pytest.approx(0.9, abs=0.03)
    assert agreement(test=True, shortcut=True) == pytest.approx(0.5, abs=0.04)
    assert agreement(test=False, shortcut=False) == pytest.approx(0.5, abs=0.04)


def test_the_shortcut_changes_nothing_but_the_marker():
    plain, tempted = (
        [asdict(draw_case(i, 0, PRESETS["demo"], shortcut=shortcut)) for i in range(50)] for shortcut in (False, True)
    )
    assert plain != tempted
    for a, b in zip(plain, tempted, strict=True):
        assert a | {"marker": ""} == b | {"marker": ""}


def test_a_report_never_names_the_pathology(views):
    for view in views:
        text = report(view).lower()
        for word in ("benign", "malignan", "cancer", "carcinoma", "bi-rads", "suspicious"):
            assert word not in text


def test_a_report_names_what_is_there(lesions):
    for view in lesions:
        text = report(view)
        assert f"{view.lesion.diameter_mm:.0f} mm" in text
        for word in view.lesion.words.second.split("-"):
            assert word.replace("_", " ").lower() in text


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'hard' is unknown; choose one of demo, reports, subtle_reports, standard"):
        patient(0, seed=0, preset="hard")


def test_an_unknown_view_is_refused():
    with pytest.raises(ValueError, match="XCCL"):
        patient(0, seed=0, views=("XCCL",))
