"""A Sphinx extension: pages written from the code when the site is built, so that they cannot be out of date.

A page asks for text by a line ``% generated: KIND ARGUMENTS``, such as ``% generated: bundle swin_mim``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .api_pages import api_page
from .bundle_pages import bundle_page
from .command_line_page import command_line_page
from .dataset_page import dataset_page

__all__ = ["REQUEST", "fill", "setup"]

REQUEST = re.compile(r"^% generated: (\w+) *(.*)$", re.MULTILINE)
KINDS: dict[str, Callable[..., str]] = {
    "api": api_page,
    "bundle": bundle_page,
    "command_line": command_line_page,
    "datasets": dataset_page,
}


def setup(app: Any) -> dict[str, Any]:
    """Fill in every page as it is read, and read those pages at every build."""
    app.connect("source-read", _fill)
    app.connect("env-get-outdated", _always_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def fill(text: str) -> str:
    """A page's text with what it asks for."""
    return REQUEST.sub(lambda found: KINDS[found[1]](*found[2].split()), text)


def _fill(app: Any, page: str, source: list[str]) -> None:
    source[0] = fill(source[0])


def _always_read(app: Any, env: Any, *changes: set[str]) -> list[str]:
    return [page for page in env.found_docs if REQUEST.search(env.doc2path(page).read_text(encoding="utf-8"))]
