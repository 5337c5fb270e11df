"""The loss of masked autoencoders against loops over patches, and its targets against each other."""

import pytest
import torch
from mammo.networks.losses.block_normalisation import block_statistics
from mammo.networks.losses.patch_reconstruction import MultiScaleReconstructionLoss, multi_scale_targets
from mammo.networks.masked_autoencoder import AutoencoderOutput, patchify
from torch import Tensor
from torch.nn import functional as F

P = 4
GRID = (2, 3)


def output(scales=(1, 2), channels=1, batch=2) -> AutoencoderOutput:
    hidden = torch.tensor([[1.0, 0, 1, 0, 1, 1], [0, 1, 1, 1, 0, 1]])[:batch]
    predictions = [torch.randn(batch, scale**2 * 6, P * P * channels) for scale in scales]
    return AutoencoderOutput(predictions, hidden, torch.zeros(0), torch.zeros(0))


def images(scales=(1, 2), channels=1, batch=2) -> list[Tensor]:
    return [torch.rand(batch, channels, scale * GRID[0] * P, scale * GRID[1] * P) for scale in scales]


def by_hand(prediction, hidden, target, mask, scale, normalise, patches) -> float:
    """One patch after the other, in float64."""
    columns = scale * GRID[1]
    errors = []
    for sample in range(len(target)):
        for number in range(prediction.shape[1]):
            row, column = divmod(number, columns)
            parent = row // scale * GRID[1] + column // scale
            rows, cols = slice(row * P, row * P + P), slice(column * P, column * P + P)
            inside = mask[sample, :, rows, cols].bool().expand(target.shape[1], -1, -1)
            if not inside.any() or (patches == "masked" and hidden[sample, parent] == 0):
                continue
            true = target[sample, :, rows, cols][inside].double()
            painted = prediction[sample, number].view(P, P, -1).permute(2, 0, 1)[inside].double()
            if normalise:
                variance = true.var() if len(true) > 1 else torch.zeros(())
                true = (true - true.mean()) / (variance + 1e-6).sqrt()
            errors.append(((painted - true) ** 2).mean().item())
    return sum(errors) / len(errors)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("region", ["image", "breast"])
@pytest.mark.parametrize("loss_on", [{1: "masked", 2: "all"}, {1: "all", 2: "masked"}])
def test_loss_is_the_mean_over_patches_and_then_over_scales(channels, normalise, region, loss_on):
    given, targets = output(channels=channels), images(channels=channels)
    masks = [torch.rand_like(target[:, :1]).round() for target in targets]
    masks[1][0, :, :8, :8] = 0  # four patches without breast
    masks[0][1, :, 4:8, 8:12] = 0
    masks[0][1, :, 5, 9] = 1  # one pixel of it
    loss = MultiScaleReconstructionLoss(P, normalise, loss_on, region)
    found = loss(given, targets, masks)
    counted = masks if region == "breast" else [torch.ones_like(mask) for mask in masks]
    expected = [
        by_hand(prediction, given.hidden, target, mask, scale, normalise, loss_on[scale])
        for prediction, target, mask, scale in zip(given.predictions, targets, counted, (1, 2), strict=True)
    ]
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-4)
    assert [part.item() for part in loss.parts.values()] == pytest.approx(expected, rel=1e-4)
    assert list(loss.parts) == ["scale_1", "scale_2"]


def test_plain_error_of_all_patches_is_the_mean_squared_error():
    given, targets = output((1,)), images((1,))
    loss = MultiScaleReconstructionLoss(P, normalise=False, loss_on={1: "all"})
    torch.testing.assert_close(loss(given, targets), F.mse_loss(given.predictions[0], patchify(targets[0], P)))


def test_the_target_is_that_of_block_normalisation():
    (target,), (mask,) = images((1,)), images((1,))
    mask = mask.round()
    mean, deviation = block_statistics(target, mask, P)
    perfect = output((1,))._replace(predictions=[patchify((target - mean) / deviation, P)])
    loss = MultiScaleReconstructionLoss(P, loss_on={1: "all"}, region="breast")
    assert loss(perfect, [target], [mask]).item() < 1e-10


@pytest.mark.parametrize("region", ["image", "breast"])
def test_a_perfect_prediction_becomes_the_image_again(region):
    (target,), (mask,) = images((1,), channels=2), images((1,))
    loss = MultiScaleReconstructionLoss(P, loss_on={1: "all"}, region=region)
    patches = patchify(target, P)
    weights = patchify(mask.round().expand_as(target), P) if region == "breast" else torch.ones_like(patches)
    count = weights.sum(dim=-1, keepdim=True)
    mean = (patches * weights).sum(dim=-1, keepdim=True) / count
    variance = ((patches - mean) ** 2 * weights).sum(dim=-1, keepdim=True) / (count - 1)
    painted = (patches - mean) / (variance + 1e-6).sqrt()
    torch.testing.assert_close(loss.to_image(painted, target, mask), target)
    plain = MultiScaleReconstructionLoss(P, normalise=False, loss_on={1: "all"})
    torch.testing.assert_close(plain.to_image(patches, target), target)


