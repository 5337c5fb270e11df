"""VinDr-Mammo and RSNA 2022 as they are downloaded, phantom pixels inside: adapter, datalist, training, metrics."""

import json
from pathlib import Path

import pandas as pd
import pytest
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.datasets import all_records, encode_labels, load_datalist
from mammo.pipeline.datasets.prepare import prepare_dataset
from mammo.pipeline.phantom import generate, write_rsna_layout, write_vindr_layout

READING = ["study_id", "series_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads",
           "breast_density"]  # fmt: skip
COLUMNS = {
    "vindr/breast-level_annotations.csv": [*READING, "split"],
    "vindr/finding_annotations.csv": [*READING, "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax",
                                      "split"],
    "rsna/train.csv": ["site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy", "invasive",
                       "BIRADS", "implant", "density", "machine_id", "difficult_negative_case"],
}  # fmt: skip
"""Of the originals, in their order."""

FINDINGS = ["finding_mass", "finding_calcification"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantom") / "data"
    generate(root, patients=10, seed=18, preset="standard", test_fraction=0.4, pixel_mm=0.8)
    return root


@pytest.fixture(scope="module")
def vindr(source, tmp_path_factory) -> Path:
    """Each image with a mass has a second row, of another finding, and one of its breasts a third without a box."""
    root = write_vindr_layout(source, tmp_path_factory.mktemp("vindr"))
    table = root / "finding_annotations.csv"
    rows = pd.read_csv(table, dtype=str)
    masses = rows[rows["finding_categories"] == "['Mass']"]
    second = masses.assign(finding_categories="['Skin Thickening', 'Nipple Retraction']")
    third = masses.head(1).assign(finding_categories="['No Finding']", xmin="", ymin="", xmax="", ymax="")
    pd.concat([rows, second, third]).to_csv(table, index=False)
    prepare_dataset("vindr_mammo", root, root / "datalist.json", validation_fraction=0.5)
    return root


@pytest.fixture(scope="module")
def rsna(source, tmp_path_factory) -> Path:
    root = write_rsna_layout(source, tmp_path_factory.mktemp("rsna"))
    prepare_dataset("rsna_2022", root, root / "datalist.json")
    return root


@pytest.fixture
def scored(tmp_path):
    """A function that trains a classifier for a step and scores it: its predictions and metrics."""

    def run(root: Path, tasks: list[str], **more) -> tuple[pd.DataFrame, dict]:
        shared = {
            "dataset_dir": str(root), "cache_dir": str(tmp_path / "cache"), "encoder": "swin", "size": "micro",
            "image_size": [64, 32], "batch_size": 8, "num_workers": 0, "device": "cpu", "tasks": tasks, **more,
        }  # fmt: skip
        training = {"pretrained": None, "max_epochs": 1, "epoch_length": 1, "output_dir": str(tmp_path / "run")}
        run_bundle("mammo_clip", "finetune", overrides=shared | training)
        scoring = {"checkpoint": str(tmp_path / "run/checkpoints/best.pt"), "output_dir": str(tmp_path / "test")}
        run_bundle("mammo_clip", "evaluate", overrides=shared | scoring | {"bootstrap_draws": 20, "model_card": False})
        table = pd.read_csv(tmp_path / "test/predictions.csv", dtype={"image_id": str, "patient_id": str})
        return table[table["split"] == "test"], json.loads((tmp_path / "test/metrics.json").read_text())

    return run


def test_tables_have_the_columns_of_the_originals_and_images_their_places(vindr, rsna):
    roots = {"vindr": vindr, "rsna": rsna}
    for name, columns in COLUMNS.items():
        dataset, _, file = name.partition("/")
        assert list(pd.read_csv(roots[dataset] / file)) == columns
    for row in pd.read_csv(vindr / "breast-level_annotations.csv").itertuples():
        assert (vindr / "images" / row.study_id / f"{row.image_id}.dicom").is_file()
    for row in pd.read_csv(rsna / "train.csv").itertuples():
        assert (rsna / "train_images" / str(row.patient_id) / f"{row.image_id}.dcm").is_file()


@pytest.mark.parametrize("write", [write_vindr_layout, write_rsna_layout])
def test_a_folder_that_is_no_phantom_is_refused(write, tmp_path):
    with pytest.raises(ValueError, match="give a folder that `generate` wrote"):
        write(tmp_path / "nothing", tmp_path / "out")


def test_vindr_images_are_positive_or_negative_and_counted_once(vindr, source, scored):
    truth = pd.read_csv(source / "truth.csv").query("split == 'test'")
    table, metrics = scored(vindr, FINDINGS)
    assert len(table) == table["image_id"].nunique() == len(truth)
    for kind in ("mass", "calcification"):
        labels = table[f"label_finding_{kind}"]
        assert set(labels) == {0, 1}  # no image is unknown, those without any finding either
        assert labels.sum() == (truth["abnormality"] == kind).sum()
        told = metrics["labels"][f"finding_{kind}"]
        assert (told["images"], told["positive"]) == (len(truth), labels.sum())


def test_rows_of_a_vindr_image_are_one_record_with_all_its_findings(vindr):
    records = [record for _, record in all_records(load_datalist(vindr / "datalist.json"))]
    assert len({record["image_id"] for record in records}) == len(records)
    several = [record for record in records if len(record["findings"]) > 1]
    assert several
    tasks = [*FINDINGS, "finding_skin_thickening", "finding_nipple_retraction"]
    for record in several:
        assert encode_labels([record], tasks)[0]["label"] == [1, 0, 1, 1]
        assert len(record["boxes"]) == 1


def test_rsna_breasts_have_the_mean_of_their_views(rsna, source, scored):
    table, metrics = scored(rsna, ["malignant_vs_rest"], multi_label=False)
    breasts = table.groupby(["patient_id", "laterality"])
    assert (breasts.size() == 2).all()
    assert (breasts["label"].nunique() == 1).all()  # cancer is told of breasts, and goes to all their views
    truth = pd.read_csv(source / "truth.csv")
    cancers = truth[truth["pathology"] == "MALIGNANT"].groupby(["patient_id", "laterality"]).ngroups
    records = [record for _, record in all_records(load_datalist(rsna / "datalist.json"))]
    positive = {(r["patient_id"], r["laterality"]) for r in records if r["pathology"] == "MALIGNANT"}
    assert len(positive) == cancers
    mean, label = breasts["probability"].mean(), breasts["label"].max()
    pairs = [float(one > other) + 0.5 * float(one == other) for one in mean[label == 1] for other in mean[label == 0]]
    level = metrics["levels"]["breast_mean"]
    assert level["auc"]["value"] == pytest.approx(sum(pairs) / len(pairs))
