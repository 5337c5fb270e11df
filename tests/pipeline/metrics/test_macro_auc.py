import pytest
import torch
from mammo.pipeline.metrics.macro_auc import macro_auc
from sklearn.metrics import roc_auc_score
from torch.nn.functional import one_hot


def test_with_all_classes_it_is_scikit_learns():
    probabilities, labels = torch.rand(60, 4).softmax(dim=1), torch.arange(60) % 4
    expected = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert macro_auc(probabilities, one_hot(labels, probabilities.shape[1])) == pytest.approx(expected)


def test_with_two_classes_it_is_the_area_under_the_curve():
    probabilities, labels = torch.rand(30, 2).softmax(dim=1), torch.arange(30) % 2
    expected = roc_auc_score(labels, probabilities[:, 1])
    assert macro_auc(probabilities, one_hot(labels, 2)) == pytest.approx(expected)


def test_a_class_that_no_label_holds_does_not_count():
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.1, 0.3], [0.5, 0.4, 0.1]])
    labels = torch.tensor([0, 1, 0, 1])
    # Class 0: 0.7 and 0.6 above 0.1 and 0.5; class 1: 0.8 and 0.4 above 0.2 and 0.1.
    assert macro_auc(probabilities, one_hot(labels, probabilities.shape[1])) == 1


def test_labels_of_one_class_are_refused():
    with pytest.raises(ValueError, match="two classes"):
        macro_auc(torch.rand(3, 4), one_hot(torch.ones(3, dtype=torch.int64), 4))


def test_of_many_labels_each_counts_where_it_is_told():
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
    probabilities = torch.rand(4, 3)
    expected = [roc_auc_score(labels[:, k], probabilities[:, k]) for k in (0, 1)]  # nobody has the third
    assert macro_auc(probabilities, labels) == pytest.approx(sum(expected) / 2)
