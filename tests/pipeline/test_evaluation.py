"""From a table of many labels to ``metrics.json`` and ``operating_points.json``."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from mammo.pipeline.datasets.labels import GROUPS
from mammo.pipeline.evaluation import MetricsWriter, describe_task, evaluate_table, stored_points
from mammo.pipeline.handlers import LabelWriter
from sklearn.metrics import roc_auc_score

NAMES = GROUPS["margins"]
MARGINS = {"name": "margins", "labels": list(NAMES)}


def records() -> list[dict[str, str]]:
    splits = ["validation"] * 60 + ["test"] * 60
    return [{"image_id": f"i{k}", "patient_id": f"p{k}", "split": split} for k, split in enumerate(splits)]


@pytest.fixture
def written(tmp_path) -> tuple[LabelWriter, torch.Tensor, torch.Tensor]:
    """What an evaluator of five margins leaves, with its labels and logits of each label's two classes."""
    torch.manual_seed(0)
    labels, logits = (torch.rand(120, 5) < 0.4).long(), torch.randn(120, 5, 2)
    logits[..., 1] += 1.5 * labels
    writer = LabelWriter(tmp_path / "predictions.csv", tasks=dict.fromkeys(NAMES, 2), records=records())
    batch = [{"image_id": f"i{k}", "label": labels[k]} for k in range(120)]
    output = [{"pred": logits[k].flatten()} for k in range(120)]
    writer.add(SimpleNamespace(state=SimpleNamespace(batch=batch, output=output)))
    writer.write(SimpleNamespace())
    return writer, labels, logits


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "best.pt"
    path.write_bytes(b"weights")
    return path


def test_a_table_of_labels_becomes_metrics_and_points(written, tmp_path, checkpoint):
    writer, labels, logits = written
    MetricsWriter(tmp_path / "metrics.json", predictions=writer, tasks=["margins"], checkpoint=checkpoint, draws=20)(
        SimpleNamespace()
    )
    metrics, points = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("metrics", "operating_points"))
    expected = roc_auc_score(labels[60:], (logits[60:, :, 1] - logits[60:, :, 0]))
    assert metrics["levels"]["image"]["auc"]["value"] == pytest.approx(expected, abs=1e-6)
    assert metrics["task"] == points["task"] == MARGINS
    assert set(points["thresholds"]) == set(NAMES)
    given = MetricsWriter(
        tmp_path / "again" / "metrics.json", predictions=writer, tasks=["margins"], checkpoint=checkpoint,
        operating_points=tmp_path / "operating_points.json", draws=20,
    )  # fmt: skip
    given(SimpleNamespace())
    again = json.loads((tmp_path / "again/metrics.json").read_text())
    assert again["labels"] == metrics["labels"]


def test_points_of_other_labels_are_refused(written, tmp_path, checkpoint):
    MetricsWriter(tmp_path / "metrics.json", predictions=written[0], tasks=["margins"], checkpoint=checkpoint, draws=2)(
        SimpleNamespace()
    )
    path = tmp_path / "operating_points.json"
    assert stored_points(path, MARGINS, checkpoint)["taken_from"]
    with pytest.raises(ValueError, match="is of the task"):
        stored_points(path, MARGINS | {"labels": list(NAMES[:2])}, checkpoint)


def test_many_labels_are_named_as_their_group_or_one_by_one():
    assert describe_task(["margins"], None) == MARGINS
    assert describe_task(list(NAMES[:2]), None) == {
        "name": "margin_ill_defined, margin_circumscribed", "labels": list(NAMES[:2])
    }  # fmt: skip
    assert describe_task(["margins"], 1)["name"] == "margin_circumscribed"


def test_a_table_of_other_labels_than_the_task_is_refused(written):
    table = pd.read_csv(written[0].path)
    for task in (MARGINS | {"labels": ["x"]}, {"name": "pathology", "classes": ["benign", "malignant"]}):
        with pytest.raises(ValueError, match="the predictions have the labels"):
            evaluate_table(table, task, draws=2)
    classes = table.filter(["image_id", "patient_id", "split"]).assign(label=np.arange(120) % 2, probability=0.5)
    with pytest.raises(ValueError, match="the predictions have the labels"):
        evaluate_table(classes, MARGINS, draws=2)
