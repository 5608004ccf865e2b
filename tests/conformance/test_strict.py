"""The server of 2026 refuses more than that of 2024 does; what we publish passes with both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.archives import pack
from helpers.hosting.client import encode_request
from helpers.local.model_server import Answer
from helpers.local.multi_model import MultiModelHost
from helpers.local.standin import StandInServer
from tests.conformance.conftest import make_avatar


@pytest.fixture(scope="module")
def strict(
    tmp_path_factory: pytest.TempPathFactory, echo_repository: Path
) -> Iterator[tuple[StandInServer, Path]]:
    work = tmp_path_factory.mktemp("strict")
    with StandInServer(strict=True).start(echo_repository, work, timeout=60) as server:
        yield server, work.resolve()


def load(server: StandInServer, name: str, url: Path, target: str) -> Answer:
    """Past our own checks, which refuse the same."""
    body = json.dumps({"model_name": name, "url": str(url)}).encode()
    return server.request("POST", "/models", body, target=target)


def test_models_lie_where_sagemaker_lays_them(
    strict: tuple[StandInServer, Path], tmp_path: Path
) -> None:
    server, work = strict
    assert load(server, "a", make_avatar(tmp_path / "a"), "avatars/a.tar.gz").status == 400
    assert load(server, "b", make_avatar(work / "models" / "b$"), "avatars/b.tar.gz").status == 400
    assert load(server, "c", make_avatar(work / "models" / "c"), "avatars/c.tar.gz").status == 200
    assert server.invoke("c", encode_request("a dog"), "avatars/c.tar.gz").status == 200


@pytest.mark.parametrize("key", ["avatars/$(touch x).tar.gz", "a;b", "a|b", "a`b`", "a*"])
def test_targets_that_a_shell_would_read_are_refused(
    strict: tuple[StandInServer, Path], key: str
) -> None:
    server, work = strict
    url = work / "models" / "d" / "model"
    if not url.exists():
        make_avatar(work / "models" / "d")
    assert load(server, "d", url, key).status == 400


def test_what_we_publish_is_served(strict: tuple[StandInServer, Path], tmp_path: Path) -> None:
    server, work = strict
    archive = pack(make_avatar(tmp_path / "own"), tmp_path / "own.tar.gz").read_bytes()
    host = MultiModelHost(server, {"avatars/dog-1.tar.gz": archive}.get, work)
    assert host.invoke("avatars/dog-1.tar.gz", encode_request("a dog"))[0] == 200
