"""What the handler says of a case."""

import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.explain import ExplanationWriter, writer

RECORD = {"image_id": "case", "patient_id": "P1"}


@pytest.fixture
def explain(tmp_path, monkeypatch):
    """Explain one image by a network of the given tasks; gives the rows and the figure's title."""
    titles = []
    monkeypatch.setattr(writer, "case_figure", lambda *arguments, title, **options: titles.append(title))

    def run(tasks: dict[str, int], label: int, target: int | None = 1) -> tuple[list[dict], str, torch.Tensor]:
        network = MammogramClassifier(SwinEncoder(size="micro"), tasks=tasks).eval()
        torch.nn.init.normal_(network.head.weight)
        explained = ExplanationWriter(tmp_path, network=network, records=[RECORD], root=tmp_path, target_class=target)
        image = torch.ones(2, 32, 32)
        logits = network(image[None])[0].detach()
        item = {"image_id": "case", "label": torch.tensor([label]), "to_original": torch.eye(3)}
        state = type("State", (), {"batch": [item], "output": [{"image": image, "pred": logits}], "device": "cpu"})
        explained.explain(type("Engine", (), {"state": state}))
        return explained.rows, titles[-1], logits

    return run


def test_pathology_is_told_in_words(explain):
    rows, title, logits = explain({"pathology": 2}, label=1)
    assert title.startswith("case: labelled malignant, probability of malignant ")
    assert rows[0]["probability"] == pytest.approx(float((logits[1] - logits[0]).sigmoid()))
    assert {row["map"] for row in rows} == {"attention", "attention_gradient", "gradcam"}


def test_images_of_two_data_sets_may_share_an_id(tmp_path):
    records = [{"dataset": name, "image_id": "case", "patient_id": "P1"} for name in ("one", "two")]
    records.append({"dataset": "one", "image_id": "other", "patient_id": "P2"})
    network = MammogramClassifier(SwinEncoder(size="micro")).eval()
    explained = ExplanationWriter(tmp_path, network=network, records=records, root=tmp_path)
    batch = [r | {"label": torch.tensor([k % 2]), "to_original": torch.eye(3)} for k, r in enumerate(records)]
    output = [{"image": torch.ones(2, 32, 32), "pred": torch.zeros(2)} for _ in batch]
    explained.explain(type("Engine", (), {"state": type("S", (), {"batch": batch, "output": output, "device": "cpu"})}))
    of_attention = [row for row in explained.rows if row["map"] == "attention"]
    assert [(row["dataset"], row["image_id"], row["label"]) for row in of_attention] == [
        ("one", "case", 0), ("two", "case", 1), ("one", "other", 0),
    ]  # fmt: skip
    assert {path.stem for path in tmp_path.glob("maps/*")} == {"one_case", "two_case", "other"}


def test_another_task_is_not_called_malignant(explain):
    _, title, _ = explain({"density_fatty_dense": 2}, label=0)
    assert "labelled fatty, probability of dense" in title
    assert "malignant" not in title


def test_a_task_without_words_is_numbered(explain):
    assert "labelled abnormality 0, probability of abnormality 1" in explain({"abnormality": 2}, label=0)[1]


def test_an_unknown_label_is_called_unknown(explain):
    assert "labelled unknown" in explain({"pathology": 2}, label=-1)[1]


@pytest.mark.parametrize("target", [None, 2])
def test_of_many_classes_the_explained_one_is_told(explain, target):
    rows, _, logits = explain({"density": 4, "pathology": 2}, label=3, target=target)
    scores = logits[:4].softmax(dim=0)
    assert rows[0]["probability"] == pytest.approx(float(scores.max() if target is None else scores[target]))
