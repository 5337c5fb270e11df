"""The job table on disk: SQLite with a write-ahead log, every transaction on disk before it returns."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Job", "Table"]

VERSION = 1
"""Of the schema; a table of another version is refused."""

_SCHEMA = """
CREATE TABLE image(
    key TEXT PRIMARY KEY, study TEXT NOT NULL, uid TEXT NOT NULL, series TEXT NOT NULL DEFAULT '',
    here INTEGER NOT NULL DEFAULT 0, refused TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX image_of_study ON image(study);
CREATE TABLE job(
    number INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT NOT NULL, uid TEXT NOT NULL, patient TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL, identity TEXT UNIQUE, first REAL NOT NULL, last REAL NOT NULL, changed REAL NOT NULL,
    due REAL NOT NULL DEFAULT 0, back TEXT NOT NULL DEFAULT '', attempts INTEGER NOT NULL DEFAULT 0,
    waits INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    folder TEXT NOT NULL DEFAULT '', result TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '', codes TEXT NOT NULL DEFAULT '', answer TEXT NOT NULL DEFAULT '',
    ticket TEXT NOT NULL DEFAULT '', computed REAL, sent REAL);
CREATE INDEX job_by_state ON job(state, changed);
CREATE INDEX job_of_study ON job(study);
CREATE INDEX job_by_result ON job(result);
CREATE UNIQUE INDEX one_open_job ON job(study) WHERE state = 'received';
CREATE TABLE job_image(
    job INTEGER NOT NULL, image TEXT NOT NULL, PRIMARY KEY (job, image)) WITHOUT ROWID;
"""


class Job(NamedTuple):
    """A row of the table; times are seconds since 1970.

    Attributes:
        number: of the job.
        study: keyed hash of the Study Instance UID.
        uid: Study Instance UID (0020,000D), empty once the images are deleted.
        patient: keyed hash of the Patient ID, empty where it is not known yet.
        state: see :mod:`~mammo.pipeline.hospital.service.states`.
        identity: hash of images and model, None while images come in.
        first: when the study was first heard of.
        last: when an image last came.
        changed: when the state last changed.
        due: when a failed job is tried again, or a sent one is asked about.
        back: the state in which it failed.
        attempts: that failed in this state and count.
        waits: failures in a row, those of an absent PACS too.
        reason: code of the last failure.
        folder: name of the result's folder in the spool.
        result: :attr:`~mammo.pipeline.hospital.result.StudyResult.job`.
        outcome: status of the result.
        codes: reason codes of its images, by spaces.
        answer: reason for which the study is to be answered as failed, instead of processed.
        ticket: UIDs of the storage commitment transactions, the last ones, with a space between.
        computed: when the result was there.
        sent: when the PACS had it.
    """

    number: int
    study: str
    uid: str
    patient: str
    state: str
    identity: str | None
    first: float
    last: float
    changed: float
    due: float
    back: str
    attempts: int
    waits: int
    reason: str
    folder: str
    result: str
    outcome: str
    codes: str
    answer: str
    ticket: str
    computed: float | None
    sent: float | None


class Table:
    """One connection for all threads of a process.

    Args:
        path: of the file; made where missing, for its owner only.

    Raises:
        ValueError: a table of another version.
    """

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        self._lock, self._depth = threading.RLock(), 0
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        with self.transaction() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                message = f"{path} has version {version}; this program reads {VERSION}: use the one that wrote it"
                raise ValueError(message)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on disk when left; one within another is part of it."""
        with self._lock:
            if not self._depth:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._connection
            except BaseException:
                if self._depth == 1:
                    self._connection.execute("ROLLBACK")
                raise
            else:
                if self._depth == 1:
                    self._connection.execute("COMMIT")
            finally:
                self._depth -= 1

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query that changes nothing."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def jobs(self, condition: str, *values: Any) -> list[Job]:
        """Jobs for which a condition holds, with whatever follows it."""
        return [Job(*row) for row in self.rows(f"SELECT {', '.join(Job._fields)} FROM job WHERE {condition}", *values)]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
