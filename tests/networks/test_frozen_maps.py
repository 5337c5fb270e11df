"""Maps of a frozen encoder: nothing of it changes, and joined levels lie over the same pixels."""

import pytest
import torch
from mammo.networks import EfficientNetEncoder, SwinEncoder
from mammo.networks.frozen_maps import FrozenMaps
from torch import nn
from torch.nn import functional as F


class Pyramid(nn.Module):
    """Mean brightness of the pixels of each place, in maps of 4, 8, 8, 16 and 16 pixels, its square, and one half."""

    in_channels, map_strides, stride, out_channels = 1, (4, 8, 8, 16, 16), 16, 3

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        means = [F.avg_pool2d(self.weight * x, stride) for stride in self.map_strides]
        return [torch.cat([mean, mean**2, torch.full_like(mean, 0.5)], dim=1) for mean in means]


def with_mask(image: torch.Tensor) -> torch.Tensor:
    return torch.cat([image, torch.ones_like(image)], dim=1)


@pytest.mark.parametrize("encoder", [SwinEncoder(size="micro"), EfficientNetEncoder(size="b0")], ids=["swin", "eff"])
def test_no_weight_and_no_buffer_changes_while_maps_are_made_in_training(encoder):
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    maps = FrozenMaps(encoder, [2, 4]).train()
    features, places = maps(torch.rand(2, 2, 64, 64))
    assert not features.requires_grad
    assert not any(part.training for part in maps.modules())
    assert not any(parameter.requires_grad for parameter in maps.parameters())
    assert features.shape[1] == encoder.map_channels[2] + encoder.map_channels[4]
    assert features.shape[2:] == places.shape[2:]
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_one_level_is_the_encoders_map_as_it_comes():
    encoder, images = Pyramid(), torch.rand(2, 1, 32, 48)
    features, places = FrozenMaps(encoder, [1])(with_mask(images))
    torch.testing.assert_close(features, encoder(images)[1])
    assert places.all()
    assert places.shape == (2, 1, 4, 6)


def test_joined_levels_are_normalised_over_their_channels_and_peak_at_the_same_pixels():
    image = torch.zeros(1, 1, 64, 64)
    image[..., 16:32, 32:48] = 1.0
    features, _ = FrozenMaps(Pyramid(), [0, 3])(with_mask(image))
    fine, coarse = features[:, :3], features[:, 3:]
    torch.testing.assert_close(fine, F.layer_norm(Pyramid()(image)[0].movedim(1, -1), (3,)).movedim(-1, 1))
    assert coarse.shape == fine.shape == (1, 3, 16, 16)
    rows, columns = torch.where(coarse[0, 0] > 0)  # brighter than one half
    assert (rows.float().mean(), columns.float().mean()) == pytest.approx((5.5, 9.5), abs=0.1)


@pytest.mark.parametrize("levels", [[], [4, 4], [5]])
def test_levels_that_are_none_are_refused(levels):
    with pytest.raises(ValueError, match="different ones of 0 to 4"):
        FrozenMaps(Pyramid(), levels)


def test_an_image_without_mask_is_refused():
    with pytest.raises(ValueError, match="breast mask"):
        FrozenMaps(Pyramid())(torch.rand(1, 1, 32, 32))
