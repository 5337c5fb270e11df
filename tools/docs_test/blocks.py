"""Find the command blocks of Markdown pages and cut them into commands."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "Command", "find_blocks", "insert_options", "pages_of", "split_commands"]

SHELLS = {"bash", "sh", "shell", "console"}
PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "bundles/*/docs/README.md", "examples/*/README.md")
PROGRAMS = "mammo|make|python3?|pip|git|torchrun|sudo|curl|cp|mkdir|docker"
_COMMAND = re.compile(rf"([A-Z_]+=\S+ )*(\S*/)?({PROGRAMS})\s")
_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>```+|~~~+)\s*(?P<language>[^\s`]*)")
_OPEN = re.compile(r"[\"'`$(){}<|]|^\s*(for|while|until|if|case)\b")
"""Only where one of these is can a line of shell want another one behind it; bash is asked then."""
_HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")


@dataclass(frozen=True)
class Command:
    """One command as printed: its text, and the number of its first line on the page, from 1."""

    text: str
    line: int


@dataclass(frozen=True)
class Block:
    """A command block: ``language`` is ``bash`` or ``python``; a Python block is one command."""

    line: int
    language: str
    commands: tuple[Command, ...]


def pages_of(root: Path) -> list[Path]:
    """The pages whose commands are run, in reading order, below a checkout."""
    return [page for pattern in PATTERNS for page in sorted(root.glob(pattern))]


def find_blocks(text: str) -> list[Block]:
    """The command blocks of a page, in order: fences of a shell or of Python, and indented commands.

    Raises:
        ValueError: a fence is not closed, or one without a language holds commands: nobody would run it.
    """
    found = []
    for line, language, lines in _raw_blocks(text):
        if language == "python":
            found.append(Block(line, "python", (Command("\n".join(lines), line),)))
        elif language in SHELLS:
            found.append(Block(line, "bash", tuple(split_commands(_typed(lines, language), line))))
        elif not language and any(map(_COMMAND.match, lines)):
            raise ValueError(f"line {line}: this fence holds commands but names no language; write ```bash")
    return [block for block in found if block.commands]


def split_commands(lines: Iterable[str], first: int) -> Iterator[Command]:
    """Cut the lines of a shell block into commands; loops, quotes and here-documents stay whole.

    Args:
        lines: of the block; comments and empty lines between commands are left out.
        first: number of the block's first line.
    """
    held: list[str] = []
    number = first
    for number, line in enumerate(lines, first):
        if not held and (not line.strip() or line.lstrip().startswith("#")):
            continue
        held.append(line)
        if _complete(held):
            yield Command("\n".join(held), number - len(held) + 1)
            held = []
    if held:
        raise ValueError(f"line {number - len(held) + 1}: the command {held[0]!r} has no end")


def insert_options(command: str, options: str) -> str:
    """The command with options behind its own, before the comment that may end its last line."""
    *before, last = command.split("\n")
    code = last[: _comment_start(last)].rstrip()
    rest = last[_comment_start(last) :]
    return "\n".join([*before, f"{code} {options}" + (f"  {rest}" if rest else "")])


def _raw_blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """First line's number, language and lines of every fence, and of every indented block that holds a command."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            end = _fence_end(lines, at, fence["ticks"])
            yield at + 2, fence["language"].lower(), [_dedent(line, fence["indent"]) for line in lines[at + 1 : end]]
        elif _COMMAND.match(lines[at][4:]) and lines[at].startswith("    "):
            end = at
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            yield at + 1, "bash", [line[4:] for line in lines[at:end]]
        else:
            end = at
        at = max(end, at) + (1 if fence or end == at else 0)


def _fence_end(lines: list[str], start: int, ticks: str) -> int:
    for at in range(start + 1, len(lines)):
        if lines[at].strip() == ticks:
            return at
    raise ValueError(f"line {start + 1}: this fence is never closed")


def _dedent(line: str, indent: str) -> str:
    return line[len(indent) :] if line.startswith(indent) else line.lstrip()


def _typed(lines: list[str], language: str) -> list[str]:
    """What a reader types: of a console block, the lines behind the prompt."""
    return lines if language != "console" else [line[2:] if line.startswith("$ ") else "" for line in lines]


def _complete(lines: list[str]) -> bool:
    """Whether bash would run these lines and not wait for more."""
    heredoc = _HEREDOC.search(lines[0])
    if heredoc:
        return len(lines) > 1 and lines[-1].strip() == heredoc[1]
    if lines[-1].endswith("\\"):
        return False
    if not any(map(_OPEN.search, lines)):
        return True
    checked = subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, capture_output=True, check=False)
    return checked.returncode == 0


def _comment_start(line: str) -> int:
    """Where the comment of a line of shell begins; its length where there is none."""
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1].isspace()):
            return at
    return len(line)
