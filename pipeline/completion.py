"""Completion of verbs, options, choices and files in a shell, made by shtab from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["SHELLS", "add_completion_verb", "completion_script", "verb_parsers"]

SHELLS = ("bash", "zsh", "tcsh")
EPILOG = """put it where your shell looks:
  mammo completion bash > ~/.local/share/bash-completion/completions/mammo
  mammo completion zsh > ~/.zfunc/_mammo                 with ~/.zfunc in fpath, before compinit
  mammo completion tcsh > ~/.mammo.tcsh                  with `source ~/.mammo.tcsh` in .tcshrc
tcsh knows verbs and options, but not which belong together"""


def add_completion_verb(verbs: Any) -> None:
    """Add ``mammo completion``."""
    parser = verbs.add_parser(
        "completion",
        help="a script that lets your shell complete verbs, options and files",
        description="Prints a script that completes verbs, options and files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(verb=_completion, name="completion")


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell, with the options of every stage in the bundle that it is usually run of.

    Args:
        parser: of all verbs; it takes no words after this.
        shell: one of :data:`SHELLS`.
    """
    import shtab

    from ..bundles import bundle_names
    from .stage_options import overlay_names
    from .stage_verbs import STAGES, add_stage_options, bundle_of

    for name, verb in verb_parsers(parser):
        stage = name.removeprefix(f"{parser.prog} ")
        if stage in STAGES:
            add_stage_options(verb, bundle_of(stage), stage, [])
        for action in verb._actions:
            if stage in STAGES and action.dest in ("bundle", "overlay"):
                action.choices = bundle_names() if action.dest == "bundle" else overlay_names(bundle_of(stage))
            elif action.type is Path or action.dest.endswith(("_dir", "pretrained", "checkpoint", "datalist")):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def verb_parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every verb below a parser with its whole name, such as ``mammo study ablation``."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in dict.fromkeys(action.choices.values()):
                yield verb.prog, verb
                yield from verb_parsers(verb)


def _completion(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from .cli import build_parser

    print(completion_script(build_parser(), arguments.shell))
