"""The verb ``reproduce``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

__all__ = ["add_reproduce_verb"]

EXAMPLES = """examples:
  mammo reproduce --list                                     every row, its published figures, what it needs
  mammo reproduce phantom-swin                               the whole way on synthetic mammograms, in a minute or two
  mammo reproduce miram-mae-cbis --data CBIS-DDSM --dry_run  list, check the split, say what would run
  mammo reproduce miram-mae-cbis --data CBIS-DDSM --seeds 0 1 2
  mammo reproduce mammoclip-b2-vindr-probe --data VINDR --weights DOWNLOADS
  mammo reproduce my-row.yaml --data DATA --freeze my-split.json"""


def add_reproduce_verb(verbs: Any) -> None:
    """Add the parser of ``reproduce`` to the command line's subparsers."""
    parser = verbs.add_parser(
        "reproduce",
        help="a row of a paper's table: from the dataset's folder to the published figure beside ours",
        description="Lists the row's datasets, checks that the split is the frozen one, runs the stages and prints "
        "the published figures beside ours. Stopped, the same command goes on. Nothing is downloaded: where data or "
        "weights are missing it says where they are offered. Further options are keys of the stages: --KEY VALUE; "
        "those that depart from the row are told beside the figures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("row", nargs="?", help="id of --list, or a .yaml file with a row of your own")
    parser.add_argument("--list", action="store_true", help="show all rows, or the whole of the one that is named")
    parser.add_argument("--data", type=Path, help="folder of the dataset, or of a folder by name for each of several")
    parser.add_argument("--weights", type=Path, help="folder of released weights as downloaded")
    parser.add_argument("--output_dir", type=Path, help="outputs/reproduce/ROW by default")
    parser.add_argument("--cache_dir", type=Path, help="folder of prepared images; OUTPUT_DIR/cache by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--workers", type=int, default=1, help="stages at a time, one core each")
    parser.add_argument("--dry_run", action="store_true", help="stop before the first stage")
    parser.add_argument("--freeze", type=Path, metavar="FILE", help="write the split that is found, for a row of yours")
    parser.add_argument("--count", nargs="+", default=[], metavar="TASK", help="tasks whose classes --freeze counts")
    parser.add_argument("--json", action="store_true", help="print JSON alone; what else is said goes to stderr")
    parser.set_defaults(verb=_reproduce, name="reproduce", free_options=True)


def _reproduce(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> None:
    from .catalogue import find_row, load_rows

    if arguments.row is None:
        if not arguments.list:
            raise ValueError("mammo reproduce takes a row, such as phantom-swin; --list shows all")
        rows = load_rows()
    else:
        rows = [find_row(arguments.row)]
    if arguments.list:
        _show(rows, arguments.json, whole=arguments.row is not None)
    elif arguments.freeze is not None:
        _freeze(rows[0], arguments)
    else:
        _run(rows[0], arguments, overrides)


@contextmanager
def _stdout_for_json(wanted: bool) -> Iterator[None]:
    """Inside, all that is printed goes to stderr, by libraries in C too, so that JSON stands alone on stdout."""
    if not wanted:
        yield
        return
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler)]
    for handler in (h for h in handlers if h.stream is sys.stdout):
        handler.setStream(sys.stderr)
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _show(rows: list[Any], as_json: bool, *, whole: bool) -> None:
    from .listing import describe, listing, sheet

    if as_json:
        print(json.dumps([describe(row) for row in rows], indent=1))
    else:
        print(sheet(rows[0]) if whole else listing(rows))


def _freeze(row: Any, arguments: argparse.Namespace) -> None:
    from .data import freeze_split

    out = arguments.output_dir or Path("outputs/reproduce") / row.id
    freeze_split(row, arguments.data, out / "data", arguments.freeze, arguments.count)
    print(f"the split that was found: {arguments.freeze}")


def _run(row: Any, arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> None:
    from .results import table_of
    from .run import reproduce

    with _stdout_for_json(arguments.json):
        content = reproduce(
            row,
            data=arguments.data,
            weights=arguments.weights,
            output_dir=arguments.output_dir or Path("outputs/reproduce") / row.id,
            seeds=arguments.seeds,
            cache_dir=arguments.cache_dir,
            workers=arguments.workers,
            options=overrides,
            dry_run=arguments.dry_run,
        )
    if arguments.json:
        print(json.dumps(content, indent=1))
    elif arguments.dry_run:
        from .listing import planned

        print(planned(content))
    else:
        print(table_of(content))
