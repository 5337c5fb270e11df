import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mammo.pipeline.datasets.perceptual_hash import (
    BITS,
    THRESHOLD,
    hash_distance,
    hash_file,
    near_duplicates,
    perceptual_hash,
)
from mammo.pipeline.phantom import patient
from mammo.transforms.errors import MammogramError


@pytest.fixture(scope="module")
def views():
    """Both breasts of three patients, one film and two digital."""
    return [view.image for index in range(3) for view in patient(index, seed=0, preset="demo", views=("CC",))]


def mirrored(image):
    return np.ascontiguousarray(image[:, ::-1])


def distance(first, second):
    return int(hash_distance(perceptual_hash(first), perceptual_hash(second)))


def jpeg(image):
    coded = cv2.imencode(".jpg", np.rint(image * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return cv2.imdecode(coded, cv2.IMREAD_UNCHANGED).astype(np.float32) / 255


@pytest.mark.parametrize(
    "change",
    [
        jpeg,
        mirrored,
        lambda image: image**0.8,
        lambda image: image**1.25,
        lambda image: cv2.resize(image, None, fx=0.95, fy=0.95, interpolation=cv2.INTER_AREA),
        lambda image: cv2.resize(image, None, fx=1.05, fy=1.05),
        lambda image: 0.1 + 0.6 * image,
        lambda image: jpeg(mirrored(image) ** 0.8),
    ],
    ids=["jpeg", "mirrored", "gamma 0.8", "gamma 1.25", "smaller", "larger", "levels", "mirrored, gamma, jpeg"],
)
def test_a_copy_is_within_the_threshold(views, change):
    assert max(distance(image, change(image)) for image in views) <= THRESHOLD


def test_different_breasts_are_far_apart(views):
    hashes = np.array([perceptual_hash(image) for image in views])
    apart = hash_distance(hashes[:, None], hashes)[np.triu_indices(len(views), 1)]
    assert apart.min() > 2 * THRESHOLD  # those of one woman too


def test_encodings_of_one_picture_have_one_hash(views, tmp_path):
    image = views[0]
    cv2.imwrite(str(tmp_path / "8.png"), np.rint(image * 255).astype(np.uint8))
    cv2.imwrite(str(tmp_path / "16.png"), np.rint(image * 65535).astype(np.uint16))
    cv2.imwrite(str(tmp_path / "12in16.png"), np.rint(image * 4095).astype(np.uint16))
    cv2.imwrite(str(tmp_path / "75.jpg"), np.rint(image * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])
    hashes = [hash_file(tmp_path / name) for name in ("8.png", "16.png", "12in16.png", "75.jpg")]
    assert max(int(hash_distance(found, perceptual_hash(image))) for found in hashes) <= THRESHOLD // 2


def test_pictures_without_a_breast_and_of_a_few_pixels_have_a_hash_too():
    rng = np.random.default_rng(0)
    noise = rng.random((40, 30), dtype=np.float32)
    ramp = np.linspace(0, 1, 60, dtype=np.float32).reshape(12, 5)
    for image in (noise, ramp, np.ones((20, 20), np.float32), np.eye(64, dtype=np.float32)):
        code = perceptual_hash(image)
        assert code.shape == (4,)
        assert code.dtype == np.uint64
        assert hash_distance(code, perceptual_hash(image)) == 0


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(MammogramError, match=r"bad\.png"):
        hash_file(tmp_path / "bad.png")


def as_hashes(bits):
    return np.packbits(bits, axis=1).view(np.uint64)


def slow_distance(first, second):
    """Of two rows of bits: the odd half, the last 128, as it is or complemented."""
    half = BITS // 2
    even = int((first[:half] != second[:half]).sum())
    odd = int((first[half:] != second[half:]).sum())
    return even + min(odd, half - odd)


def test_distance_is_that_of_the_nearer_orientation():
    bits = np.random.default_rng(1).integers(0, 2, (12, BITS), dtype=np.uint8)
    bits[1] = bits[0]
    bits[1, BITS // 2 :] ^= 1
    hashes = as_hashes(bits)
    expected = [[slow_distance(a, b) for b in bits] for a in bits]
    np.testing.assert_array_equal(hash_distance(hashes[:, None], hashes), expected)
    assert hash_distance(hashes[0], hashes[1]) == 0


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([0, 1, 2, 3, 7, THRESHOLD, 63, 64]), st.booleans()
)
def test_the_search_finds_exactly_the_pairs_of_brute_force(seed, count, threshold, crowded):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (count, BITS), dtype=np.uint8)
    for index in range(1, count, 2):  # a copy that differs in some bits about the threshold, mirrored or not
        flipped = rng.permutation(BITS)[: rng.integers(max(0, threshold - 2), threshold + 3)]
        bits[index] = bits[rng.integers(index) if crowded else index - 1]
        bits[index, flipped] ^= 1
        bits[index, BITS // 2 :] ^= rng.integers(2, dtype=np.uint8)
    pairs, distances = near_duplicates(as_hashes(bits), threshold)
    expected = {
        (i, j): apart
        for i in range(count)
        for j in range(i + 1, count)
        if (apart := slow_distance(bits[i], bits[j])) <= threshold
    }
    assert dict(zip(map(tuple, pairs.tolist()), distances.tolist(), strict=True)) == expected
    assert pairs.tolist() == sorted(pairs.tolist())


def test_many_equal_hashes_are_all_paired():
    pairs, distances = near_duplicates(np.zeros((1100, 4), np.uint64), 1)  # more than are compared at a time
    assert len(pairs) == 1100 * 1099 // 2
    assert not distances.any()


def test_no_hash_and_one_hash_have_no_pair():
    for count in (0, 1):
        pairs, distances = near_duplicates(np.zeros((count, 4), np.uint64))
        assert pairs.shape == (0, 2)
        assert distances.shape == (0,)


@pytest.mark.parametrize("threshold", [-1, 65])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ValueError, match=f"from 0 to 64 of the 256 bits, got {threshold}"):
        near_duplicates(np.zeros((2, 4), np.uint64), threshold)


@pytest.mark.parametrize("hashes", [np.zeros((2, 3), np.uint64), np.zeros(4, np.uint64), np.zeros((2, 4))])
def test_what_are_no_hashes_is_refused(hashes):
    with pytest.raises(ValueError, match=r"hashes must be \(N, 4\) uint64"):
        near_duplicates(hashes)
