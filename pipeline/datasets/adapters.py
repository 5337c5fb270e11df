"""The datasets that can be listed, by name."""

from __future__ import annotations

from collections.abc import Callable

from .cbis_ddsm import cbis_ddsm
from .cdd_cesm import cdd_cesm
from .import_report import ImportReport
from .mini_mias import mini_mias
from .records import Datalist

__all__ = ["ADAPTERS", "Adapter"]


Adapter = Callable[..., tuple[Datalist, ImportReport]]
"""Lists one dataset: its folder (and options) in, its records by section and what could not be used out."""

ADAPTERS: dict[str, Adapter] = {"cbis_ddsm": cbis_ddsm, "mini_mias": mini_mias, "cdd_cesm": cdd_cesm}
"""Adapters by the name that ``mammo prepare`` takes."""
