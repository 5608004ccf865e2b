"""Which server serves, and that the real one cannot be reached from elsewhere."""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from pathlib import Path

import pytest

from helpers.errors import ArchiveError, ServiceError
from helpers.local.loopback import write_preload
from helpers.local.pbtxt import parse
from helpers.local.standin import StandInServer
from helpers.local.triton import TritonServer, choose_server
from helpers.settings import ROOT
from tests.conformance.conftest import triton_or_skip


def test_the_real_server_is_preferred() -> None:
    triton_or_skip()
    assert isinstance(choose_server(environ={}), TritonServer)


def test_without_a_serving_environment_the_stand_in_serves_but_not_in_ci(tmp_path: Path) -> None:
    nobody = tmp_path / "bin" / "python"
    assert isinstance(choose_server(interpreter=nobody, environ={}), StandInServer)
    with pytest.raises(ServiceError, match="cannot run here"):
        choose_server(interpreter=nobody, environ={"CI": "true"})


def test_an_interpreter_without_the_wheel_is_named_as_the_reason() -> None:
    with pytest.raises(ServiceError, match=r"nvidia-pytriton|numpy|Linux"):
        TritonServer(interpreter=Path(sys.executable)).check()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a library of Linux")
def test_the_preloaded_function_knows_one_address(tmp_path: Path) -> None:
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("no recipe for this machine")
    library = ctypes.CDLL(str(write_preload(tmp_path / "loopback.so")))
    for asked in (b"0.0.0.0", b"127.0.0.1", b"192.168.1.7"):
        got = struct.pack("=I", library.inet_addr(asked) & 0xFFFFFFFF)
        assert got == bytes([127, 0, 0, 1])


def test_an_unknown_machine_has_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="sparc"):
        write_preload(tmp_path / "loopback.so", "sparc")
    assert not (tmp_path / "loopback.so").exists()


@pytest.mark.parametrize(
    "model", ["models/avatar_base", "models/model_setup", "training_service/sd_lora"]
)
def test_our_configurations_are_read(model: str) -> None:
    config = ROOT / model / "config.pbtxt"
    fields = parse(config.read_text())
    assert fields["backend"] == ["python"]
    assert all(one["data_type"] == ["TYPE_STRING"] for one in fields["input"] + fields["output"])


@pytest.mark.parametrize(
    "text", ["name:", "name: {", "a b", "}", "x: [1", "name: 'single'", "x [ }"]
)
def test_a_damaged_configuration_is_refused(text: str) -> None:
    with pytest.raises(ArchiveError):
        parse(text)
