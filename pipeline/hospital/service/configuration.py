"""Settings from one YAML file and the command line, which comes first. Secrets are in neither."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .settings import DicomwebSettings, DimseSettings, Settings, kind_of

__all__ = ["read_settings"]

SECRETS = "passwords come from the environment: MAMMO_PACS_USER, MAMMO_PACS_PASSWORD, MAMMO_TLS_PASSWORD"
_POSITIVE = (
    "memory_mb", "timeout_s", "quiet_s", "max_wait_s", "first_wait_s", "most_wait_s", "attempts", "compute_attempts",
    "poll_s", "max_instance_mb", "commitment_wait_s", "associations", "threads", "port", "pacs_port",
)  # fmt: skip
_AT_LEAST_ZERO = ("retention_days", "dead_days", "look_back_days", "health_port")
GATES = ("deploy", "training", "all")
"""As in :mod:`mammo.pipeline.gate`, which is slow to import."""
_LONGEST_AE_TITLE = 16

S = TypeVar("S", bound=Settings)


def read_settings(kind: type[S], options: Mapping[str, Any], config: Path | None = None) -> S:
    """Settings of a front.

    Args:
        kind: of settings.
        options: of the command line, by name; those that are None were not given.
        config: YAML file with the same names.

    Raises:
        ValueError: an unknown name, with those that are known; a wrong value, or one out of bounds; a missing one.
    """
    told = {} if config is None else _read(config)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in told:
        if name not in fields:
            raise ValueError(_unknown(config, name, sorted(fields)))
    told |= {name: value for name, value in options.items() if value is not None}
    missing = [name for name, field in fields.items() if name not in told and _is_needed(field)]
    if missing:
        raise ValueError(f"missing {', '.join('--' + name for name in missing)}; give them as options or in --config")
    hints = typing.get_type_hints(kind)
    settings = kind(**{name: _converted(name, value, hints[name]) for name, value in told.items()})
    _check(settings)
    return settings


def _read(config: Path) -> dict[str, Any]:
    if not config.is_file():
        raise ValueError(f"no file {config}; --config takes a YAML file with the names of the options")
    try:
        told = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # The parser quotes lines, and who puts a password there against advice must not find it in a log.
        place = getattr(error, "problem_mark", None)
        raise ValueError(f"{config} is no YAML{'' if place is None else f': look at line {place.line + 1}'}") from None
    if told is None:
        return {}
    if not isinstance(told, dict) or not all(isinstance(name, str) for name in told):
        raise ValueError(f"{config} must hold NAME: VALUE lines")
    return told


def _unknown(config: Path | None, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{config}: unknown setting {name}; {hint}known are {', '.join(known)}; {SECRETS}"


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _converted(name: str, value: Any, hint: Any) -> Any:
    plain, several, may_be_none = kind_of(hint)
    if value is None and may_be_none:
        return None
    if several and typing.get_origin(hint) is dict:
        if isinstance(value, dict):
            return {str(key): str(entry) for key, entry in value.items()}
        raise ValueError(f"{name}: expected KEYWORD: VALUE lines")
    if several:
        if isinstance(value, (list, tuple)) and all(isinstance(entry, (str, int)) for entry in value):
            return [str(entry) for entry in value]
        raise ValueError(f"{name}: expected a list")
    accepted = {Path: (str, Path), float: (int, float), int: (int,), bool: (bool,), str: (str,)}[plain]
    if not isinstance(value, accepted) or (isinstance(value, bool) and plain is not bool):
        raise ValueError(f"{name}: expected {plain.__name__.lower()}, found {type(value).__name__}")
    return plain(value)


def _check(settings: Settings) -> None:
    values = dataclasses.asdict(settings)
    for name in _POSITIVE:
        if name in values and not values[name] > 0:
            raise ValueError(f"{name} is {values[name]}; expected more than 0")
    for name in _AT_LEAST_ZERO:
        if values.get(name) is not None and values[name] < 0:
            raise ValueError(f"{name} is {values[name]}; expected 0 or more")
    if not 0 < settings.quantile < 1:
        raise ValueError(f"quantile is {settings.quantile}; expected more than 0 and less than 1")
    for name in ("checkpoint", "operating_points", "ca", "certificate", "tls_certificate", "tls_key", "tls_ca"):
        path = values.get(name)
        if path is not None and not path.exists():
            raise ValueError(f"{name}: there is no {path}")
    if settings.gate not in GATES:
        raise ValueError(f"gate is {settings.gate!r}; expected one of {', '.join(GATES)}")
    if isinstance(settings, DicomwebSettings):
        _check_url(settings.url)
    if isinstance(settings, DimseSettings):
        _check_dimse(settings)


def _check_url(url: str) -> None:
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest:
        raise ValueError("url: expected http://... or https://..., the root of the PACS's DICOMweb services")
    if "@" in rest.partition("/")[0]:
        raise ValueError(f"url holds a user or password; {SECRETS}")


def _check_dimse(settings: DimseSettings) -> None:
    for title in (settings.ae_title, settings.pacs_ae_title, *settings.allowed):
        if not (
            0 < len(title.strip()) <= _LONGEST_AE_TITLE
            and title.isascii()
            and title.isprintable()
            and "\\" not in title
        ):
            raise ValueError(f"AE title {title!r}: expected 1 to {_LONGEST_AE_TITLE} ASCII characters, no backslash")
    if not settings.allowed:
        raise ValueError("allowed: name the AE titles that may send; nobody else is answered")
    given = [settings.tls_certificate, settings.tls_key, settings.tls_ca]
    if any(given) and not all(given):
        raise ValueError("TLS needs all of tls_certificate, tls_key and tls_ca: both sides show a certificate")
