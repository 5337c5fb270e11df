"""What the processes of a distributed run found, put together."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch

__all__ = ["gathered"]


def gathered(rows: list[Any]) -> list[Any]:
    """The rows of all processes, in the order of their ranks; every process must call it."""
    if idist.get_world_size() == 1:
        return rows
    parts: list[Any] = [None] * idist.get_world_size()
    torch.distributed.all_gather_object(parts, rows)
    return [row for part in parts for row in part]
