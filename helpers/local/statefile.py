"""How a notebook finds the local SageMaker: one small file that only its owner can read.

Beside it lies ``service.alive``, which the service keeps locked while it runs. The lock, not the
process id, says whether the service lives: ids are used again, and a lock dies with its holder.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

STATE, ALIVE, STARTING = "service.json", "service.alive", "service.starting"
WORK = "service.work"
"""Names the temporary folder of the service that runs, or ran last: photos pass through it."""
JOURNAL, OBJECTS = "service.db", "service.objects"
"""What was made in the local SageMaker, and the bodies of its S3: kept until ``clean``."""
WORK_PREFIX = "local-sagemaker-"


@dataclass(frozen=True, kw_only=True)
class LocalService:
    """A running local SageMaker: where it listens and the keys that its callers sign with."""

    url: str
    access_key: str
    secret_key: str
    region: str
    account: str
    pid: int
    started: float

    def __repr__(self) -> str:
        return f"LocalService(url={self.url!r}, pid={self.pid})"


def write_state(folder: Path, service: LocalService) -> None:
    """Write the state file, complete and readable by its owner alone, or not at all."""
    private_folder(folder)
    write_private(folder / STATE, json.dumps(asdict(service)))


def read_state(folder: Path) -> LocalService | None:
    """The service that the state file names, if it still runs; ``None`` for a stale or no file."""
    if not is_alive(folder):
        return None
    try:
        return LocalService(**json.loads((folder / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def remove_state(folder: Path) -> None:
    (folder / STATE).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary folder of a service that ended without doing so, as when the machine
    did; the folder, in a list, if there was one. Call it while no service runs."""
    try:
        work = Path((folder / WORK).read_text())
    except (OSError, ValueError):
        return []
    (folder / WORK).unlink(missing_ok=True)
    if not work.name.startswith(WORK_PREFIX) or not work.is_dir():
        return []
    shutil.rmtree(work, ignore_errors=True)
    return [work]


def is_alive(folder: Path) -> bool:
    """Whether a service holds the lock of this folder."""
    try:
        handle = (folder / ALIVE).open()
    except OSError:
        return False
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def hold_alive(folder: Path) -> IO[str] | None:
    """Lock the folder for this process; ``None`` when another service holds it. Keep the handle."""
    private_folder(folder)
    handle = (folder / ALIVE).open("a")
    # Whoever asks is_alive holds the lock for an instant, so one refusal proves nothing.
    for _ in range(20):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            time.sleep(0.01)
    handle.close()
    return None


@contextmanager
def starting(folder: Path) -> Iterator[IO[str]]:
    """One start at a time: the second waits for the first and then finds its service.

    The service inherits the handle and holds the lock until it answers, so that one whose starter
    was killed is waited for, and found, too.
    """
    private_folder(folder)
    with open(folder / STARTING, "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle


def private_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` in one step by a file of mode 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    os.replace(draft, path)
