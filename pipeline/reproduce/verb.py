"""The verb ``reproduce``."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..answer import Answer, add_json_option

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
        description=textwrap.fill(
            "Lists the row's datasets, checks that the split is the frozen one, runs the stages and prints "
            "the published figures beside ours. Stopped, the same command goes on. Nothing is downloaded: where data "
            "or weights are missing it says where they are offered. Further options are keys of the stages: "
            "--KEY VALUE; those that depart from the row are told beside the figures.",
            width=100,
        ),
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
    add_json_option(parser)
    parser.set_defaults(verb=_reproduce, name="reproduce", free_options=True)


def _reproduce(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .catalogue import find_row, load_rows

    if arguments.row is None:
        if not arguments.list:
            raise ValueError("mammo reproduce takes a row, such as phantom-swin; --list shows all")
        rows = load_rows()
    else:
        rows = [find_row(arguments.row)]
    if arguments.list:
        return _show(rows, whole=arguments.row is not None)
    if arguments.freeze is not None:
        return _freeze(rows[0], arguments)
    return _run(rows[0], arguments, overrides)


def _show(rows: list[Any], *, whole: bool) -> Answer:
    from .listing import describe, listing, sheet

    print(sheet(rows[0]) if whole else listing(rows))
    return Answer({"rows": [describe(row) for row in rows]})


def _freeze(row: Any, arguments: argparse.Namespace) -> Answer:
    from .data import freeze_split

    out = arguments.output_dir or Path("outputs/reproduce") / row.id
    freeze_split(row, arguments.data, out / "data", arguments.freeze, arguments.count)
    print(f"the split that was found: {arguments.freeze}")
    return Answer({"split": arguments.freeze})


def _run(row: Any, arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .results import table_of
    from .run import reproduce

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
    if arguments.dry_run:
        from .listing import planned

        print(planned(content))
    else:
        print(table_of(content))
    return Answer(content)
