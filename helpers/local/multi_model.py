"""What SageMaker does around a multi-model server: fetch, unpack, load, evict, load again.

A caller names a TargetModel; whether that archive is downloaded, unpacked or loaded at the moment
is none of the caller's business. Many avatars may be invoked at once: one archive is fetched and
loaded once, however many ask for it, and an avatar that paints is never evicted.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.archives import unpack
from helpers.errors import ArchiveError, ServiceError
from helpers.local.model_server import (
    SAFE_TARGET,
    Answer,
    ModelServer,
    ServerGone,
    ServerTimeout,
)
from helpers.local.watchdog import Watchdog

INVOKE_SECONDS = 60
LOAD_SECONDS = 60
LARGEST_ARCHIVE = 2 << 30
MOST_MEMBERS = 50_000
BUSY_SECONDS = 30
NOT_HEALTHY, LONGEST_REFUSAL = b"is not healthy", 1000


class UnknownTarget(ServiceError):
    """No archive of that key lies under the endpoint's model prefix (SageMaker answers this as
    a ``ValidationError``)."""


@dataclass
class _Slot:
    """One target: ``absent``, ``loading`` or ``loaded``, and how many requests it serves.

    ``lock`` is held while the target is loaded or unloaded. Only idle targets are unloaded, and
    whoever holds a lock is not idle, so waiting for a lock can not go round in a circle.
    """

    target: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    state: str = "absent"
    busy: int = 0

    @property
    def name(self) -> str:
        """The opaque name SageMaker would give it."""
        return hashlib.sha256(self.target.encode()).hexdigest()[:32]


class MultiModelHost:
    """Serves any target under one prefix with one running ``server``.

    ``fetch(key)`` returns the archive or ``None``; ``work`` is the server's own folder (its
    adapters are read from there): archives are unpacked below it and stay there as a cache, until
    the owner removes ``work`` after the server's end. At most ``max_loaded`` targets are in memory
    at once.
    """

    def __init__(
        self,
        server: ModelServer,
        fetch: Callable[[str], bytes | None],
        work: Path,
        max_loaded: int = 8,
    ) -> None:
        if max_loaded < 1:
            raise ServiceError("max_loaded is below 1", "a target must be loaded to be served")
        self.server, self.max_loaded = server, max_loaded
        self._fetch = fetch
        # A folder of its own. What a server has loaded must stay on disk: Triton 24.10 looks at
        # every registered folder when it unloads any model, and crashes if one is gone.
        self._cache = Path(tempfile.mkdtemp(prefix="models-", dir=Path(work).resolve()))
        self._slots: OrderedDict[str, _Slot] = OrderedDict()  # least recently used first
        self._turn = threading.Condition()
        self._restarting = threading.Lock()
        self._counts: dict[str, int] = dict.fromkeys(
            ("invocations", "hits", "loads", "downloads", "evictions", "restarts"), 0
        )
        self._load_seconds = 0.0
        self.watchdog = Watchdog(server.processes, self._end_hanging)

    @property
    def engine(self) -> dict[str, str]:
        """Name and version as the running server states them."""
        return self.server.engine

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Counts since the start, ``load_seconds`` in total and the ``loaded`` targets."""
        with self._turn:
            loaded = [slot.target for slot in self._slots.values() if slot.state == "loaded"]
            return {**self._counts, "load_seconds": self._load_seconds, "loaded": loaded}

    def invoke(
        self, target_model: str, body: bytes, content_type: str = "application/json"
    ) -> tuple[int, bytes, str]:
        """Status, body and content type of the target's answer.

        The server's refusals (400), a target that cannot be loaded (400), no memory even with
        everything else unloaded (507) and silence (504) are answers. Raises ``UnknownTarget``,
        and ``ServiceError`` when the server is down and does not start again.
        """
        if not SAFE_TARGET.fullmatch(target_model):
            raise UnknownTarget(
                "The target model is unknown",
                "keys of avatars hold a-z, 0-9 and / _ . - only",
                "Use the TargetModel that the publisher returned",
            )
        self._count("invocations")
        for last_try in (False, True):
            generation = self.server.generation
            try:
                answer = self._answer(target_model, body, content_type)
            except ServerTimeout:
                answer = _failure(504, "the model did not answer in time")
            except ServerGone:
                if last_try:
                    raise
                self._restart(generation)
                continue
            return answer.status, answer.body, answer.content_type
        raise AssertionError("the second try answers or raises")

    def _answer(self, target: str, body: bytes, content_type: str) -> Answer:
        with self._in_use(target) as slot:
            refused = self._load(slot)
            if refused is not None:
                return refused
            answer = self._ask(slot, body, content_type)
            if NOT_HEALTHY in answer.body[:LONGEST_REFUSAL] and self.watchdog.nobody_heals(target):
                self._end_hanging()
                raise ServerGone("Neither avatar nor base is alive to load the other again")
            if answer.status == 404:  # the server was restarted behind our back
                slot.state = "absent"
                return self._load(slot) or self._ask(slot, body, content_type)
            if answer.status == 507 and self._evict(everything=True):
                return self._ask(slot, body, content_type)
            return answer

    def _ask(self, slot: _Slot, body: bytes, content_type: str) -> Answer:
        with self.watchdog.over(slot.target):
            return self.server.invoke(
                slot.name, body, slot.target, content_type=content_type, timeout=INVOKE_SECONDS
            )

    @contextmanager
    def _in_use(self, target: str) -> Iterator[_Slot]:
        with self._turn:
            slot = self._slots.setdefault(target, _Slot(target))
            self._slots.move_to_end(target)
            slot.busy += 1
        try:
            yield slot
        finally:
            with self._turn:
                slot.busy -= 1
                if not slot.busy and slot.state == "absent":
                    self._slots.pop(target, None)
                self._turn.notify_all()

    def _load(self, slot: _Slot) -> Answer | None:
        """Load the target unless it is; returns the refusal if that is what came of it."""
        with slot.lock:
            if slot.state == "loaded":
                self._count("hits")
                return None
            start = time.monotonic()
            try:
                url = self._unpacked(slot)
            except ArchiveError as error:
                return _failure(400, f"{type(error).__name__}: {error}")
            self._make_room(slot)
            try:
                answer = self._load_with_evictions(slot, url)
            except ServiceError:
                slot.state = "absent"
                raise
            if answer.status not in (200, 409):
                slot.state = "absent"
                shutil.rmtree(url.parent, ignore_errors=True)
                return answer
            with self._turn:
                slot.state = "loaded"
                self._counts["loads"] += 1
                self._load_seconds += time.monotonic() - start
            return None

    def _load_with_evictions(self, slot: _Slot, url: Path) -> Answer:
        while True:
            try:
                with self.watchdog.over(slot.target):
                    answer = self.server.load(slot.name, url, slot.target, timeout=LOAD_SECONDS)
            except ServerTimeout as error:
                # A load that hangs never ends in Triton 24.10, and keeps one of its threads.
                self.server.stop(patience=0)
                raise ServerGone("The model server hung while it loaded a model") from error
            if answer.status != 507 or not self._evict():
                return answer

    def _unpacked(self, slot: _Slot) -> Path:
        url = self._cache / slot.name / "model"
        if url.exists():
            return url
        data = self._fetch(slot.target)
        if data is None:
            raise UnknownTarget(
                "The target model is unknown",
                "no archive of that key lies under the endpoint's model prefix",
                "Publish the avatar, or use the TargetModel that the publisher returned",
            )
        self._count("downloads")
        fresh = url.with_name("unpacking")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            unpack(data, fresh, limit_bytes=LARGEST_ARCHIVE, limit_members=MOST_MEMBERS)
        except ArchiveError:
            shutil.rmtree(fresh.parent, ignore_errors=True)
            raise
        fresh.rename(url)
        return url

    def _make_room(self, slot: _Slot) -> None:
        """Take a place for the target, evicting others; waits while all of them paint."""
        end = time.monotonic() + BUSY_SECONDS
        while True:
            with self._turn:
                taken = sum(one.state != "absent" for one in self._slots.values())
                # After the wait, better one too many than an avatar that never paints.
                if taken < self.max_loaded or time.monotonic() > end:
                    slot.state = "loading"
                    return
            if not self._evict():
                with self._turn:
                    self._turn.wait(timeout=1)

    def _evict(self, *, everything: bool = False) -> bool:
        """Unload the idle target that was not used for longest, or all that are idle."""
        with self._turn:
            idle = [one for one in self._slots.values() if one.state == "loaded" and not one.busy]
            leaving = idle if everything else idle[:1]
            for one in leaving:
                one.state = "absent"
                one.busy += 1  # it keeps its slot, and with it its lock, until it is unloaded
        for one in leaving:
            try:
                with one.lock:
                    # Somebody may have asked for it meanwhile and found it still in the server.
                    if one.state == "absent":
                        with self.watchdog.over(one.target):
                            self.server.unload(one.name, one.target)
                        self._count("evictions")
            finally:
                with self._turn:
                    one.busy -= 1
                    if not one.busy and one.state == "absent":
                        self._slots.pop(one.target, None)
                    self._turn.notify_all()
        return bool(leaving)

    def _restart(self, generation: int) -> None:
        """Start the server again, once for all the requests that found it gone."""
        with self._restarting:
            if self.server.generation != generation:
                return
            with self._turn:
                for slot in self._slots.values():
                    slot.state = "absent"
            self.server.restart()
            self.watchdog.refresh()
            self._count("restarts")

    def _end_hanging(self) -> None:
        with self._restarting:
            self.server.stop(patience=0)

    def _count(self, what: str) -> None:
        with self._turn:
            self._counts[what] += 1


def _failure(status: int, text: str) -> Answer:
    return Answer(
        status=status, body=json.dumps({"error": text}).encode(), content_type="application/json"
    )
