import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mammo.transforms.resample import nearest_indices, resample


def of(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return resample(lambda first, last: image[first:last], image.shape, size)  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "size"), [((541, 300), (224, 124)), ((97, 401), (96, 3)), ((1000, 10), (7, 10))])
def test_shrinking_equals_opencv_area(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(of(image, size), expected, atol=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_constant_stays_constant(rows: int, columns: int, new_rows: int, new_columns: int) -> None:
    out = of(np.full((rows, columns), 0.37, np.float32), (new_rows, new_columns))
    assert out.shape == (new_rows, new_columns)
    np.testing.assert_allclose(out, 0.37, atol=1e-6)


@given(st.integers(1, 60), st.integers(1, 60))
def test_shrinking_keeps_the_mean(rows: int, new_rows: int) -> None:
    image = np.random.default_rng(0).random((rows, 5), dtype=np.float32)
    out = of(image, (min(rows, new_rows), 2))
    np.testing.assert_allclose(out.mean(), image.mean(), atol=1e-6)


@given(st.integers(1, 300), st.integers(1, 300))
def test_nearest_index_lies_under_the_centre(old: int, new: int) -> None:
    centres = (np.arange(new) + 0.5) * old / new
    indices = nearest_indices(old, new)
    assert ((indices <= centres) & (centres < indices + 1)).all()
