"""Kills at random: what callers hear, and what is left.

Six callers ask for pictures all the time while the shared base or an avatar's stub is killed, some
of them as they load. What is tested is the server and its healing and not the painting, so the base
only waits and answers; everything else is what serves.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from helpers.archives import pack
from helpers.bench.hosting_avatars import MODELS
from helpers.bench.hosting_stage import REGION, group, target
from helpers.errors import CourseError
from helpers.hosting.client import NOT_UP, decode_output, encode_request
from helpers.local.multi_model import MultiModelHost
from helpers.local.triton import TritonServer
from helpers.settings import ROOT

CALLERS, AVATARS, LOADED = 6, 4, 3
RECOVERS_S = 60.0
_RETRYABLE = (*NOT_UP, "shared base is down", "has more to paint")
"""For these the client's error says to ask again (``spoken_error``)."""


@dataclass(kw_only=True)
class Havoc:
    """What came of it. ``unclear`` answers are neither pictures nor clear, retryable errors;
    ``last_said`` is what an avatar answered that did not paint again."""

    kills: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    retryable: int = 0
    unclear: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    restarts: int = 0
    recovered_s: float | None = None
    last_said: str = ""
    processes: int = 0
    shared: int = 0
    temporary: int = 0


def wreak(
    work: Path, adapter_manifest: str, *, kills: int, seed: int, say: Callable[[str], None]
) -> Havoc:
    """Kill so many times, then wait until every avatar paints again, stop, and look what is left.

    ``work`` is a folder to be made; ``adapter_manifest`` the text of an ``adapter.json``.
    """
    havoc, chance, lock = Havoc(), random.Random(seed), threading.Lock()
    archive = archive_of(work / "made", adapter_manifest)
    server = TritonServer().start(repository(work / "base"), work / "server", REGION)
    host = MultiModelHost(server, lambda key: archive, work / "server", max_loaded=LOADED)
    host.watchdog.patience_s = 4.0
    ended = threading.Event()

    def call(number: int) -> None:
        own = random.Random(seed * 1000 + number)
        while not ended.is_set():
            began = time.monotonic()
            kind, said = ask(host, own.randrange(AVATARS))
            with lock:
                havoc.longest_s = max(havoc.longest_s, time.monotonic() - began)
                havoc.pictures += kind == "picture"
                havoc.retryable += kind == "retryable"
                if kind == "unclear":
                    havoc.unclear.append(said)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    groups = set()
    try:
        for one in callers:
            one.start()
        while sum(havoc.kills.values()) < kills:
            time.sleep(chance.uniform(0.05, 1.0))
            if server.running:
                groups.add(server.pid)
                if victim := _kill(server, chance):
                    havoc.kills[victim] += 1
                    if sum(havoc.kills.values()) % 20 == 0:
                        say(f"{sum(havoc.kills.values())} kills, {havoc.pictures} pictures")
        ended.set()
        for one in callers:
            one.join()
        havoc.recovered_s, havoc.last_said = _recovery(host)
        groups.add(server.pid)
        havoc.restarts = host.metrics["restarts"]
    finally:
        ended.set()
        for one in callers:  # or one of them starts the server again
            if one.is_alive():
                one.join()
        region = server.shared_memory
        server.stop()
    havoc.processes = sum(len(group(leader)) for leader in groups)
    havoc.shared = len(list(Path("/dev/shm").glob(f"{region}*")))
    havoc.temporary = len(list((work / "server" / "tmp").iterdir()))
    shutil.rmtree(work)
    return havoc


def ask(host: MultiModelHost, avatar: int) -> tuple[str, str]:
    """A call: ``picture``, ``retryable`` or ``unclear``, and what was said."""
    prompt = f"picture by {avatar}"
    try:
        status, body, _ = host.invoke(target(avatar), encode_request(prompt))
        if status == 200 and decode_output(body, "generated_image") == prompt:
            return "picture", ""
    except CourseError as error:  # the front answers 503: the model server is down
        return "retryable", str(error)
    said = body.decode(errors="replace")
    clear = status in (400, 504) and (status == 504 or any(one in said for one in _RETRYABLE))
    return ("retryable" if clear else "unclear"), f"{status} {said}"


def _kill(server: TritonServer, chance: random.Random) -> str:
    """Kill the base or a stub; returns which, or '' where there was none."""
    try:
        leader = server.pid
    except CourseError:
        return ""
    stubs = [pid for pid in group(leader) if pid != leader]
    if not stubs:
        return ""
    pid = chance.choice(stubs)
    try:
        base = b"avatar_base_0_0" in Path(f"/proc/{pid}/cmdline").read_bytes()
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return ""
    return "base" if base else "stub"


def _recovery(host: MultiModelHost) -> tuple[float | None, str]:
    """Seconds until every avatar paints, without help; ``None`` if not in a minute, and why."""
    began = time.monotonic()
    for avatar in range(AVATARS):
        while True:
            asked = time.monotonic()
            kind, said = ask(host, avatar)
            now = time.monotonic()
            if kind == "picture":
                break
            if now - began > RECOVERS_S:
                return None, f"avatar {avatar} after {now - asked:.1f} s: {said}"
            time.sleep(0.2)
    return time.monotonic() - began, ""


def archive_of(folder: Path, manifest: str) -> bytes:
    """An avatar with ``manifest`` as its ``adapter.json``, ready to be served."""
    stub = ROOT / "training_service" / "sd_lora"
    members: dict[str, Path | bytes] = {
        "sd_lora/config.pbtxt": stub / "config.pbtxt",
        "sd_lora/1/model.py": stub / "1" / "model.py",
        "sd_lora/1/adapter/adapter.json": manifest.encode(),
    }
    folder.mkdir(parents=True)
    return pack(members, folder / "avatar.tar.gz").read_bytes()


def repository(folder: Path) -> Path:
    """A model repository with a base that only waits and answers."""
    version = folder / "avatar_base" / "1"
    version.mkdir(parents=True)
    shutil.copy(ROOT / "models" / "avatar_base" / "config.pbtxt", version.parent)
    text = (MODELS / "echo" / "model.py").read_text(encoding="utf-8")
    place = "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\n"
    (version / "model.py").write_text(place + text, encoding="utf-8")
    shutil.copy(ROOT / "helpers" / "hosting" / "watch.py", version / "stub_watch.py")
    return folder
