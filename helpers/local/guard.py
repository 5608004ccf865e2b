"""A tiny process that outlives the service by a moment: when the service ends, however it ends,
the process groups of its containers end too and its temporary folder goes.

``kill -9`` gives the service no chance to clean up. Its end closes the pipe that this process
reads, on every system, which is all that is needed. It holds the service's lock until it is done,
so that no other service begins while a container of this one may still work.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO


class Guard:
    """The service's end of the pipe: tell the guard which process groups to end."""

    def __init__(self, work: Path, alive: IO[str] | None = None) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve()), str(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[alive.fileno()] if alive else [],
            text=True,
        )

    def watch(self, group: int) -> None:
        """End this process group when the service ends."""
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        """The group has ended by itself; its number may soon belong to someone else."""
        self._tell(f"-{group}")

    def close(self, timeout_s: float = 10) -> None:
        """End every group that is still watched, remove the folder, and wait for both."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout_s)

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        # A closed pipe: the service is ending and so is its guard.
        with self._lock, suppress(BrokenPipeError, ValueError):
            print(line, file=self._process.stdin, flush=True)


def kill_group(group: int) -> None:
    """End a process group now; nothing happens if it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def shared_memory(group: int) -> list[str]:
    """Prefixes of the shared memory that a Triton was started with: nobody frees it on a kill."""
    try:
        command = Path(f"/proc/{group}/cmdline").read_text()
    except OSError:
        return []
    return re.findall(r"shm-region-prefix-name=([\w-]{8,})", command)


def main(work: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        groups.add(group) if line[0] == "+" else groups.discard(group)
    # A model server leaves its process id in its folder, whatever restarts it went through.
    groups.update(int(file.read_text()) for file in Path(work).glob("*/*/server.pid"))
    regions = {region for group in groups for region in shared_memory(group)}
    for group in groups:
        kill_group(group)
    for region in regions:
        for file in Path("/dev/shm").glob(f"{region}*"):
            file.unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
