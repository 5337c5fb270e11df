"""What a campaign has found so far, so that it can be ended and gone on with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mammo.pipeline.files import write_atomically

from .campaign import Tally

__all__ = ["Kept"]


class Kept:
    """The kinds of fault that are done.

    Kinds with a loss are not kept: what they found is to be mended, and they are to be done again.

    Args:
        path: JSON file; None keeps nothing.
        seed: of the campaign.
        quick: its size.

    Raises:
        ValueError: the file is of another seed or size.
    """

    def __init__(self, path: Path | None, seed: int, quick: bool) -> None:
        self.path, self.campaign = path, {"seed": seed, "quick": quick}
        self.done: dict[str, list[Tally]] = {}
        if path is not None and path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["campaign"] != self.campaign:
                raise ValueError(f"{path} is of {content['campaign']}, not of {self.campaign}; name another file")
            self.done = {kind: [Tally(**row) for row in rows] for kind, rows in content["done"].items()}

    def add(self, kind: str, rows: Sequence[Tally]) -> None:
        """Keep what a kind found."""
        self.done[kind] = list(rows)
        if self.path is not None:
            whole = {kind: rows for kind, rows in self.done.items() if not any(row.lost for row in rows)}
            content = {"campaign": self.campaign, "done": {k: [asdict(row) for row in v] for k, v in whole.items()}}
            write_atomically(self.path, json.dumps(content, indent=1).encode())
