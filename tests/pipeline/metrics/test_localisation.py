"""Measures of boxes from heat-maps against counts by hand, every place tried in turn, and MONAI's COCO metric."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics.box_precision import matched_boxes, weighted_box_precision
from mammo.pipeline.metrics.detection import evaluate_detections
from mammo.pipeline.metrics.detection_precision import coco_average_precision
from mammo.pipeline.metrics.explanation import IOU_LEVELS
from mammo.pipeline.metrics.localisation import (
    LocalisationRecorder,
    LocalisationTables,
    best_overlap,
    compare_localisation,
    evaluate_localisation,
)

SIZE = (16, 16)


def image(name: str, patient: str | None = None) -> dict[str, str]:
    return {"dataset": "set", "image_id": name, "patient_id": patient or name}


def peak(row: int, column: int) -> np.ndarray:
    heat = np.zeros(SIZE)
    heat[row, column] = 1
    return heat


def record(cases: list[tuple], **options) -> LocalisationTables:
    """Cases: image, boxes, true boxes, hottest pixel."""
    recorder = LocalisationRecorder(**options)
    for name, boxes, truth, hottest in cases:
        breast = np.ones(SIZE)
        breast[:, 12:] = 0
        case = {"boxes": boxes, "truth": truth, "breast": breast, "saliency": peak(*hottest)}
        recorder.add(name, "mass", **case)
    return recorder.tables()


CASES = [
    # The best box misses, the other would hit: a miss, but right in average precision.
    (image("a", "1"), [(0, 0, 4, 4, 0.5), (8, 8, 12, 12, 0.9)], [(0, 0, 4, 4)], (1, 1)),
    # Of two true boxes the second is hit: 8 of 16 + 8 pixels in common is 1/2.
    (image("b", "1"), [(4, 4, 8, 8, 0.8)], [(12, 0, 14, 2), (4, 4, 8, 6)], (4, 7)),
    # 4 x 1 of 16: 1/4.
    (image("c", "2"), [(0, 0, 4, 4, 0.7)], [(0, 0, 4, 1)], (0, 1)),
    (image("d", "3"), [], [(0, 0, 4, 4)], (0, 0)),  # no box
    (image("e", "4"), [(0, 0, 4, 4, 0.6)], [], (0, 0)),  # no finding
]


def test_hits_overlap_and_pointing_are_those_by_hand():
    rows = record(CASES).images.set_index("image_id")
    assert rows.loc[list("abcd"), "iou"].tolist() == [0, 0.5, 0.25, 0]
    assert rows.loc[list("abcd"), "hit_25"].tolist() == [0, 1, 1, 0]
    assert rows.loc[list("abcd"), "hit_50"].tolist() == [0, 1, 0, 0]
    assert rows.loc[list("abcd"), "pointing"].tolist() == [1, 0, 0, 1]
    assert rows.loc["e", ["iou", "hit_25", "hit_50", "pointing", "iou_chance", "pointing_chance"]].isna().all()
    near = record(CASES, tolerance_px=2).images.set_index("image_id")
    assert near.loc[list("abcd"), "pointing"].tolist() == [1, 1, 1, 1]
    assert rows.loc["c", "pointing_chance"] == 4 / 192
    assert near.loc["c", "pointing_chance"] == (4 * 3 + 2 + 1) / 192  # grown by 2 pixels, round at its one free corner


def test_the_summary_is_that_of_the_rows_by_hand():
    found = evaluate_localisation(record(CASES), draws=50)["findings"]["mass"]
    assert found["counts"] == {
        "images": 5, "patients": 4, "images_with_finding": 4, "of_these_without_box": 1, "true_boxes": 5, "boxes": 5,
    }  # fmt: skip
    values = {name: measure["value"]["value"] for name, measure in found["measures"].items()}
    # Boxes by score: wrong, right, right at 0.25 (not at 0.5), wrong, right; 5 true boxes.
    assert values == pytest.approx(
        {"hit_25": 0.5, "hit_50": 0.25, "iou": 0.1875, "pointing": 0.5}
        | {"ap_25": (2 / 3 + 2 / 3 + 3 / 5) / 5, "ap_50": (1 / 2 + 2 / 5) / 5}
    )
    for measure in found["measures"].values():
        gap = measure["value"]["value"] - measure["chance"]["value"]
        assert measure["above_chance"]["value"] == pytest.approx(gap)
        assert measure["value"]["low"] <= measure["value"]["value"] <= measure["value"]["high"]


def test_chance_is_the_mean_over_all_places_in_the_breast():
    rng = np.random.default_rng(0)
    breast = rng.random(SIZE) < 0.5
    box, truth = (3, 2, 8, 13, 0.4), [(1, 0, 6, 9), (7, 7, 12, 15)]
    recorder = LocalisationRecorder()
    recorder.add(image("a"), "mass", boxes=[box], truth=truth, breast=breast, saliency=peak(0, 0))
    overlaps = []
    for row, column in zip(*np.nonzero(breast), strict=True):
        top, left = np.clip([row + 0.5 - 2.5, column + 0.5 - 5.5], 0, [16 - 5, 16 - 11])
        overlaps.append(best_overlap([(top, left, top + 5, left + 11, 1)], truth))
    measures = recorder.tables().images.iloc[0]
    assert 0 < np.mean(np.array(overlaps) >= 0.25) < 1
    assert measures["iou_chance"] == pytest.approx(np.mean(overlaps))
    assert measures["hit_25_chance"] == np.mean(np.array(overlaps) >= 0.25)
    assert measures["hit_50_chance"] == np.mean(np.array(overlaps) >= 0.5)


def test_random_boxes_are_of_the_same_size_and_about_the_breast():
    breast = np.zeros(SIZE)
    breast[4:12, :6] = 1
    boxes = [(0, 0, 3, 5, 0.9), (2, 2, 6, 4, 0.3)]
    recorder = LocalisationRecorder(repeats=40)
    recorder.add(image("a"), "mass", boxes=boxes, truth=[], breast=breast, saliency=peak(0, 0))
    laid = recorder.tables().chance
    assert len(laid) == 80
    corners = laid[["row0", "col0", "row1", "col1"]].to_numpy()
    sides = corners[:, 2:] - corners[:, :2]
    assert (sides == np.tile([(3, 5), (4, 2)], (40, 1))).all()
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    assert (corners >= 0).all()
    assert (centres[:, 0] >= 4).all()
    assert (centres[:, 0] <= 12).all()
    assert (centres[:, 1] <= 6).all()
    assert len(np.unique(centres, axis=0)) > 20
    again = LocalisationRecorder(repeats=40)
    again.add(image("a"), "mass", boxes=boxes, truth=[], breast=breast, saliency=peak(0, 0))
    pd.testing.assert_frame_equal(again.tables().chance, laid)


def test_a_method_that_is_chance_is_not_told_above_it():
    """Boxes laid and maps drawn at random reach their chance, within four standard errors of the images' mean."""
    rng = np.random.default_rng(0)
    recorder = LocalisationRecorder(repeats=4)
    for number in range(120):
        corner = rng.integers(0, 10, 2)
        first = np.clip(rng.integers(0, 16, 2) + 0.5 - 3, 0, 10)
        boxes, truth = [(*first, *(first + 6), rng.random())], [(*corner, *(corner + 6))]
        heat = rng.random(SIZE)
        recorder.add(image(f"{number}"), "mass", boxes=boxes, truth=truth, breast=np.ones(SIZE), saliency=heat)
    tables = recorder.tables()
    for name in ("iou", "hit_25", "hit_50", "pointing"):
        gap = tables.images[name] - tables.images[f"{name}_chance"]
        assert tables.images[f"{name}_chance"].mean() > 0.02
        assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap))
    precision = evaluate_localisation(tables, draws=200)["findings"]["mass"]["measures"]["ap_25"]
    assert precision["chance"]["value"] > 0.02
    assert precision["above_chance"]["low"] < 0 < precision["above_chance"]["high"]


