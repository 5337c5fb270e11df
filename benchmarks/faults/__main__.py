"""Run the fault campaign: ``python -m benchmarks.faults [--quick] [--only KIND ...] [--seed N]``, or ``make faults``.

The full size writes its table to docs/faults.md. The exit status is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch start their threads: what is forked must have none

from .small_disk import enter_namespace

if TYPE_CHECKING:
    from .campaign import Ground, Tally

KINDS = {
    "kill_prepare": "kill -9 of mammo prepare",
    "kill_training": "kill -9 of a training",
    "disk_full": "full disk",
    "corrupt_cache": "corrupt cache",
    "corrupt_checkpoint": "corrupt checkpoint",
    "hostile_dicom": "hostile DICOM",
    "worker_death": "death of a worker",
    "concurrent_runs": "two runs at a time",
}
"""Modules of this folder, with the name of their fault."""

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


def main() -> int:
    """Run what is asked for, print and write the table; return the exit status."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="a few minutes; writes no page unless --out is given")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments, places and phantoms")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="JSON of kinds that are done: a campaign that was ended goes on there",
    )
    parser.add_argument(
        "--out", type=Path, help=f"page to write; of all kinds in full size docs/{PAGE.name} by default"
    )
    arguments = parser.parse_args()
    if "disk_full" in arguments.only:
        enter_namespace()
    from .campaign import Ground
    from .kept import Kept
    from .page import write_page
    from .processes import ended_with_us

    kept = Kept(arguments.keep, arguments.seed, arguments.quick)
    with tempfile.TemporaryDirectory(prefix="mammo-faults-") as name, ended_with_us():
        ground = Ground(Path(name), arguments.seed, arguments.quick)
        for kind in arguments.only:
            if kind not in kept.done:
                kept.add(kind, run_kind(kind, ground))
    found = [(kind, row) for kind in arguments.only for row in kept.done[kind]]
    whole = arguments.only == list(KINDS) and not arguments.quick
    out = arguments.out or (PAGE if whole else None)
    return write_page(found, KINDS, out, quick=arguments.quick)


def run_kind(kind: str, ground: Ground) -> list[Tally]:
    """Do every case of a kind, and print what comes of it as it comes."""
    begun, rows = time.monotonic(), []
    for row in importlib.import_module(f".{kind}", __package__).rows(ground):
        print(f"{KINDS[kind]}: {row.case}: tried {row.tried}, survived {row.survived}, lost {len(row.lost)}")
        print(*(f"  lost: {text}\n" for text in row.lost), sep="", end="", flush=True)
        rows.append(row)
    print(f"{kind}: {time.monotonic() - begun:.0f} s", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
