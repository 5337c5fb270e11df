"""The reference of a bundle as Markdown: every option of every stage, from the configurations themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mammo.bundles import bundle_root

__all__ = ["Option", "bundle_page", "header", "options"]

KEY = re.compile(r"^(?P<name>[a-z]\w*):(?: +(?P<value>[^#\s].*?))?(?:\s+# *(?P<comment>.*))?$")
HIDDEN = ("imports", "bundle_root")
LONGEST = 80
"""Characters of a default that a cell of the table takes."""
COMMON = {
    "datalist": "the list of images, as `mammo prepare` writes it",
    "output_dir": "folder of the run",
    "output_file": "the table to write",
    "checkpoint": "weights of the run that is used",
    "image_std": "grey values less `image_mean` are divided by it",
    "batch_size": "images a step, of each process",
    "num_workers": "processes that read images; 0: the one that trains",
    "prepare_workers": "images read at a time",
    "max_epochs": "epochs in all",
    "learning_rate": "at its highest",
    "weight_decay": "of the optimiser",
    "text_depth": "layers of a text encoder of its own",
    "text_heads": "heads of a text encoder of its own",
    "seed": "of weights, order and augmentation",
    "device": "where the network runs",
}
"""What needs no comment in a configuration, since every stage has it."""
FACTS = ("version", "task", "description", "data_source", "data_type", "image_classes", "label_classes", "intended_use")


class Option(NamedTuple):
    """One key of a configuration: what is written there, and the comment beside or above it."""

    name: str
    default: str
    meaning: str


def bundle_page(name: str) -> str:
    """Facts, stages and overlays of a bundle."""
    folder = bundle_root(name) / "configs"
    files = sorted(folder.glob("*.yaml"), key=_order)
    known = COMMON | {
        option.name: option.meaning for path in reversed(files) for option in options(path) if option.meaning
    }
    stages = [path for path in files if is_stage(path)]
    parts = [_facts(json.loads((folder / "metadata.json").read_text(encoding="utf-8")))]
    parts += ["## Stages", *(_section(path, known) for path in stages), _inference(folder, known)]
    overlays = [path for path in files if path not in stages]
    parts += ["## Overlays", "Laid over a stage by `--overlay NAME`; what they set:"]
    return "\n\n".join([*parts, *(_section(path, known, "value") for path in overlays)])


def is_stage(path: Path) -> bool:
    """Whether a configuration runs by itself; else it is laid over one that does."""
    return "bundle_root" in yaml.safe_load(path.read_text(encoding="utf-8"))


def header(path: Path) -> str:
    """The comment that a configuration begins with; its indented lines are commands."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" "))
    return re.sub(r"^  (.+)$", r"`\1`\\", "\n".join(lines), flags=re.MULTILINE).rstrip("\\")


def options(path: Path) -> list[Option]:
    """The options of a configuration: its keys down to the first empty line, in their order."""
    knobs = re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))[0]
    values, found, above = yaml.safe_load(knobs), [], ""
    for line in re.sub(r"\A(#.*\n)+", "", knobs).splitlines():
        key = KEY.match(line)
        if key and key["name"] not in HIDDEN:
            default = key["value"] or _flow(values[key["name"]])
            found.append(Option(key["name"], default, key["comment"] or above))
        above = line.removeprefix("#").strip() if line.startswith("#") else ""
    return found


def _order(path: Path) -> tuple[int, str]:
    order = ("pretrain", "pretrain_moco", "pretrain_dino", "finetune", "linear_probe", "evaluate", "explain")
    return (order.index(path.stem) if path.stem in order else len(order), path.stem)


def _facts(metadata: dict[str, Any]) -> str:
    rows = [f"| {fact.replace('_', ' ')} | {metadata[fact]} |" for fact in FACTS]
    references = [f"- {reference}" for reference in metadata["references"]]
    return "\n".join([f"**{metadata['name']}**", "", "| | |", "|---|---|", *rows, "", "References:", "", *references])


def _section(path: Path, known: dict[str, str], says: str = "default") -> str:
    return f"### {path.stem}\n\n{header(path)}\n\n{_table(options(path), known, says)}"


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


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()


def _table(found: list[Option], known: dict[str, str], says: str = "default") -> str:
    rows = []
    for option in found:
        default = option.default if len(option.default) <= LONGEST else "see the file"
        meaning = option.meaning or known.get(option.name, "")
        cells = [f"`{option.name}`", f"`{default}`", meaning]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([f"| option | {says} | meaning |", "|---|---|---|", *rows])
