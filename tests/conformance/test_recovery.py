"""A crash of the shared base, and what a server leaves behind. Real processes, so Triton only."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.hosting.client import decode_output, encode_request
from helpers.local.model_server import ServerGone
from helpers.local.triton import TritonServer
from tests.conformance.conftest import triton_or_skip

TARGETS = [f"avatars/dog-{number}.tar.gz" for number in range(3)]


@pytest.fixture
def triton(tmp_path: Path, echo_repository: Path) -> Iterator[TritonServer]:
    with triton_or_skip().start(echo_repository, tmp_path / "server", timeout=60) as server:
        yield server


def children(pid: int) -> set[int]:
    """Processes of the server's group, the server left out."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pid and int(stat.parent.name) != pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.promise(
    "A crashed base comes back while avatars wait",
    fault="kill -9 of the shared base under six callers",
    outcome="six right pictures",
)
def test_a_crashed_base_is_healed_while_avatars_wait(
    triton: TritonServer, avatar: Callable[..., Path]
) -> None:
    (base,) = children(triton.pid)
    for number, target in enumerate(TARGETS):
        assert triton.load(f"m{number}", avatar(f"a{number}"), target).status == 200
    os.kill(base, signal.SIGKILL)
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(
                lambda one: triton.invoke(
                    f"m{one % 3}", encode_request(f"picture {one}"), TARGETS[one % 3]
                ),
                range(6),
            )
        )
    assert [answer.status for answer in answers] == [200] * 6
    for number, answer in enumerate(answers):
        said = json.loads(decode_output(answer.body, "generated_image"))
        assert said["prompt"] == f"picture {number}"


@pytest.mark.promise(
    "A picture that kills the base kills no more than itself",
    fault="a request on which the base dies",
    outcome="400; the next is painted",
)
def test_a_picture_that_ends_the_base_is_refused_and_the_next_one_served(
    triton: TritonServer, avatar: Callable[..., Path]
) -> None:
    assert triton.load("m", avatar(), TARGETS[0]).status == 200
    answer = triton.invoke("m", encode_request("die"), TARGETS[0])
    assert answer.status == 400
    assert answer.error.startswith("ServiceError: The shared base is down")
    assert triton.invoke("m", encode_request("a dog"), TARGETS[0]).status == 200


@pytest.mark.promise(
    "Stopping leaves nothing",
    fault="the end of a server with a loaded avatar",
    outcome="no process, no shared memory",
)
def test_stopping_leaves_no_process_and_no_shared_memory(
    triton: TritonServer, avatar: Callable[..., Path]
) -> None:
    assert triton.load("m", avatar(), TARGETS[0]).status == 200
    group, region = triton.pid, triton.shared_memory
    assert len(children(group)) == 2
    assert list(Path("/dev/shm").glob(f"{region}*"))
    triton.stop()
    assert not children(group)
    assert not list(Path("/dev/shm").glob(f"{region}*"))
    with pytest.raises(ServerGone):
        triton.request("GET", "/ping")


@pytest.mark.promise(
    "A killed server is noticed",
    fault="kill -9 of Triton",
    outcome="restarted; its stubs are gone",
)
def test_a_killed_server_is_noticed_and_restarted_empty(
    triton: TritonServer, avatar: Callable[..., Path]
) -> None:
    assert triton.load("m", avatar(), TARGETS[0]).status == 200
    before = children(triton.pid)
    os.kill(triton.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert not triton.running
    assert not triton.ping()
    triton.restart()
    assert triton.ping()
    assert triton.invoke("m", encode_request("a dog"), TARGETS[0]).status == 404
    assert not any(alive(pid) for pid in before)


@pytest.mark.promise(
    "No server is left without an owner",
    fault="a server left behind by a dead service",
    outcome="the next one ends it",
)
def test_a_server_whose_owner_was_killed_is_ended_by_the_next_one(
    triton: TritonServer, tmp_path: Path, echo_repository: Path
) -> None:
    left = triton.pid
    with TritonServer().start(echo_repository, tmp_path / "server", timeout=60) as successor:
        assert successor.ping()
        assert not alive(left)
