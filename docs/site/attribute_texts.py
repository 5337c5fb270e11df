"""A Sphinx extension: a colon in the text of a constant is a colon.

Napoleon takes what stands before the first colon of a constant's or an attribute's text for its type; our types are
annotations.
"""

from __future__ import annotations

from typing import Any

__all__ = ["setup"]

BEFORE_NAPOLEON, AFTER_NAPOLEON = 400, 600


def setup(app: Any) -> dict[str, Any]:
    """Keep each text before Napoleon sees it, and put it back."""
    kept: dict[str, list[str]] = {}

    def keep(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
        kept[name] = list(lines)

    def restore(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
        if what in ("attribute", "data", "property"):
            lines[:] = kept[name]

    app.connect("autodoc-process-docstring", keep, priority=BEFORE_NAPOLEON)
    app.connect("autodoc-process-docstring", restore, priority=AFTER_NAPOLEON)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
