"""``mammo reproduce ROW``: from the folders of datasets to the table, in one command that goes on after a kill."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import write_atomically
from ..study.stage import Stage, in_order
from .data import list_data, missing_data
from .listing import describe
from .plan import Plan
from .results import measure, table_of
from .row import Row
from .weights import convert_weights, missing_weights

__all__ = ["reproduce"]

logger = logging.getLogger(__name__)


def reproduce(
    row: Row,
    *,
    data: Path | None,
    weights: Path | None = None,
    output_dir: Path,
    seeds: Sequence[int] = (0,),
    cache_dir: Path | None = None,
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """List a row's datasets, check the split, run its stages, and set what was measured beside what was published.

    ``output_dir`` then holds ``data/`` (datalists), ``weights/``, ``cache/``, ``runs/`` (a folder a stage),
    ``reproduce.json`` and ``reproduce.md``. The same command goes on where it was stopped.

    Args:
        row: of the paper.
        data: folder of the datasets; None where the row makes a phantom.
        weights: folder of released weights, for a row that needs some.
        output_dir: receives everything.
        seeds: of the trainings, each a run.
        cache_dir: folder of prepared images, ``output_dir/cache`` by default.
        workers: stages at a time, one core each.
        options: keys of the stages that the user changes; told beside the figures.
        dry_run: stop before the first stage.

    Returns:
        What ``reproduce.json`` holds: ``figures``, ``split``, ``seeds``, ``differs``, ``changed`` and so on; of a dry
        run ``stages`` in place of ``figures``.

    Raises:
        ValueError: for data or weights that are not there, saying where they are offered; for a split that is not the
            frozen one; or if a stage failed.
    """
    missing = [*missing_weights(row, weights), *missing_data(row, data)]
    if missing:
        raise ValueError(f"{row.id} cannot run here.\n" + "\n".join(missing))
    lists = list_data(row, data, output_dir / "data")
    ready, hashes = convert_weights(row, weights, output_dir / "weights")
    plan = Plan(row, lists, ready, output_dir, options or {}, cache_dir, workers)
    plan.check()
    chains = [plan.chain(seed) for seed in plan.seeds(seeds)]
    content = _content(plan, plan.seeds(seeds), hashes)
    if dry_run:
        return content | {"stages": [_told(stage, plan) for stage in in_order(chain[-1] for chain in chains)]}
    folders = _run(plan, chains)
    content["figures"] = measure(row, folders)
    content["runs"] = [str(folder) for folder in folders]
    write_atomically(output_dir / "reproduce.json", json.dumps(content, indent=1).encode())
    write_atomically(output_dir / "reproduce.md", table_of(content).encode())
    return content


def _content(plan: Plan, seeds: Sequence[int], hashes: Mapping[str, str]) -> dict[str, Any]:
    row, lists = plan.row, plan.lists
    return {
        **describe(row),
        "split": {
            "rule": row.split.rule,
            "file": row.split_file.name,
            "sha256": lists.split_sha256,
            "counts": {name: count for name, count in lists.counts.items() if count["images"]},
        },
        "seeds": list(seeds),
        "weights_sha256": dict(hashes),
        "changed": plan.changed,
        **plan.setting.provenance(),
    }


def _told(stage: Stage, plan: Plan) -> dict[str, Any]:
    return {"stage": stage.name, "title": stage.title, "folder": str(stage.folder(plan.setting.runs))}


def _run(plan: Plan, chains: Sequence[Sequence[Stage]]) -> list[Path]:
    """Run all stages; the folders of the last one of each seed."""
    plan.setting.prepare()
    outcomes = plan.setting.run([chain[-1] for chain in chains])
    failed = outcomes.failures()
    if failed:
        raise ValueError(f"{len(failed)} of {len(outcomes)} stages failed: {failed[0].reason} ({failed[0].folder})")
    return [outcomes.of(chain[-1]).folder for chain in chains]
