"""Read the options of ``mammo`` commands without running them: one that would be refused is wrong on its page too.

``python -m mammo.tools.docs_test.options < COMMANDS``: each line of the standard input is a command. The exit status is
1 where one has a verb or an option that is not there.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import yaml

from ...pipeline.cli import MisuseError, build_parser, parse_overrides
from ...pipeline.stage_options import config_files, configurations

__all__ = ["wrong_options"]

SENTENCE = {"sentence", "images"}
"""Options of ``mammo explain --sentence``, which has another configuration."""


def wrong_options(command: str) -> str:
    """Why ``mammo ...`` would be refused before it does anything; "" where it would not."""
    words = shlex.split(command.replace("\\\n", " "), comments=True)[1:]
    try:
        arguments, rest = build_parser().parse_known_args(words)
        overrides = parse_overrides(rest)
    except (MisuseError, ValueError) as error:
        return str(error)
    known = _known(arguments)
    if known is None or SENTENCE & set(overrides):
        return ""
    unknown = [name for name in overrides if name.replace("#", "::").split("::")[0] not in known]
    return f"unknown option --{unknown[0]}" if unknown else ""


def _known(arguments: argparse.Namespace) -> set[str] | None:
    """Names that may follow as ``--KEY VALUE``; None where the verb itself decides."""
    if not isinstance(getattr(arguments, "bundle", None), str):  # `bundle localise` has a folder of this name
        return None if arguments.free_options else set()
    if arguments.stage is None:  # a study: keys of any stage
        return _keys(configurations(arguments.bundle))
    own = [name for name in arguments.overlay if not name.endswith(".yaml")]  # such a file is made by the page itself
    return _keys(config_files(arguments.bundle, arguments.stage, own))


def _keys(files: Iterable[Path]) -> set[str]:
    return {key for file in files for key in _keys_of(file)}


@lru_cache
def _keys_of(file: Path) -> tuple[str, ...]:
    return tuple(yaml.safe_load(file.read_text(encoding="utf-8")))


if __name__ == "__main__":
    found = [(line.strip(), wrong) for line in sys.stdin if (wrong := wrong_options(line.strip()))]
    print("\n".join(f"{command}: {wrong}" for command, wrong in found))
    sys.exit(int(bool(found)))
