import pickle

import cv2
import numpy as np
import pytest
import torch
from mammo.transforms import CLAHE, CLAHEd
from monai.data import MetaTensor


def test_result_is_that_of_opencv_on_16_bits() -> None:
    image = torch.rand(2, 64, 48)
    expected = [
        cv2.createCLAHE(3.0, (8, 8)).apply(np.rint(channel * 65535).astype(np.uint16)) for channel in image.numpy()
    ]
    np.testing.assert_allclose(CLAHE()(image), np.stack(expected) / 65535, atol=1e-7)


def test_tiles_are_rows_then_columns() -> None:
    image = torch.rand(1, 64, 48)
    expected = cv2.createCLAHE(2.0, (3, 5)).apply(np.rint(image[0].numpy() * 65535).astype(np.uint16))
    np.testing.assert_allclose(CLAHE(2.0, tiles=(5, 3))(image)[0], expected / 65535, atol=1e-7)


def test_faint_contrast_grows() -> None:
    image = 0.5 + 0.01 * torch.rand(1, 64, 64)
    assert CLAHE()(image).std() > 2 * image.std()


def test_more_levels_than_8_bits_hold_survive() -> None:
    image = torch.linspace(0, 1, 128 * 128).reshape(1, 128, 128)
    assert len(CLAHE()(image).unique()) > 256


def test_geometry_is_kept_and_the_input_untouched() -> None:
    image = MetaTensor(torch.rand(1, 32, 32), affine=torch.diag(torch.tensor([2.0, 3, 1, 1])))
    before = image.clone()
    out = CLAHEd()({"image": image})["image"]
    assert torch.equal(out.affine, image.affine)
    assert torch.equal(image, before)


def test_transform_can_be_pickled_after_use() -> None:
    transform = CLAHEd()
    transform({"image": torch.rand(1, 32, 32)})
    assert pickle.loads(pickle.dumps(transform)).transform.clip_limit == 3.0


@pytest.mark.parametrize(("limit", "tiles"), [(0, (8, 8)), (3, (0, 8))])
def test_senseless_settings_are_refused(limit: float, tiles: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected a positive limit"):
        CLAHE(limit, tiles)
