"""The verb of the command line that draws synthetic mammograms."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .answer import Answer, add_json_option

__all__ = ["add_phantom_verb"]

LAYOUTS = ("cbis_ddsm", "vindr_mammo", "rsna_2022", "mammo_clip", "studies")
PRESETS = ("demo", "reports", "subtle_reports", "standard")


def add_phantom_verb(verbs: Any, cpus: int) -> None:
    """Add ``mammo phantom`` to the command line's subparsers; by default it uses ``cpus`` processes."""
    phantom = verbs.add_parser(
        "phantom",
        help="synthetic mammograms with known lesions, as DICOM in a dataset's layout",
        description="Draws screening exams with one planted lesion a patient, so that every command can be tried "
        "without a dataset. They say nothing about patients. The same seed gives the same patients.",
        allow_abbrev=False,
    )
    phantom.add_argument("folder", type=Path, help="new or empty, or with the same phantom")
    phantom.add_argument("--patients", type=int, default=100)
    phantom.add_argument("--preset", default="demo", choices=PRESETS, help="how hard its lesions are")
    phantom.add_argument("--seed", type=int, default=0)
    phantom.add_argument("--test_fraction", type=float, default=0.25, help="part of the patients for test")
    phantom.add_argument("--shortcut", action="store_true", help="a framed marker betrays the label, but not in test")
    phantom.add_argument("--device", choices=("digital", "film", "enhanced"), help="one vendor's look for all patients")
    phantom.add_argument(
        "--layout", default="cbis_ddsm", choices=LAYOUTS, help="whose; studies: a folder an exam, as a PACS gives them"
    )
    phantom.add_argument("--workers", type=int, default=cpus, help="processes; all cores by default")
    add_json_option(phantom)
    phantom.set_defaults(verb=_phantom, name="phantom")


def _phantom(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    if arguments.patients < 1:
        raise ValueError(f"--patients {arguments.patients}: give 1 or more")
    if arguments.layout == "studies":
        return _studies(arguments)
    source = arguments.folder if arguments.layout == "cbis_ddsm" else arguments.folder / "phantom"
    told = _generate(arguments, source)
    _as_another(arguments.layout, source, arguments.folder)
    print(f"{arguments.folder}: {told['images']} images of {arguments.patients} patients, layout {arguments.layout}")
    return Answer({"folder": arguments.folder, "images": told["images"], "patients": arguments.patients})


def _generate(arguments: argparse.Namespace, folder: Path) -> Mapping[str, Any]:
    from .phantom import generate

    return generate(
        folder,
        patients=arguments.patients,
        seed=arguments.seed,
        test_fraction=arguments.test_fraction,
        preset=arguments.preset,
        shortcut=arguments.shortcut,
        device=arguments.device,
        workers=arguments.workers,
        progress=True,
    )


def _as_another(layout: str, source: Path, folder: Path) -> None:
    from .phantom import write_report_tables, write_rsna_layout, write_vindr_layout

    if layout == "vindr_mammo":
        write_vindr_layout(source, folder)
    elif layout == "rsna_2022":
        write_rsna_layout(source, folder)
    elif layout == "mammo_clip":
        write_report_tables(source, folder)


def _studies(arguments: argparse.Namespace) -> Answer:
    from .phantom import write_study

    if arguments.shortcut:
        raise ValueError("--shortcut is about training and test; --layout studies has no such parts")
    options = {"preset": arguments.preset, **({"device": arguments.device} if arguments.device else {})}
    for index in range(arguments.patients):
        written = write_study(arguments.folder / f"{index:05d}", index=index, seed=arguments.seed, **options)
    print(f"{arguments.folder}: {arguments.patients} exams of {len(written)} images")
    images = arguments.patients * len(written)
    return Answer({"folder": arguments.folder, "images": images, "patients": arguments.patients})
