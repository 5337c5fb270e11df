"""Batches and pictures of masked autoencoders at several scales."""

from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
from mammo.networks import MaskedAutoencoder, ViTEncoder
from mammo.networks.losses import AutoencoderObjective, MultiScaleReconstructionLoss
from mammo.pipeline.engines import NetworkInferer
from mammo.pipeline.multi_scale import MultiScalePictures, PrepareMultiScaleBatch


@pytest.fixture
def network() -> MaskedAutoencoder:
    encoder = ViTEncoder(image_size=(64, 32), embed_dim=16, depth=1, num_heads=2)
    return MaskedAutoencoder(encoder, decoder_dim=16, decoder_depth=1, decoder_heads=2, scales=(1, 2))


@pytest.fixture
def objective() -> AutoencoderObjective:
    return AutoencoderObjective(MultiScaleReconstructionLoss(loss_on={1: "masked", 2: "all"}))


def test_the_network_sees_the_means_of_what_was_rendered():
    rendered = torch.rand(3, 2, 128, 64)
    image, target, _, more = PrepareMultiScaleBatch(scale=2)({"image": rendered})
    assert torch.equal(target, rendered)
    torch.testing.assert_close(image[1, 0, 5, 7], rendered[1, 0, 10:12, 14:16].mean())
    assert more["noise"].shape == (3, 4 * 2)


def test_validation_draws_alike_in_every_epoch_and_training_does_not():
    batch = {"image": torch.rand(2, 2, 64, 32)}
    for repeat in (True, False):
        prepare = PrepareMultiScaleBatch(repeat=repeat)
        drawn = []
        for epoch in (1, 2):
            prepare.start_epoch(epoch)
            drawn.append(prepare(batch)[3]["noise"])
        assert torch.equal(*drawn) is repeat


def test_each_scale_is_measured_against_its_own_target(network, objective):
    rendered = torch.rand(2, 2, 128, 64)
    image, target, _, more = PrepareMultiScaleBatch(scale=2)({"image": rendered})
    output = network(image, **more)
    error = objective(output, target)
    assert set(objective.parts) == {"scale_1", "scale_2"}
    torch.testing.assert_close(torch.stack(list(objective.parts.values())).mean(), error.detach())
    painted = objective.images(output, target)
    assert [tuple(one.shape) for pair in painted for one in pair] == [(2, 1, 64, 32)] * 2 + [(2, 1, 128, 64)] * 2
    torch.testing.assert_close(painted[0][0], image[:, :1])


@pytest.mark.parametrize("counted", [["masked", "masked"], ["masked", "all"], ["all", "all"]])
def test_visible_patches_are_shown_as_they_are_where_they_do_not_count(network, counted):
    objective = AutoencoderObjective(MultiScaleReconstructionLoss(loss_on=dict(zip((1, 2), counted, strict=True))))
    rendered = torch.rand(2, 2, 128, 64)
    image, target, _, more = PrepareMultiScaleBatch(scale=2)({"image": rendered})
    output = network(image, **more)
    for scale, (true, shown), of in zip((1, 2), objective.images(output, target), counted, strict=True):
        equal = (true == shown)[:, 0].unflatten(1, (4, 16 * scale)).unflatten(3, (2, 16 * scale)).all(dim=4).all(dim=2)
        assert torch.equal(equal.flatten(1), ~output.hidden.bool() if of == "masked" else torch.zeros(2, 8).bool())


def test_lower_precision_keeps_the_names_of_the_output(network):
    output = NetworkInferer(precision="bfloat16")(torch.rand(2, 1, 64, 32), network)
    assert [one.dtype for one in output.predictions] == [torch.float32] * 2
    assert output.hidden.sum() == 2 * 6


def test_pictures_hide_what_was_removed_and_show_both_scales(network, objective, tmp_path):
    rendered = torch.rand(5, 2, 128, 64) / 2 + 0.5
    image, target, _, more = PrepareMultiScaleBatch(scale=2)({"image": rendered})
    output = network(image, **more)
    state = SimpleNamespace(
        iteration=1, epoch=3, epoch_length=4, output={"image": image, "label": target, "pred": output}
    )
    MultiScalePictures(tmp_path, objective=objective, images=3)(SimpleNamespace(state=state))
    picture = np.asarray(PIL.Image.open(tmp_path / "reconstruction_epoch_003.png"))
    assert picture.shape == (5 * 128, 3 * 64)
    black = (picture[:128, :64] == 0).reshape(4, 32, 2, 32).all(axis=(1, 3))
    assert np.array_equal(black.ravel(), output.hidden[0].bool().numpy())
    np.testing.assert_array_equal(picture[384:512, 64:128], (rendered[1, 0] * 255).round().byte().numpy())