def lesions_and_boxes(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Random squares around random lesions, and what each finds or not."""
    rng = np.random.default_rng(seed)
    names = ["dataset", "image_id", "patient_id", "class", "row0", "col0", "row1", "col1"]
    truths, boxes = [], []
    for number in range(30):
        keys = ("set", str(number), str(number // 2), "mass")
        for corner in rng.integers(0, 60, (rng.integers(0, 4), 2)):
            truths.append((*keys, *corner, *(corner + 12)))
            for moved in corner + rng.integers(-3, 4, (rng.integers(0, 3), 2)):
                boxes.append((*keys, *moved, *(moved + 12), rng.random()))
        boxes += [(*keys, *corner, *(corner + 12), 0.8 * rng.random()) for corner in rng.integers(0, 60, (2, 2))]
    return pd.DataFrame(truths, columns=names), pd.DataFrame(boxes, columns=[*names, "score"])


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_monais_but_for_its_101_recalls(seed):
    truths, boxes = lesions_and_boxes(seed)
    box = ["row0", "col0", "row1", "col1"]
    parts = [(boxes[boxes.image_id == str(n)], truths[truths.image_id == str(n)]) for n in range(30)]
    found = [(one[box].to_numpy(float), np.zeros(len(one), int), one["score"].to_numpy()) for one, _ in parts]
    truth = [(two[box].to_numpy(float), np.zeros(len(two), int)) for _, two in parts]
    theirs = coco_average_precision(found, truth, ["mass"])["mass"]
    right = matched_boxes(boxes, truths, IOU_LEVELS)
    for level, name in enumerate(("0.25", "0.50")):
        statistic = weighted_box_precision(boxes["score"], right[:, level], len(truths))
        ours = statistic(np.ones((1, len(truths) + len(boxes))))[0]
        assert 0.1 < ours < 0.9
        assert ours == pytest.approx(theirs[name], abs=0.015)


def by_loop(scores: np.ndarray, right: np.ndarray, truths: int) -> float:
    """Area under the falling precision, a threshold at a time."""
    points = []
    for threshold in sorted(set(scores), reverse=True):
        kept = scores >= threshold
        points.append((right[kept].sum() / truths, right[kept].mean()))
    area, before = 0.0, 0.0
    for place, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[place:])
        before = recall
    return area


def test_weighted_precision_equals_a_slow_loop_and_repeated_rows():
    rng = np.random.default_rng(2)
    scores, right, truths = rng.random(40).round(1), rng.random(40) < 0.4, 25
    statistic = weighted_box_precision(scores, right, truths)
    assert statistic(np.ones((1, 65)))[0] == pytest.approx(by_loop(scores, right, truths))
    times = np.r_[rng.integers(0, 3, 25), rng.integers(0, 3, 40)]
    repeated = by_loop(np.repeat(scores, times[25:]), np.repeat(right, times[25:]), times[:25].sum())
    assert statistic(times[None].astype(float))[0] == pytest.approx(repeated)
    assert np.isnan(statistic(np.zeros((1, 65)))[0])
    assert weighted_box_precision([], [], 3)(np.array([[1.0, 1, 2], [0, 0, 0]]))[0] == 0


def test_each_true_box_is_found_once_and_only_in_its_own_image():
    names = ["dataset", "image_id", "row0", "col0", "row1", "col1"]
    truths = pd.DataFrame([("set", "a", 0, 0, 8, 8), ("set", "c", 0, 0, 8, 8)], columns=names)
    rows = [("set", "a", 0, 0, 8, 6, 0.5), ("set", "b", 0, 0, 8, 8, 0.9), ("set", "a", 0, 0, 8, 3, 0.7)]
    boxes = pd.DataFrame(rows, columns=[*names, "score"])
    assert matched_boxes(boxes, truths, IOU_LEVELS).tolist() == [[False, True], [False, False], [True, False]]


def test_boxes_are_ranked_over_images_by_the_score_of_their_image():
    recorder = LocalisationRecorder()
    for name, box, score in (("a", (0, 0, 4, 4, 1.0), 0.9), ("b", (9, 9, 12, 12, 1.0), 0.1)):
        case = {"boxes": [box], "truth": [(0, 0, 4, 4)], "breast": np.ones(SIZE), "saliency": peak(0, 0)}
        recorder.add(image(name), "mass", **case, image_score=score)
    tables = recorder.tables()
    assert tables.boxes["score"].tolist() == [0.9, 0.1]
    value = evaluate_localisation(tables, draws=5)["findings"]["mass"]["measures"]["ap_50"]["value"]["value"]
    assert value == 0.5  # 1/4 if both were equal: one of two right throughout


def test_two_methods_are_compared_on_the_same_draws_in_any_order():
    exact = [(name, [(*truth[0], 0.9)] if truth else [], truth, hottest) for name, _, truth, hottest in CASES]
    first, second = record(exact), record(CASES[::-1])
    found = compare_localisation(first, second, draws=200)["mass"]
    sides = [evaluate_localisation(tables, draws=200)["findings"]["mass"]["measures"] for tables in (first, second)]
    for name, told in found.items():
        for side, alone in zip(("first", "second"), sides, strict=True):
            assert told[side]["value"] == pytest.approx(alone[name]["value"]["value"])
        assert told["difference"]["value"] == pytest.approx(told["first"]["value"] - told["second"]["value"])
    assert found["hit_50"]["first"]["value"] == 1
    assert found["iou"]["difference"]["low"] > 0
    alike = compare_localisation(second, record(CASES), draws=200)["mass"]
    for told in alike.values():
        assert (told["difference"]["low"], told["difference"]["high"]) == (0, 0)


def test_chance_of_average_precision_is_the_mean_of_its_draws():
    truth = [(4, 2, 10, 8)]
    tables = record(
        [(image(name), [(0, 0, 6, 6, score)], truth, (0, 0)) for name, score in zip("abcd", (1, 2, 3, 4), strict=True)]
    )

    def chance(rows: pd.DataFrame) -> float:
        found = evaluate_localisation(tables._replace(chance=rows), draws=2)
        return found["findings"]["mass"]["measures"]["ap_25"]["chance"]["value"]

    each = [chance(rows) for _, rows in tables.chance.groupby("draw")]
    assert len(set(each)) > 3
    assert chance(tables.chance) == pytest.approx(np.mean(each))


def test_findings_are_told_apart_and_all_is_json():
    recorder = LocalisationRecorder(repeats=2)
    for finding, place in (("mass", 0), ("calcification", 8)):
        for name, *_ in CASES[1:4]:
            boxes, truth = [(0, 0, 4, 4, 0.5)], [(place, place, place + 4, place + 4)]
            case = {"boxes": boxes, "truth": truth, "breast": np.ones(SIZE), "saliency": peak(0, 0)}
            recorder.add(name, finding, **case)
    tables = recorder.tables()
    found = evaluate_localisation(tables, draws=20)
    values = {name: part["measures"]["hit_25"]["value"]["value"] for name, part in found["findings"].items()}
    assert values == {"mass": 1, "calcification": 0}
    json.dumps([found, compare_localisation(tables, tables, draws=20)], allow_nan=False)


def test_nothing_found_and_nothing_there_are_no_errors():
    none = evaluate_localisation(record([(name, [], truth, (0, 0)) for name, _, truth, _ in CASES]), draws=20)
    for name, measure in none["findings"]["mass"]["measures"].items():
        assert measure["value"]["value"] == (0.75 if name == "pointing" else 0)
        assert (measure["chance"]["value"] == 0) is (name != "pointing")
    healthy = evaluate_localisation(record([(name, boxes, [], (0, 0)) for name, boxes, _, _ in CASES]), draws=20)
    for measure in healthy["findings"]["mass"]["measures"].values():
        assert measure["value"]["value"] is None
        assert measure["value"]["reason"] == "no image with this finding"
    json.dumps([none, healthy], allow_nan=False)


def test_a_constant_map_points_nowhere_and_negative_ones_do():
    recorder = LocalisationRecorder()
    for name, heat in (("flat", np.ones(SIZE)), ("nan", np.full(SIZE, np.nan)), ("negative", peak(2, 2) - 5)):
        recorder.add(image(name), "mass", boxes=[], truth=[(0, 0, 4, 4)], breast=np.ones(SIZE), saliency=heat)
    assert recorder.tables().images["pointing"].tolist() == [0, 0, 1]


def test_the_tables_are_those_of_the_detector_and_survive_a_file(tmp_path):
    tables = record(CASES)
    detected = evaluate_detections(tables.boxes, tables.truths, tables.images, ["mass"], draws=5)
    assert detected["counts"]["lesions"] == 5
    tables = LocalisationTables(*(table.round(3) for table in tables))  # before pandas 3 the last digits may be lost
    for name in tables._fields:
        getattr(tables, name).to_csv(tmp_path / name, index=False)
    text = dict.fromkeys(["dataset", "image_id", "patient_id", "class"], str)
    read = LocalisationTables(*(pd.read_csv(tmp_path / name, dtype=text) for name in tables._fields))
    assert evaluate_localisation(read, draws=30) == evaluate_localisation(tables, draws=30)


def test_tables_that_do_not_fit_are_refused():
    tables = record(CASES)
    with pytest.raises(ValueError, match="a box is of image 'a', which is not listed"):
        evaluate_localisation(tables._replace(images=tables.images.iloc[1:]))
    with pytest.raises(ValueError, match="each once"):
        evaluate_localisation(tables._replace(images=pd.concat([tables.images] * 2)))
    with pytest.raises(ValueError, match="chance table is not of these boxes"):
        evaluate_localisation(tables._replace(chance=tables.chance.iloc[1:]))
    with pytest.raises(ValueError, match="chance table is not of these boxes"):
        evaluate_localisation(tables._replace(chance=tables.chance.iloc[:0]))
    with pytest.raises(ValueError, match="images differ"):
        compare_localisation(tables, record(CASES[:4]))
    with pytest.raises(ValueError, match="truths differ"):
        compare_localisation(tables, record([(name, boxes, [], hot) for name, boxes, _, hot in CASES]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"breast": np.zeros(SIZE)}, "image 'a': breast .* not empty"),
        ({"saliency": np.zeros((4, 4))}, "must be of one size"),
        ({"boxes": [(0, 0, 4, 4)]}, r"must be \(N, 5\)"),
        ({"truth": [(0, 0, 4, 4, 1)]}, r"\(M, 4\)"),
        ({"image_score": -1}, "-1 0 or more"),
    ],
)
def test_a_case_that_cannot_be_is_refused(change, message):
    case = {"boxes": [], "truth": [], "breast": np.ones(SIZE), "saliency": np.zeros(SIZE)} | change
    with pytest.raises(ValueError, match=message):
        LocalisationRecorder().add(image("a"), "mass", **case)


def test_options_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="tolerance_px=-1 must be 0 or more"):
        LocalisationRecorder(tolerance_px=-1)
    with pytest.raises(ValueError, match="repeats=0 1 or more"):
        LocalisationRecorder(repeats=0)
