"""Mappers, scores and maps of Mammo-FActOR against slow loops and cases by hand."""

import pytest
import torch
from mammo.networks.factor import (
    ChannelMapper,
    FActOR,
    PositionMapper,
    attribute_embeddings,
    breast_places,
    factor_map,
)
from mammo.networks.losses.factor import FActORLoss
from torch.nn import functional as F

MAPPERS = {
    "channels": lambda: ChannelMapper(5, 12, 2, 7),
    "shared": lambda: ChannelMapper(5, 12, 2, 7, shared=True),
    "places": lambda: PositionMapper(5, 2, 7),
}


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def read(network: torch.nn.Module, region: torch.Tensor) -> torch.Tensor:
    """One region through two linear layers and a ReLU, in plain products."""
    first, last = network.hidden_0[0], network.output
    return last.weight @ (first.weight @ region + first.bias).clamp(min=0) + last.bias


@pytest.mark.parametrize("kind", MAPPERS)
def test_the_mapper_reads_each_region_for_each_attribute(kind):
    mapper, features = MAPPERS[kind](), torch.randn(2, 5, 3, 4)
    mapped = mapper(features)
    assert mapped.shape == (2, 12 if kind == "places" else 5, 2, 7)
    for image, region, attribute in [(0, 0, 0), (0, 0, 1), (1, 3, 0), (1, 4, 1)]:
        flat = features[image].flatten(1)
        seen = flat[:, region] if kind == "places" else flat[region]
        expected = read(mapper.networks[0 if kind == "shared" else attribute], seen)
        torch.testing.assert_close(mapped[image, region, attribute], expected)


def test_channels_of_two_attributes_are_not_interleaved():
    """Attribute 0 takes a channel as it is, attribute 1 ten times: three channels of 1, 2 and 3."""
    mapper = ChannelMapper(3, 1, 2, 1, hidden=0)
    with torch.no_grad():
        for network, factor in zip(mapper.networks, (1.0, 10.0), strict=True):
            network.output.weight.fill_(factor)
            network.output.bias.zero_()
        mapped = mapper(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[..., None, None])
    expected = [[[1, 10], [2, 20], [3, 30]], [[4, 40], [5, 50], [6, 60]]]
    torch.testing.assert_close(mapped[..., 0], torch.tensor(expected, dtype=torch.float32))


def test_the_published_mapper_has_as_many_hidden_units_as_places():
    mapper = ChannelMapper(2048, 20, 2)
    assert sum(p.numel() for p in mapper.parameters()) == 2 * (20 * 20 + 20 + 20 * 512 + 512)
    assert sum(p.numel() for p in ChannelMapper(8, 20, 2, shared=True).parameters()) == 20 * 21 + 512 * 21


def test_places_are_mapped_by_1x1_convolutions_at_any_size():
    mapper = PositionMapper(5, 2, 7, hidden=6)
    for size in [(3, 4), (8, 2)]:
        features = torch.randn(2, 5, *size)
        for attribute, network in enumerate(mapper.networks):
            first, last = network.hidden_0[0], network.output
            inner = F.conv2d(features, first.weight[..., None, None], first.bias).relu()
            expected = F.conv2d(inner, last.weight[..., None, None], last.bias)
            torch.testing.assert_close(mapper(features)[:, :, attribute], expected.flatten(2).mT)


@pytest.mark.parametrize("kind", MAPPERS)
def test_the_score_is_the_best_cosine_over_the_temperature(kind):
    mapper, text, features = MAPPERS[kind]().double(), unit(2, 7).double(), torch.randn(3, 5, 3, 4).double()
    scores, mapped = FActOR(mapper, text, 0.1)(features), mapper(features)
    for image in range(3):
        for attribute in range(2):
            cosines = [F.cosine_similarity(z, text[attribute], dim=0) for z in mapped[image, :, attribute]]
            torch.testing.assert_close(scores[image, attribute], max(cosines) / 0.1)


