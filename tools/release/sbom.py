"""What an installation consists of, as CycloneDX JSON, written by cyclonedx-bom."""

from __future__ import annotations

import json
from pathlib import Path

from .environments import Environment

__all__ = ["write_sbom"]


def write_sbom(tools: Environment, installed: Environment, out: Path) -> str:
    """Write the bill of materials of an environment.

    Args:
        tools: an environment with cyclonedx-bom.
        installed: the environment to list.
        out: the JSON file.

    Raises:
        RuntimeError: where the tool fails, its own validation included, or the list lacks mammo or torch.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    python = str(installed.folder / "bin/python")
    tools.run("cyclonedx-py", "environment", "--of", "JSON", "--output-reproducible", "-o", str(out), python)
    bill = json.loads(out.read_text(encoding="utf-8"))
    names = {one["name"] for one in bill.get("components", [])}
    if lacking := {"mammo", "torch"} - names:
        raise RuntimeError(f"{out} lacks {', '.join(sorted(lacking))}")
    return f"{out.name}: CycloneDX {bill['specVersion']}, {len(names)} components"
