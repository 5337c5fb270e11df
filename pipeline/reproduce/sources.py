"""Where a user gets a dataset or released weights, and what to say where they are not there."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from .catalogue import HOME

__all__ = ["Source", "dataset_source", "weights_source"]


@dataclass(frozen=True)
class Source:
    """Something that a user downloads.

    Attributes:
        title: for people.
        home: where it is offered.
        terms: licence, and what a user must do before.
        layout: how it must lie in its folder.
        files: of weights, the names that they may have.
    """

    title: str
    home: str
    terms: str
    layout: str = ""
    files: Sequence[str] = ()

    def missing(self, reason: str) -> str:
        """The error for a user: what is missing and why, and how to get it."""
        return f"{self.title} is needed: {reason}\n{self.offered}"

    @property
    def offered(self) -> str:
        """Where it is offered, on what terms, and how it must lie."""
        expected = " ".join(self.layout.split()) or " or ".join(self.files)
        told = {"get it": " ".join(self.home.split()), "terms": self.terms, "expected": expected}
        return "\n".join(
            textwrap.fill(
                text,
                110,
                initial_indent=f"  {f'{name}:':<10}",
                subsequent_indent=" " * 12,
                break_long_words=False,  # addresses and paths stay whole
                break_on_hyphens=False,
            )
            for name, text in told.items()
        )


def dataset_source(name: str) -> Source:
    """Where a dataset is offered, by the name of its adapter; an adapter that is not listed speaks for itself."""
    known = _read()["datasets"]
    return Source(**known[name]) if name in known else Source(name, "its publisher", "its own", "see docs/data.md")


def weights_source(name: str) -> Source:
    """Where weights are offered.

    Raises:
        ValueError: for a name that ``sources.yaml`` has not.
    """
    known = _read()["weights"]
    if name not in known:
        raise ValueError(f"unknown weights {name!r} in a row; there are {', '.join(known)}")
    return Source(**known[name])


@lru_cache(maxsize=1)
def _read() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((HOME / "sources.yaml").read_text(encoding="utf-8"))
    return content
