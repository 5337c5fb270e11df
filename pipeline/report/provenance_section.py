"""What is needed to trust the figures and to get them again: configuration, versions, revision, data hash."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .blocks import Block, Fold, Section, Table, Text, Tone, missing
from .inputs import Run, read_configuration, read_object
from .wording import UNKNOWN

FIELDS = {
    "git_revision": "Revision of the code",
    "seed": "Seed",
    "datalist_sha256": "SHA-256 of the datalist",
    "platform": "Platform",
    "command": "Command",
}


def provenance_section(runs: Mapping[str, Run], explanations: Path | None, datalist: Path | None) -> Section:
    """Configuration and environment of every run of the report."""
    environments = {name: run.environment for name, run in runs.items()}
    configurations = {name: run.configuration for name, run in runs.items()}
    if explanations is not None:
        paths = explanations / "environment.json", explanations / "config.yaml"
        environments["explanations"] = read_object(paths[0]) if paths[0].is_file() else None
        configurations["explanations"] = read_configuration(paths[1]) if paths[1].is_file() else None
    blocks: list[Block] = []
    for found, file in ((environments, "environment.json"), (configurations, "config.yaml")):
        absent = [name for name, content in found.items() if content is None]
        if absent or not found:
            blocks.append(missing(f"{file} of {', '.join(absent) or 'any run'}", "Every stage writes one."))
    known = {name: content for name, content in environments.items() if content is not None}
    if known:
        blocks += [_fields(known), _versions(known), *_other_data(known, datalist)]
    blocks += _evidence(runs)
    folds = [Fold(f"Configuration of {name}", text) for name, text in configurations.items() if text is not None]
    return Section("Configuration and versions", [*blocks, *folds])


def _fields(environments: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        [words, *(_cell(content.get(key)) for content in environments.values())]
        for key, words in FIELDS.items()
        if any(key in content for content in environments.values())
    ]
    return Table("How the runs were made", ["", *environments], rows)


def _evidence(runs: Mapping[str, Run]) -> list[Block]:
    """Hashes that the runs' evaluations froze; the report itself does not check them."""
    frozen = {name: run.evidence for name, run in runs.items() if run.evidence is not None}
    if not frozen:
        return []
    hashes = {
        name: dict(content.get("files") or {})
        | {key: entry["sha256"] for key, entry in (content.get("inputs") or {}).items()}
        for name, content in frozen.items()
    }
    files = dict.fromkeys(file for listed in hashes.values() for file in listed)
    rows = [[file, *(_cell(listed.get(file)) for listed in hashes.values())] for file in files]
    note = "mammo verify RUN recomputes these, and the metrics from the predictions, and says what differs."
    return [Table("Frozen evidence (SHA-256)", ["File", *hashes], rows, note)]


def _versions(environments: Mapping[str, Mapping[str, Any]]) -> Table:
    versions = {name: dict(content.get("versions") or {}) for name, content in environments.items()}
    packages = dict.fromkeys(package for listed in versions.values() for package in listed)
    rows = [[package, *(_cell(listed.get(package)) for listed in versions.values())] for package in packages]
    return Table("Versions", ["Package", *versions], rows)


def _other_data(environments: Mapping[str, Mapping[str, Any]], datalist: Path | None) -> list[Block]:
    """A warning for every run that did not use the datalist of this report."""
    if datalist is None:
        return []
    here = hashlib.sha256(datalist.read_bytes()).hexdigest()
    other = [name for name, content in environments.items() if content.get("datalist_sha256") not in (None, here)]
    text = f"Made with another datalist than the one above (its hash differs): {', '.join(other)}."
    return [Text(text, Tone.WARNING)] if other else []


def _cell(value: Any) -> str:
    return UNKNOWN if value is None else str(value)
