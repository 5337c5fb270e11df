"""Masked batches, inference in lower precision, and scores for metrics."""

import ignite.distributed as idist
import pytest
import torch
from ignite.engine import Engine
from ignite.metrics import Accuracy
from mammo.pipeline.engines import NetworkInferer, PrepareMaskedBatch, TaskScores
from mammo.transforms import BlockMasking
from monai.handlers import ROCAUC
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import nn


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    return {"image": torch.cat([torch.rand(3, 1, 64, 64), torch.ones(3, 1, 64, 64)], dim=1)}


def prepare(**options) -> PrepareMaskedBatch:
    return PrepareMaskedBatch(BlockMasking(block_size=8), **options)


def hidden_by_epoch(prepared: PrepareMaskedBatch, batch: dict, epochs: range, steps: int = 2) -> list[torch.Tensor]:
    """What is hidden in each epoch of a run that starts at ``epochs[0]``."""
    drawn: dict[int, list[torch.Tensor]] = {}
    engine = Engine(lambda engine, _: drawn.setdefault(engine.state.epoch, []).append(prepared(batch)[3]["hidden"]))
    prepared.attach(engine)
    engine.state.epoch, engine.state.iteration = epochs[0] - 1, (epochs[0] - 1) * steps
    engine.state.max_epochs, engine.state.epoch_length = epochs[-1], steps
    engine.run(range(steps), max_epochs=epochs[-1], epoch_length=steps)
    return [torch.stack(drawn[epoch]) for epoch in epochs]


def test_target_holds_image_mask_and_what_the_network_is_told_is_hidden(batch):
    image, target, arguments, named = prepare()(batch)
    torch.testing.assert_close(image, batch["image"])
    torch.testing.assert_close(target, torch.cat([batch["image"], named["hidden"]], dim=1))
    assert arguments == ()
    assert named["hidden"].mean(dim=(1, 2, 3)).tolist() == [0.5, 0.5, 0.5]


def test_each_step_and_epoch_hides_other_blocks(batch):
    first, second = hidden_by_epoch(prepare(), batch, range(1, 3))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


def test_a_resumed_run_hides_what_an_uninterrupted_one_hides(batch):
    whole = hidden_by_epoch(prepare(seed=5), batch, range(1, 5))
    resumed = hidden_by_epoch(prepare(seed=5), batch, range(3, 5))
    torch.testing.assert_close(torch.stack(resumed), torch.stack(whole[2:]))


def test_within_an_epoch_a_resumed_run_hides_what_an_uninterrupted_one_hides(batch):
    whole = prepare(seed=5)
    whole.start_epoch(2)
    whole(batch)
    resumed = prepare(seed=5)
    resumed.start_epoch(2)
    resumed.load_state_dict(whole.state_dict())
    assert torch.equal(resumed(batch)[3]["hidden"], whole(batch)[3]["hidden"])


def test_validation_hides_the_same_blocks_in_every_epoch(batch):
    first, second = hidden_by_epoch(prepare(repeat=True), batch, range(1, 3))
    assert not torch.equal(first[0], first[1])
    torch.testing.assert_close(first, second)


def test_processes_and_seeds_have_streams_of_their_own(batch, monkeypatch):
    drawn = [prepare()(batch)[3]["hidden"], prepare(seed=1)(batch)[3]["hidden"]]
    monkeypatch.setattr(idist, "get_rank", lambda: 3)
    drawn.append(prepare()(batch)[3]["hidden"])
    for index, one in enumerate(drawn):
        assert not any(torch.equal(one, other) for other in drawn[:index])


def test_full_precision_is_the_network_itself():
    network, x = nn.Linear(16, 4), torch.randn(5, 16)
    torch.testing.assert_close(NetworkInferer()(x, network), network(x), rtol=0, atol=0)


def test_bfloat16_rounds_inputs_and_weights_and_gives_float32():
    network, x = nn.Linear(16, 4), torch.randn(5, 16)
    output = NetworkInferer(precision="bfloat16")(x, network)
    rounded = (value.bfloat16().double() for value in (x, network.weight, network.bias))
    product = torch.nn.functional.linear(*rounded)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.double(), product, rtol=2**-7, atol=2**-7)
    assert (output - network(x)).abs().max() > 1e-4


def test_every_tensor_of_a_nested_output_is_float32():
    def network(x, details):
        half = x @ x.mT
        return {"logits": half, "attention": [half, (half,)]} if details else half

    output = NetworkInferer(precision="bfloat16", network_arguments={"details": True})(torch.rand(2, 2), network)
    tensors = [output["logits"], output["attention"][0], output["attention"][1][0]]
    assert [tensor.dtype for tensor in tensors] == [torch.float32] * 3


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"float8.*choose float32"):
        NetworkInferer(precision="float8")


TASKS = {"density": 3, "pathology": 2}


@pytest.fixture
def decollated() -> list[dict[str, torch.Tensor]]:
    """An engine's output for 24 images of two tasks, a third of which lack the second label."""
    labels = torch.stack([torch.arange(24) % 3, torch.arange(24) % 3 - 1], dim=1)
    return [{"pred": logits, "label": label} for logits, label in zip(torch.randn(24, 5), labels, strict=True)]


def metric_over(metric, output: list) -> float:
    engine = Engine(lambda engine, part: part)
    metric.attach(engine, "value")
    return engine.run([output[:10], output[10:]]).metrics["value"]


def test_auc_of_a_task_is_that_of_its_known_labels(decollated):
    known = [item for item in decollated if item["label"][1] >= 0]
    scores = [float((item["pred"][4] - item["pred"][3]).sigmoid()) for item in known]
    expected = roc_auc_score([int(item["label"][1]) for item in known], scores)
    assert metric_over(ROCAUC(output_transform=TaskScores(TASKS, "pathology")), decollated) == pytest.approx(expected)


def test_accuracy_of_the_first_task_is_taken_by_default(decollated):
    expected = accuracy_score(
        [int(item["label"][0]) for item in decollated], [int(item["pred"][:3].argmax()) for item in decollated]
    )
    assert metric_over(Accuracy(TaskScores(TASKS, one_hot=False)), decollated) == pytest.approx(expected)


def test_a_batch_without_a_known_label_adds_nothing(decollated):
    unknown = [item | {"label": torch.tensor([0, -1])} for item in decollated[:10]]
    rest = [item | {"label": torch.tensor([0, int(item["pred"][3:].argmax())])} for item in decollated[10:]]
    assert metric_over(Accuracy(TaskScores(TASKS, "pathology", one_hot=False)), unknown + rest) == 1.0
