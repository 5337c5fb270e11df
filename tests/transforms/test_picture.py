import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mammo.transforms.picture import Picture, ramp_end

STORED = np.random.default_rng(0).integers(0, 65536, (40, 30)).astype(np.uint16)
X = np.arange(65536)


@pytest.mark.parametrize("bits", range(8, 17))
def test_dividing_equals_looking_up_to_the_last_bit(bits: int) -> None:
    table = np.clip(X / ((1 << bits) - 1), 0, 1).astype(np.float32)
    end = ramp_end(table)
    assert end == (1 << bits) - 1
    looked_up, divided = (Picture(STORED, table, {}, e).pixels() for e in (None, end))
    np.testing.assert_array_equal(divided, looked_up)


@pytest.mark.parametrize(
    "table", [1 - X / 65535, (X / 65535) ** 2, np.clip((X - 5) / 4090, 0, 1), 0.5 * X / 65535, np.zeros(65536)]
)
def test_other_tables_are_looked_up(table: np.ndarray) -> None:
    assert ramp_end(table.astype(np.float32)) is None


@given(st.integers(0, 39), st.integers(0, 39), st.integers(0, 29), st.integers(0, 29), st.integers(1, 4), st.booleans())
def test_parts_are_parts_of_the_whole(top: int, bottom: int, left: int, right: int, step: int, mirrored: bool) -> None:
    picture = Picture(STORED, (X / 65535).astype(np.float32)[::-1].copy(), {})
    rows, columns = slice(min(top, bottom), max(top, bottom) + 1, step), slice(min(left, right), max(left, right) + 1)
    whole = picture.pixels()[:, ::-1] if mirrored else picture.pixels()
    np.testing.assert_array_equal(picture.rows(rows, columns, mirrored), whole[rows, columns])
