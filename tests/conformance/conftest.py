"""The real Triton and the stand-in, each started once, for one suite."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.errors import ServiceError
from helpers.local.model_server import ModelServer
from helpers.local.standin import StandInServer
from helpers.local.triton import TritonServer
from helpers.settings import ROOT
from tests.hosting.conftest import make_adapter

__all__ = ["make_adapter"]

HERE = Path(__file__).parent
SHA256 = "5a" * 32


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        metafunc.parametrize("server", ["triton", "stand-in"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def echo_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared base's own configuration over a base that answers in no time."""
    repository = tmp_path_factory.mktemp("base")
    version = repository / "avatar_base" / "1"
    version.mkdir(parents=True)
    shutil.copy(ROOT / "models" / "avatar_base" / "config.pbtxt", version.parent)
    shutil.copy(HERE / "echo_base" / "model.py", version)
    return repository


def triton_or_skip() -> TritonServer:
    server = TritonServer()
    try:
        server.check()
    except ServiceError as error:
        if os.environ.get("CI", "").lower() == "true":
            raise
        pytest.skip(str(error))
    return server


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, echo_repository: Path
) -> Iterator[ModelServer]:
    one = triton_or_skip() if request.param == "triton" else StandInServer()
    with one.start(echo_repository, tmp_path_factory.mktemp("server"), timeout=60):
        yield one


def make_avatar(folder: Path, *, adapter: bool = True) -> Path:
    """The unpacked archive of an avatar: the real stub and an adapter's manifest."""
    url = folder / "model"
    shutil.copytree(ROOT / "training_service" / "sd_lora", url / "sd_lora")
    if adapter:
        place = url / "sd_lora" / "1" / "adapter"
        place.mkdir()
        (place / "adapter.json").write_text(json.dumps({"sha256": SHA256}))
    return url


@pytest.fixture
def avatar(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "one", *, adapter: bool = True) -> Path:
        return make_avatar(tmp_path / name, adapter=adapter)

    return make
