import pytest
import torch
from mammo.networks.losses import MaskedReconstructionLoss
from mammo.networks.losses.block_normalisation import block_statistics
from transformers import ViTMAEConfig, ViTMAEForPreTraining


def test_blocks_have_the_statistics_of_the_pixels_that_count():
    image, weights = torch.rand(2, 1, 10, 7, dtype=torch.float64), (torch.rand(2, 1, 10, 7) < 0.6).double()
    mean, deviation = block_statistics(image, weights, 4)
    for b in range(2):
        for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):  # those at the edges are cut
            for columns in (slice(0, 4), slice(4, 7)):
                own = image[b, 0, rows, columns][weights[b, 0, rows, columns] == 1]
                torch.testing.assert_close(mean[b, 0, rows, columns].unique(), own.mean()[None])
                expected = ((own.var() if own.numel() > 1 else torch.zeros(()).double()) + 1e-6).sqrt()
                torch.testing.assert_close(deviation[b, 0, rows, columns].unique(), expected[None])


def test_the_loss_is_that_of_transformers_masked_autoencoder():
    config = ViTMAEConfig(image_size=32, patch_size=8, num_channels=1, norm_pix_loss=True, hidden_size=12)
    config.update({"num_attention_heads": 2, "num_hidden_layers": 1, "decoder_num_hidden_layers": 1})
    config.update({"decoder_hidden_size": 8, "decoder_num_attention_heads": 2, "intermediate_size": 8})
    peer = ViTMAEForPreTraining(config)
    loss = MaskedReconstructionLoss("hidden", "mse", normalised_block=8)
    for image in torch.rand(3, 1, 1, 32, 32):  # theirs is the mean over patches of all images, ours over images
        found = peer(image)
        hidden = peer.unpatchify(found.mask[..., None].expand(1, 16, 64))
        target = torch.cat([image, torch.ones_like(image), hidden], dim=1)
        torch.testing.assert_close(loss(peer.unpatchify(found.logits), target), found.loss)


@pytest.mark.parametrize("region", ["breast", "hidden_breast"])
def test_what_lies_outside_the_breast_changes_nothing(region):
    target = torch.rand(2, 3, 16, 16)
    target[:, 1:] = target[:, 1:].round()
    other = target.clone()
    other[:, :1] += (1 - target[:, 1:2]) * 0.5
    pred, loss = torch.randn(2, 1, 16, 16), MaskedReconstructionLoss(region, normalised_block=4)
    torch.testing.assert_close(loss(pred, target), loss(pred, other))
    plain = MaskedReconstructionLoss("image", normalised_block=4)
    assert (plain(pred, target) - plain(pred, other)).abs() > 1e-3


def test_brightness_and_contrast_of_the_image_do_not_matter():
    target = torch.rand(2, 3, 16, 16)
    target[:, 1:] = 1
    darker = torch.cat([target[:, :1] * 0.3 + 0.1, target[:, 1:]], dim=1)
    pred, loss = torch.randn(2, 1, 16, 16), MaskedReconstructionLoss(normalised_block=8)
    torch.testing.assert_close(loss(pred, target), loss(pred, darker), rtol=1e-4, atol=0)


@pytest.mark.parametrize("block", [None, 4])
def test_a_perfect_prediction_is_the_image(block):
    target = torch.rand(2, 3, 10, 6)
    target[:, 1:] = target[:, 1:].round()
    loss = MaskedReconstructionLoss("image", normalised_block=block)
    image, ones = target[:, :1], torch.ones(2, 1, 10, 6)
    mean, deviation = block_statistics(image, ones, 4)
    perfect = image if block is None else (image - mean) / deviation
    assert loss(perfect, target) < 1e-5
    torch.testing.assert_close(loss.to_image(perfect, target), image)


def test_a_block_below_one_pixel_is_refused():
    with pytest.raises(ValueError, match="block must be 1 pixel or more, got 0"):
        block_statistics(torch.rand(1, 1, 4, 4), torch.ones(1, 1, 4, 4), 0)
