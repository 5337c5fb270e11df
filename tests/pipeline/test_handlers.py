"""What handlers leave in a run folder, against the same numbers computed by hand."""

import json

import ignite.distributed as idist
import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from ignite.engine import Engine, Events
from mammo.networks.losses import MaskedReconstructionLoss
from mammo.networks.losses.block_normalisation import block_statistics
from mammo.pipeline.handlers import HistoryWriter, PredictionWriter, ReconstructionPictures, SeedEpoch
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, Lambda, RandGaussianNoise

LOSSES = [[1.0, 2.0, 6.0], [0.5, 0.25, 0.0]]


class Objective:
    """A loss whose only part is half of it."""

    parts: dict = {}


def train(path, epochs: range = range(1, 3), evaluator: Engine | None = None) -> dict:
    """Run the epochs of ``LOSSES`` and read what was written."""
    objective = Objective()

    def step(engine, index):
        loss = torch.tensor(LOSSES[engine.state.epoch - 1][index], requires_grad=True)
        objective.parts = {"half": loss.detach() / 2}
        return {"loss": loss}

    engine = Engine(step)
    if evaluator is not None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=2), lambda e: evaluate(evaluator, e.state.epoch))
    HistoryWriter(path, objective=objective, evaluator=evaluator).attach(engine)
    engine.state.epoch, engine.state.iteration = epochs[0] - 1, (epochs[0] - 1) * 3
    engine.state.max_epochs, engine.state.epoch_length = epochs[-1], 3
    engine.run(range(3), max_epochs=epochs[-1], epoch_length=3)
    return json.loads(path.read_text())


def evaluate(evaluator: Engine, epoch: int) -> None:
    evaluator.state.epoch, evaluator.state.metrics = epoch, {"auc": torch.tensor(0.75)}


def test_history_holds_the_means_of_each_epoch(tmp_path):
    rows = train(tmp_path / "run/history.json")["train"]
    assert rows == [
        {"epoch": 1, "iteration": 3, "loss": 3.0, "half": 1.5},
        {"epoch": 2, "iteration": 6, "loss": 0.25, "half": 0.125},
    ]


def test_history_holds_metrics_of_validated_epochs_only(tmp_path):
    evaluator = Engine(lambda engine, item: None)
    evaluator.state.epoch = 0
    assert train(tmp_path / "history.json", evaluator=evaluator)["validation"] == [{"epoch": 2, "auc": 0.75}]


def test_a_resumed_history_keeps_finished_epochs_and_rewrites_the_others(tmp_path):
    path = tmp_path / "history.json"
    stale = [{"epoch": epoch, "iteration": 3 * epoch, "loss": 99.0} for epoch in (1, 2, 3)]
    path.write_text(json.dumps({"train": stale, "validation": [{"epoch": 1, "auc": 0.5}, {"epoch": 2, "auc": 0.6}]}))
    history = train(path, epochs=range(2, 3))
    assert [(row["epoch"], row["loss"]) for row in history["train"]] == [(1, 99.0), (2, 0.25)]
    assert history["validation"] == [{"epoch": 1, "auc": 0.5}]


def test_a_run_that_starts_anew_forgets_an_older_history(tmp_path):
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"train": [{"epoch": 7, "loss": 99.0}], "validation": []}))
    assert [row["epoch"] for row in train(path)["train"]] == [1, 2]


def test_the_sums_of_half_an_epoch_go_on_in_another_process(tmp_path):
    first, second = (HistoryWriter(tmp_path / "history.json") for _ in range(2))
    engine = Engine(lambda engine, loss: {"loss": torch.tensor(loss)})
    engine.add_event_handler(Events.ITERATION_COMPLETED, first.add)
    engine.run([1.0, 2.0])
    second.load_state_dict(first.state_dict())
    engine = Engine(lambda engine, loss: {"loss": torch.tensor(loss)})
    engine.add_event_handler(Events.ITERATION_COMPLETED, second.add)
    engine.add_event_handler(Events.EPOCH_COMPLETED, second.write)
    engine.run([6.0])
    (row,) = json.loads((tmp_path / "history.json").read_text())["train"]
    assert row["loss"] == 3.0


def draws(epochs: range, rank: int, monkeypatch) -> list[float]:
    """What a random transform draws in the first item of each epoch of a run."""
    monkeypatch.setattr(idist, "get_rank", lambda: rank)
    transform = Compose([Lambda(lambda x: x), RandGaussianNoise(prob=1.0)])
    loader = DataLoader(Dataset([torch.zeros(1, 2, 2)] * 2, transform), num_workers=0)
    seen: dict[int, float] = {}
    engine = Engine(lambda engine, item: seen.setdefault(engine.state.epoch, float(item.sum())))
    SeedEpoch(seed=4).attach(engine)
    engine.state.epoch, engine.state.iteration = epochs[0] - 1, (epochs[0] - 1) * 2
    engine.state.max_epochs, engine.state.epoch_length = epochs[-1], 2
    engine.run(loader, max_epochs=epochs[-1], epoch_length=2)
    return [seen[epoch] for epoch in epochs]


def test_augmentation_of_an_epoch_depends_on_its_number_alone(monkeypatch):
    whole = draws(range(1, 5), 0, monkeypatch)
    assert len(set(whole)) == 4
    assert draws(range(3, 5), 0, monkeypatch) == whole[2:]


def test_processes_augment_differently(monkeypatch):
    assert not set(draws(range(1, 3), 0, monkeypatch)) & set(draws(range(1, 3), 1, monkeypatch))


