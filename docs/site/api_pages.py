"""The API reference as Markdown: what each package exports, then its modules one by one, from the docstrings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any

__all__ = ["api_page"]


def api_page(*packages: str) -> str:
    """The packages named, one after the other."""
    return "\n\n".join(_package(importlib.import_module(name)) for name in packages)


def _package(package: ModuleType) -> str:
    names = [name for name in getattr(package, "__all__", ()) if _home(package, name) is not None]
    rows = [f"| {{py:obj}}`{name} <{_home(package, name)}>` | {_first(getattr(package, name))} |" for name in names]
    table = ["| `from " + package.__name__ + " import` | |", "|---|---|", *rows] if rows else []
    modules = [name for _, name, is_package in pkgutil.iter_modules(package.__path__) if not is_package]
    parts = [f"## {package.__name__}", _directive(package.__name__), "\n".join(table)]
    for module in [importlib.import_module(f"{package.__name__}.{name}") for name in modules]:
        parts += [f"### {module.__name__}", _directive(module.__name__, _own(module))]
    return "\n\n".join(parts)


def _home(package: ModuleType, name: str) -> str | None:
    """Where a class or function that a package exports is documented; None for what has no module of its own."""
    thing = getattr(package, name)
    documented = inspect.isclass(thing) or inspect.isfunction(thing)
    return f"{thing.__module__}.{thing.__qualname__}" if documented else None


def _first(thing: Any) -> str:
    """The first sentence of a docstring, fit for a cell."""
    paragraph = (inspect.getdoc(thing) or "").split("\n\n")[0]
    text = " ".join(paragraph.split()).replace("|", "\\|").replace("``", "`")
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)  # a cell is Markdown, which has no such roles


def _own(module: ModuleType) -> list[str]:
    """The public names that are at home in a module; what it passes on is documented where it comes from."""
    public = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    things = {name: getattr(module, name) for name in public}
    homes = (module.__name__, None)  # constants know no module
    own = {name for name, thing in things.items() if getattr(thing, "__module__", None) in homes}
    return [name for name in public if name in own and not inspect.ismodule(things[name])]


def _directive(module: str, members: Sequence[str] = ()) -> str:
    option = f"\n   :members: {', '.join(members)}" if members else ""
    return f"```{{eval-rst}}\n.. automodule:: {module}{option}\n```"
