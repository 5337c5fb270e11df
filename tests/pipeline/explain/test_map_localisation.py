"""From an image on disk to a box in its own pixels, and a quantile that validation alone decides."""

import cv2
import numpy as np
import pytest
import torch
from mammo.networks import FActOR, PositionMapper, attribute_embeddings
from mammo.networks.frozen_maps import FrozenMaps
from mammo.networks.losses import FActORLoss
from mammo.pipeline.explain.attribute_maps import FactorMethod
from mammo.pipeline.explain.map_localisation import (
    LocatedImage,
    MapsOfMethod,
    choose,
    found_boxes,
    original_boxes,
    record,
)
from mammo.pipeline.explain.sentence import _names, file_names
from mammo.pipeline.metrics.localisation import best_overlap
from mammo.transforms import PrepareMammogramd
from torch import nn
from torch.nn import functional as F

SIZE = (128, 64)


class Brightness(nn.Module):
    """An encoder whose maps are the mean brightness of places of 8 pixels, its square and a constant."""

    in_channels, out_channels, stride, map_strides = 1, 3, 8, (8,) * 5

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        mean = F.avg_pool2d(self.weight * x, 8)
        return [torch.cat([mean, mean**2, torch.ones_like(mean)], dim=1)] * 5


@pytest.fixture(scope="module")
def method() -> FactorMethod:
    """A mapper that learned, from labels of images alone, that images with a bright disc have the attribute."""
    torch.manual_seed(0)
    factor = FActOR(PositionMapper(3, 1, 4, hidden=8), attribute_embeddings([torch.randn(2, 4)]))
    maps = FrozenMaps(Brightness())
    optimizer = torch.optim.Adam(factor.parameters(), 0.02)
    for _ in range(60):
        images = 0.3 + 0.1 * torch.rand(16, 1, *SIZE)
        labels = torch.arange(16)[:, None] % 2
        for image, (label,) in zip(images, labels.tolist(), strict=True):
            row, column = (int(torch.randint(side - 20, ())) for side in SIZE)
            image[:, row : row + 16, column : column + 16] += 0.5 * label
        features, places = maps(torch.cat([images, torch.ones_like(images)], dim=1))
        optimizer.zero_grad()
        FActORLoss()(factor(features, places), labels).backward()
        optimizer.step()
    return FactorMethod(maps, factor)


@pytest.fixture
def located(tmp_path):
    """Prepare a breast with a lesion; ``side`` is that of the image it hangs on."""

    def prepare(side: str, split: str = "test"):
        rows, columns = np.mgrid[:400, :240]
        breast = ((rows - 200) / 170) ** 2 + (columns / 190) ** 2 < 1
        box = [110.0, 60.0, 150.0, 100.0]
        picture = 90.0 * breast
        picture[110:150, 60:100] = 230
        if side == "right":
            picture, box = picture[:, ::-1], [box[0], 240 - box[3], box[2], 240 - box[1]]
        path = tmp_path / f"{side}.png"
        cv2.imwrite(str(path), np.ascontiguousarray(picture).astype(np.uint8))
        item = PrepareMammogramd(spatial_size=SIZE)({"image": str(path)})
        known = {"dataset": "d", "image_id": side, "patient_id": side, "split": split}
        known["findings"] = [{"type": "mass", "box": box}]
        return item, LocatedImage.of(known, ["mass"], item["mask"][0].numpy(), item["to_original"].numpy()), box

    return prepare


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_box_lies_on_the_lesion_in_the_pixels_of_the_file(method, located, side):
    item, image, box = located(side)
    heat = method(torch.cat([item["image"], item["mask"]])[None].as_tensor())
    shown = MapsOfMethod(method.stride, [heat.maps[0].numpy()], [heat.scores[0].numpy()])
    boxes = found_boxes(image, shown, 0, 0, 0.97, limit=1)  # the lesion is 3 % of the breast
    (original,) = original_boxes(image.matrix, boxes)
    assert best_overlap([[*original, 1.0]], [box]) > 0.4
    mirrored = [box[0], 240 - box[3], box[2], 240 - box[1]]
    assert best_overlap([[*original, 1.0]], [mirrored]) == 0
    without = method(torch.cat([item["image"].clamp(max=0.4), item["mask"]])[None].as_tensor())
    assert heat.scores[0, 0] > without.scores[0, 0]


