"""Processes killed at random under six callers: nobody is left without an answer, nothing stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from helpers.archives import pack
from helpers.bench.hosting_chaos import archive_of, ask, repository, wreak
from helpers.bench.hosting_stage import group
from helpers.errors import ServiceError
from helpers.hosting.client import encode_request
from helpers.local.multi_model import MultiModelHost
from helpers.local.watchdog import BASE, Watchdog
from tests.conformance.conftest import SHA256, make_avatar, triton_or_skip

KILLS = 10
DOG = "avatars/dog.tar.gz"


@pytest.mark.promise(
    "Nobody is left without an answer",
    fault="ten kills of server, base and stubs at random under six callers",
    outcome="each call has a picture or a clear error; all paint again; no process, shared memory "
    "or file is left",
)
@pytest.mark.slow
def test_ten_kills_cost_answers_and_nothing_else(tmp_path: Path) -> None:
    triton_or_skip()
    manifest = json.dumps({"sha256": SHA256})
    havoc = wreak(tmp_path / "chaos", manifest, kills=KILLS, seed=1, say=print)
    assert sum(havoc.kills.values()) >= KILLS
    assert havoc.unclear == [], "every call gets a picture or a clear, retryable error"
    assert havoc.recovered_s is not None, f"not every avatar paints again: {havoc.last_said}"
    assert (havoc.processes, havoc.shared, havoc.temporary) == (0, 0, 0)


@pytest.mark.promise(
    "An avatar and a base that are both dead come back",
    fault="kill -9 of both at once, so that neither can load the other again",
    outcome="the next call ends the server, starts it and paints",
)
def test_an_avatar_and_a_base_that_are_both_dead_come_back(
    tmp_path: Path, echo_repository: Path
) -> None:
    archive = pack(make_avatar(tmp_path / "one"), tmp_path / "one.tar.gz").read_bytes()
    with triton_or_skip().start(echo_repository, tmp_path / "work", timeout=60) as server:
        host = MultiModelHost(server, {DOG: archive}.get, tmp_path / "work")
        assert host.invoke(DOG, encode_request("a dog"))[0] == 200
        for pid in group(server.pid):
            if pid != server.pid:
                os.kill(pid, signal.SIGKILL)
        assert host.invoke(DOG, encode_request("a dog"))[0] == 200
        assert host.metrics["restarts"] == 1


@pytest.mark.promise(
    "A dead avatar is in nobody's way",
    fault="kill -9 of an idle avatar, and its place is wanted before it is loaded again",
    outcome="the other one paints within seconds; the server was not started again",
)
def test_a_dead_avatar_gives_its_place_to_another(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "made", json.dumps({"sha256": SHA256}))
    base = repository(tmp_path / "base")
    with triton_or_skip().start(base, tmp_path / "work", timeout=60) as server:
        host = MultiModelHost(server, lambda key: archive, tmp_path / "work", max_loaded=1)
        assert ask(host, 0) == ("picture", "")
        (stub,) = {pid for pid in group(server.pid) if b"dog-0" in command_line(pid)}
        os.kill(stub, signal.SIGKILL)
        began = time.monotonic()
        assert ask(host, 1) == ("picture", "")
        assert time.monotonic() - began < 20
        assert host.metrics["restarts"] == 0


@pytest.mark.promise(
    "A base that never answers holds up nobody for ever",
    fault="a request that the base answers too late",
    outcome="an error that says to ask again; the next is painted",
)
def test_a_base_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, echo_repository: Path
) -> None:
    hasty = make_avatar(tmp_path / "one")
    model = hasty / "sd_lora" / "1" / "model.py"
    text = model.read_text()
    assert "ANSWER_SECONDS, PROBE_SECONDS, UNLOAD_SECONDS = 55," in text
    model.write_text(text.replace("UNLOAD_SECONDS = 55,", "UNLOAD_SECONDS = 0.3,"))
    with triton_or_skip().start(echo_repository, tmp_path / "work", timeout=60) as server:
        assert server.load("m", hasty, DOG).status == 200
        answer = server.invoke("m", encode_request("sleep"), DOG)
        assert answer.status == 400 and "Ask again" in answer.error
        time.sleep(1)  # as long as the base sleeps
        assert server.invoke("m", encode_request("a dog"), DOG).status == 200
        assert server.unload("m", DOG).status == 200


class Server:
    def __init__(self, *alive: str) -> None:
        self.alive: set[str] | None = set(alive)
        self.ended = 0

    def end(self) -> None:
        self.ended += 1

    def watchdog(self) -> Watchdog:
        return Watchdog(lambda: self.alive, self.end, patience_s=2.0)


def test_a_load_without_its_process_is_hanging() -> None:
    server = Server(BASE)
    dog = server.watchdog()
    with dog.over(DOG):
        now = time.monotonic()
        assert not dog.look(now), "it may be starting"
        assert dog.look(now + 3)
        server.alive = {BASE, DOG}
        assert not dog.look(now + 9), "it takes its time, and may"


def test_a_base_that_nobody_brings_back_is_missed_and_one_that_never_was_is_not() -> None:
    server = Server(BASE, DOG)
    dog, bare = server.watchdog(), Server(DOG)
    young = bare.watchdog()
    server.alive = {DOG}
    with dog.over(DOG), young.over(DOG):
        now = time.monotonic()
        assert not dog.look(now) and not young.look(now)
        assert dog.look(now + 3)
        assert not young.look(now + 3), "before model_setup there is no base"


def test_a_server_without_processes_of_models_is_not_watched() -> None:
    server = Server()
    server.alive = None
    dog = server.watchdog()
    with dog.over(DOG):
        assert not dog.look(time.monotonic() + 99)


@pytest.mark.promise(
    "A start that cannot succeed ends soon",
    fault="a kill of the base while the server starts",
    outcome="`ServiceError` within a minute",
)
def test_a_base_killed_while_the_server_starts_does_not_cost_three_minutes(
    tmp_path: Path, echo_repository: Path
) -> None:
    slow = slow_base(echo_repository, tmp_path / "slow", seconds=3)
    server = triton_or_skip()

    def kill() -> None:
        while BASE not in server.processes():
            time.sleep(0.02)
        for pid in group(server.pid):
            if pid != server.pid:
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    with pytest.raises(ServiceError, match="did not start"):
        server.start(slow, tmp_path / "server")
    killer.join()
    assert time.monotonic() - began < 60


def test_a_base_that_died_before_anybody_saw_it_does_not_cost_half_a_minute(
    tmp_path: Path, echo_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = slow_base(echo_repository, tmp_path / "slow", seconds=60)
    server = triton_or_skip()
    monkeypatch.setattr(server, "processes", set)
    began = time.monotonic()
    with pytest.raises(ServiceError, match="did not start"):
        server.start(slow, tmp_path / "server")
    assert time.monotonic() - began < 20


def test_a_base_without_its_configuration_is_a_clear_error(
    tmp_path: Path, echo_repository: Path
) -> None:
    bare = Path(shutil.copytree(echo_repository, tmp_path / "bare"))
    (bare / "avatar_base" / "config.pbtxt").unlink()
    with pytest.raises(ServiceError, match="did not start"):
        triton_or_skip().start(bare, tmp_path / "server", timeout=60)


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def slow_base(original: Path, folder: Path, *, seconds: int) -> Path:
    """A copy of the repository ``original`` whose base sleeps before it is up."""
    shutil.copytree(original, folder)
    model = folder / "avatar_base" / "1" / "model.py"
    model.write_text(f"import time\ntime.sleep({seconds})\n" + model.read_text())
    return folder