@pytest.fixture
def scored() -> tuple[list, list, list]:
    """Records, decollated batch and output of four images, of which the last fills the batch a second time."""
    records = [{"image_id": f"image{n}", "patient_id": f"P{n}", "split": "test", "density": "B"} for n in range(3)]
    order = [0, 1, 2, 0]
    labels = [torch.tensor([label, 1]) for label in (0, 1, -1, 0)]
    logits = torch.tensor([[0.0, 2.0, 9.0], [1.0, 1.0, 9.0], [3.0, -1.0, 9.0], [0.0, 2.0, 9.0]])
    batch = [{"image_id": records[n]["image_id"], "label": label} for n, label in zip(order, labels, strict=True)]
    return records, batch, [{"pred": row} for row in logits]


def write_predictions(path, scored, tasks: dict[str, int], task: str | None = None) -> pd.DataFrame:
    records, batch, output = scored

    def step(engine, item):
        engine.state.batch = batch
        return output

    engine = Engine(step)
    PredictionWriter(path, tasks=tasks, task=task, records=records).attach(engine)
    engine.run([0], max_epochs=2)  # the second epoch replaces the first
    return pd.read_csv(path)


def test_predictions_are_softmax_probabilities_one_row_an_image(tmp_path, scored):
    table = write_predictions(tmp_path / "predictions.csv", scored, {"pathology": 2, "mass": 1})
    assert table["image_id"].tolist() == ["image0", "image1", "image2"]
    expected = [np.exp(2) / (1 + np.exp(2)), 0.5, np.exp(-1) / (np.exp(3) + np.exp(-1))]
    np.testing.assert_allclose(table["probability"], expected, rtol=1e-6)
    assert table["label"].tolist() == [0, 1, -1]
    assert table["patient_id"].tolist() == ["P0", "P1", "P2"]
    assert table["density"].tolist() == ["B", "B", "B"]
    assert table["birads"].isna().all()


def test_any_task_can_be_written_with_its_own_logits_and_labels(tmp_path, scored):
    records, batch, _ = scored
    output = [{"pred": torch.cat([torch.tensor([7.0, -7.0, 3.0]), item])} for item in torch.eye(4)[:, :2]]
    table = write_predictions(tmp_path / "p.csv", (records, batch, output), {"density": 3, "mass": 2}, "mass")
    assert table["label"].tolist() == [1, 1, 1]
    e = np.exp(1)
    np.testing.assert_allclose(table["probability"], [0.5, e / (1 + e), 0.5], rtol=1e-6)  # the first comes twice


def test_a_task_that_the_network_lacks_is_named(tmp_path, scored):
    with pytest.raises(ValueError, match="'birads' is none of the network's: density, mass"):
        write_predictions(tmp_path / "p.csv", scored, {"density": 3, "mass": 2}, "birads")


def test_images_of_two_data_sets_may_share_an_id(tmp_path):
    records = [{"dataset": name, "image_id": "I1", "patient_id": "1", "split": "test"} for name in ("one", "two")]
    items = [{"dataset": name, "image_id": "I1", "label": torch.tensor([0])} for name in ("two", "one")]
    scored = records, items, [{"pred": torch.tensor([0.0, value])} for value in (1.0, 2.0)]
    table = write_predictions(tmp_path / "predictions.csv", scored, {"pathology": 2})
    assert table["dataset"].tolist() == ["two", "one"]
    np.testing.assert_allclose(table["probability"], [1 / (1 + np.exp(-value)) for value in (1, 2)], rtol=1e-6)


def test_more_than_two_classes_get_a_column_each(tmp_path, scored):
    table = write_predictions(tmp_path / "predictions.csv", scored, {"density": 3})
    columns = table[["probability_0", "probability_1", "probability_2"]]
    np.testing.assert_allclose(columns.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(columns["probability_2"] / columns["probability_0"], np.exp([9, 8, 6]), rtol=1e-4)
    assert "probability" not in table


def test_a_picture_an_epoch_shows_image_masked_input_and_reconstruction(tmp_path):
    image, hidden = torch.rand(2, 1, 8, 6), (torch.rand(2, 1, 8, 6) < 0.5).float()
    output = {"label": torch.cat([image, torch.ones_like(image), hidden], dim=1), "pred": image + 5}
    engine = Engine(lambda engine, item: output)
    ReconstructionPictures(tmp_path).attach(engine)
    engine.run([0, 1], max_epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "reconstruction_epoch_001.png",
        "reconstruction_epoch_002.png",
    ]
    grid = np.asarray(PIL.Image.open(tmp_path / "reconstruction_epoch_001.png")) / 255
    expected = [torch.cat(list(row[:, 0]), dim=1) for row in (image, image * (1 - hidden), torch.ones_like(image))]
    np.testing.assert_allclose(grid, torch.cat(expected), atol=0.5 / 255 + 1e-6)


def test_a_picture_of_normalised_blocks_is_in_grey_values(tmp_path):
    image, ones = torch.rand(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    mean, deviation = block_statistics(image, ones, 4)
    output = {"label": torch.cat([image, ones, 0 * ones], dim=1), "pred": (image - mean) / deviation}
    engine = Engine(lambda engine, item: output)
    loss = MaskedReconstructionLoss(normalised_block=4)
    ReconstructionPictures(tmp_path, to_image=loss.to_image).attach(engine)
    engine.run([0])
    grid = np.asarray(PIL.Image.open(tmp_path / "reconstruction_epoch_001.png")) / 255
    np.testing.assert_allclose(grid[16:], grid[:8], atol=1.01 / 255)
