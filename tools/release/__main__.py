"""Check whether this checkout can be released.

    python -m mammo.tools.release [--only STEP ...] [--work .venv-release]

The archives and the bill of materials lie in dist/ afterwards, docs/licences.md is written anew. The environments in
the work folder (some 2 GB each) are made once and taken again. The exit status is 1 where a step failed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from .steps import STEPS, Release

ROOT = Path(__file__).resolve().parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the steps that are asked for, each after what it needs; 0 where all is well, 1 after a failure."""
    parser = argparse.ArgumentParser(
        prog="release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=STEPS, metavar="STEP", help=f"of {', '.join(STEPS)}")
    parser.add_argument("--work", type=Path, default=ROOT / ".venv-release", help="for the environments")
    arguments = parser.parse_args(argv)
    release = Release(ROOT, arguments.work.resolve())
    rows, failed = [], 0
    for name in arguments.only or STEPS:
        begun = time.perf_counter()
        try:
            said, mark = STEPS[name](release), "ok"
        except (RuntimeError, ValueError, OSError) as error:
            said, mark, failed = str(error), "FAILED", 1
        rows.append(f"{name:<10}{mark:<8}{time.perf_counter() - begun:6.0f} s  {said}")
        print(rows[-1], flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
