"""Avatars whose process died are loaded again, from within the server.

A stub that was killed (out of memory, a crash) stays "ready" for Triton and answers "not healthy"
for ever, and a request to unload it is never answered. But one model may load another, so the
shared base looks after the stubs as the stubs look after the base. Each stub leaves a record of its
process when it is up (``training_service/sd_lora``) and takes it back when it is unloaded.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

EVERY_S = 0.5


def records() -> Path:
    """Where the stubs of this server, whose processes all have one parent, leave their records."""
    return Path(tempfile.gettempdir()) / f"avatar-stubs-{os.getppid()}"


class StubWatch:
    """Looks at the records in ``folder`` and hands the name of every dead stub to ``reload``.

    ``reload`` loads a model anew and raises when that is not possible, because it is no longer
    wanted: then its record goes. ``say`` gets a line for the log.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reload: Callable[[str], None],
        say: Callable[[str], None],
        every_s: float = EVERY_S,
    ) -> None:
        self._folder, self._reload, self._say, self._every_s = folder, reload, say, every_s

    def start(self) -> None:
        """Look from now on, as long as this process lives."""
        threading.Thread(target=self._run, name="stub watch", daemon=True).start()

    def look(self) -> list[str]:
        """Load what died; returns the names."""
        dead = [
            (file, name)
            for file in sorted(self._folder.glob("*"))
            for pid, name in [_read(file)]
            if name and not alive(pid)
        ]
        for file, name in dead:
            self._say(f"the process of {name} is gone: loading it again")
            before = file.read_bytes() if file.exists() else b""
            try:
                self._reload(name)
            except Exception as error:
                self._say(f"{name} was not loaded again: {type(error).__name__}")
            # A stub that is up again has written its own.
            if before and file.exists() and file.read_bytes() == before:
                file.unlink(missing_ok=True)
        return [name for _, name in dead]

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._every_s):
            self.look()


def record_file(folder: Path, name: str) -> Path:
    """The record of the model ``name``: its text is the process id, a blank and the name."""
    return folder / hashlib.sha256(name.encode()).hexdigest()[:16]


def alive(pid: int) -> bool:
    """Whether a process runs. One that ended and that its parent has not looked at does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return not Path("/proc/self/stat").exists()


def _read(file: Path) -> tuple[int, str]:
    try:
        pid, _, name = file.read_text(encoding="utf-8").partition(" ")
        return int(pid), name
    except (OSError, ValueError):
        return 0, ""
