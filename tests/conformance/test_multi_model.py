"""The host around the server: download, cache, eviction, reload, and a server that dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.archives import pack
from helpers.errors import ServiceError
from helpers.hosting.client import decode_output, encode_inputs, encode_request
from helpers.local.model_server import ModelServer
from helpers.local.multi_model import MultiModelHost, UnknownTarget
from helpers.local.standin import StandInServer
from tests.conformance.conftest import make_avatar, triton_or_skip

Prefix = dict[str, bytes]


@pytest.fixture(scope="module", params=["triton", "stand-in"])
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, echo_repository: Path
) -> Iterator[tuple[ModelServer, Path]]:
    one = triton_or_skip() if request.param == "triton" else StandInServer()
    work = tmp_path_factory.mktemp("work")
    with one.start(echo_repository, work, timeout=60):
        yield one, work


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("archive")
    return pack(make_avatar(folder), folder / "avatar.tar.gz").read_bytes()


@pytest.fixture
def prefix(archive: bytes, request: pytest.FixtureRequest) -> Prefix:
    """What lies under the endpoint's model prefix; keys are new in every test."""
    name = f"{abs(hash(request.node.nodeid)):x}"[:10]
    return {f"avatars/{name}-{number}.tar.gz": archive for number in range(3)}


@pytest.fixture
def host(started: tuple[ModelServer, Path], prefix: Prefix) -> MultiModelHost:
    server, work = started
    return MultiModelHost(server, prefix.get, work, max_loaded=2)


def paint(host: MultiModelHost, target: str, prompt: str = "a dog") -> dict[str, str]:
    status, body, content_type = host.invoke(target, encode_request(prompt))
    assert status == 200, body
    assert content_type.startswith("application/json")
    return json.loads(decode_output(body, "generated_image"))


def refused(host: MultiModelHost, target: str, prompt: str = "a dog") -> tuple[int, str]:
    status, body, _ = host.invoke(target, encode_request(prompt))
    return status, json.loads(body)["error"]


def test_a_target_is_downloaded_and_loaded_once(host: MultiModelHost, prefix: Prefix) -> None:
    target = next(iter(prefix))
    for prompt in ("first", "second", "third"):
        assert paint(host, target, prompt)["prompt"] == prompt
    counts = host.metrics
    assert (counts["downloads"], counts["loads"], counts["hits"]) == (1, 1, 2)
    assert counts["loaded"] == [target]
    assert host.engine["name"] in ("triton", "stand-in")


def test_the_least_recently_used_target_leaves_and_comes_back(
    host: MultiModelHost, prefix: Prefix
) -> None:
    first, second, third = prefix
    for target in (first, second, first, third):
        paint(host, target)
    assert set(host.metrics["loaded"]) == {first, third}
    assert host.metrics["evictions"] == 1
    paint(host, second)
    counts = host.metrics
    assert set(counts["loaded"]) == {second, third}
    assert (counts["loads"], counts["downloads"]) == (4, 3), "what was evicted stays on disk"


def test_many_callers_at_once_load_a_target_once(host: MultiModelHost, prefix: Prefix) -> None:
    wishes = [(target, f"{target} {number}") for number in range(6) for target in list(prefix)[:2]]
    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(lambda wish: paint(host, *wish)["prompt"], wishes))
    assert said == [prompt for _, prompt in wishes]
    counts = host.metrics
    assert (counts["downloads"], counts["loads"], counts["evictions"]) == (2, 2, 0)


def test_more_targets_than_room_still_paint_at_once(
    host: MultiModelHost, prefix: Prefix, started: tuple[ModelServer, Path]
) -> None:
    rounds = 2 if host.engine["name"] == "triton" else 12
    wishes = [(target, f"{target} {number}") for number in range(rounds) for target in prefix]
    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(lambda wish: paint(host, *wish)["prompt"], wishes))
    assert said == [prompt for _, prompt in wishes]
    assert len(host.metrics["loaded"]) <= 2
    assert host.metrics["downloads"] == 3


