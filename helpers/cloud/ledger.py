"""The ledger: what was created, written down before it was created.

An append-only file, one JSON object per line. A program that is killed between the line and the
call leaves a line too many, never a resource that nobody knows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from helpers.jsonl import append_line, read_lines


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A resource that may exist. Times are seconds since the epoch; ``created`` is ``None`` while
    nobody has confirmed it, ``removed`` while nobody has removed it.

    ``price_per_hour`` in US dollars; ``None``: it costs, and no price was known. ``instances``
    and ``price_source`` say of what, and who named the price.
    """

    kind: str
    name: str
    price_per_hour: float | None = 0.0
    instances: str = ""
    price_source: str = ""
    planned: float = 0.0
    created: float | None = None
    removed: float | None = None

    @property
    def hours(self) -> float:
        """How long it has existed, or did."""
        return max((self.removed or time.time()) - (self.created or self.planned), 0) / 3600

    @property
    def cost(self) -> float | None:
        """Dollars since it was created, at its hourly price."""
        return None if self.price_per_hour is None else self.price_per_hour * self.hours


class Ledger:
    """The file, shared by every notebook of a learner."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def planned(
        self,
        kind: str,
        name: str,
        *,
        price_per_hour: float | None = 0.0,
        instances: str = "",
        price_source: str = "",
    ) -> None:
        """Call before creating the resource."""
        about = {"instances": instances, "price_source": price_source}
        said = {key: value for key, value in about.items() if value}
        self._append("planned", kind, name, price_per_hour=price_per_hour, **said)

    def created(self, kind: str, name: str) -> None:
        self._append("created", kind, name)

    def removed(self, kind: str, name: str) -> None:
        """The resource is gone, or was never made."""
        self._append("removed", kind, name)

    @contextmanager
    def creating(self, kind: str, name: str, **about: Any) -> Iterator[None]:
        """``planned`` before the block, with what is said ``about`` it, and ``created`` after it.

        An exception strikes the line out again, unless an earlier line says that the resource
        was there before; a killed process leaves the line.
        """
        known = any((entry.kind, entry.name) == (kind, name) for entry in self.open())
        self.planned(kind, name, **about)
        try:
            yield
        except Exception:
            if not known:
                self._append("removed", kind, name, made=False)
            raise
        self.created(kind, name)

    def open(self) -> list[Entry]:
        """Every resource that may still exist, oldest first."""
        return self._read()[0]

    def history(self) -> list[Entry]:
        """Every resource that was made, the removed ones too, oldest first."""
        still, gone = self._read()
        return sorted([*gone, *still], key=lambda entry: entry.planned)

    def _read(self) -> tuple[list[Entry], list[Entry]]:
        """What may still exist, and what was removed after it had been made."""
        found: dict[tuple[str, str], Entry] = {}
        gone: list[Entry] = []
        for line in self._lines():
            key = line["kind"], line["name"]
            if line["event"] == "removed" and key in found:
                ended = replace(found.pop(key), removed=line["time"])
                if line.get("made", True):
                    gone.append(ended)
            elif line["event"] == "created" and key in found:
                found[key] = replace(found[key], created=line["time"])
            elif line["event"] == "planned" and key not in found:
                found[key] = Entry(
                    kind=key[0],
                    name=key[1],
                    price_per_hour=line.get("price_per_hour", 0.0),
                    instances=line.get("instances", ""),
                    price_source=line.get("price_source", ""),
                    planned=line["time"],
                )
        return list(found.values()), gone

    def price_per_hour(self) -> float:
        """Dollars that everything open costs in an hour, as far as prices are known."""
        return sum(entry.price_per_hour or 0.0 for entry in self.open())

    def _append(self, event: str, kind: str, name: str, **more: object) -> None:
        about = {"time": time.time(), "event": event, "kind": kind, "name": name}
        append_line(self.path, {**about, **more})

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in read_lines(self.path):
            if {"event", "kind", "name", "time"} <= line.keys():
                yield line
