import cv2
import numpy as np
import pytest
from mammo.pipeline.datasets.crop_registration import find_crop, register_box


def texture(shape, seed=0):
    """Smooth tissue with fine grain, as float32."""
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.random(shape, dtype=np.float32), (0, 0), 6)
    fine = cv2.GaussianBlur(rng.random(shape, dtype=np.float32), (0, 0), 1.2)
    return (1000 * smooth / smooth.std() + 200 * fine / fine.std()).astype(np.float32)


@pytest.mark.parametrize("shape", [(400, 300), (2300, 1700)])  # the larger one is searched on a reduced copy
@pytest.mark.parametrize("corner", [(0, 0), (37, 101), "end"])
def test_crop_is_found_at_its_pixel_whatever_its_contrast(shape, corner):
    image = texture(shape)
    height, width = 91, 67
    row, column = (shape[0] - height, shape[1] - width) if corner == "end" else corner
    crop = 5000 - 3 * image[row : row + height, column : column + width]
    found = find_crop(image, -crop)
    assert (found.row, found.column, found.shape) == (row, column, (height, width))
    assert found.correlation == pytest.approx(1, abs=1e-4)


def test_correlation_is_pearsons():
    image = texture((200, 150))
    crop = image[50:90, 40:80] + texture((40, 40), seed=5) / 4
    found = find_crop(image, crop)
    place = image[found.row : found.row + 40, found.column : found.column + 40]
    assert found.correlation == pytest.approx(np.corrcoef(place.ravel(), crop.ravel())[0, 1], abs=1e-6)


def test_flat_ground_is_no_match():
    image = np.zeros((300, 300), np.float32)
    image[200:, :] = texture((100, 300))
    assert find_crop(image, image[230:270, 100:150])[:2] == (230, 100)


def test_crop_of_the_image_places_a_mask_that_had_a_border():
    image = texture((600, 450))
    # The mask was drawn on a film scan with 12 more rows above and 6 more columns at the left.
    box, reason = register_box(image, image[300:350, 200:260], [312, 206, 362, 266], (620, 460))
    assert reason == ""
    assert box == [300, 200, 350, 260]


def test_mask_of_another_scale_is_placed_with_a_crop_of_its_own_scale():
    small = texture((500, 400))
    image = cv2.resize(small, (460, 575), interpolation=cv2.INTER_CUBIC)
    box, _ = register_box(image, small[200:260, 100:180], [200, 100, 260, 180], (500, 400))
    assert box == pytest.approx([200 * 1.15, 100 * 1.15, 260 * 1.15, 180 * 1.15], abs=2)


def test_crop_wider_than_the_finding_keeps_the_findings_size():
    image = texture((600, 450))
    box, _ = register_box(image, image[280:380, 180:280], [310, 206, 370, 266], (620, 460))
    assert box == [300, 200, 360, 260]  # the crop's centre is (330, 230)


@pytest.mark.parametrize(
    ("crop", "box", "words"),
    [
        (texture((60, 60), seed=9), [300, 200, 360, 260], "not found in the image: correlation 0."),
        (texture((900, 60)), [300, 200, 360, 260], "larger than the image"),
        (texture((600, 450))[10:70, 20:80], [500, 300, 560, 360], "far from the mask's place"),
    ],
)
def test_crop_that_does_not_place_the_mask_gives_a_reason(crop, box, words):
    found, reason = register_box(texture((600, 450)), crop, box, (620, 460))
    assert found is None
    assert words in reason
