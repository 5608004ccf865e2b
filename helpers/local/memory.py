"""How much of this machine's memory processes hold, read from the operating system."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
MACHINE_BYTES = _PAGE * os.sysconf("SC_PHYS_PAGES")


def resident_bytes(processes: Iterable[int]) -> int:
    """Bytes that these processes hold together; one that has ended holds none.

    What they share, such as libraries, counts once for each.
    """
    pids = list(processes)
    if Path("/proc/self/statm").exists():
        return sum(map(_from_proc, pids))
    return _from_ps(pids)


def _from_proc(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _from_ps(pids: list[int]) -> int:
    """macOS has no ``/proc``; its ``ps`` counts in units of 1,024 bytes."""
    if not pids:
        return 0
    try:
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", ",".join(map(str, pids))],
            capture_output=True, text=True, timeout=5, check=False,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(int(word) for word in said.split()) * 1024
