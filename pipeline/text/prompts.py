"""Sentences that ask an image-text model a question: one list for every class of a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .vocabulary import COMPOSITIONS, FINDINGS, KINDS

__all__ = ["PROMPTS", "PUBLISHED", "Prompts", "check_prompts", "load_prompts"]

Prompts = dict[str, dict[str, list[str]]]
"""Task, class, sentences; the classes in the order of their indices."""

_LARGEST_FILE = 1_000_000  # bytes


def _of_finding(name: str) -> dict[str, list[str]]:
    """Both classes in the same words but for the negation, so that nothing else can tell them apart."""
    kind = KINDS[name]
    be, article = "are" if kind.plural else "is", "a " if kind.article else ""
    prompts: dict[str, list[str]] = {"absent": [], "present": []}
    for what in (f"{look}{noun}" for look in ("", "suspicious ") for noun in kind.nouns):
        an = "an " if article and what[0] in "aeiou" else article
        seen = f"{an}{what} {be} seen."
        prompts["absent"] += [f"There {be} no {what}.", f"No {what} {be} seen."]
        prompts["present"] += [f"There {be} {an}{what}.", seen[0].upper() + seen[1:]]
    return prompts


PROMPTS: Prompts = {
    **{name: _of_finding(name) for name in FINDINGS},
    "malignancy": {
        "absent": [
            "There is no malignancy.",
            "No mammographic evidence of malignancy.",
            "No sign of cancer is seen.",
            "No finding is suspicious for malignancy.",
        ],
        "present": [
            "There is a malignancy.",
            "Mammographic evidence of malignancy.",
            "A sign of cancer is seen.",
            "The finding is highly suggestive of malignancy.",
        ],
    },
    "density": {
        grade: [f"The breast is {words}." for words in said]
        + [f"The {plural} {said[0]}." for plural in ("breasts are", "breast tissue is")]
        for grade, said in COMPOSITIONS.items()
    },
}
"""Ensembles: several sentences a class, in the words that reports are written in."""

PUBLISHED: Prompts = {
    "mass": {"absent": ["no mass"], "present": ["mass"]},
    "calcification": {"absent": ["no suspicious calcification"], "present": ["suspicious calcification"]},
    "malignancy": {"absent": ["no malignancy"], "present": ["malignancy"]},
}
"""The single prompts of Mammo-CLIP's evaluation (arXiv:2405.12255); those of density are not known."""

_NAMED = {"ensemble": PROMPTS, "published": PUBLISHED}


def load_prompts(source: Path | str = "ensemble") -> Prompts:
    """Prompts by name, or a user's own.

    Args:
        source: ``ensemble`` (:data:`PROMPTS`), ``published`` (:data:`PUBLISHED`) or a JSON file of the same form:
            ``{"mass": {"absent": ["no mass"], "present": ["a mass", "an oval mass"]}}``.

    Raises:
        ValueError: for a file that is not there or too large, is not JSON, or fails :func:`check_prompts`.
    """
    if str(source) in _NAMED:
        return {
            task: {name: list(said) for name, said in classes.items()} for task, classes in _NAMED[str(source)].items()
        }
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"no prompts {str(source)!r}; give {' or '.join(_NAMED)}, or the path of a JSON file")
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path} is larger than {_LARGEST_FILE} bytes; prompts are a few sentences a class")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_doubles)
    except ValueError as error:
        raise ValueError(f"{path} does not hold prompts: {error}") from error
    return check_prompts(content, str(path))


def check_prompts(content: Any, where: str = "prompts") -> Prompts:
    """Refuse what cannot tell the classes of a task apart.

    Args:
        content: task to class to list of sentences.
        where: begins the error.

    Raises:
        ValueError: naming the task or class: fewer than two classes, a class without a sentence, a value that is not
            text or empty, or a sentence that stands for two classes.
    """
    for task, classes in _object(content, where, "tasks").items():
        place = f"{where}: task {task!r}"
        owners: dict[str, str] = {}
        if len(_object(classes, place, "classes")) < 2:
            raise ValueError(f"{place} has fewer than two classes; say what its sentences are to be told from")
        for name, said in classes.items():
            _check_sentences(said, f"{place}, class {name!r}")
        for name, text in ((name, text) for name, said in classes.items() for text in said):
            owner = owners.setdefault(" ".join(text.lower().split()), name)
            if owner != name:
                raise ValueError(f"{place}: {text!r} stands for {owner!r} and {name!r}; keep it in one of them")
    return dict(content)


def _check_sentences(said: Any, where: str) -> None:
    if not isinstance(said, list) or not said or not all(isinstance(text, str) and text.strip() for text in said):
        raise ValueError(f"{where}: expected a list of sentences, got {said!r}")


def _object(content: Any, where: str, what: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{where}: expected a mapping of {what}, got {str(content)[:80]!r}")
    return content


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ValueError(f"{double!r} is there twice; join its sentences in one list")
    return dict(pairs)
