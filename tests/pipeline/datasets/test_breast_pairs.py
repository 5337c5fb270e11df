"""Pairs of images of one breast: which are drawn, and that a draw follows from seed, epoch and index alone."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from mammo.pipeline.datasets import PreparedDataset
from mammo.pipeline.datasets.breast_pairs import BreastPairs, BreastTexts, breast_id, group_breasts, report_texts
from monai.data import DataLoader
from monai.transforms import MapTransform, RandGaussianNoised, SelectItemsd
from scipy.stats import chisquare

READS: Counter[str] = Counter()


class Decode(MapTransform):
    """Stands for reading a mammogram: the file holds one number."""

    def __call__(self, data):
        READS[Path(data["image"]).stem] += 1
        return {**data, "image": torch.full((1, 2, 2), float(Path(data["image"]).read_text()))}


@pytest.fixture
def make(tmp_path):
    READS.clear()

    def images(layout, noise=0.0, cache=True, **known):
        """Of views such as "CC CC MLO" for each breast; the value of an image is its place."""
        records = []
        for breast, views in enumerate(layout):
            for view in views.split():
                path = tmp_path / f"{len(records)}.txt"
                path.write_text(str(len(records)))
                record = {"image": str(path), "patient_id": f"P{breast}", "image_id": path.stem, "dataset": "tiny"}
                record |= {"laterality": "L", "view": view, "texts": [f"mass {breast}", "biopsy"]}
                records.append(record | known)
        steps = [Decode("image"), SelectItemsd(["image", "image_id"])]
        steps += [RandGaussianNoised("image", prob=1.0, std=noise)] if noise else []
        return PreparedDataset(records, steps, tmp_path / "cache" if cache else None)

    return images


def places(item):
    return int(item["image"].mean()), int(item["other_image"].mean())


def same(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def drawn(pairs, index=0, epochs=200):
    found = Counter()
    for epoch in range(epochs):
        pairs.start_epoch(epoch)
        found[places(pairs[index])] += 1
    return found


def test_one_item_per_breast_with_its_names(make):
    pairs = BreastPairs(make(["CC MLO", "MLO", "CC MLO MLO"]))
    assert len(pairs) == len(list(pairs)) == 3
    item = pairs[2]
    assert (item["patient_id"], item["laterality"], item["breast_id"]) == ("P2", "L", "tiny/P2/L")
    assert (item["texts"], item["augmented_texts"]) == (["mass 2", "biopsy"], [])
    assert item["image"].shape == item["other_image"].shape == (1, 2, 2)


def test_views_come_in_random_order_and_every_image_is_as_likely(make):
    found = drawn(BreastPairs(make(["CC MLO MLO"])))
    assert set(found) == {(0, 1), (0, 2), (1, 0), (2, 0)}
    assert chisquare(list(found.values())).pvalue > 0.001


def test_one_view_only_gives_two_different_images_or_the_same_twice(make):
    pairs = BreastPairs(make(["CC CC CC", "MLO"]))
    assert set(drawn(pairs)) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert set(drawn(pairs, 1, 5)) == {(3, 3)}


def test_validation_is_always_the_first_of_cc_then_mlo(make):
    pairs = BreastPairs(make(["MLO CC CC", "MLO MLO", "CC"], noise=0.1), training=False)
    first = list(pairs)
    pairs.start_epoch(5)
    for one, other in zip(first, pairs, strict=True):
        assert same(one, other)
    quiet = BreastPairs(make(["MLO CC CC", "MLO MLO", "CC"]), training=False)
    assert [places(item) for item in quiet] == [(1, 0), (3, 3), (5, 5)]


def test_a_draw_follows_from_seed_epoch_and_index_alone(make):
    layout = ["CC CC MLO MLO"] * 6
    whole, resumed = (BreastPairs(make(layout, noise=0.1), seed=3) for _ in range(2))
    for epoch in range(1, 4):
        whole.start_epoch(epoch)
        items = list(whole)
    resumed.start_epoch(3)
    for index in (5, 0, 3):  # in any order, and without what came before
        np.random.seed(index)  # noqa: NPY002 other draws do not matter
        assert same(resumed[index], items[index])
    other = BreastPairs(make(layout, noise=0.1), seed=4)
    other.start_epoch(3)
    assert [places(item) for item in other] != [places(item) for item in items]


def test_worker_processes_draw_the_same(make):
    pairs = BreastPairs(make(["CC CC MLO MLO"] * 4, noise=0.1), seed=1)
    pairs.start_epoch(2)
    loader = DataLoader(pairs, num_workers=2, collate_fn=lambda items: items[0])
    for one, other in zip(loader, pairs, strict=True):
        assert same(one, other)


def test_the_two_images_are_augmented_independently(make):
    item = BreastPairs(make(["CC"], noise=0.5))[0]
    assert not torch.equal(item["image"], item["other_image"])


def test_prepared_images_are_read_once_whatever_is_drawn(make):
    pairs = BreastPairs(make(["CC CC MLO", "CC MLO"]))
    drawn(pairs, 0, 30)
    drawn(pairs, 1, 30)
    assert set(READS.values()) == {1}
    assert len(READS) == 5


def test_the_epoch_follows_the_engine(make):
    pairs = BreastPairs(make(["CC MLO"]))
    engine = Engine(lambda engine, batch: None)
    pairs.attach(engine)
    engine.run([0], max_epochs=3)
    assert pairs.epoch == 3


def test_breasts_are_of_one_study_and_side_and_of_the_two_views():
    record = {"dataset": "d", "patient_id": "1", "laterality": "L", "view": "CC"}
    records = [
        record, record | {"view": "MLO"}, record | {"laterality": "R"}, record | {"study_id": "s"},
        record | {"dataset": "e"}, record | {"view": "ML"}, {"dataset": "d", "patient_id": "1", "view": "CC"},
    ]  # fmt: skip
    breasts = group_breasts(records)
    assert [(b.breast_id, b.views) for b in breasts] == [
        ("d/1/L", {"CC": [0], "MLO": [1]}), ("d/1/R", {"CC": [2]}), ("d/1/s/L", {"CC": [3]}), ("e/1/L", {"CC": [4]}),
    ]  # fmt: skip
    assert breast_id(records[3]) == "d/1/s/L"


def test_texts_are_unique_and_keep_their_rewordings():
    one = {"texts": ["a", "b"], "augmented_texts": ["A", "B"]}
    told = report_texts([one, {"texts": ["b", "c"], "augmented_texts": ["x", "C"]}])
    assert told[:2] == (["a", "b", "c"], list("ABC"))
    assert report_texts([one, {"texts": ["a", "d"]}])[:2] == (["a", "b", "d"], [])
    assert report_texts([{"report": "whole"}])[:2] == (["whole"], [])
    assert report_texts([{}])[:2] == ([], [])
    with pytest.raises(ValueError, match="i: 1 augmented_texts for 2 texts"):
        report_texts([{"image_id": "i", "texts": ["a", "b"], "augmented_texts": ["A"]}])


def test_images_without_a_report_are_left_out_unless_texts_are_made(make):
    images = make(["CC MLO", "CC MLO"])
    for record in images.data[:3]:
        del record["texts"]
    pairs = BreastPairs(images, training=False)
    assert [places(item) for item in pairs] == [(3, 3)]
    made = BreastPairs(images, texts=lambda records, rng: BreastTexts([r["view"] for r in records], []))
    assert len(made) == 2
    assert made[0]["texts"] == ["CC", "MLO"]


def test_made_texts_are_drawn_from_the_same_stream(make):
    def numbered(records, rng):
        return BreastTexts([str(rng.integers(10**9))] if rng else ["first"], [])

    pairs = BreastPairs(make(["CC MLO"] * 3), texts=numbered)
    first = [item["texts"] for item in pairs]
    assert first == [item["texts"] for item in pairs]
    assert len(set(map(tuple, first))) == 3
    pairs.start_epoch(1)
    assert first != [item["texts"] for item in pairs]
    assert BreastPairs(make(["CC MLO"]), texts=numbered, training=False)[0]["texts"] == ["first"]


def test_more_keys_of_both_images(make):
    item = BreastPairs(make(["CC MLO"]), keys=["image", "image_id"], training=False)[0]
    assert (item["image_id"], item["other_image_id"]) == ("0", "1")


def test_what_cannot_be_paired_is_refused(make):
    with pytest.raises(ValueError, match=r"none of 1 images can be paired; .*view CC or MLO, and a report"):
        BreastPairs(make(["ML"]))
    with pytest.raises(ValueError, match="keys must be a list of names"):
        BreastPairs(make(["CC"]), keys="image")
    with pytest.raises(IndexError, match="breast 1 of 1"):
        BreastPairs(make(["CC"]))[1]


def test_a_dataset_without_random_transforms_will_do():
    records = [{"dataset": "d", "patient_id": "1", "laterality": "L", "view": "CC", "report": "r", "image": 1}]
    images = SimpleNamespace(data=records, transform=None)
    assert len(BreastPairs(images)) == 1
