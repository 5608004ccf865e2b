"""What a Triton that was killed leaves in /tmp: an empty folder for Python environments.

The Python backend makes ``/tmp/python_env_XXXXXX`` when it is loaded, wherever ``TMPDIR`` points,
and removes it when the server ends in peace. Whose folder it is, it does not say.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

PLACE, PATTERN = Path("/tmp"), "python_env_??????"
_SLACK_S = 1.0
_PROC = Path("/proc")


def sweep_environments(since: float, *, place: Path = PLACE) -> list[Path]:
    """Remove the folders of a server that started at ``since`` (seconds since 1970) and has ended.

    One that another server, which still runs, may have made stays. Returns what was removed.
    """
    others = running_since()
    removed = []
    for folder in place.glob(PATTERN):
        try:
            about = folder.stat()
        except OSError:
            continue
        made = about.st_mtime
        ours = about.st_uid == os.getuid() and made >= since - _SLACK_S
        if ours and not any(start <= made + _SLACK_S for start in others):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def running_since() -> list[float]:
    """When each Triton server of this user that runs here was started (seconds since 1970)."""
    try:
        up = float((_PROC / "uptime").read_text().split()[0])
    except OSError:
        return []
    booted, tick = time.time() - up, os.sysconf("SC_CLK_TCK")
    found = []
    for process in _PROC.glob("[0-9]*"):
        try:
            program = (process / "exe").readlink()  # there before cmdline is
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if program.name.removesuffix(" (deleted)") == "tritonserver":
            found.append(booted + int(fields[19]) / tick)
    return found
