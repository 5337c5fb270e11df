"""The command line as Markdown, from argparse's own parsers."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mammo.pipeline import cli, published

__all__ = ["command_line_page", "verb_parsers"]

WIDTH = "90"


def command_line_page() -> str:
    """A section for each verb with its help, and one for the papers' command line."""
    with _width(WIDTH):
        parser = cli.build_parser()
        parts = ["## mammo", _block(parser.format_help())]
        parts += [f"## {name}\n\n{_block(verb.format_help())}" for name, verb in verb_parsers(parser)]
        parts += ["## The papers' command line", _block(published.build_parser().format_help())]
    return "\n\n".join(parts)


def verb_parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every verb below a parser with its whole name, such as ``mammo study ablation``."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in dict.fromkeys(action.choices.values()):
                yield verb.prog, verb
                yield from verb_parsers(verb)


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


@contextmanager
def _width(columns: str) -> Iterator[None]:
    """Help as wide and plain as a page wants it: argparse asks the environment for ``COLUMNS`` and ``NO_COLOR``."""
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ.update(COLUMNS=columns, NO_COLOR="1")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
