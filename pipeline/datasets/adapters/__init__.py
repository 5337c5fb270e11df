"""Public datasets as records: one module a dataset, registered here under the name that ``mammo prepare`` takes."""

from __future__ import annotations

from collections.abc import Callable

from ..import_report import ImportReport
from ..records import Datalist
from .bcdr import bcdr
from .cbis_ddsm import cbis_ddsm
from .cdd_cesm import cdd_cesm
from .cmmd import cmmd
from .csaw_m import csaw_m
from .csaw_s import csaw_s
from .embed import embed
from .inbreast import inbreast
from .mammo_clip_detection import mammo_clip_detection
from .mammo_clip_reports import mammo_clip_reports
from .mammo_clip_tables import mammo_clip_rsna, mammo_clip_vindr
from .mini_mias import mini_mias
from .phantom_truth import phantom_truth
from .rsna_2022 import rsna_2022
from .table import table
from .vindr_mammo import vindr_mammo

__all__ = [
    "ADAPTERS",
    "Adapter",
    "bcdr",
    "cbis_ddsm",
    "cdd_cesm",
    "cmmd",
    "csaw_m",
    "csaw_s",
    "embed",
    "inbreast",
    "mammo_clip_detection",
    "mammo_clip_reports",
    "mammo_clip_rsna",
    "mammo_clip_vindr",
    "mini_mias",
    "phantom_truth",
    "rsna_2022",
    "table",
    "vindr_mammo",
]

Adapter = Callable[..., tuple[Datalist, ImportReport]]
"""Lists one dataset: its folder (and options) in, its records by section and what could not be used out."""

ADAPTERS: dict[str, Adapter] = {
    "cbis_ddsm": cbis_ddsm,
    "inbreast": inbreast,
    "bcdr": bcdr,
    "csaw_s": csaw_s,
    "csaw_m": csaw_m,
    "cmmd": cmmd,
    "vindr_mammo": vindr_mammo,
    "rsna_2022": rsna_2022,
    "embed": embed,
    "mini_mias": mini_mias,
    "cdd_cesm": cdd_cesm,
    "mammo_clip_reports": mammo_clip_reports,
    "mammo_clip_vindr": mammo_clip_vindr,
    "mammo_clip_detection": mammo_clip_detection,
    "mammo_clip_rsna": mammo_clip_rsna,
    "phantom": phantom_truth,
    "table": table,
}
