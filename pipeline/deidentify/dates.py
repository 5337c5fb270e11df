"""Dates moved by the same number of days, and ages without the birth date behind them."""

from __future__ import annotations

import re
from datetime import date, timedelta

__all__ = ["OLDEST_AGE", "age_at", "age_in_years", "capped_age", "parse_date", "shift_date"]

OLDEST_AGE = 90
"""Ages over 89 become this one: 45 CFR 164.514(b)(2)(i)(C) has them as one group "90 or older"."""

_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_AGE = re.compile(r"(\d{3})([DWMY])")
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1}


def parse_date(text: str) -> date:
    """A date from DA (also in the form ``YYYY.MM.DD`` of ACR-NEMA), or the first part of DT.

    Raises:
        ValueError: for text that is not a day, or a year that no mammogram has.
    """
    match = _DATE.match(text.strip())
    if not match:
        raise ValueError("not a date")
    day = date(*(int(part) for part in match.groups()))
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"the year is not one from {_FIRST_YEAR} to {_LAST_YEAR}")
    return day


def shift_date(text: str, days: int) -> str:
    """The day ``days`` earlier, as ``YYYYMMDD``; a time of day behind it is dropped.

    Raises:
        ValueError: as :func:`parse_date`.
    """
    return (parse_date(text) - timedelta(days=days)).strftime("%Y%m%d")


def age_in_years(text: str) -> int:
    """Whole years of an AS value such as ``054Y`` or ``018M``.

    Raises:
        ValueError: for any other text.
    """
    match = _AGE.fullmatch(text.strip())
    if not match:
        raise ValueError("not an age")
    return int(int(match[1]) / _PER_YEAR[match[2]])


def age_at(day: date, birth: date) -> int:
    """Completed years on ``day``.

    Raises:
        ValueError: if ``birth`` is later.
    """
    if birth > day:
        raise ValueError("born after the examination")
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def capped_age(years: int) -> str:
    """Patient's Age (0010,1010) in years, 90 for everyone over 89."""
    return f"{min(years, OLDEST_AGE):03d}Y"
