"""Append-only files of one JSON object per line, shared by processes that may be killed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line that is on the disk when this returns; only its owner may read the file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # A writer that was killed may have left half a line: never glue ours to it.
        file.write(f"\n{json.dumps(line)}\n".encode())
        os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line, oldest first; none where there is no file. Half lines are passed over."""
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line
