"""The reference of a bundle as Markdown: every option of every stage, from the configurations themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mammo.bundles import bundle_root
from mammo.pipeline.stage_options import HIDDEN, Option, configurations, file_options, is_stage, meanings

__all__ = ["bundle_page", "header"]

LONGEST = 80
"""Characters of a default that a cell of the table takes."""
FACTS = ("version", "task", "description", "data_source", "data_type", "image_classes", "label_classes", "intended_use")


def bundle_page(name: str) -> str:
    """Facts, stages and overlays of a bundle."""
    folder = bundle_root(name) / "configs"
    files, known = configurations(name), meanings(name)
    stages = [path for path in files if is_stage(path)]
    parts = [_facts(json.loads((folder / "metadata.json").read_text(encoding="utf-8")))]
    parts += ["## Stages", *(_section(path, known) for path in stages), _inference(folder, known)]
    overlays = [path for path in files if path not in stages]
    parts += ["## Overlays", "Laid over a stage by `--overlay NAME`; what they set:"]
    return "\n\n".join([*parts, *(_section(path, known, "value") for path in overlays)])


def header(path: Path) -> str:
    """The comment that a configuration begins with; its indented lines are commands."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" "))
    return re.sub(r"^  (.+)$", r"`\1`\\", "\n".join(lines), flags=re.MULTILINE).rstrip("\\")


def _facts(metadata: dict[str, Any]) -> str:
    rows = [f"| {fact.replace('_', ' ')} | {metadata[fact]} |" for fact in FACTS]
    references = [f"- {reference}" for reference in metadata["references"]]
    return "\n".join([f"**{metadata['name']}**", "", "| | |", "|---|---|", *rows, "", "References:", "", *references])


def _section(path: Path, known: dict[str, str], says: str = "default") -> str:
    return f"### {path.stem}\n\n{header(path)}\n\n{_table(file_options(path), known, says)}"


def _inference(folder: Path, known: dict[str, str]) -> str:
    parts = []
    for path in sorted(folder.glob("inference*.json")):
        found = {name: value for name, value in json.loads(path.read_text(encoding="utf-8")).items() if _plain(value)}
        rows = [Option(name, json.dumps(value), "") for name, value in found.items() if name not in HIDDEN]
        text = f"`{path.name}` scores any images and holds no expression: it runs with `MONAI_EVAL_EXPR=0`."
        parts.append(f"### {path.stem}\n\n{text}\n\n{_table(rows, known)}")
    return "\n\n".join(parts)


def _plain(value: Any) -> bool:
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return not any(isinstance(part, (dict, list)) or str(part).startswith(("@", "$")) for part in parts) and not (
        isinstance(value, dict) and "_target_" in value
    )


def _table(found: Sequence[Option], known: dict[str, str], says: str = "default") -> str:
    rows = []
    for option in found:
        default = option.default if len(option.default) <= LONGEST else "see the file"
        meaning = option.meaning or known.get(option.name, "")
        cells = [f"`{option.name}`", f"`{default}`", meaning]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([f"| option | {says} | meaning |", "|---|---|---|", *rows])
