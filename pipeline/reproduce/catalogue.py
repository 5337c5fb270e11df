"""The rows that come with the package, and a user's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from .row import Row, read_row

__all__ = ["HOME", "find_row", "load_rows", "read_rows"]

HOME = Path(__file__).parent
"""Folder of ``rows``, ``splits`` and ``sources.yaml``."""


def load_rows() -> list[Row]:
    """The rows of the package, in the order of their files."""
    return [row for path in sorted((HOME / "rows").glob("*.yaml")) for row in read_rows(path)]


def find_row(name: str) -> Row:
    """A row by its id, or by the path of a file that holds it alone.

    Raises:
        ValueError: for an unknown id, with the nearest ones; or a file of several rows.
    """
    if name.endswith((".yaml", ".yml", ".json")):
        rows = read_rows(Path(name))
        if len(rows) != 1:
            raise ValueError(f"{name} holds {len(rows)} rows; a file that is named itself holds one")
        return rows[0]
    rows = load_rows()
    for row in rows:
        if row.id == name:
            return row
    near = difflib.get_close_matches(name, [row.id for row in rows], n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ValueError(
        f"unknown row {name!r}; {hint}`mammo reproduce --list` shows all; a file of your own ends in .yaml"
    )


def read_rows(path: Path) -> list[Row]:
    """The rows of one file: a row, or ``common`` and ``rows``.

    Keys of a row replace those of ``common``, but ``paper`` and ``options`` are merged and ``differs`` are added.
    ``change`` holds options by stage, merged into those of its step.

    Raises:
        ValueError: naming the file, for what is no row.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as a row ({' '.join(str(error).split())})") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected a row, or common and rows, got {type(content).__name__}")
    own = content.get("rows", [content])
    return [_row(one, content.get("common", {}), path) for one in own]


def _row(own: Mapping[str, Any], common: Mapping[str, Any], path: Path) -> Row:
    where = f"{path.name}: {own.get('id', 'a row without id')}"
    content: dict[str, Any] = {**common, **own}
    for key in ("paper", "options"):
        if key in common and key in own:
            content[key] = {**common[key], **own[key]}
    content["differs"] = [*common.get("differs", ()), *own.get("differs", ())]
    content["steps"] = list(_changed(content.get("steps", ()), content.pop("change", {}), where))
    return read_row(content, path.parent, where)


def _changed(
    steps: list[Mapping[str, Any]], changes: Mapping[str, Mapping[str, Any]], where: str
) -> Iterator[Mapping[str, Any]]:
    names = [step.get("stage") for step in steps]
    unknown = [name for name in changes if name not in names]
    if unknown:
        raise ValueError(f"{where}: change names {unknown[0]!r}, which is no step of it")
    for step in steps:
        yield {**step, "options": {**step.get("options", {}), **changes.get(step["stage"], {})}}
