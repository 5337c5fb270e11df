"""Flips: the words follow the picture, twice is none, and what is not sure is refused."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mammo.pipeline.text import FINDINGS, AmbiguousSide, flip_words, sentences, speaks_of_sides

VIEWS = ["MLO", "ML", "LM", "CC", "XCCL"]
PIECES = [
    *("left", "RIGHT", "Upper", "lower", "INNER", "outer", "medial", "Lateral", "superior", "inferiorly", "anterior"),
    *("2 o'clock", "12 o'clock", "6:30 o'clock", "9-10 o'clock", "3:00 position", "11:30 to 1 O'CLOCK", "2 o ' clock"),
    *("RCC", "L-MLO", "rml", "R breast", "UOQ", "luiq", "LOQ", "superolateral", "Infero-medial", "anterosuperior"),
    *("mass,", "bilateral", "above its level", "below the nipple", "2.5 cm", "mediolateral oblique", "lateral view"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join)


@settings(deadline=None, max_examples=100)
@given(TEXTS, st.booleans(), st.booleans(), st.sampled_from(VIEWS))
def test_the_same_flip_twice_gives_the_text_back(text, horizontal, vertical, view):
    once = flip_words(text, horizontal, vertical, view=view)
    assert flip_words(once, horizontal, vertical, view=view) == text


@settings(deadline=None, max_examples=100)
@given(TEXTS, st.sampled_from(VIEWS))
def test_the_two_flips_do_not_depend_on_their_order(text, view):
    both = flip_words(text, True, True, view=view)
    one_by_one = [
        flip_words(flip_words(text, *first, view=view), *second, view=view)
        for first, second in (((True, False), (False, True)), ((False, True), (True, False)))
    ]
    assert one_by_one == [both, both]


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=st.sampled_from("lLrR euioqtfgh'12:0-."), max_size=30))
def test_any_text_is_flipped_back_or_refused(text):
    try:
        once = flip_words(text, True, True, view="MLO")
    except AmbiguousSide:
        assert speaks_of_sides(text)
    else:
        assert once == text or speaks_of_sides(text)
        assert flip_words(once, True, True, view="MLO") == text


@pytest.mark.parametrize(
    ("text", "flipped"),
    [
        ("Mass in the upper outer LEFT breast", "Mass in the upper outer RIGHT breast"),
        ("Right-sided; left/right", "Left-sided; right/left"),
        ("RCC, L MLO, r-cc, RUOQ, UOQ", "LCC, R MLO, l-cc, LUOQ, UOQ"),
        ("right breast, 10 o'clock", "left breast, 2 o'clock"),
        ("12 o'clock, 6 o'clock, 1:30 o'clock", "12 o'clock, 6 o'clock, 10:30 o'clock"),
        ("bilateral, brightness, cleft", "bilateral, brightness, cleft"),
    ],
)
def test_a_horizontal_flip_makes_the_other_breast_of_it(text, flipped):
    assert flip_words(text, True, False) == flipped


@pytest.mark.parametrize(
    ("view", "flipped"),
    [
        ("MLO", "left upper outer, 2 o'clock, UOQ, superolateral"),
        ("CC", "left lower inner, 8 o'clock, LIQ, inferomedial"),
    ],
)
def test_a_vertical_flip_exchanges_the_words_along_the_rows_of_its_view(view, flipped):
    assert flip_words("left lower outer, 4 o'clock, LOQ, inferolateral", False, True, view=view) == flipped


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_clock_and_quadrant_agree_after_every_flip(side, horizontal, view):
    # Seen from the front, the outer half of the left breast has the hours 1 to 5, of the right one 7 to 11.
    for hour in (1, 2, 4, 5, 7, 8, 10, 11):
        rows = "upper" if hour in (10, 11, 1, 2) else "lower"
        columns = "outer" if (hour < 6) == (side == "left") else "inner"
        text = flip_words(f"{side} {rows} {columns} {hour} o'clock", horizontal, True, view=view)
        new_side, new_rows, new_columns, new_hour, _ = text.split()
        assert (new_rows == "upper") == (int(new_hour) in (10, 11, 1, 2))
        assert (new_columns == "outer") == ((int(new_hour) < 6) == (new_side == "left"))


def test_what_is_said_of_the_rows_of_the_image_turns_in_every_view():
    text = "34 mm from the nipple and above its level in the image."
    for view in (*VIEWS, None):
        assert flip_words(text, False, True, view=view) == text.replace("above", "below")
    assert flip_words(text, True, False) == text


@pytest.mark.parametrize(
    "text",
    ["R. Lee", "clip left in place", "at 2:00", "at two o'clock", "at 02:30 o'clock", "lEFT breast", "the R"],
)
def test_a_horizontal_flip_refuses_what_need_not_be_a_side(text):
    assert speaks_of_sides(text)
    with pytest.raises(AmbiguousSide, match="leave the flip out"):
        flip_words(text, True, False)
    assert flip_words(text, False, False) == text


@pytest.mark.parametrize("text", ["upper breast", "outer half", "10 o'clock", "UOQ", "below the nipple", "lower outer"])
def test_a_vertical_flip_of_an_unknown_view_is_refused_where_the_text_names_a_place(text):
    with pytest.raises(AmbiguousSide):
        flip_words(text, False, True)


@pytest.mark.parametrize(("text", "view"), [("as described above", "CC"), ("lower than before", "MLO"), ("2:15", "CC")])
def test_a_vertical_flip_refuses_what_need_not_be_a_place(text, view):
    with pytest.raises(AmbiguousSide):
        flip_words(text, False, True, view=view)


def test_a_view_of_unknown_rows_is_refused():
    with pytest.raises(ValueError, match="'ID' show is not known"):
        flip_words("no mass", False, True, view="ID")


def test_sentences_without_a_side_stand_beside_any_flip():
    for name in FINDINGS:
        for line in sentences(name, present=False):
            assert not speaks_of_sides(line)
            assert flip_words(line, True, True) == line


def test_sentences_of_one_side_become_those_of_the_other():
    for name in FINDINGS:
        left, right = (set(sentences(name, present=False, laterality=side)) for side in "LR")
        assert {flip_words(line, True, False) for line in left} == right
    half = [
        line for line in sentences("skin_thickening", present=True, laterality="L") if re.search(r"upper|lower", line)
    ]
    assert {flip_words(line, False, True, view="MLO") for line in half} == set(half)