def test_overlap_on_the_grid_is_that_in_original_pixels(method, located):
    _, image, box = located("right")
    grid = np.array([[20.0, 10.0, 44.0, 40.0, 1.0]])
    (original,) = original_boxes(image.matrix, grid)
    assert best_overlap(grid, image.truth[0]) == pytest.approx(best_overlap([[*original, 1.0]], [box]), abs=1e-5)


def planted(split: str, side: int) -> tuple[LocatedImage, np.ndarray]:
    """A cone of heat at (32, 32) in a lesion of the given side."""
    rows, columns = np.mgrid[:64, :64]
    half = side / 2
    image = LocatedImage(
        known={"dataset": "d", "image_id": f"{split}{side}", "patient_id": f"{split}{side}", "split": split},
        size=(64, 64),
        breast=np.packbits(np.ones((64, 64), dtype=bool)),
        truth=[np.array([[32 - half, 32 - half, 32 + half, 32 + half]])],
        matrix=np.eye(3),
    )
    return image, (64 - np.hypot(rows - 31.5, columns - 31.5))[None].astype(np.float32)


def chosen(*cases: tuple[str, int]):
    images, heats = zip(*(planted(*case) for case in cases), strict=True)
    shown = MapsOfMethod(1, list(heats), [np.ones(1, dtype=np.float32)] * len(heats))
    choice = choose(images, [shown], 0, candidates=[0.5, 0.9, 0.99])
    return choice, record(images, [shown], {"mass": choice})


def test_the_quantile_follows_validation_and_never_test():
    small, large = 8, 44
    wide, narrow = chosen(("validation", large), ("test", small)), chosen(("validation", small), ("test", large))
    assert (wide[0].quantile, narrow[0].quantile) == (0.5, 0.99)
    assert wide[0] == chosen(("validation", large), ("test", large))[0]
    assert wide[1].images["image_id"].tolist() == ["test8"]
    assert wide[1].images["hit_25"].tolist() == narrow[1].images["hit_25"].tolist() == [0.0]
    assert chosen(("validation", small), ("test", small))[1].images["hit_25"].tolist() == [1.0]


def test_of_several_variants_the_best_on_validation_is_taken():
    image, heat = planted("validation", 8)
    wrong = MapsOfMethod(1, [np.roll(heat, 20, axis=2)], [np.ones(1)])
    right = MapsOfMethod(1, [heat], [np.ones(1)])
    assert choose([image], [wrong, right], 0, candidates=[0.99]).variant == 1


def test_without_a_box_on_validation_nothing_is_chosen():
    image, heat = planted("test", 8)
    with pytest.raises(ValueError, match="no validation image has a box"):
        choose([image], [MapsOfMethod(1, [heat], [np.ones(1)])], 0, candidates=[0.9])


def test_a_given_quantile_needs_no_validation():
    image, heat = planted("test", 8)
    choice = choose([image], [MapsOfMethod(1, [heat], [np.ones(1)])], 0, candidates=[0.5], fixed=0.99)
    assert (choice.quantile, choice.hit_rate) == (0.99, None)


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("A spiculated mass is seen.", ["mass"]),
        ("There are clustered calcifications.", ["calcification"]),
        ("masses and a calcification", ["mass", "calcification"]),
        ("nothing", []),
    ],
)
def test_a_sentence_names_its_findings(sentence, named):
    assert [name for name in ("mass", "calcification") if _names(sentence, name)] == named


def test_files_of_images_of_one_name_are_told_apart():
    assert list(file_names(["a/1-1.dcm", "b/1-1.dcm", "c d.png"]).values()) == ["1-1", "1-1_2", "c_d"]
