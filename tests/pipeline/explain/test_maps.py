"""All kinds of map by name, each on its own grid, none masked."""

import numpy as np
import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.explain import Explainer, MapKind, TokenGradCAM, attention_maps
from mammo.pipeline.explain.maps import measure_maps
from mammo.pipeline.metrics import explanation_measures

SWIN = [kind for kind in MapKind if kind is not MapKind.ROLLOUT]


@pytest.fixture
def network() -> MammogramClassifier:
    network = MammogramClassifier(SwinEncoder(size="micro", patch_size=4)).eval()
    torch.nn.init.normal_(network.head.weight)
    return network


def pictures(count: int = 3) -> torch.Tensor:
    mask = torch.zeros(count, 1, 64, 32)
    mask[..., :16] = 1
    return torch.cat([torch.rand(count, 1, 64, 32), mask], dim=1)


def test_every_kind_is_that_of_its_own_method(network):
    images = pictures()
    found = Explainer(network, maps=SWIN, stage=2, occlusion_passes=8)(images)
    assert list(found) == [str(kind) for kind in SWIN]
    for name, values in attention_maps(network, images, stage=2).items():
        torch.testing.assert_close(found[name], values)
    torch.testing.assert_close(found["gradcam"], TokenGradCAM(network, stage=2)(images))
    torch.testing.assert_close(found["gradcam++"], TokenGradCAM(network, stage=2, plus_plus=True)(images))


def test_maps_are_not_cut_off_at_the_breast(network):
    found = Explainer(network, maps=["attention"], stage=2)(pictures())
    assert (found["attention"][:, :, 16:] > 0).all()


def test_some_kinds_alone_can_be_asked_for(network):
    explainer = Explainer(network, maps=["gradcam", "attention"])
    assert list(explainer(pictures(1), ["gradcam", "occlusion"])) == ["gradcam"]


@pytest.mark.parametrize(("stage", "attention", "gradcam"), [(1, 4, 8), (2, 8, 16), (3, 16, 32), (4, 32, 32)])
def test_a_token_is_as_wide_as_the_map_is_coarse(network, stage, attention, gradcam):
    explainer = Explainer(network, maps=SWIN, stage=stage, occlusion_passes=8)
    sizes = {str(kind): explainer.token_px(kind, (64, 32)) for kind in SWIN}
    assert sizes["attention"] == sizes["attention_gradient"] == attention
    assert sizes["gradcam"] == sizes["gradcam++"] == gradcam
    assert sizes["occlusion"] == 16  # 4 x 2 patches


def test_the_predicted_class_is_occluded_where_no_class_is_given(network):
    images = pictures(8)
    with torch.no_grad():
        network.head.bias -= network(images).mean(dim=0)
        predicted = network(images).argmax(dim=1)
    assert len(predicted.unique()) == 2
    options = {"maps": ["occlusion"], "occlusion_passes": 8}
    found = Explainer(network, target_class=None, **options)(images)["occlusion"]
    of_class = [Explainer(network, target_class=index, **options)(images)["occlusion"] for index in (0, 1)]
    torch.testing.assert_close(found, torch.stack(of_class)[predicted, torch.arange(8)])


def test_measures_grow_the_lesion_by_the_token_of_each_map(network):
    explainer = Explainer(network, maps=["attention", "gradcam"], stage=2)
    images, lesions = pictures(), np.zeros((3, 64, 32), dtype=bool)
    lesions[:, 10:14, 4:8] = True
    maps = explainer(images)
    measured = measure_maps(explainer, maps, images, lesions)
    for name, token in (("attention", 8), ("gradcam", 16)):
        expected = explanation_measures(maps[name], images[:, 1], lesions, token_px=token)
        for measure, values in expected.items():
            np.testing.assert_array_equal(measured[name][measure], values)


@pytest.mark.parametrize("maps", [["gradcam", "saliency"], [], ["gradcam", "gradcam"]])
def test_unknown_repeated_or_no_maps_are_refused(network, maps):
    with pytest.raises(ValueError, match="give some of rollout, attention, attention_gradient"):
        Explainer(network, maps=maps)
