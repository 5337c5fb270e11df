"""What a reader is told of explanations and behaviour: chance, twin, and what is good."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import explanation_measures
from mammo.pipeline.metrics.behaviour import summarise_behaviour
from mammo.pipeline.metrics.explanation_summary import summarise_explanations
from mammo.pipeline.report.blocks import Picture, Table, Text
from mammo.pipeline.report.explanation_plots import energy_figure
from mammo.pipeline.report.explanation_section import explanation_section
from mammo.pipeline.report.explanation_tables import about, answer_tables
from mammo.pipeline.report.explanation_words import reading, reading_of_twin
from mammo.pipeline.report.inputs import ReportError
from PIL import Image


def gap(low: float, high: float) -> dict[str, float]:
    return {"value": (low + high) / 2, "low": low, "high": high}


def explanations(rng: np.random.Generator, focus: float) -> pd.DataFrame:
    """Maps of noise with ``focus`` times more heat in the lesion, of 20 images of two patients each."""
    breast, lesion = np.zeros((20, 8, 8)), np.zeros((20, 8, 8))
    breast[:, :, :4], lesion[:, 2:4, 1:3] = 1, 1
    tables = []
    for kind in ("gradcam", "occlusion"):
        maps = rng.random((20, 8, 8)) * (1 + focus * lesion)
        found = explanation_measures(maps, breast, lesion, token_px=1)
        tables.append(pd.DataFrame(found).assign(map=kind, **people()))
    return pd.concat(tables)


def people() -> dict[str, list]:
    return {
        "image_id": [f"i{k}" for k in range(20)],
        "patient_id": [f"p{k // 2}" for k in range(20)],
        "label": [k // 2 % 2 for k in range(20)],
        "probability": [0.3 + 0.4 * (k // 2 % 2) + 0.01 * k for k in range(20)],
    }


def behaviour() -> pd.DataFrame:
    frame = pd.DataFrame(people()).assign(partner_image_id=[f"i{(k + 2) % 20}" for k in range(20)])
    for variant in ("breast_erased", "background_erased", "marker_swapped", "background_swapped"):
        frame[f"probability_{variant}"] = 0.5 if variant == "breast_erased" else frame["probability"]
    return frame


@pytest.fixture(params=[True, False], ids=["twin", "alone"])
def report(request) -> dict:
    rng, options = np.random.default_rng(0), {"threshold": 0.6, "draws": 50}
    model = explanations(rng, 9), behaviour()
    twins = (explanations(rng, 0), behaviour()) if request.param else (None, None)
    options |= {"twin_threshold": 0.6} if request.param else {}
    return {
        "threshold": {"value": 0.6},
        "twin": {"checkpoint": "twin.pt"} if request.param else None,
        "expensive": {"images": 8, "malignant": 4, "of_images": 20, "seed": 3},
        "behaviour": summarise_behaviour(model[1], twin=twins[1], **options),
        **summarise_explanations(model[0], twin=twins[0], **options),
    }


def rows(table: Table) -> dict[str, list[str]]:
    return {row[0]: list(row[1:]) for row in table.rows}


def test_one_table_tells_behaviour_and_grad_cam_and_the_other_maps_have_their_own(report):
    main, other = answer_tables(report)
    assert (main.caption, other.caption) == ("What the decision rests on", "Occlusion sensitivity")
    assert all(len(row) == len(main.header) for table in (main, other) for row in table.rows)
    found = rows(main)
    erased = found["AUC, breast erased"]
    assert (erased[0], erased[1][:5], erased[2]) == ("0.5", "0.500", "0.500: not told from chance")
    lesion = found["Grad-CAM: share of the map inside the lesion"]
    assert (lesion[0], lesion[2]) == ("high", "0.125: better")  # chance: 4 of the breast's 32 pixels


def test_the_twin_and_the_difference_have_columns_where_there_is_a_twin(report):
    main = answer_tables(report)[0]
    found = rows(main)["Grad-CAM: share of the map inside the lesion"]
    if report["twin"] is None:
        assert len(main.header) == 4
    else:
        measure = report["maps"]["gradcam"]["measures"]["energy_in_roi"]
        assert found[3] == f"{measure['twin']['value']:.3f}"
        assert found[4].endswith("): better")
        assert measure["difference"]["value"] > 0


def test_the_sample_and_the_threshold_are_told(report):
    said = " ".join(block.text for block in about(report))
    assert "8 of 20 images (4 malignant), chosen by seed 3" in said
    assert "0.600" in said
    assert ("twin" in said) == (report["twin"] is not None)


def test_the_bars_are_the_shares_and_the_last_one_is_chance(report):
    figure = energy_figure(report["maps"])
    axes = figure.axes[0]
    widths = np.array([bar.get_width() for bar in axes.patches]).reshape(-1, 3)
    np.testing.assert_allclose(widths.sum(axis=1), 1)
    np.testing.assert_allclose(widths[-1], [4 / 64, 28 / 64, 32 / 64])
    measures = report["maps"]["gradcam"]["measures"]
    expected = [measures[part]["mean"]["value"] for part in ("energy_in_roi", "energy_rest", "energy_outside")]
    np.testing.assert_allclose(widths[0], expected)
    assert len(widths) == (5 if report["twin"] else 3)


def test_without_shares_there_are_no_bars():
    assert energy_figure({"gradcam": {"measures": {}}}) is None


def test_the_section_of_an_evaluation_folder_reads_its_summary(report, tmp_path):
    import json

    (tmp_path / "explanations.json").write_text(json.dumps(report))
    table = explanations(np.random.default_rng(0), 9)
    section = explanation_section(tmp_path, table, summarise_explanations(table, draws=20))
    captions = [block.caption for block in section.blocks if isinstance(block, Table)]
    assert captions == ["What the decision rests on", "Occlusion sensitivity"]
    assert sum(isinstance(block, Picture) for block in section.blocks) == 2


def cases(folder: Path, names: list[str], table: pd.DataFrame, classes: tuple[str, ...]) -> list[str]:
    (folder / "figures").mkdir()
    for name in names:
        Image.new("L", (4, 4)).save(folder / "figures" / f"{name}.png")
    section = explanation_section(folder, table, summarise_explanations(table, draws=20), classes)
    captions = [b.caption for b in section.blocks if isinstance(b, Picture) and " · labelled " in b.caption]
    headings = [b.text for b in section.blocks if isinstance(b, Text) and b.heading == "Cases"]
    measures = [row[0] for b in section.blocks if isinstance(b, Table) for row in b.rows]
    return [*captions, *headings, *measures]


def test_another_task_is_told_in_its_own_words(tmp_path):
    table = explanations(np.random.default_rng(0), 9)
    said = " ".join(cases(tmp_path, ["i0", "i2"], table, ("fatty", "dense")))
    assert "i0 · labelled fatty" in said
    assert "i2 · labelled dense" in said
    assert "fatty and dense in turn" in said
    assert "Dense images get more heat than all others (AUC)" in said
    assert "malignant" not in said.lower()


def test_of_several_classes_no_two_are_told_apart_by_heat(tmp_path):
    said = cases(tmp_path, [], explanations(np.random.default_rng(0), 9), ("A", "B", "C"))
    assert said
    assert not any("heat" in word for word in said)


def test_a_figure_of_an_id_that_two_data_sets_share_finds_its_rows(tmp_path):
    table = explanations(np.random.default_rng(0), 9)
    both = pd.concat([table.assign(dataset="one"), table[table["image_id"] == "i2"].assign(dataset="two", label=0)])
    said = cases(tmp_path, ["one_i2", "two_i2", "i0"], both, ("benign", "malignant"))
    assert any(caption.startswith("one_i2 · labelled malignant") for caption in said)
    assert any(caption.startswith("two_i2 · labelled benign") for caption in said)
    assert any(caption.startswith("i0 · labelled benign") for caption in said)


def test_the_twin_is_named_and_nothing_is_claimed_of_its_training(report):
    said = " ".join(block.text for block in about(report))
    assert ("The twin is twin.pt, given as trained alike" in said) == (report["twin"] is not None)
    assert "same seed" not in said


def test_another_file_of_that_name_is_refused(tmp_path):
    (tmp_path / "explanations.json").write_text('{"maps": {}}')
    table = explanations(np.random.default_rng(0), 9)
    with pytest.raises(ReportError, match=r"explanations\.json: behaviour, expensive, threshold, twin is missing"):
        explanation_section(tmp_path, table, summarise_explanations(table, draws=20))


@pytest.mark.parametrize(
    ("name", "bounds", "said"),
    [
        ("auc_breast_erased", (-0.1, 0.1), "not told from chance"),
        ("auc_breast_erased", (0.1, 0.2), "above"),
        ("randomised_correlation", (-0.2, -0.1), "below"),
        ("deletion", (-0.2, -0.1), "better"),
        ("flip_background_swapped", (0.1, 0.2), "worse"),
        ("change_breast_erased", (0.1, 0.2), "\N{EN DASH}"),
    ],
)
def test_what_is_good_differs_between_measures(name, bounds, said):
    assert reading(name, {"above_chance": {"chance": gap(*bounds)}}) == said


def test_a_twin_is_beaten_on_the_good_side_only():
    assert reading_of_twin("background_ratio", gap(-0.2, -0.1)) == "better"
    assert reading_of_twin("energy_in_roi", gap(-0.2, -0.1)) == "worse"
    assert reading_of_twin("heat_auc", gap(-0.1, 0.1)) == "no difference"
    for name in ("randomised_correlation", "insertion"):
        assert reading_of_twin(name, gap(0.1, 0.2)) == "\N{EN DASH}"
