"""What Triton 24.10 waits for and never gets is noticed here, and the server is ended for it.

A stub that is killed while its model loads keeps the load, one of the server's few threads, and
whoever asked, for ever; later versions give up after ten seconds. The sign is a call that waits
while the process it waits for does not exist. An ended server is started again by the next call
(``MultiModelHost``), and nobody else waits longer than that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 10.0
EVERY_S = 0.5
BASE = "avatar_base"


class Watchdog:
    """Looks at calls that are being waited for.

    ``processes`` names the models that have a live process (``None``: this server has no processes
    of its own for them, and nothing is watched); ``end`` ends the server.
    """

    def __init__(
        self,
        processes: Callable[[], set[str] | None],
        end: Callable[[], None],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._processes, self._end, self.patience_s = processes, end, patience_s
        self._lock = threading.Lock()
        self._waiting: dict[object, tuple[str, float]] = {}
        self._missing: dict[str, float] = {}
        self._looks = False
        self.refresh()

    def refresh(self) -> None:
        """The server has just come up: if it has a base now, calls need it from now on."""
        self._missing, self._base_was_up = {}, BASE in (self._processes() or ())

    @contextmanager
    def over(self, target: str) -> Iterator[None]:
        """A call that needs the process of ``target``, or that of the base."""
        mark = object()
        with self._lock:
            self._waiting[mark] = (target, time.monotonic())
            start, self._looks = not self._looks, True
        if start:
            threading.Thread(target=self._run, name="watchdog", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[mark]

    def nobody_heals(self, target: str) -> bool:
        """Whether a dead avatar and the base that would load it again are both without a process,
        so that neither can do that for the other."""
        alive = self._processes()
        return alive is not None and not {target, BASE} & alive

    def look(self, now: float) -> bool:
        """Whether some call waits in vain; ``now`` is ``time.monotonic()``."""
        with self._lock:
            waiting = list(self._waiting.values())
        alive = self._processes()
        if alive is None:
            return False
        self._base_was_up |= BASE in alive
        watched = {target for target, _ in waiting} | ({BASE} if self._base_was_up else set())
        gone = watched - alive
        self._missing = {name: self._missing.get(name, now) for name in gone}
        for target, since in waiting:
            for name in {target, BASE} & gone:
                if now - max(since, self._missing[name]) > self.patience_s:
                    return True
        return False

    def _run(self) -> None:
        while True:
            time.sleep(EVERY_S)
            with self._lock:
                if not self._waiting:
                    self._looks, self._missing = False, {}
                    return
            if self.look(time.monotonic()):
                self._end()
                self.refresh()
