"""Rows as text for a terminal, or as JSON; without the libraries that running them needs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .row import Figure, Row
from .sources import dataset_source, weights_source

__all__ = ["describe", "listing", "planned", "sheet"]

WIDTH = 110


def describe(row: Row) -> dict[str, Any]:
    """What a row is, JSON-safe."""
    return {
        "row": row.id,
        "system": row.system,
        "dataset": row.dataset,
        "paper": str(row.paper),
        "arxiv": row.paper.arxiv,
        "source": row.paper.source,
        "split_rule": row.split.rule,
        "needs": {"datasets": sorted({part.dataset for part in row.data}), "weights": list(row.weights)},
        "published": [asdict(figure) for figure in row.figures],
        "differs": list(row.differs),
    }


def listing(rows: Sequence[Row]) -> str:
    """Every row in a line or two: id, system, dataset, published figures, what it needs."""
    width = max(len(row.id) for row in rows)
    lines = []
    for row in rows:
        needs = [*dict.fromkeys(part.dataset for part in row.data), *row.weights]
        wanted = "needs nothing" if row.phantom is not None else "needs " + ", ".join(needs)
        lines.append(f"{row.id:<{width}}  {row.system}; {row.dataset}")
        lines.append(f"{'':<{width}}  published: {_figures(row.figures)}; {wanted}")
    return "\n".join([*lines, "", "mammo reproduce ROW --list tells all of a row"])


def sheet(row: Row) -> str:
    """All of a row, with where its data and weights are offered."""
    lines = [
        row.id,
        f"  system     {row.system}",
        f"  paper      {row.paper}",
        *([f"  source     {row.paper.source}"] if row.paper.source else []),
        f"  dataset    {row.dataset}",
        f"  split      {row.split.rule} ({row.split_file.name})",
        f"  published  {_figures(row.figures)}",
        f"  bundle     {row.bundle}: {', '.join(step.stage for step in row.steps)}",
        "  what differs from the paper's protocol:",
        *(textwrap.fill(one, WIDTH, initial_indent="  - ", subsequent_indent="    ") for one in row.differs),
    ]
    if row.phantom is not None:
        return "\n".join([*lines, "  needs nothing: the phantom is made"])
    sources = [dataset_source(name) for name in dict.fromkeys(part.dataset for part in row.data)]
    sources += [weights_source(name) for name in row.weights]
    return "\n".join([*lines, *(f"  needs {one.title}\n{textwrap.indent(one.offered, '  ')}" for one in sources)])


def planned(content: Mapping[str, Any]) -> str:
    """A dry run: the split, and the stages that would run."""
    counts = ", ".join(f"{n['patients']} patients {name}" for name, n in content["split"]["counts"].items())
    stages = [f"  {one['stage']:<16} {one['title']:<8} {one['folder']}" for one in content["stages"]]
    return "\n".join(
        [
            f"{content['row']}: {content['paper']}",
            f"the split is that of {content['split']['file']}: {counts}",
            "these stages would run, where they have not finished before:",
            *stages,
        ]
    )


def _figures(figures: Sequence[Figure]) -> str:
    told = [f"{one.name} {one.value:.{one.decimals}f}" for one in figures if one.value is not None]
    return ", ".join(told) or "no figure"