@pytest.mark.parametrize("key", ["avatars/nobody.tar.gz", "../secret", "$(id)", "Ä", "", "/a"])
def test_an_unknown_target_is_an_error_of_its_own(host: MultiModelHost, key: str) -> None:
    with pytest.raises(UnknownTarget):
        host.invoke(key, encode_request("a dog"))
    assert host.metrics["downloads"] == 0


@pytest.mark.promise(
    "A damaged avatar harms no other",
    fault="no archive, half an archive, an archive of something else",
    outcome="400 with the reason; the mended one paints",
)
def test_a_damaged_archive_is_refused_and_a_better_one_served(
    host: MultiModelHost, prefix: Prefix, archive: bytes, tmp_path: Path
) -> None:
    target = next(iter(prefix))
    evil = pack({"sd_lora/config.pbtxt": b"name: 'x'"}, tmp_path / "evil.tar.gz").read_bytes()
    for content in (b"no archive", archive[: len(archive) // 2], evil):
        prefix[target] = content
        status, why = refused(host, target)
        assert status == 400
        assert why
        assert host.metrics["loaded"] == []
    prefix[target] = archive
    assert paint(host, target)["prompt"] == "a dog"


def test_the_models_own_errors_pass_through(host: MultiModelHost, prefix: Prefix) -> None:
    target = next(iter(prefix))
    assert refused(host, target, "say seed cannot be used") == (400, "seed cannot be used")
    assert host.invoke(target, b"no json")[0] == 400
    assert host.invoke(target, encode_inputs({"seed": "1"}))[0] == 400


def test_a_507_unloads_the_others_and_is_asked_again(host: MultiModelHost, prefix: Prefix) -> None:
    first, second, _ = prefix
    paint(host, first)
    paint(host, second)
    status, _ = refused(host, second, "say CUDA out of memory")
    assert status == 507
    assert host.metrics["loaded"] == [second]
    assert host.metrics["evictions"] == 1


@pytest.mark.promise(
    "A failed download does not stick",
    fault="S3 away for one call",
    outcome="the next call paints",
)
def test_a_failing_download_leaves_the_next_one_free(
    started: tuple[ModelServer, Path], prefix: Prefix
) -> None:
    target = next(iter(prefix))
    broken = threading.Event()

    def fetch(key: str) -> bytes | None:
        if not broken.is_set():
            broken.set()
            raise ConnectionError("S3 is away")
        return prefix.get(key)

    host = MultiModelHost(started[0], fetch, started[1], max_loaded=1)
    with pytest.raises(ConnectionError):
        host.invoke(target, encode_request("a dog"))
    assert paint(host, target)["prompt"] == "a dog"


@pytest.mark.promise(
    "A killed server is started again for all who wait",
    fault="kill -9 under six callers",
    outcome="six pictures, one restart",
)
def test_a_killed_server_is_started_again_for_all_callers(
    host: MultiModelHost, prefix: Prefix
) -> None:
    first, second, _ = prefix
    paint(host, first)
    paint(host, second)
    os.kill(host.server.pid, signal.SIGKILL)
    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(lambda n: paint(host, (first, second)[n % 2], f"{n}"), range(6)))
    assert [one["prompt"] for one in said] == [str(number) for number in range(6)]
    counts = host.metrics
    assert counts["restarts"] == 1
    assert counts["downloads"] == 2
    assert set(counts["loaded"]) == {first, second}


@pytest.mark.promise(
    "A server that cannot come back says so",
    fault="a kill, and its repository is gone",
    outcome="`ServiceError`",
)
def test_a_server_that_cannot_start_again_is_a_service_error(
    prefix: Prefix, echo_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "base"
    shutil.copytree(echo_repository, repository)
    with StandInServer().start(repository, tmp_path / "work", timeout=60) as server:
        host = MultiModelHost(server, prefix.get, tmp_path / "work", max_loaded=1)
        paint(host, next(iter(prefix)))
        shutil.rmtree(repository)
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServiceError, match="did not start"):
            host.invoke(next(iter(prefix)), encode_request("a dog"))


def test_room_for_nothing_is_refused(
    started: tuple[ModelServer, Path], tmp_path: Path, echo_repository: Callable[..., Path]
) -> None:
    with pytest.raises(ServiceError, match="max_loaded"):
        MultiModelHost(started[0], {}.get, tmp_path, max_loaded=0)
