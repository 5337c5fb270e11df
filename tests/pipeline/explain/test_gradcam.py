"""Grad-CAM against the formula written out by hand."""

import cv2
import numpy as np
import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.explain import TokenGradCAM

SIZES = [(64, 64), (96, 48)]
"""The second is no multiple of the 32 pixels of a token."""


@pytest.fixture
def network() -> MammogramClassifier:
    network = MammogramClassifier(SwinEncoder(size="micro", patch_size=4), tasks={"pathology": 2, "density": 4}).eval()
    torch.nn.init.normal_(network.head.weight)
    return network


def images_of(size: tuple[int, int], count: int = 3) -> torch.Tensor:
    return torch.cat([torch.rand(count, 1, *size), torch.ones(count, 1, *size)], dim=1)


def gradcam_by_hand(network: MammogramClassifier, image: torch.Tensor, index: int) -> np.ndarray:
    """``ReLU(sum_k mean(dy/dF_k) F_k)`` of one image ``(2, H, W)``, brought to pixels by OpenCV."""
    features = []
    handle = network.encoder.features.register_forward_hook(lambda module, inputs, output: features.append(output))
    score = network(image[None])[0, index]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, features[0])
    alpha = gradient.double().mean(dim=(2, 3))[0].numpy()
    cam = np.maximum(np.einsum("k,khw->hw", alpha, features[0][0].detach().double().numpy()), 0)
    stride, (rows, columns) = network.encoder.stride, cam.shape
    resized = cv2.resize(cam, (columns * stride, rows * stride), interpolation=cv2.INTER_LINEAR)
    return resized[: image.shape[1], : image.shape[2]]


@pytest.mark.parametrize("size", SIZES)
def test_each_image_of_a_batch_gets_the_map_of_the_formula(network, size):
    with torch.no_grad():
        network.head.weight[1] = -network.head.weight[0]  # so that each image has a map above 0 for one of the two
    images = images_of(size)
    heat = torch.zeros(3)
    for target in (0, 1):
        maps = TokenGradCAM(network, target_class=target)(images)
        assert maps.shape == (3, *size)
        heat += maps.std(dim=(1, 2))
        for image, found in zip(images, maps, strict=True):
            np.testing.assert_allclose(found, gradcam_by_hand(network, image, target), atol=1e-5)
    assert heat.min() > 1e-3


def test_without_a_target_each_image_is_explained_by_its_predicted_class_of_the_first_task(network):
    images = images_of((64, 64), count=8)
    with torch.no_grad():
        network.head.bias[:2] -= network(images)[:, :2].mean(dim=0)
        network.head.bias[2:] += 100  # a class of the second task would win
        predicted = network(images)[:, :2].argmax(dim=1).tolist()
    assert set(predicted) == {0, 1}
    maps = TokenGradCAM(network, target_class=None)(images)
    for image, found, index in zip(images, maps, predicted, strict=True):
        np.testing.assert_allclose(found, gradcam_by_hand(network, image, index), atol=1e-5)


def test_a_frozen_network_is_explained_alike(network):
    images = images_of((64, 64))
    expected = TokenGradCAM(network)(images)
    torch.testing.assert_close(TokenGradCAM(network.requires_grad_(False))(images), expected)


@pytest.mark.parametrize(("stage", "stride"), [(1, 8), (2, 16), (3, 32)])
def test_an_earlier_stage_gives_a_finer_map_of_the_same_formula(network, stage, stride):
    image = images_of((96, 48), count=1)
    kept = []
    handle = network.encoder.outputs[stage - 1].register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    logits = network(image)
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, 1], kept[0])
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * kept[0]).sum(dim=1)[0].relu().detach().numpy()
    assert cam.shape == (-(-96 // stride), -(-48 // stride))
    resized = cv2.resize(cam, (cam.shape[1] * stride, cam.shape[0] * stride), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(TokenGradCAM(network, stage=stage)(image)[0], resized[:96, :48], atol=1e-5)


def test_a_stage_that_does_not_exist_is_named(network):
    with pytest.raises(ValueError, match="stage 5 cannot be explained"):
        TokenGradCAM(network, stage=5)


def test_grad_cam_plus_plus_of_a_batch_is_that_of_each_image_by_the_formula(network):
    images = images_of((64, 64), count=2)  # as many images as tokens in a row, where MONAI's scores would be mixed up
    found = TokenGradCAM(network, plus_plus=True)(images)
    kept = []
    network.encoder.features.register_forward_hook(lambda module, inputs, output: kept.append(output))
    for image, one in zip(images, found, strict=True):
        score = network(image[None])[0, 1]
        gradient = torch.autograd.grad(score, kept[-1])[0][0].double()
        maps = kept[-1][0].detach().double()
        # With Y = exp(score), the second and third derivatives are exp(score) times powers of the first (equation 19).
        below = 2 * gradient**2 + (maps * gradient**3).sum(dim=(1, 2), keepdim=True)
        weight = (gradient**2 / below * (score.exp() * gradient).relu()).sum(dim=(1, 2))
        cam = (weight[:, None, None] * maps).sum(dim=0).relu().detach().numpy()
        expected = cv2.resize(cam, (64, 64), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(one, expected, rtol=1e-3, atol=1e-5)