@pytest.mark.parametrize("kind", MAPPERS)
def test_what_lies_outside_the_breast_does_not_count(kind):
    factor, features = FActOR(MAPPERS[kind](), unit(2, 7)), torch.randn(2, 5, 3, 4)
    mask = torch.zeros(2, 1, 3, 4)
    mask[..., :2] = 1
    other = torch.where(mask > 0, features, 9 * torch.randn_like(features))
    torch.testing.assert_close(factor(other, mask), factor(features, mask), rtol=0, atol=0)
    assert (factor(other) - factor(features)).abs().max() > 0.1
    for ours, theirs in zip(factor.maps(other, mask), factor.maps(features, mask), strict=True):
        if ours.ndim == 4:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
            assert not ours[..., 2:].any()
            assert ours[..., :2].amax() == 1
            assert (ours[..., :2].amin(dim=(-2, -1)) == 0).all()


def test_no_breast_is_the_least_score_and_an_empty_map():
    factor, features, none = FActOR(PositionMapper(5, 2, 7), unit(2, 7), 0.5), torch.randn(1, 5, 3, 4), 0.0
    mask = torch.full((1, 1, 3, 4), none)
    torch.testing.assert_close(factor(features, mask), torch.full((1, 2), -2.0))
    assert not factor.maps(features, mask).maps.any()
    assert not factor_map(features, torch.rand(1, 5, 2), mask=mask).maps.any()


@pytest.mark.parametrize("kind", MAPPERS)
def test_only_the_mapper_learns_and_the_text_is_kept_with_it(kind):
    text = unit(2, 7).requires_grad_()
    factor = FActOR(MAPPERS[kind](), text)
    factor(torch.randn(2, 5, 3, 4)).sum().backward()
    assert {name.split(".")[0] for name, _ in factor.named_parameters()} == {"mapper"}
    assert all(p.grad is not None for p in factor.parameters())
    assert text.grad is None
    torch.testing.assert_close(factor.state_dict()["text"], text.detach())


def test_a_sentence_takes_the_place_of_its_attribute():
    mapper, features = PositionMapper(5, 2, 7), torch.randn(1, 5, 3, 4)
    sentences = unit(2, 7)
    asked = FActOR(mapper, unit(2, 7)).maps(features, text=sentences).maps
    torch.testing.assert_close(asked, FActOR(mapper, sentences).maps(features).maps)


