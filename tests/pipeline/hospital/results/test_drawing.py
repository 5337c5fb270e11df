"""Heat over grey, boxes, and text that fits."""

import numpy as np
import pytest
from mammo.pipeline.hospital.results.drawing import (
    BOX,
    COLD,
    _font,
    _wrapped,
    boxed,
    captioned,
    heated,
    labelled,
    page_of_text,
)


@pytest.fixture
def image():
    return np.linspace(0, 1, 120 * 80, dtype=np.float32).reshape(120, 80)


def test_what_is_cold_stays_grey_and_as_bright(image):
    drawn = heated(image, np.full_like(image, COLD))
    assert np.ptp(drawn.astype(int), axis=2).max() == 0
    np.testing.assert_array_equal(drawn[..., 0], np.round(image * 255))


def test_what_is_hot_is_coloured_and_the_image_shows_through(image):
    drawn = heated(image, np.ones_like(image)).astype(int)
    assert np.ptp(drawn, axis=2).min() > 60
    assert (drawn.sum(axis=2)[-1] - drawn.sum(axis=2)[0]).min() > 300


def test_a_map_with_gaps_is_drawn(image):
    heat = np.full_like(image, np.nan)
    np.testing.assert_array_equal(heated(image, heat), heated(image, np.zeros_like(image)))


def test_an_outline_lies_around_its_box_and_leaves_the_inside_alone(image):
    plain = heated(image, np.zeros_like(image))
    drawn = boxed(plain, [(20, 10, 60, 40)], 1.0)
    np.testing.assert_array_equal(drawn[20:60, 10:40], plain[20:60, 10:40])
    assert (drawn[19, 10:40] == BOX).all()
    assert (drawn[60, 10:40] == BOX).all()
    assert (drawn[20:60, 9] == BOX).all()
    assert (drawn[20:60, 40] == BOX).all()


def test_a_label_finds_room_at_any_edge(image):
    plain = heated(image, np.zeros_like(image))
    for box in ((0, 0, 20, 20), (0, 70, 20, 80), (100, 70, 120, 80), (0, 0, 120, 80)):
        assert (labelled(plain, [box], ["12"], 1.0) != plain).any()


def test_a_caption_leaves_the_picture_alone(image):
    plain = heated(image, np.zeros_like(image))
    drawn = captioned(plain, ["AI - research use only", "a line that is much too long for eighty pixels"])
    np.testing.assert_array_equal(drawn[:120], plain)
    assert drawn.shape[1] == 80
    assert drawn[120:].any()


def test_lines_are_wrapped_and_words_that_are_too_long_are_cut():
    font = _font(20)
    for line in ("a few words that take more than one row", "W" * 200, "short", "", "x " + "y" * 90 + " z"):
        rows = _wrapped(line, font, 150)
        assert all(font.getlength(row) <= 150 for row in rows)
        assert "".join(rows).replace(" ", "") == line.replace(" ", "")


def test_a_page_grows_with_its_text():
    few, many = page_of_text(["a"]), page_of_text(["a line"] * 200)
    assert few.shape == (768, 1024, 3)
    assert many.shape[0] > 4000
