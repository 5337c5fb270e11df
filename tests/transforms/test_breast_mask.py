"""The mask on breasts in miniature, of which the truth is known, and its verdict on what is none."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from mammo.transforms import BreastMask, BreastMaskd, MaskQuality
from monai.data import MetaTensor

Breast = Callable[..., tuple[np.ndarray, np.ndarray]]


def dice(mask: torch.Tensor, truth: np.ndarray) -> float:
    found = np.asarray(mask[0]) > 0
    return 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())


def segment(image: np.ndarray) -> tuple[torch.Tensor, MaskQuality]:
    return BreastMask()(image[None].astype(np.float32))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("shape", [(64, 48), (400, 300), (1301, 997)])
def test_breast_is_found(breast: Breast, shape: tuple[int, int], side: str) -> None:
    image, truth = breast(shape, side)
    mask, quality = segment(image)
    assert quality == MaskQuality.OK
    assert dice(mask, truth) > 0.95


@pytest.mark.parametrize("noise", [0, 0.01, 0.05])
@pytest.mark.parametrize("air", [0, 0.05, 0.15])
def test_fog_and_noise_do_not_matter(breast: Breast, air: float, noise: float) -> None:
    image, truth = breast(air=air, noise=noise)
    mask, quality = segment(image)
    assert quality == MaskQuality.OK
    assert dice(mask, truth) > 0.95


def test_burned_in_label_is_left_out(breast: Breast) -> None:
    image, truth = breast()
    for column in range(195, 285, 18):
        cv2.line(image, (column, 30), (column + 8, 70), 1.0, 4)
    cv2.rectangle(image, (180, 20), (295, 80), 1.0, 3)
    mask, _ = segment(image)
    assert dice(mask, truth) > 0.95
    assert mask[0, 10:90, 175:].sum() == 0


def test_film_border_is_left_out(breast: Breast) -> None:
    image, truth = breast()
    image[:6], image[-6:], image[:, -6:] = 0.95, 0.95, 0.95
    mask, quality = segment(image)
    assert quality == MaskQuality.OK
    assert dice(mask, truth) > 0.95
    assert mask[0, :, -20:].sum() == 0


@pytest.mark.parametrize("fog", [0.03, 0.05, 0.08])
def test_film_fog_before_black_padding_is_left_out(breast: Breast, fog: float) -> None:
    # The film ends shortly beside the breast; what lies beyond is black, so that fog stands out from it as skin does.
    image, truth = breast(air=0)
    image = np.maximum(0.5 * cv2.GaussianBlur(image, (0, 0), 6), fog)
    image[:, 235:] = 0
    image, truth = (np.pad(part, ((0, 0), (0, 120))) for part in (image, truth))
    mask, quality = segment(image)
    assert quality == MaskQuality.OK
    assert dice(mask, truth) > 0.95
    assert mask[0, :, 228:].sum() == 0


@pytest.mark.parametrize("width", [4, 16, 32])
@pytest.mark.parametrize("level", [1.0, 0.5])
def test_frame_around_the_film_is_left_out(breast: Breast, level: float, width: int) -> None:
    image, truth = (np.pad(part, ((width, width), (width, width))) for part in breast())
    frame = np.pad(np.zeros((400, 300)), width, constant_values=1) > 0
    image[frame] = level
    mask, quality = segment(np.pad(image, 20))  # and black around it
    assert quality == MaskQuality.OK
    assert dice(mask, np.pad(truth, 20)) > 0.95
    assert mask[0].numpy()[np.pad(frame, 20)].mean() < 0.02


def test_tape_beside_the_breast_is_left_out(breast: Breast) -> None:
    image, truth = breast()
    image[140:280, 250:275] = 0.3  # as bright as fat
    mask, quality = segment(image)
    assert quality == MaskQuality.OK
    assert dice(mask, truth) > 0.95
    assert mask[0, :, 245:].sum() == 0


@pytest.mark.parametrize("air", [0.0, 0.05])
def test_implant_does_not_hide_the_rest_of_the_breast(breast: Breast, air: float) -> None:
    image, truth = breast(air=air)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    disc = 1 / (1 + np.exp(np.hypot(rows - 200, columns - 80) - 75))
    image = image / 3 * (1 - disc) + disc
    mask, quality = segment(image)
    assert quality == MaskQuality.OK
    assert dice(mask, truth) > 0.95


def test_saturated_rim_does_not_hide_a_dark_centre(breast: Breast) -> None:
    image, truth = breast(air=0, noise=0)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    centre = ((rows - 200) / 120) ** 2 + (columns / 150) ** 2 < 1
    image = np.where(truth, np.where(centre, 0.12 * image, 1.0), 0)
    mask, _ = segment(image)
    assert dice(mask, truth) > 0.95


def test_stub_beyond_the_wall_does_not_hide_the_wall(breast: Breast) -> None:
    image, _ = (np.pad(part, ((0, 0), (60, 0))) for part in breast())
    image[170:230, 50:60] = 0.5
    assert segment(image)[1] == MaskQuality.OK


def test_padding_beside_the_film_is_left_out(breast: Breast) -> None:
    image, truth = (np.pad(part, ((0, 0), (120, 80))) for part in breast())
    mask, quality = segment(image)
    assert quality == MaskQuality.OK
    assert dice(mask, truth) > 0.95


def test_holes_are_filled(breast: Breast) -> None:
    image, _ = breast(noise=0)
    image[180:220, 60:100] = 0
    assert segment(image)[0][0, 180:220, 60:100].min() == 1


def test_brightness_scale_does_not_matter(breast: Breast) -> None:
    image, _ = breast()
    assert torch.equal(segment(image)[0], segment(image / 16)[0])


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_blank_frame_is_not_ok(value: float) -> None:
    assert segment(np.full((200, 150), value))[1] != MaskQuality.OK


def test_noise_alone_is_not_ok() -> None:
    assert segment(np.random.default_rng(0).random((300, 200)))[1] != MaskQuality.OK


def test_frame_full_of_tissue_says_so() -> None:
    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((300, 200)), (0, 0), 20)
    image = 0.6 + 3 * (smooth - smooth.mean())
    assert segment(image)[1] in (MaskQuality.FULL_FRAME, MaskQuality.CUT_OFF, MaskQuality.NO_CHEST_WALL_EDGE)


def test_two_breasts_side_by_side_say_so(breast: Breast) -> None:
    image = np.hstack([breast(side="left")[0], breast(side="right")[0]])
    assert segment(image)[1] == MaskQuality.TWO_BREASTS


def test_two_breasts_back_to_back_are_not_ok(breast: Breast) -> None:
    image = np.hstack([breast(side="right")[0], breast(side="left")[0]])
    assert segment(image)[1] != MaskQuality.OK


def test_disc_without_chest_wall_says_so() -> None:
    rows, columns = np.mgrid[:300, :300]
    image = 0.7 * np.exp(-((((rows - 150) ** 2 + (columns - 150) ** 2) / 90**2) ** 2))
    assert segment(image)[1] == MaskQuality.NO_CHEST_WALL_EDGE


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (300, 7), (5, 5)])
@pytest.mark.parametrize("option", ["keep", "exclude"])
def test_odd_frames_have_a_mask_of_their_shape(shape: tuple[int, int], option: str) -> None:
    image = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    assert BreastMask(option)(image)[0].shape == image.shape


def test_mask_is_binary_and_of_full_size(breast: Breast) -> None:
    mask, _ = segment(breast((1301, 997))[0])
    assert (mask.shape, mask.dtype) == ((1, 1301, 997), torch.float32)
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_empty_mask_is_all_zero() -> None:
    mask, quality = segment(np.zeros((200, 150)))
    assert quality == MaskQuality.EMPTY
    assert mask.sum() == 0


def test_mask_keeps_the_geometry_of_its_image(breast: Breast) -> None:
    image = MetaTensor(torch.from_numpy(breast()[0])[None], affine=torch.diag(torch.tensor([0.1, 0.2, 1, 1])))
    d = BreastMaskd()({"image": image})
    assert torch.equal(d["mask"].affine, image.affine)
    assert d["mask_quality"] == "ok"
    assert type(d["mask_quality"]) is str


def test_metadata_do_not_change_the_mask(breast: Breast) -> None:
    image = torch.from_numpy(breast()[0])[None]
    tagged = MetaTensor(image, meta={"implant": "YES", "view": "CC", "patient_orientation": "P\\L"})
    assert torch.equal(BreastMask()(tagged)[0].as_tensor(), BreastMask()(image)[0].as_tensor())


def test_several_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(1, rows, columns\)"):
        BreastMask()(torch.zeros(2, 9, 9))
