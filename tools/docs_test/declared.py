"""What a page needs before its commands run as printed, and what is declared of single commands: ``pages.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .blocks import Block, Command, insert_options

__all__ = ["Fixture", "Page", "Plan", "Planned", "load_plan", "plan_page"]

_OPTION = re.compile(r"(--\w+)((?:\s+\d[\d.]*(?:e-?\d+)?)+)(?=\s|$)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")


@dataclass(frozen=True)
class Fixture:
    """Made once by ``make``, a shell script that leaves the file or folder ``$OUT``; ``have`` as of a page."""

    make: str
    have: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A page's declarations.

    Attributes:
        have: fixtures copied into the page's fresh folder, by the path where they lie.
        checkout: names in the checkout that are linked into it.
        smaller: ``match`` with ``add`` (options) or ``numbers`` (texts that differ in smaller numbers only).
        given: ``match`` with ``code``, run before the command: names that a fragment takes from its reader.
        not_run: ``match`` with ``reason``.
    """

    have: Mapping[str, str] = field(default_factory=dict)
    checkout: Sequence[str] = ()
    smaller: Sequence[Mapping[str, Any]] = ()
    given: Sequence[Mapping[str, str]] = ()
    not_run: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class Plan:
    """All of ``pages.yaml``."""

    fixtures: Mapping[str, Fixture]
    pages: Mapping[str, Page]


@dataclass(frozen=True)
class Planned:
    """A command and what becomes of it: ``text`` is run, unless there is a ``reason`` not to."""

    command: Command
    language: str
    text: str
    reason: str = ""

    @property
    def smaller(self) -> bool:
        """Whether it runs otherwise than printed."""
        return not self.reason and self.text != self.command.text


def load_plan(path: Path) -> Plan:
    """Read the declarations.

    Raises:
        ValueError: for a key that is not known, a smaller command that would not be smaller, or no reason.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        fixtures = {name: Fixture(**given) for name, given in content["fixtures"].items()}
        pages = {name: Page(**(given or {})) for name, given in content["pages"].items()}
    except TypeError as error:
        raise ValueError(f"{path}: {error}; a page has have, checkout, smaller, given, not_run") from error
    for name, page in pages.items():
        _check(name, page, fixtures)
    return Plan(fixtures, pages)


def plan_page(page: Page, blocks: Sequence[Block]) -> list[Planned]:
    """What becomes of each command of a page, in order.

    Raises:
        ValueError: naming declarations that match no command: the page was changed.
    """
    used: set[int] = set()
    planned = [_plan(page, block.language, command, used) for block in blocks for command in block.commands]
    declared = [*page.smaller, *page.given, *page.not_run]
    if idle := [entry["match"] for entry in declared if id(entry) not in used]:
        raise ValueError(f"declared, but on the page nothing matches: {'; '.join(map(repr, idle))}")
    return planned


def _plan(page: Page, language: str, command: Command, used: set[int]) -> Planned:
    def matching(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        found = [entry for entry in entries if entry["match"] in command.text]
        used.update(map(id, found))
        return found

    if reasons := matching(page.not_run):
        return Planned(command, language, "", str(reasons[0]["reason"]))
    text = command.text
    for entry in matching(page.smaller):
        for old, new in entry.get("numbers", {}).items():
            if old not in text:
                raise ValueError(f"declared for {entry['match']!r}: {old!r} is not in line {command.line}")
            text = text.replace(old, new)
        if larger := _larger(command.text, entry.get("add", "")):
            raise ValueError(f"declared for {entry['match']!r}: {larger} is larger than line {command.line} has it")
        text = insert_options(text, entry["add"]) if "add" in entry else text
    for entry in matching(page.given):
        text = f"{entry['code'].rstrip()}\n{text}"
    return Planned(command, language, text)


def _check(name: str, page: Page, fixtures: Mapping[str, Fixture]) -> None:
    if unknown := [made for made in page.have.values() if made not in fixtures]:
        raise ValueError(f"{name}: no fixture {unknown[0]!r}; there are {', '.join(fixtures)}")
    for entry in page.not_run:
        if not str(entry.get("reason", "")).strip():
            raise ValueError(f"{name}: {entry['match']!r} is not run; say why (reason)")
    for change in page.smaller:
        if not change.get("add", "--").startswith("--"):
            raise ValueError(f"{name}: add is options, which begin with --, and not {change['add']!r}")
        for old, new in change.get("numbers", {}).items():
            if not _only_smaller(old, new):
                raise ValueError(f"{name}: {new!r} is not {old!r} with smaller numbers")


def _larger(command: str, added: str) -> str:
    """The first added option with more, or larger, numbers than the same option as printed; "" where there is none."""
    printed = _numbers(command)
    for name, values in _numbers(added).items():
        own = printed.get(name, values)
        if max(values) > max(own) or len(values) > len(own):
            return name
    return ""


def _numbers(text: str) -> dict[str, list[float]]:
    """Options that are followed by numbers alone, with these."""
    return {name: list(map(float, values.split())) for name, values in _OPTION.findall(text)}


def _only_smaller(old: str, new: str) -> bool:
    numbers = [tuple(map(float, _NUMBER.findall(text))) for text in (old, new)]
    same_words = _NUMBER.sub("#", old) == _NUMBER.sub("#", new)
    return same_words and all(after <= before for before, after in zip(*numbers, strict=True))
