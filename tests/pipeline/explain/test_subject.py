"""Networks whose answer is known: one looks at the marker, one at the lesion."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.explain.cases import choose_sample
from mammo.pipeline.explain.subject import Case, Subject
from mammo.pipeline.metrics.behaviour import summarise_behaviour
from torch import nn

SIZE = (32, 32)
LESION, MARKER = (slice(12, 16), slice(4, 8)), (slice(4, 8), slice(24, 28))


class LooksAt(nn.Module):
    """Calls an image malignant where one place is bright."""

    def __init__(self, place: tuple[slice, slice]) -> None:
        super().__init__()
        self.place = place
        self.tasks = {"pathology": 2}
        self.encoder = SimpleNamespace(map_strides=(2, 4, 8, 16, 16))
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = self.scale * (images[:, 0, self.place[0], self.place[1]].mean(dim=(1, 2)) - 0.5)
        return torch.stack([-score, score], dim=1)


def case(count: int = 16) -> Case:
    """Malignant ones have a bright lesion and a bright marker; partners are of the other class."""
    labels = np.arange(count) % 2
    images = torch.zeros(count, 2, *SIZE)
    images[:, 1, :, :16] = 1
    images[:, 0] = 0.3 * images[:, 1]
    noise = torch.linspace(0, 0.1, count)[:, None, None]
    bright = torch.tensor(labels, dtype=torch.float32)[:, None, None]
    images[:, 0, LESION[0], LESION[1]] = 0.3 + 0.6 * bright + noise
    images[:, 0, MARKER[0], MARKER[1]] = 0.25 + 0.6 * bright + noise
    partner = np.arange(count) ^ 1
    rows = [
        {"image_id": f"i{k}", "patient_id": f"p{k}", "label": int(labels[k]), "partner_image_id": f"i{partner[k]}"}
        for k in range(count)
    ]
    lesions = np.zeros((count, *SIZE), dtype=bool)
    lesions[:, LESION[0], LESION[1]] = True
    return Case(rows, images, images[partner], np.ones(count, dtype=bool), lesions, choose_sample(labels, 4, seed=0))


def behaviour(place: tuple[slice, slice]) -> dict[str, float]:
    subject = Subject(LooksAt(place), maps=["occlusion"], stage=2, steps=4, occlusion_passes=64)
    subject.examine(case())
    measures = summarise_behaviour(subject.tables()[1], threshold=0.5, draws=20)["measures"]
    return {name: measure["mean"]["value"] for name, measure in measures.items()}


def test_a_network_that_looks_at_the_marker_is_found_out():
    found = behaviour(MARKER)
    assert found["auc"] == found["auc_breast_erased"] == 1
    assert found["auc_background_erased"] == 0.5
    assert found["flip_marker_swapped"] == found["flip_background_swapped"] == 1
    assert found["change_background_swapped"] > 0.5
    assert found["change_breast_erased"] == 0


def test_a_network_that_looks_at_the_lesion_passes():
    found = behaviour(LESION)
    assert found["auc"] == found["auc_background_erased"] == 1
    assert found["auc_breast_erased"] == 0.5
    assert found["flip_marker_swapped"] == found["flip_background_swapped"] == 0
    assert found["change_background_erased"] == found["change_marker_swapped"] == 0
    assert found["change_breast_erased"] > 0.3


def test_the_map_of_the_lesion_is_faithful_and_found_in_the_lesion():
    subject = Subject(LooksAt(LESION), maps=["occlusion"], stage=2, steps=16, occlusion_passes=64)
    # What is occluded becomes its own mean, so patches must not be those of the lesion.
    subject.explainer.occlusion_passes = 49
    subject.examine(case())
    table = subject.tables()[0]
    malignant = table[table["label"] == 1]
    assert len(table) == 4
    assert len(malignant) == 2
    assert (malignant["pointing_hit_token"] == 1).all()
    assert (malignant["deletion"] < malignant["deletion_random"]).all()
    assert (malignant["insertion"] > malignant["insertion_random"]).all()
    assert table.loc[table["label"] == 0, ["insertion", "deletion"]].isna().all(axis=None)


def test_without_a_partner_or_a_marker_there_is_no_swap():
    one = case(2)
    images = one.images.clone()
    images[:, 0, MARKER[0], MARKER[1]] = 0
    bare = Case(one.rows, images, images, np.array([True, False]), one.lesions, one.sampled)
    subject = Subject(LooksAt(LESION), maps=["occlusion"])
    subject.examine(bare)
    table = subject.tables()[1]
    assert table["probability_marker_swapped"].isna().all()
    assert table["probability_background_swapped"].isna().tolist() == [False, True]


@pytest.fixture
def subject() -> Subject:
    network = MammogramClassifier(SwinEncoder(size="micro", patch_size=4))
    nn.init.normal_(network.head.weight)
    return Subject(network, maps=["attention", "gradcam", "occlusion"], stage=2, steps=4, occlusion_passes=4)


def test_cheap_maps_are_of_all_images_and_the_rest_of_the_sample(subject):
    subject.examine(case(6))
    table = subject.tables()[0]
    assert table.groupby("map")["image_id"].nunique().to_dict() == {"attention": 6, "gradcam": 6, "occlusion": 4}
    sampled = set(table.loc[table["map"] == "occlusion", "image_id"])
    for kind in ("attention", "gradcam"):
        rows = table[table["map"] == kind]
        assert set(rows.loc[rows["randomised_correlation"].notna(), "image_id"]) <= sampled
        assert set(rows.loc[rows["randomised_pointing_hit"].notna(), "image_id"]) == sampled
    assert table["background_ratio"].notna().sum() >= 12


def test_the_rows_of_a_batch_are_those_of_its_images_alone(subject):
    whole = case(4)
    network = subject.network
    subject.examine(whole)
    together = subject.tables()[0]
    alone = Subject(network, maps=["attention", "gradcam", "occlusion"], stage=2, steps=4, occlusion_passes=4)
    for k in range(4):
        one = slice(k, k + 1)
        parts = (whole.images[one], whole.partners[one], whole.paired[one], whole.lesions[one], whole.sampled[one])
        alone.examine(Case(whole.rows[k : k + 1], *parts))
    single = alone.tables()[0]
    names = ["background_ratio", "energy_in_roi", "heat", "probability"]
    keys = ["image_id", "map"]
    first, second = (table.set_index(keys).sort_index()[names] for table in (together, single))
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("count", "expected"), [(4, (2, 2)), (5, (3, 2)), (9, (3, 6)), (30, (3, 17))])
def test_half_of_the_sample_is_malignant_as_far_as_there_are_so_many(count, expected):
    labels = [1] * 3 + [0] * 16 + [-1]
    chosen = choose_sample(labels, count, seed=1)
    assert (int(chosen[:3].sum()), int(chosen[3:].sum())) == expected
    np.testing.assert_array_equal(chosen, choose_sample(labels, count, seed=1))