def test_brightness_and_contrast_of_the_target_do_not_matter_when_normalised():
    given, targets = output((1,)), images((1,))
    loss = MultiScaleReconstructionLoss(P, loss_on={1: "masked"})
    torch.testing.assert_close(loss(given, targets), loss(given, [3 * targets[0] + 5]), rtol=1e-4, atol=0)


def test_pixels_outside_the_breast_have_no_gradient_and_no_influence():
    given, targets = output((1,)), images((1,))
    mask = torch.rand_like(targets[0]).round()
    given.predictions[0].requires_grad_()
    loss = MultiScaleReconstructionLoss(P, loss_on={1: "all"}, region="breast")
    before = loss(given, targets, [mask])
    before.backward()
    assert torch.equal(given.predictions[0].grad != 0, patchify(mask, P) == 1)
    painted = torch.where(mask == 1, targets[0], 100.0)
    torch.testing.assert_close(loss(given, [painted], [mask]), before)


def test_a_share_of_breast_counts_from_one_half():
    given, targets = output((1,)), images((1,))
    share = torch.rand_like(targets[0])
    loss = MultiScaleReconstructionLoss(P, loss_on={1: "all"}, region="breast")
    assert loss(given, targets, [share]) == loss(given, targets, [(share >= 0.5).float()])


def test_no_breast_at_all_is_zero_with_gradients_of_zero():
    given, targets = output((1,)), images((1,))
    given.predictions[0].requires_grad_()
    error = MultiScaleReconstructionLoss(P, loss_on={1: "all"}, region="breast")(
        given, targets, [torch.zeros_like(targets[0])]
    )
    error.backward()
    assert error == 0
    assert (given.predictions[0].grad == 0).all()


def test_a_flat_patch_is_finite():
    given, targets = output((1,)), [torch.full_like(images((1,))[0], 0.3)]
    assert MultiScaleReconstructionLoss(P, loss_on={1: "all"})(given, targets).isfinite()


def test_a_prediction_in_half_precision_is_measured_in_float32():
    given, targets = output(), images()
    loss = MultiScaleReconstructionLoss(P)
    rounded = [prediction.bfloat16() for prediction in given.predictions]
    error = loss(given._replace(predictions=rounded), [target.bfloat16() for target in targets])
    expected = loss(
        given._replace(predictions=[prediction.float() for prediction in rounded]),
        [target.bfloat16().float() for target in targets],
    )
    assert error.dtype == torch.float32
    torch.testing.assert_close(error, expected)


def test_scales_may_be_names_and_the_default_is_that_of_two():
    given, targets = output(), images()
    named = MultiScaleReconstructionLoss(P, loss_on={"1": "masked", "2": "all"})
    torch.testing.assert_close(named(given, targets), MultiScaleReconstructionLoss(P)(given, targets))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_on": {}}, "names no scale"),
        ({"loss_on": {1: "visible"}}, "visible"),
        ({"region": "lesion"}, "lesion"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MultiScaleReconstructionLoss(P, **options)


def test_images_that_do_not_fit_are_refused():
    given, targets = output(), images()
    loss = MultiScaleReconstructionLoss(P)
    with pytest.raises(ValueError, match=r"scales \[1, 2\].*got 2, 1 and 1"):
        loss(given, targets[:1])
    with pytest.raises(ValueError, match="scale 1 of 6 patches wants a target"):
        loss(given, targets[::-1])
    with pytest.raises(ValueError, match="region breast wants a mask"):
        MultiScaleReconstructionLoss(P, region="breast")(given, targets)
    with pytest.raises(ValueError, match="scale 4 of 6 patches"):
        MultiScaleReconstructionLoss(P, loss_on={1: "all", 4: "all"})(given, targets)


def test_native_targets_are_means_of_the_largest():
    image = torch.rand(2, 2, 16, 24)
    low, middle, high = multi_scale_targets(image, (1, 2, 4))
    assert high is image
    assert middle[1, 0, 3, 5] == pytest.approx(image[1, 0, 6:8, 10:12].mean().item())
    torch.testing.assert_close(low, F.avg_pool2d(middle, 2))
    assert low.shape == (2, 2, 4, 6)


def test_nearest_targets_repeat_the_input():
    image = torch.rand(2, 1, 4, 6)
    low, high = multi_scale_targets(image, (1, 2), "nearest")
    assert low is image
    assert torch.equal(high, image.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_impossible_targets_are_refused():
    with pytest.raises(ValueError, match="bicubic"):
        multi_scale_targets(torch.rand(1, 1, 8, 8), (1, 2), "bicubic")
    with pytest.raises(ValueError, match=r"scales that divide the largest.*\(2, 3\)"):
        multi_scale_targets(torch.rand(1, 1, 6, 6), (2, 3))
    with pytest.raises(ValueError, match=r"\(7, 8\)"):
        multi_scale_targets(torch.rand(1, 1, 7, 8), (1, 2))
