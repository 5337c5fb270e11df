"""Dates keep their distances, ages lose what identifies."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mammo.pipeline.deidentify.dates import age_at, age_in_years, capped_age, parse_date, shift_date

DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 31))


@given(DAYS, DAYS, st.integers(1, 3650))
def test_distances_between_dates_are_kept(first: date, second: date, days: int) -> None:
    moved = [date.fromisoformat(shift_date(day.strftime("%Y%m%d"), days)) for day in (first, second)]
    assert moved[1] - moved[0] == second - first
    assert first - moved[0] == timedelta(days=days)


@pytest.mark.parametrize("text", ["20200301", "2020.03.01", " 20200301", "20200301101112.123456+0100"])
def test_forms_of_a_day_are_understood_and_times_dropped(text: str) -> None:
    assert shift_date(text, 1) == "20200229"


@pytest.mark.parametrize("text", ["", "2020", "20201301", "20200230", "18500101", "99990101", "DOE20200301", "1e100"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several messages, none of which may quote the text
        parse_date(text)


@pytest.mark.parametrize(("text", "years"), [("054Y", 54), ("018M", 1), ("104W", 1), ("105W", 2), ("010D", 0)])
def test_ages_become_whole_years(text: str, years: int) -> None:
    assert age_in_years(text) == years


@pytest.mark.parametrize("text", ["54", "54Y", "054X", "Y054", "054Y Doe"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an age"):
        age_in_years(text)


@pytest.mark.parametrize(("years", "text"), [(0, "000Y"), (89, "089Y"), (90, "090Y"), (91, "090Y"), (112, "090Y")])
def test_everyone_over_89_is_90(years: int, text: str) -> None:
    assert capped_age(years) == text


def test_age_is_completed_years() -> None:
    assert age_at(date(2020, 3, 1), date(1950, 3, 1)) == 70
    assert age_at(date(2020, 2, 29), date(1950, 3, 1)) == 69
    with pytest.raises(ValueError, match="born after"):
        age_at(date(1949, 1, 1), date(1950, 1, 1))