def test_labels_of_images_teach_where_the_attribute_is():
    """Positives hold a direction at one place, on maps of another size than those it is tried on."""
    sign, place = unit(6), torch.randint(20, (40,))

    def images(count: int, size: tuple[int, int]) -> torch.Tensor:
        features = torch.randn(count, 6, size[0] * size[1])
        features[torch.arange(count), :, place[:count]] += 6 * sign
        return features.unflatten(2, size)

    factor = FActOR(PositionMapper(6, 1, 4), unit(1, 4))
    optimizer, labels = torch.optim.Adam(factor.parameters(), 3e-2), (torch.arange(16) < 8).long()[:, None]
    for _ in range(120):
        features = torch.cat([images(8, (4, 5)), torch.randn(8, 6, 4, 5)])
        loss = FActORLoss()(factor(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        hottest = factor.maps(images(40, (6, 7))).maps.flatten(1).argmax(dim=1)
    assert (hottest == place).float().mean() > 0.8


def test_sentences_are_averaged_before_they_are_normalised():
    found = attribute_embeddings([torch.tensor([[8.0, 0.0], [0.0, 6.0]]), torch.tensor([[0.0, 3.0]])])
    torch.testing.assert_close(found, torch.tensor([[0.8, 0.6], [0.0, 1.0]]))


def test_a_place_is_breast_if_one_of_its_pixels_is():
    mask = torch.zeros(1, 1, 10, 7)
    mask[0, 0, 4, 3], mask[0, 0, 9, 6] = 1, 0.2
    expected = [[False, False], [True, False], [False, True]]  # places of 4 pixels; the last reach beyond the image
    assert breast_places(mask, (3, 2), 4)[0, 0].tolist() == expected


def test_the_map_of_two_channels_is_the_one_by_hand():
    features = torch.tensor([[[4.0, 0.0, -8.0]], [[2.0, 2.0, 2.0]], [[0.0, 8.0, 0.0]]])[None]  # (1, 3, 1, 3)
    weights = torch.tensor([[[0.5, -0.1], [-1.0, -0.2], [0.25, -0.3]]])  # (1, 3, 2)
    maps, units, unit_maps = factor_map(features, weights, top=2)
    assert units[0].tolist() == [[0, 2], [0, 1]]
    torch.testing.assert_close(unit_maps[0, 0, :, 0], torch.tensor([[2.0, 0.0, -4.0], [0.0, 2.0, 0.0]]))
    torch.testing.assert_close(maps[0, :, 0], torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    every = factor_map(features, weights, top=None)
    torch.testing.assert_close(every.maps[0, :, 0], torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    assert every.units[0, 0].tolist() == [0, 2, 1]


def test_maps_equal_a_slow_loop():
    features, weights = torch.randn(3, 9, 4, 5).double(), torch.randn(3, 9, 2).double()
    for top in (1, 4, 9, None):
        maps = factor_map(features, weights, top=top).maps
        for image in range(3):
            for attribute in range(2):
                w = weights[image, :, attribute]
                kept = range(9) if top is None else sorted(range(9), key=lambda c: -w[c])[:top]
                terms = [(w[c].clamp(min=0) if top is None else w[c]) * features[image, c] for c in kept]
                heat = sum(terms).clamp(min=0)
                expected = (heat - heat.min()) / (heat.max() - heat.min())
                torch.testing.assert_close(maps[image, attribute], expected)


def test_a_constant_map_is_zero_and_a_faint_one_is_not():
    features = torch.full((1, 2, 6, 7), 0.3)
    weights = torch.tensor([[[0.7], [0.1]]])
    assert not factor_map(features, weights, top=2).maps.any()
    assert not factor_map(features + 5e-8 * torch.rand_like(features), weights, top=None).maps.any()
    features[0, 0, 2, 3] += 1e-3
    assert factor_map(features, weights, top=2).maps[0, 0].nonzero().tolist() == [[2, 3]]


def test_the_map_of_places_is_their_similarity():
    factor, features = FActOR(PositionMapper(5, 2, 7), unit(2, 7)), torch.randn(2, 5, 3, 4)
    maps, units, unit_maps = factor.maps(features)
    flat, cosines = maps.flatten(2), factor.similarities(features).mT
    assert torch.equal(flat.argsort(dim=-1), cosines.argsort(dim=-1))
    assert (flat.amin(dim=-1) == 0).all()
    assert (flat.amax(dim=-1) == 1).all()
    assert units.shape == (2, 2, 0)
    assert unit_maps.shape == (2, 2, 0, 3, 4)


def test_channel_maps_are_weighed_by_their_similarities():
    factor, features = FActOR(ChannelMapper(5, 12, 2, 7), unit(2, 7)), torch.randn(2, 5, 3, 4)
    ours, theirs = factor.maps(features, top=2), factor_map(features, factor.similarities(features), top=2)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ChannelMapper(5, 0, 2), "must be 1 or more"),
        (lambda: PositionMapper(5, 2, hidden=-1), "hidden -1 0 or more"),
        (lambda: ChannelMapper(5, 12, 2)(torch.rand(1, 5, 3, 5)), "made for maps of 12 places"),
        (lambda: PositionMapper(5, 2)(torch.rand(1, 4, 3, 4)), r"takes features \(B, 5, H, W\)"),
        (lambda: FActOR(PositionMapper(5, 2, 7), unit(3, 7)), r"the mapper takes \(2, 7\)"),
        (lambda: FActOR(PositionMapper(5, 2, 7), 2 * unit(2, 7)), "unit length"),
        (lambda: FActOR(PositionMapper(5, 2, 7), unit(2, 7), 0), "temperature 0 must be above 0"),
        (lambda: FActOR(PositionMapper(5, 2, 7), unit(2, 7))(torch.rand(1, 5, 3, 4), torch.ones(1, 1, 9, 9)), "brings"),
        (lambda: attribute_embeddings([]), "needs sentences"),
        (lambda: attribute_embeddings([torch.rand(1, 3), torch.rand(0, 3)]), "needs sentences"),
        (lambda: attribute_embeddings([torch.rand(1, 2), torch.tensor([[1.0, 0], [-1, 0]])]), "attribute 1"),
        (lambda: factor_map(torch.rand(1, 5, 3, 4), torch.rand(1, 4, 2)), "expected features"),
        (lambda: factor_map(torch.rand(1, 5, 3, 4), torch.rand(1, 5, 2), top=6), "top=6 must be between 1 and the 5"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
