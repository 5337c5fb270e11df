"""One pass forward gives what Grad-CAM gives by gradients, also in the formats for other runtimes."""

import itertools

import pytest
import torch
from mammo.networks import EfficientNetEncoder, MammogramClassifier, SwinEncoder, ViTEncoder
from mammo.networks.explained import ExplainedClassifier
from mammo.pipeline.explain import TokenGradCAM
from torch import nn

SIZE = (128, 64)
ENCODERS = {
    "swin": lambda: SwinEncoder(size="micro"),
    "vit": lambda: ViTEncoder(size="micro", image_size=SIZE, final_norm=False),
    "efficientnet": lambda: EfficientNetEncoder(size="b0"),
}


def classifier(encoder: str, norm: str = "none", pooling: str = "mask") -> MammogramClassifier:
    network = MammogramClassifier(ENCODERS[encoder](), head_norm=norm, pooling=pooling).eval()
    nn.init.normal_(network.head.weight)
    if norm == "batch":
        network.head_norm.running_mean.normal_()
        network.head_norm.running_var.uniform_(0.5, 2)
    if norm == "layer":
        nn.init.normal_(network.head_norm.weight)
    with torch.no_grad():  # else the map may be 0 everywhere
        network.head.weight[1] += network.encoder(images(1)[:, :1])[-1].mean(dim=(0, 2, 3))
    return network


def images(count: int) -> torch.Tensor:
    x = torch.rand(count, 2, *SIZE)
    x[:, 1] = (torch.arange(SIZE[1]) < 40).float()
    return x


CASES = [("swin", *rest) for rest in itertools.product(("none", "batch"), ("mask", "average"))]
CASES += [("vit", "layer", "average"), ("vit", "none", "mask"), ("efficientnet", "none", "mask")]


@pytest.mark.parametrize(("encoder", "norm", "pooling"), CASES)
def test_the_map_is_grad_cam_and_the_logits_are_the_networks(encoder, norm, pooling):
    network, x = classifier(encoder, norm, pooling), images(3)
    with torch.no_grad():
        logits, heat = ExplainedClassifier(network)(x)
        torch.testing.assert_close(logits, network(x))
    expected = TokenGradCAM(network)(x)
    assert expected.max() > 0
    torch.testing.assert_close(heat, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_a_traced_network_takes_other_batches():
    explained, x = ExplainedClassifier(classifier("swin")), images(3)
    with torch.no_grad():
        traced = torch.jit.trace(explained, x[:1])
        for found, expected in zip(traced(x), explained(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_tokens_of_the_breast_alone_have_no_fixed_graph():
    network = MammogramClassifier(SwinEncoder(size="micro"), tokens="breast")
    with pytest.raises(ValueError, match="no fixed graph"):
        ExplainedClassifier(network)
