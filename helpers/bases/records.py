"""What this learner said about base models, with dates: licences accepted, hashes trusted.

An append-only file below the state folder, one JSON object per line. It outlives ``clean``: what
somebody agreed to is no rubbish.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers.bases.registry import Registered, registered
from helpers.errors import BaseModelError
from helpers.jsonl import append_line, read_lines
from helpers.settings import Settings

RECORDS = "bases.jsonl"


def accept_licence(
    base_id: str, *, by: str = "", settings: Settings | None = None
) -> dict[str, Any]:
    """Write down that the base's licence was read and accepted; returns the record.

    ``by`` is whoever accepts, the learner's namespace if not given. A licence that asks for no
    acceptance is not recorded. Raises ``BaseModelError`` for an unknown base.
    """
    entry, settings = registered(base_id), settings or Settings.from_environment()
    if not entry.licence.to_accept:
        return {"licence": entry.licence.spdx, "accepted": "not needed"}
    if given := acceptance(entry, settings):
        return given
    line = {
        "event": "licence accepted",
        "base": entry.id,
        "licence": entry.licence.spdx,
        "name": entry.licence.name,
        "address": entry.licence.address,
        "accepted": _now(),
        "by": by or settings.learner,
    }
    _append(settings, line)
    return line


def acceptance(entry: Registered, settings: Settings | None = None) -> dict[str, Any] | None:
    """The record of the acceptance of this base under the licence it has today, if there is one."""
    for line in _lines(settings or Settings.from_environment(), "licence accepted", entry.id):
        if (line.get("licence"), line.get("name")) == (entry.licence.spdx, entry.licence.name):
            return line
    return None


def require_licence(entry: Registered, settings: Settings | None = None) -> dict[str, Any] | None:
    """The acceptance, or ``None`` where none is needed.

    Raises ``BaseModelError`` that shows the licence when it was not accepted.
    """
    if not entry.licence.to_accept:
        return None
    if given := acceptance(entry, settings):
        return given
    raise BaseModelError(
        f"the licence of {entry.id} has not been accepted",
        f"{entry.licence}\n",
        f"read it, then call helpers.bases.accept_licence({entry.id!r}), or give --accept-licence "
        "to python3 course.py base",
    )


def trust_weights(entry: Registered, pins: dict[str, str], settings: Settings) -> None:
    """Pin hashes that the registry does not know: trust on first use, written down."""
    if trusted_weights(entry, settings) != pins:
        line = {"event": "weights trusted", "base": entry.id, "weights": pins, "trusted": _now()}
        _append(settings, line)


def trusted_weights(entry: Registered, settings: Settings | None = None) -> dict[str, str] | None:
    """The hashes that this learner pinned last, if any."""
    lines = list(_lines(settings or Settings.from_environment(), "weights trusted", entry.id))
    return lines[-1]["weights"] if lines else None


def remember_folder(entry: Registered, folder: Path, settings: Settings) -> None:
    """Where on this machine the verified base lies."""
    if remembered_folder(entry, settings) != folder.resolve():
        _append(settings, {"event": "folder", "base": entry.id, "folder": str(folder.resolve())})


def remembered_folder(entry: Registered, settings: Settings) -> Path | None:
    """The folder that was verified last, if it is still there."""
    lines = list(_lines(settings, "folder", entry.id))
    folder = Path(lines[-1]["folder"]) if lines else None
    return folder if folder and folder.is_dir() else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _append(settings: Settings, line: dict[str, Any]) -> None:
    append_line(settings.state / RECORDS, line)


def _lines(settings: Settings, event: str, base_id: str) -> Iterator[dict[str, Any]]:
    for line in read_lines(settings.state / RECORDS):
        if (line.get("event"), line.get("base")) == (event, base_id):
            yield line
