"""Boxes through the whole chain and back, on breasts of random shape and side."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mammo.transforms import (
    BreastMaskd,
    ChestWallLeftd,
    CropToBreastd,
    RecordGeometryd,
    ResizeMammogramd,
    to_grid_box,
    to_original_box,
)
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

Breast = Callable[..., tuple[np.ndarray, np.ndarray]]


def chain(size: tuple[int, int], mode: str) -> Compose:
    steps = [ChestWallLeftd(), BreastMaskd(), CropToBreastd(), ResizeMammogramd(spatial_size=size, mode=mode)]
    return Compose([*steps, RecordGeometryd()])


def loaded(image: np.ndarray, spacing_mm: tuple[float, float] = (0.1, 0.07)) -> MetaTensor:
    affine = torch.diag(torch.tensor([*spacing_mm, 1, 1], dtype=torch.float64))
    return MetaTensor(torch.from_numpy(image)[None], affine=affine, meta={"original_affine": affine.numpy()})


cases = given(
    rows=st.integers(60, 300),
    columns=st.integers(60, 300),
    side=st.sampled_from(["left", "right"]),
    mode=st.sampled_from(["pad", "stretch"]),
    data=st.data(),
)
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@cases
def test_box_returns_to_where_it_was(
    breast: Breast, rows: int, columns: int, side: str, mode: str, data: st.DataObject
) -> None:
    d = chain((128, 96), mode)({"image": loaded(breast((rows, columns), side)[0])})
    top, left = data.draw(st.integers(0, rows - 2)), data.draw(st.integers(0, columns - 2))
    box = (top, left, data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, columns)))
    back = to_original_box(to_grid_box(box, d["to_original"]), d["to_original"])
    np.testing.assert_allclose(back, box, atol=1e-3)


@quick
@cases
def test_spot_is_found_where_the_matrix_says(
    breast: Breast, rows: int, columns: int, side: str, mode: str, data: st.DataObject
) -> None:
    image, truth = breast((rows, columns), side)
    row, column = (int(v) for v in np.argwhere(truth)[data.draw(st.integers(0, int(truth.sum()) - 1))])
    steps = chain((512, 512), mode)
    d = steps({"image": loaded(image)})
    top, left, bottom, right = (round(v) for v in to_grid_box((row, column, row + 1, column + 1), d["to_original"]))
    assume(min(top, left) >= 0 and max(bottom, right) <= 512)  # the crop may miss the outermost pixel of a noisy rim
    d["found"] = MetaTensor(torch.zeros(1, 512, 512))
    d["found"][0, top : max(bottom, top + 1), left : max(right, left + 1)] = 1
    found = Invertd(keys="found", transform=steps, orig_keys="image")(d)["found"]
    assert found.shape == (1, rows, columns)
    assert found[0, row, column] == 1
    assert found.sum() <= 9


@pytest.mark.parametrize("side", ["left", "right"])
def test_mask_returns_to_the_original_grid(breast: Breast, side: str) -> None:
    image, truth = breast((300, 200), side)
    steps = chain((512, 512), "pad")
    d: dict[str, Any] = steps({"image": loaded(image)})
    d["found"] = d["mask"].clone()
    found = Invertd(keys="found", transform=steps, orig_keys="image")(d)["found"][0].numpy() > 0
    assert found.shape == truth.shape
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97


def test_spacing_does_not_enter_the_matrix(breast: Breast) -> None:
    image = breast()[0]
    matrices = [chain((64, 64), "pad")({"image": loaded(image, mm)})["to_original"] for mm in ((1, 1), (0.05, 0.09))]
    torch.testing.assert_close(*matrices)
    assert (matrices[0].dtype, matrices[0].shape) == (torch.float32, (3, 3))


def test_half_open_edges_map_to_edges() -> None:
    matrix = torch.tensor([[2.0, 0, 0.5], [0, -2, 98.5], [0, 0, 1]])  # halved, and mirrored in 100 columns
    assert to_original_box((0, 0, 10, 50), matrix) == (0, 0, 20, 100)
    assert to_original_box((1, 0, 2, 1), matrix) == (2, 98, 4, 100)


def test_image_without_affines_is_refused() -> None:
    with pytest.raises(ValueError, match="read it with LoadMammogramd"):
        RecordGeometryd()({"image": torch.zeros(1, 4, 4)})
