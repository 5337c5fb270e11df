"""Explanations of a ViT: attention over the whole picture, roll-out, Grad-CAM on patch tokens."""

import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder, ViTEncoder, record_vit_attention
from mammo.pipeline.explain import Explainer, MapKind, TokenGradCAM, attention_maps
from torch.nn import functional as F

SIZE = (64, 48)


@pytest.fixture
def network() -> MammogramClassifier:
    encoder = ViTEncoder(image_size=SIZE, embed_dim=16, depth=4, num_heads=2, final_norm=False)
    network = MammogramClassifier(encoder, pooling="average", head_norm="layer").eval()
    torch.nn.init.normal_(network.head.weight)
    return network


@pytest.fixture
def images() -> torch.Tensor:
    return torch.cat([torch.rand(2, 1, *SIZE), torch.ones(2, 1, *SIZE)], dim=1)


def enlarged(tokens: torch.Tensor) -> torch.Tensor:
    return F.interpolate(tokens[:, None], SIZE, mode="bilinear")[:, 0]


@pytest.mark.parametrize(("stage", "layers"), [(1, 1), (2, 2), (4, 4)])
def test_maps_are_those_of_the_formulas(network, images, stage, layers):
    found = attention_maps(network, images, stage=stage)
    with torch.enable_grad(), record_vit_attention(network.encoder) as record:
        logit = network(images)[:, 1].sum()
    last = record.maps[layers - 1]
    gradient = torch.autograd.grad(logit, last)[0]
    received = last.detach().mean(dim=1)[:, 1:, 1:].mean(dim=1).view(2, 4, 3)
    weighted = (gradient * last).detach().relu().mean(dim=1)[:, 1:, 1:].mean(dim=1).view(2, 4, 3)
    mixed = torch.eye(13).expand(2, 13, 13)
    for layer in record.maps[:layers]:
        mixed = (layer.detach().mean(dim=1) + torch.eye(13)) / 2 @ mixed
    torch.testing.assert_close(found["attention"], enlarged(received))
    torch.testing.assert_close(found["attention_gradient"], enlarged(weighted))
    torch.testing.assert_close(found["rollout"], enlarged(mixed[:, 1:, 1:].mean(dim=1).view(2, 4, 3)))


def test_gradcam_is_taken_of_patch_tokens(network, images):
    features = network.encoder(images[:, :1])[-1].detach().requires_grad_()
    logit = network.head(network.head_norm(features.mean(dim=(-2, -1))))[:, 1].sum()
    weight = torch.autograd.grad(logit, features)[0].mean(dim=(-2, -1), keepdim=True)
    expected = (weight * features).sum(dim=1).relu().detach()
    torch.testing.assert_close(TokenGradCAM(network)(images), enlarged(expected))


def test_every_kind_has_tokens_of_a_patch(network, images):
    explainer = Explainer(network, maps=list(MapKind), target_class=None, occlusion_passes=12)
    found = explainer(images)
    assert set(found) == {str(kind) for kind in MapKind}
    assert all(values.shape == (2, *SIZE) and bool((values >= 0).all()) for values in found.values())
    assert {explainer.token_px(kind, SIZE) for kind in MapKind} == {16}


def test_a_swin_has_no_rollout():
    with pytest.raises(ValueError, match="in windows"):
        Explainer(MammogramClassifier(SwinEncoder(size="micro")), maps=["rollout"])
