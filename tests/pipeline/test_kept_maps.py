"""Maps that are kept equal maps that are made at every step."""

import pytest
import torch
from mammo.networks import SwinEncoder
from mammo.networks.frozen_maps import FrozenMaps
from mammo.networks.losses import FActORLoss
from mammo.pipeline.image_text import whole_loss, with_attribute
from mammo.pipeline.kept_maps import KeptMaps, PrepareMaps


class Images(torch.utils.data.Dataset):
    def __init__(self, count: int) -> None:
        self.data = [{"image_id": str(n)} for n in range(count)]
        self.images = torch.rand(count, 2, 32, 64)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index):
        return {"image": self.images[index], "label": torch.tensor([index % 2]), **self.data[index]}


@pytest.mark.parametrize("on_disk", [False, True])
def test_kept_maps_are_those_of_each_step(on_disk, tmp_path):
    images, maps = Images(5), FrozenMaps(SwinEncoder(size="micro"), [1, 2])
    folder = tmp_path / "maps" if on_disk else None
    kept = KeptMaps(images, maps, batch_size=2, folder=folder, name="training")
    assert len(kept) == 5
    assert sorted(path.name for path in (folder.iterdir() if on_disk else [])) == ["training.npy"] * on_disk
    batch = {"image": images.images, "label": torch.zeros(5, 1)}
    at_once, _, (places,), _ = PrepareMaps(maps)(batch)
    stacked = {key: torch.stack([kept[n][key] for n in range(5)]) for key in ("features", "places", "label")}
    features, labels, (seen,), _ = PrepareMaps()(stacked)
    torch.testing.assert_close(features, at_once)
    assert torch.equal(seen, places)
    assert labels[:, 0].tolist() == [0, 1, 0, 1, 0]
    assert kept[3]["image_id"] == "3"


def test_the_loss_of_all_is_that_of_one_batch_whatever_ignite_made_of_one_column():
    scores, labels = torch.randn(6, 1), torch.tensor([1, 0, 0, 1, 0, 0])[:, None]
    compute = whole_loss(FActORLoss())
    assert compute(scores[:, 0], labels[:, 0]) == pytest.approx(float(FActORLoss()(scores, labels)))


def test_without_negatives_only_images_with_an_attribute_are_left():
    records = [{"label": label} for label in ([0, 0], [1, 0], [-1, 1], [0, -1])]
    assert with_attribute(records, negatives=True) == records
    assert with_attribute(records, negatives=False) == records[1:3]
    with pytest.raises(ValueError, match="none of 1 images has one of the attributes"):
        with_attribute(records[:1], negatives=True)


def test_maps_beyond_the_memory_are_refused_with_both_ways_out(monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 1)
    with pytest.raises(ValueError, match=r"--feature_cache.*--keep_maps false"):
        KeptMaps(Images(2), FrozenMaps(SwinEncoder(size="micro")))
