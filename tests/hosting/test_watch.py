"""A stub that died is loaded again; one that lives, or left, is let alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from helpers.hosting.watch import StubWatch, alive, record_file


def left(folder: Path, name: str, pid: int) -> Path:
    file = record_file(folder, name)
    file.write_text(f"{pid} {name}")
    return file


def test_who_died_is_loaded_again_and_who_lives_is_not(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left(tmp_path, "avatars/lives.tar.gz", os.getpid())
    dead = left(tmp_path, "avatars/dead.tar.gz", gone.pid)
    loaded: list[str] = []

    def reload(name: str) -> None:
        loaded.append(name)
        dead.write_text(f"{os.getpid()} {name}")

    watch = StubWatch(tmp_path, reload=reload, say=lambda line: None)
    assert watch.look() == loaded == ["avatars/dead.tar.gz"]
    assert watch.look() == [] and dead.exists()


def test_what_the_endpoint_no_longer_wants_is_forgotten(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left(tmp_path, "avatars/unloaded.tar.gz", gone.pid)
    said: list[str] = []

    def reload(name: str) -> None:
        raise RuntimeError("failed to poll from model repository")

    watch = StubWatch(tmp_path, reload=reload, say=said.append)
    assert watch.look() == ["avatars/unloaded.tar.gz"]
    assert watch.look() == [] and not list(tmp_path.iterdir())
    assert "was not loaded again" in said[-1]


def test_a_process_that_nobody_looked_at_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    assert alive(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not alive(child.pid)
    child.wait()
    (tmp_path / "damaged").write_text("no number")
    assert StubWatch(tmp_path, reload=lambda name: None, say=print).look() == []
