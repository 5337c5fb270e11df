"""Verbs of the command line that look at evaluated runs: compare, verify."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .answer import Answer, add_json_option

__all__ = ["add_evaluation_verbs"]


def add_evaluation_verbs(verbs: Any) -> None:
    """Add the parsers of these verbs to the command line's subparsers."""
    compare = verbs.add_parser(
        "compare",
        help="two evaluated runs side by side, with paired differences",
        description="Compares two runs on the same test patients: mammo compare RUN_A RUN_B. Several seeds a side: "
        "--a RUN RUN ... --b RUN RUN ...",
        allow_abbrev=False,
    )
    compare.add_argument("runs", nargs="*", type=Path, help="two run folders, each with predictions.csv or test/")
    compare.add_argument("--a", nargs="+", type=Path, default=[], help="runs of the first recipe, one a seed")
    compare.add_argument("--b", nargs="+", type=Path, default=[], help="runs of the second")
    compare.add_argument("--out", type=Path, default=Path("comparison.json"), help="the JSON file to write")
    compare.add_argument("--draws", type=int, default=2000, help="bootstrap draws of patients")
    compare.add_argument("--seed", type=int, default=0, help="of the draws")
    add_json_option(compare)
    compare.set_defaults(verb=_compare, name="compare")

    verify = verbs.add_parser(
        "verify",
        help="recompute a run's hashes and metrics and say what differs",
        description="Recomputes the hashes of evidence.json, and metrics.json and operating_points.json from "
        "predictions.csv. Exit status 1 where anything differs or is gone.",
        allow_abbrev=False,
    )
    verify.add_argument("run", type=Path, help="an evaluated run folder")
    verify.add_argument("--datalist", type=Path, help="where the datalist lies now")
    verify.add_argument("--checkpoint", type=Path, help="where the checkpoint lies now")
    verify.add_argument("--twin", type=Path, help="where the twin's checkpoint lies now")
    add_json_option(verify)
    verify.set_defaults(verb=_verify, name="verify")


def _compare(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .comparison import compare_runs, comparison_table

    two, sides = len(arguments.runs) == 2, bool(arguments.a and arguments.b)
    if two == sides or (arguments.runs and not two) or bool(arguments.a) != bool(arguments.b):
        raise ValueError("mammo compare takes two run folders, or --a RUN ... and --b RUN ...")
    a, b = (arguments.a, arguments.b) if sides else ([arguments.runs[0]], [arguments.runs[1]])
    result = compare_runs(a, b, draws=arguments.draws, seed=arguments.seed, out=arguments.out)
    print(comparison_table(result))
    print(f"\n{arguments.out} written: every measure at every level")
    return Answer(result)


def _verify(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .evidence.verify import verify_run

    moved = {
        name: path for name in ("datalist", "checkpoint", "twin") if (path := getattr(arguments, name)) is not None
    }
    report = verify_run(arguments.run, moved=moved)
    print("\n".join([*(f"same: {line}" for line in report.same), *(f"note: {line}" for line in report.notes)]))
    found = {"run": arguments.run, "same": report.same, "different": report.different, "notes": report.notes}
    if report.different:
        return Answer(found, error="\n  ".join([f"{arguments.run} is not what was evaluated:", *report.different]))
    print(f"{arguments.run}: everything is as it was evaluated")
    return Answer(found)
