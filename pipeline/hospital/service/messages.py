"""What service and worker process say to each other: plain values, light to import on both sides."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Answer", "Ready", "Task", "Trouble"]


class Task(NamedTuple):
    """One study to process.

    Attributes:
        paths: of its images.
        folder: empty, for the result.
        answer: None, or the reason for which the study is not processed again but answered as failed.
        predecessor: None, or the file of the latest report of this study that the PACS has.
        absent: codes of why images that the PACS lists are not here, one for each.
    """

    paths: tuple[str, ...]
    folder: str
    answer: str | None = None
    predecessor: str | None = None
    absent: tuple[str, ...] = ()


class Answer(NamedTuple):
    """A result is in its folder.

    Attributes:
        result: :attr:`~mammo.pipeline.hospital.result.StudyResult.job`.
        outcome: analysed, not_analysed or failed.
        codes: reasons and warnings of the images.
    """

    result: str
    outcome: str
    codes: tuple[str, ...] = ()


class Ready(NamedTuple):
    """The model is loaded and passed its self test.

    Attributes:
        model: fingerprint of everything that shapes a result but the images.
    """

    model: str


class Trouble(NamedTuple):
    """An error in the worker process, without its text.

    Attributes:
        error: its type.
        where: file and line.
        advice: of an error of the settings, found before any study was seen, what is wrong with them.
    """

    error: str
    where: str
    advice: str = ""
