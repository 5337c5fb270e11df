"""The command line as Markdown, from argparse's own parsers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mammo.pipeline import cli, published
from mammo.pipeline.completion import verb_parsers

__all__ = ["command_line_page"]

WIDTH = "90"


def command_line_page() -> str:
    """A section for each verb with its help, and one for the papers' command line."""
    with _width(WIDTH):
        parser = cli.build_parser()
        parts = ["## mammo", _block(parser.format_help())]
        parts += [f"## {name}\n\n{_block(verb.format_help())}" for name, verb in verb_parsers(parser)]
        parts += ["## The papers' command line", _block(published.build_parser().format_help())]
    return "\n\n".join(parts)


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
