import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mammo.networks.losses import MultiTaskCrossEntropy, class_weights
from torch import nn

TASKS = {"pathology": 2, "density": 4}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_each_task_equals_cross_entropy_on_its_labelled_images(smoothing):
    weights = {"pathology": [0.5, 2.0], "density": torch.rand(4) + 0.5}
    logits = torch.randn(6, 6)
    labels = torch.tensor([[0, 3], [1, -1], [-1, -1], [1, 2], [-1, 0], [0, 1]])
    expected = torch.zeros(())
    for task, columns in enumerate((slice(0, 2), slice(2, 6))):
        known = labels[:, task] >= 0
        weight = torch.as_tensor(list(weights.values())[task])
        expected += nn.CrossEntropyLoss(weight, label_smoothing=smoothing)(logits[known, columns], labels[known, task])
    torch.testing.assert_close(MultiTaskCrossEntropy(TASKS, weights, smoothing)(logits, labels), expected)


def test_no_weights_is_plain_cross_entropy():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    loss = MultiTaskCrossEntropy({"birads": 3}, {"birads": None})(logits, labels)
    torch.testing.assert_close(loss, nn.CrossEntropyLoss()(logits, labels))


def test_missing_labels_send_no_gradient():
    logits = torch.randn(2, 6, requires_grad=True)
    MultiTaskCrossEntropy(TASKS)(logits, torch.tensor([[0, -1], [-1, 2]])).backward()
    zero = logits.grad == 0
    assert zero.tolist() == [[False] * 2 + [True] * 4, [True] * 2 + [False] * 4]


def test_all_labels_missing_is_zero_with_a_zero_gradient():
    logits = torch.randn(3, 6, requires_grad=True)
    loss = MultiTaskCrossEntropy(TASKS)(logits, torch.full((3, 2), -1))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40))
def test_class_weights_make_all_classes_weigh_the_same(labels):
    known = [label for label in labels if label >= 0]
    present = set(known)
    if len(present) < 2:
        with pytest.raises(ValueError, match="labels per class are"):
            class_weights(labels, 4)
        return
    weights = class_weights(torch.tensor(labels), 4)
    for label in range(4):
        total = weights[label].item() * known.count(label)
        assert total == pytest.approx(len(known) / 4 if label in present else 0)


def test_class_weights_of_balanced_labels_are_one():
    assert class_weights([0, 1, 0, 1, -1], 2).tolist() == [1.0, 1.0]


def test_label_beyond_the_classes_is_refused():
    with pytest.raises(ValueError, match="0 to 1, got"):
        class_weights([0, 2], 2)


@pytest.mark.parametrize(
    ("weights", "message"), [({"age": [1, 1]}, "unknown tasks"), ({"density": [1, 1]}, "has 4 classes")]
)
def test_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskCrossEntropy(TASKS, weights)


@pytest.mark.parametrize(("logits", "labels"), [((2, 5), (2, 2)), ((2, 6), (2, 3)), ((2, 6), (3, 2))])
def test_shapes_that_do_not_fit_are_refused(logits, labels):
    with pytest.raises(ValueError, match="expected logits"):
        MultiTaskCrossEntropy(TASKS)(torch.rand(logits), torch.zeros(labels, dtype=torch.int64))
