"""Verbs of the command line for a service: serve dicomweb, serve dimse, and two that look at it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...answer import Answer, add_json_option
from .settings import DicomwebSettings, DimseSettings, Settings, kind_of

__all__ = ["add_serve_verb"]

_NOTE = "For research use only. docs/pacs.md says how to install and watch it."
_FRONTS: dict[str, tuple[type[Settings], str, str]] = {
    "dicomweb": (
        DicomwebSettings,
        "asks a PACS for new mammograms and stores results back; opens no port",
        "_dicomweb",
    ),
    "dimse": (DimseSettings, "takes what a PACS sends, and sends results back", "_dimse"),
}


def add_serve_verb(verbs: Any) -> None:
    """Add the parser of this verb to the command line's subparsers."""
    serve = verbs.add_parser("serve", help="results for a PACS, unattended", description=_NOTE, allow_abbrev=False)

    def no_front(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
        serve.print_help()
        return Answer(status=2)

    serve.set_defaults(verb=no_front, name="serve")
    kinds = serve.add_subparsers(metavar="FRONT", title="fronts")
    for name, (settings, text, runner) in _FRONTS.items():
        front = kinds.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}. Passwords come from the environment. {_NOTE}",
            allow_abbrev=False,
        )
        front.add_argument("--config", type=Path, help="YAML file with the names of the options below")
        _add_options(front, settings)
        front.set_defaults(verb=globals()[runner], name=f"serve {name}")
    status = kinds.add_parser("status", help="jobs, reasons and turnaround of a folder, as JSON", allow_abbrev=False)
    status.add_argument("folder", type=Path)
    status.set_defaults(verb=_status, name="serve status")
    retry = kinds.add_parser("retry", help="try again what was given up", allow_abbrev=False)
    retry.add_argument("folder", type=Path)
    retry.add_argument("--job", type=int, help="only this one")
    add_json_option(retry)
    retry.set_defaults(verb=_retry, name="serve retry")


def _add_options(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    hints, told = typing.get_type_hints(settings), typing.get_type_hints(settings, include_extras=True)
    for option in dataclasses.fields(settings):
        plain, several, _ = kind_of(hints[option.name])
        shown = option.default if option.default is not dataclasses.MISSING else None
        text = told[option.name].__metadata__[0] + ("" if shown is None else f" ({shown})")
        kind: dict[str, Any] = {"type": plain, "metavar": plain.__name__.upper()}
        if typing.get_origin(hints[option.name]) is dict:
            kind = {"nargs": "+", "type": _pair, "metavar": "KEYWORD=VALUE"}
        elif several:
            kind["nargs"] = "+"
        elif plain is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(f"--{option.name}", default=argparse.SUPPRESS, help=text, **kind)


def _pair(text: str) -> tuple[str, str]:
    keyword, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEYWORD=VALUE")
    return keyword, value


def _settings(arguments: argparse.Namespace, kind: Any) -> Any:
    from .configuration import read_settings

    names = {option.name for option in dataclasses.fields(kind)}
    options = {name: value for name, value in vars(arguments).items() if name in names}
    if "filter" in options:
        options["filter"] = dict(options["filter"])
    return read_settings(kind, options, arguments.config)


def _dicomweb(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> None:
    settings = _settings(arguments, DicomwebSettings)
    from .fronts import serve_dicomweb
    from .work import study_work

    serve_dicomweb(settings, study_work(settings))


def _dimse(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> None:
    settings = _settings(arguments, DimseSettings)
    from .fronts import serve_dimse
    from .work import study_work

    serve_dimse(settings, study_work(settings))


def _status(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> None:
    from .audit import check_audit
    from .figures import figures

    table = _table(arguments.folder)
    lines, head = check_audit(arguments.folder / "audit.jsonl")
    print(json.dumps({**figures(table), "audit": {"lines": lines, "head": head}}, indent=2))


def _retry(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .jobs import Jobs
    from .retry import Backoff

    count = Jobs(_table(arguments.folder), Backoff()).retry(arguments.job)
    print(f"{count} jobs go on; see mammo serve status {arguments.folder}")
    return Answer({"jobs": count})


def _table(folder: Path) -> Any:
    from .table import Table

    if not (folder / "jobs.sqlite").is_file():
        raise ValueError(f"{folder} is no folder of a service: there is no jobs.sqlite")
    return Table(folder / "jobs.sqlite")
