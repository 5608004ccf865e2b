"""Avatars whose process died are loaded again, from within the server.

A stub that was killed (out of memory, a crash) stays "ready" for Triton and answers "not healthy"
for ever. But one model may load another, so the shared base looks after the stubs as the stubs look
after the base. Each stub leaves a record of its process when it is up, and takes it back when it is
unloaded (``training_service/sd_lora``).

A dead stub that is not ready is being unloaded. Loaded again it would never be gone, and Triton
waits for that for minutes, in which it answers nobody else; so it is left alone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

EVERY_S = 0.5
UNLOAD_SECONDS = 20
_HALF_WAY = 0
"""In a record, in the place of the process: unloaded by us, and not yet loaded again."""


def records() -> Path:
    """Where the stubs of this server, whose processes all have one parent, leave their records."""
    return Path(tempfile.gettempdir()) / f"avatar-stubs-{os.getppid()}"


class Models(Protocol):
    """What Triton's ``pb_utils`` offers to a model that looks after others."""

    def is_model_ready(self, *, model_name: str) -> bool: ...
    def unload_model(self, *, model_name: str) -> None: ...
    def load_model(self, *, model_name: str) -> None: ...


class StubWatch:
    """Looks at the records in ``folder`` and has ``models`` load every dead stub anew.

    One that is no longer wanted, because it is being unloaded or cannot be loaded, loses its
    record. ``say`` gets a line for the log.
    """

    def __init__(
        self,
        folder: Path,
        models: Models,
        *,
        say: Callable[[str], None],
        every_s: float = EVERY_S,
    ) -> None:
        self._folder, self._models, self._say, self._every_s = folder, models, say, every_s

    def start(self) -> None:
        """Look from now on, as long as this process lives."""
        threading.Thread(target=self._run, name="stub watch", daemon=True).start()

    def look(self) -> list[str]:
        """Load what died; returns the names of what was loaded."""
        found = [(file, *_read(file)) for file in sorted(self._folder.glob("[!.]*"))]
        dead = [(file, pid, name) for file, pid, name in found if name and not alive(pid)]
        return [name for file, pid, name in dead if self._heal(file, pid, name)]

    def _heal(self, file: Path, pid: int, name: str) -> bool:
        try:
            wanted = pid == _HALF_WAY or self._models.is_model_ready(model_name=name)
            if wanted:
                self._say(f"the process of {name} is gone: loading it again")
                pid = _HALF_WAY
                write_record(file, pid, name)
                self._reload(name)
        except Exception as error:
            wanted = False
            self._say(f"{name} was not loaded again: {type(error).__name__}")
        _forget(file, pid)
        return wanted

    def _reload(self, name: str) -> None:
        self._models.unload_model(model_name=name)
        end = time.monotonic() + UNLOAD_SECONDS
        while self._models.is_model_ready(model_name=name) and time.monotonic() < end:
            time.sleep(0.05)
        self._models.load_model(model_name=name)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._every_s):
            self.look()


def record_file(folder: Path, name: str) -> Path:
    """The record of the model ``name``: its text is the process id, a blank and the name."""
    return folder / hashlib.sha256(name.encode()).hexdigest()[:16]


def write_record(file: Path, pid: int, name: str) -> None:
    """Write it whole or not at all. (A stub, which imports nothing of ours, does the same.)"""
    fresh = file.with_name(f".{file.name}")
    fresh.write_text(f"{pid} {name}", encoding="utf-8")
    os.replace(fresh, file)


def alive(pid: int) -> bool:
    """Whether a process runs. One that ended and that its parent has not looked at does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return not Path("/proc/self/stat").exists()


def _forget(file: Path, pid: int) -> None:
    # A stub that is up again has written its own.
    if _read(file)[0] == pid:
        file.unlink(missing_ok=True)


def _read(file: Path) -> tuple[int, str]:
    try:
        pid, _, name = file.read_text(encoding="utf-8").partition(" ")
        return int(pid), name
    except (OSError, ValueError):
        return -1, ""
