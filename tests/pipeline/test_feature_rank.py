"""Effective rank and spread against NumPy's singular values of the whole feature matrix."""

import numpy as np
import pytest
import torch
from mammo.pipeline.feature_rank import FeatureRank, effective_rank, pool_over_breast
from monai.engines import SupervisedEvaluator
from torch import nn


def rank_of(matrix: np.ndarray) -> float:
    """RankMe by its formula."""
    sigma = np.linalg.svd(matrix, compute_uv=False)
    share = sigma / sigma.sum() + 1e-7
    return float(np.exp(-(share * np.log(share)).sum()))


@pytest.mark.parametrize("shape", [(40, 6), (5, 12), (8, 8)])
def test_the_rank_from_the_gram_matrix_is_that_of_the_singular_values(shape):
    matrix = torch.randn(shape, dtype=torch.float64) + 1.0
    assert effective_rank(matrix.mT @ matrix, len(matrix)) == pytest.approx(rank_of(matrix.numpy()), rel=1e-6)


def test_the_rank_counts_directions():
    assert effective_rank(torch.eye(7, dtype=torch.float64), 7) == pytest.approx(7, rel=1e-4)
    same = torch.ones(7, 7, dtype=torch.float64)
    assert effective_rank(same, 7) == pytest.approx(1, rel=1e-3)
    assert effective_rank(torch.zeros(7, 7, dtype=torch.float64), 7) == 0.0
    assert effective_rank(torch.full((7, 7), torch.nan, dtype=torch.float64), 7) == 0.0


def test_pooling_sees_the_breast_alone():
    features = torch.full((1, 2, 2, 2), 100.0)
    features[0, :, 0, 0], features[0, :, 0, 1] = torch.tensor([4.0, 8.0]), torch.tensor([1.0, 2.0])
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :4], mask[..., :2, 4:] = 1, 1  # all of the first cell, half of the second
    torch.testing.assert_close(pool_over_breast(features, mask), torch.tensor([[4.5, 9.0]]) / 1.5)


def test_tokens_that_were_left_out_do_not_count():
    features = torch.zeros(1, 2, 1, 3)
    features[0, :, 0, 1], features[0, :, 0, 2] = torch.tensor([2.0, 0.0]), torch.tensor([4.0, 6.0])
    torch.testing.assert_close(pool_over_breast(features, torch.ones(1, 1, 4, 12)), torch.tensor([[3.0, 3.0]]))


class Network(nn.Module):
    """An encoder of six channels behind a tap, and something that works on its map."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.out_channels = len(weights)
        self.encoder.features = nn.Identity()
        self.weights = weights

    def forward(self, x):
        return self.encoder.features(x[:, :1] * self.weights.view(1, -1, 1, 1) + x[:, :1].square()).sum(dim=1)


def validate(network: nn.Module, images: torch.Tensor, size: int, epochs: int = 1, **options) -> dict[str, float]:
    data = [{"image": part, "label": part} for part in images.split(size)]
    evaluator = SupervisedEvaluator(
        torch.device("cpu"), data, network, val_handlers=[FeatureRank(**options)], decollate=False
    )
    for epoch in range(1, epochs + 1):
        evaluator.run(epoch)
    return evaluator.state.metrics


@pytest.mark.parametrize(("size", "epochs"), [(4, 1), (3, 2)])
def test_the_metrics_are_those_of_all_images_that_show_a_breast(size, epochs):
    network, images = Network(torch.randn(6)), torch.rand(10, 2, 4, 4)
    images[:, 1] = 1
    images[7, 1] = 0
    metrics = validate(network, images, size, epochs)
    image = images[[n for n in range(10) if n != 7], :1].double()
    vectors = (image * network.weights.double().view(1, -1, 1, 1) + image.square()).mean(dim=(2, 3)).numpy()
    assert metrics["feature_rank"] == pytest.approx(rank_of(vectors), rel=1e-4)
    assert metrics["feature_std"] == pytest.approx(vectors.std(axis=0).mean(), rel=1e-4)


def test_features_that_are_all_the_same_are_warned_of(caplog):
    images = torch.rand(1, 2, 4, 4).expand(8, 2, 4, 4)
    metrics = validate(Network(torch.randn(6)), images, 4)
    assert metrics["feature_rank"] == pytest.approx(1.0, abs=0.01)
    assert metrics["feature_std"] == pytest.approx(0.0, abs=1e-6)
    assert "epoch 1: the effective rank of the features is 1.0" in caplog.text


def test_varied_features_are_not_warned_of(caplog):
    images = torch.rand(8, 2, 4, 4) * torch.linspace(0.1, 4, 8).view(8, 1, 1, 1)
    assert validate(Network(torch.randn(6)), images, 4)["feature_rank"] > 1.05
    assert not caplog.text


def test_the_tap_is_taken_off_after_each_validation():
    network = Network(torch.randn(6))
    validate(network, torch.rand(4, 2, 4, 4), 2, epochs=2)
    assert not network.encoder.features._forward_hooks
