"""The classifier that a run left, rebuilt from what its folder says."""

import pytest
import torch
import yaml
from mammo.bundles import bundle_root
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.explain.attribute_maps import ClassMargins, GradCAMMethod
from mammo.pipeline.image_text import classifier_of_run


@pytest.fixture
def run(tmp_path):
    """A run folder of finetune: its configuration as it is written, and a network of random weights."""
    config = yaml.safe_load((bundle_root("swin_mim") / "configs/finetune.yaml").read_text())
    config |= {"size": "micro", "tasks": ["finding_mass", "finding_calcification"], "head_norm": "batch"}
    config |= {"pretrained": "long/gone.pt"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    encoder = SwinEncoder(size="micro", image_mean=config["image_mean"], image_std=config["image_std"])
    tasks = {"finding_mass": 2, "finding_calcification": 2}
    network = MammogramClassifier(encoder, tasks, pooling=config["pooling"], head_norm="batch").eval()
    (tmp_path / "checkpoints").mkdir()
    torch.save(network.state_dict(), tmp_path / "checkpoints/best.pt")
    return tmp_path / "checkpoints/best.pt", network


def test_the_network_of_a_run_gives_its_logits(run):
    path, network = run
    images = torch.rand(2, 2, 64, 64)
    rebuilt = classifier_of_run(path).eval()
    torch.testing.assert_close(rebuilt(images), network(images))
    margins = ClassMargins(rebuilt, ["finding_calcification", "finding_mass"])
    logits = network(images)
    torch.testing.assert_close(
        margins(images), torch.stack([logits[:, 3] - logits[:, 2], logits[:, 1] - logits[:, 0]], 1)
    )


def test_grad_cam_is_that_of_the_tasks_own_log_odds(run):
    """By hand: the gradient's mean over places weighs the channels of the map."""
    path, network = run
    images = torch.rand(2, 2, 128, 128)
    images[:, 1] = 1
    heat = GradCAMMethod(ClassMargins(classifier_of_run(path), ["finding_mass", "finding_calcification"]), 2)(images)
    kept = {}
    network.encoder.features.register_forward_hook(lambda m, i, out: kept.__setitem__("map", out))
    logits = network(images)
    margin = (logits[:, 3] - logits[:, 2]).sum()
    (gradient,) = torch.autograd.grad(margin, kept["map"])
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * kept["map"]).sum(dim=1).relu()
    torch.testing.assert_close(heat.maps[:, 1], expected.detach())
    assert heat.maps.shape == (2, 2, 2, 2)


def test_a_classifier_of_other_tasks_is_refused(run):
    with pytest.raises(ValueError, match="no task 'finding_asymmetry' of two classes"):
        ClassMargins(classifier_of_run(run[0]), ["finding_asymmetry"])


def test_weights_without_a_run_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="inside the folder of its run"):
        classifier_of_run(tmp_path / "checkpoints/best.pt")
