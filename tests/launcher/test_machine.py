"""A machine that is too small is refused with the number that is missing."""

from __future__ import annotations

import ctypes.util
import platform
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import SetupError
from helpers.launcher import machine
from helpers.launcher.machine import GB
from helpers.launcher.prepare import Launcher


def test_disk_is_measured_where_a_folder_is_going_to_be(tmp_path: Path) -> None:
    assert machine.free_disk(tmp_path / "not" / "yet") > 0


def test_a_shortage_of_disk_says_how_much_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "free_disk", lambda folder: 2.5 * GB)
    machine.check_disk(tmp_path, 2.5 * GB, ".venv")
    with pytest.raises(SetupError, match=r"\.venv needs 4\.0 GB .* 2\.5 GB are free, 1\.5 GB"):
        machine.check_disk(tmp_path, 4 * GB, ".venv")


@pytest.mark.promise(
    "Nothing is begun on a full disk",
    fault="too few bytes free",
    outcome="`SetupError` with the missing gigabytes; no file",
)
def test_nothing_is_begun_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "course.txt").write_text("torch==0.0.1\n")
    monkeypatch.setattr(machine, "free_disk", lambda folder: 10**6)
    with pytest.raises(SetupError, match="GB too few"):
        Launcher(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["requirements"]


def test_this_machine_has_memory() -> None:
    assert 10**8 < machine.memory() < 10**15


@given(st.floats(min_value=0, max_value=1e12))
def test_little_memory_is_refused_some_is_warned_of(found: float) -> None:
    if found < machine.MEMORY_NEEDED:
        with pytest.raises(SetupError, match="of memory"):
            machine.check_memory(int(found))
    else:
        warned = machine.check_memory(int(found)) is not None
        assert warned == (int(found) < machine.MEMORY_ADVISED)


@pytest.mark.parametrize(
    ("system", "processor", "libc", "why"),
    [
        ("linux", "x86_64", ("glibc", "2.35"), None),
        ("linux", "aarch64", ("glibc", "2.41"), None),
        ("linux", "x86_64", ("glibc", "2.31"), "2.31"),
        ("linux", "x86_64", ("", ""), "GNU C library"),
        ("linux", "riscv64", ("glibc", "2.41"), "riscv64"),
        ("darwin", "arm64", ("", ""), "made for Linux"),
    ],
)
def test_triton_is_offered_where_its_wheel_runs(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    processor: str,
    libc: tuple[str, str],
    why: str | None,
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    reason = machine.no_triton_because()
    assert reason is None if why is None else why in (reason or "")


def test_a_python_without_its_shared_library_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"libpython{sysconfig.get_python_version()}.so.1.0"
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path / "elsewhere"))
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    assert machine.missing_libpython() == name
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / name).touch()
    assert machine.missing_libpython() is None
