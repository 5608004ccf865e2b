"""What must outlive the service: one SQLite file that only its owner can read.

``things`` are plain values by kind and name: models, endpoints, jobs, tags, what moto was told.
``jobs`` are asynchronous invocations that have not ended, in the order in which they came.

A change is complete or it did not happen, also after ``kill -9``. What was deleted is gone from the
disk as well: somebody may have asked for that. SQLite's write-ahead log is left
to the system to put on the disk: after a power failure the last moments may be missing, the rest
is whole.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS things (
    kind TEXT, name TEXT, data TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, request TEXT NOT NULL,
    body BLOB, begun INTEGER NOT NULL DEFAULT 0, topic TEXT, message TEXT);
"""


@dataclass(frozen=True, kw_only=True)
class KeptJob:
    """An invocation that had not ended. ``begun``: how often a container was given it;
    ``message``: what was still to be said of its end, at ``topic``, once its object was there."""

    number: int
    request: dict[str, Any]
    body: bytes | None
    begun: int
    topic: str | None
    message: str | None


class Journal:
    """Reads and writes the file; without one it forgets. Safe to use from many threads."""

    def __init__(self, file: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._depth, self._closed, self._deleted = 0, False, False
        self._base = self._open(file)

    def _open(self, file: Path | None) -> sqlite3.Connection:
        if file is None:
            base = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
            base.executescript(_TABLES)
            return base
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            return _connect(file)
        except sqlite3.DatabaseError as trouble:
            if isinstance(trouble, sqlite3.OperationalError):  # no room, no permission: not damage
                raise
            aside = file.with_name(f"{file.name}.damaged")
            print(f"{file.name} cannot be read ({trouble}); it is {aside.name} now", flush=True)
            file.replace(aside)
            for rest in ("-wal", "-shm"):
                file.with_name(f"{file.name}{rest}").unlink(missing_ok=True)
            return self._open(file)

    @contextmanager
    def change(self) -> Iterator[None]:
        """Everything inside is written together, or nothing of it; others wait."""
        with self._lock:
            outermost = self._depth == 0 and not self._closed
            if outermost:
                self._base.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                if outermost and self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise
            else:
                if outermost and not self._closed:
                    try:
                        self._base.execute("COMMIT")
                        if self._deleted:  # the log still holds what was there before
                            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                            self._deleted = False
                    except sqlite3.Error:  # the disk is full
                        if self._base.in_transaction:
                            self._base.execute("ROLLBACK")
                        raise
            finally:
                self._depth -= 1

    def close(self) -> None:
        """From here on nothing is written: the next start finds everything as it is now."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._base.close()

    def save(self, kind: str, name: str, data: Mapping[str, Any]) -> None:
        """Keep a thing, in the place of its earlier self if there is one."""
        self._write(
            "INSERT INTO things VALUES (?, ?, ?) "
            "ON CONFLICT (kind, name) DO UPDATE SET data = excluded.data",
            kind, name, json.dumps(data),
        )  # fmt: skip

    def drop(self, kind: str, name: str) -> None:
        self._write("DELETE FROM things WHERE kind = ? AND name = ?", kind, name)

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        rows = self._read("SELECT data FROM things WHERE kind = ? AND name = ?", kind, name)
        return json.loads(rows[0][0]) if rows else None

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Things of a kind by name, in the order in which they first came."""
        rows = self._read("SELECT name, data FROM things WHERE kind = ? ORDER BY rowid", kind)
        return {name: json.loads(data) for name, data in rows}

    def add_job(self, endpoint: str, request: Mapping[str, Any], body: bytes | None) -> int:
        """Keep an invocation; its number."""
        return self._write(
            "INSERT INTO jobs (endpoint, request, body) VALUES (?, ?, ?)",
            endpoint, json.dumps(request), body,
        )  # fmt: skip

    def begin_job(self, number: int) -> None:
        """A container is given it now."""
        self._write("UPDATE jobs SET begun = begun + 1 WHERE number = ?", number)

    def answer_job(self, number: int, topic: str, message: str) -> None:
        """Its object is written; what is left to do is to say so."""
        self._write(
            "UPDATE jobs SET topic = ?, message = ? WHERE number = ?", topic, message, number
        )

    def end_job(self, number: int) -> None:
        self._write("DELETE FROM jobs WHERE number = ?", number)

    def said(self, topic: str, message: str) -> None:
        """A message has gone out: whatever job waited for that has ended."""
        self._write(
            "DELETE FROM jobs WHERE number = "
            "(SELECT min(number) FROM jobs WHERE topic = ? AND message = ?)",
            topic, message,
        )  # fmt: skip

    def jobs(self, endpoint: str) -> list[KeptJob]:
        """Invocations of an endpoint that have not ended, oldest first."""
        rows = self._read(
            "SELECT number, request, body, begun, topic, message FROM jobs "
            "WHERE endpoint = ? ORDER BY number",
            endpoint,
        )
        return [
            KeptJob(
                number=number, request=json.loads(request), body=body,
                begun=begun, topic=topic, message=message,
            )
            for number, request, body, begun, topic, message in rows
        ]  # fmt: skip

    def _read(self, words: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return [] if self._closed else self._base.execute(words, values).fetchall()

    def _write(self, words: str, *values: object) -> int:
        with self.change():
            if self._closed:
                return 0
            self._deleted |= words.startswith("DELETE")
            return self._base.execute(words, values).lastrowid or 0


def _connect(file: Path) -> sqlite3.Connection:
    base = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    base.execute("PRAGMA auto_vacuum = INCREMENTAL")
    base.execute("PRAGMA secure_delete = ON")
    base.executescript(_TABLES)
    return base
