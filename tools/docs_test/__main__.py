"""Run every command block of the README and the docs.

    python -m mammo.tools.docs_test [--only README.md] [--jobs 2] [--work FOLDER]

Each page has a fresh folder with the phantoms that ``pages.yaml`` declares, and its commands run there in order. What
runs smaller than printed, or not at all, is declared there with its reason and listed at the end. The exit status is 1
where a command failed or a declaration matches nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .blocks import find_blocks, pages_of
from .declared import Plan, load_plan
from .runner import Runner
from .table import PageResult, render

ROOT = Path(__file__).resolve().parents[2]
PLAN = Path(__file__).with_name("pages.yaml")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the pages that are asked for; 0 where all is well, 1 after a failure."""
    parser = argparse.ArgumentParser(prog="docs_test", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--only", nargs="+", metavar="PAGE", help="pages, as README.md or docs/data.md")
    parser.add_argument("--jobs", type=int, default=1, help="pages at a time")
    parser.add_argument("--work", type=Path, help="a new or empty folder that is kept, logs and all")
    arguments = parser.parse_args(argv)
    # More threads than cores only get into each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // arguments.jobs)))
    plan = load_plan(PLAN)
    pages = chosen(arguments.only, plan)
    with tempfile.TemporaryDirectory(prefix="docs_test") as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        if work.is_dir() and any(work.iterdir()):
            parser.error(f"--work {work} is not empty; give a new folder")
        runner = Runner(ROOT, work, Path(sys.executable).parent, plan)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with ThreadPoolExecutor(arguments.jobs) as pool:
            try:
                results = list(map(_told, pool.map(runner.run_page, pages)))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                runner.stop()
    print(f"\nload {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {arguments.jobs} page(s) at a time")
    print(render(results))
    return int(any(result.failed for result in results))


def chosen(only: Sequence[str] | None, plan: Plan) -> list[Path]:
    """The pages that are asked for, all by default.

    Raises:
        ValueError: for a page that is not there, asked for or declared.
    """
    pages = {page.relative_to(ROOT).as_posix(): page for page in pages_of(ROOT)}
    if missing := [name for name in (*(only or ()), *plan.pages) if name not in pages]:
        raise ValueError(f"no page {missing[0]}; there are {', '.join(pages)}")
    asked = [pages[name] for name in only] if only else list(pages.values())
    return [page for page in asked if _has_commands(page)]


def _has_commands(page: Path) -> bool:
    try:
        return bool(find_blocks(page.read_text(encoding="utf-8")))
    except ValueError:
        return True  # told when it is run


def _told(result: PageResult) -> PageResult:
    """Print how a page went as soon as it is done."""
    print(f"{'FAILED' if result.failed else 'passed'} {result.page} in {result.seconds:.0f} s", flush=True)
    for seconds, command in result.slowest:
        print(f"    {seconds:6.1f} s  {command[:100]}")
    for text in result.failed:
        print(f"    {text}", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
