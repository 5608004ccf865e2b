"""A stub that died is loaded again; one that lives, or left, or leaves, is let alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest

from helpers.hosting.watch import StubWatch, alive, record_file, write_record

NAME = "avatars/dead.tar.gz"


class Models:
    """Triton as a model sees it; a stub that it loads leaves its record in ``folder``."""

    def __init__(self, folder: Path, *ready: str) -> None:
        self.folder, self.ready = folder, set(ready)
        self.asked: list[str] = []
        self.fails: type[BaseException] | None = None

    def is_model_ready(self, *, model_name: str) -> bool:
        return model_name in self.ready

    def unload_model(self, *, model_name: str) -> None:
        self.asked.append(f"unload {model_name}")
        self.ready.discard(model_name)

    def load_model(self, *, model_name: str) -> None:
        self.asked.append(f"load {model_name}")
        if self.fails:
            raise self.fails("failed to poll from model repository")
        self.ready.add(model_name)
        write_record(record_file(self.folder, model_name), os.getpid(), model_name)


@pytest.fixture
def gone() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def left(folder: Path, pid: int, name: str = NAME) -> Path:
    file = record_file(folder, name)
    write_record(file, pid, name)
    return file


def test_who_died_is_loaded_again_and_who_lives_is_not(tmp_path: Path, gone: int) -> None:
    left(tmp_path, os.getpid(), "avatars/lives.tar.gz")
    dead = left(tmp_path, gone)
    models = Models(tmp_path, NAME, "avatars/lives.tar.gz")
    watch = StubWatch(tmp_path, models, say=lambda line: None)
    assert watch.look() == [NAME]
    assert models.asked == [f"unload {NAME}", f"load {NAME}"]
    assert watch.look() == [] and dead.exists() and len(models.asked) == 2


def test_what_cannot_be_loaded_is_forgotten(tmp_path: Path, gone: int) -> None:
    left(tmp_path, gone)
    said: list[str] = []
    models = Models(tmp_path, NAME)
    models.fails = RuntimeError
    watch = StubWatch(tmp_path, models, say=said.append)
    assert watch.look() == [] and not list(tmp_path.iterdir())
    assert "was not loaded again" in said[-1]


def test_a_full_disk_ends_neither_the_watch_nor_the_hope(
    tmp_path: Path, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(tmp_path, gone)
    said: list[str] = []
    models = Models(tmp_path, NAME)
    watch = StubWatch(tmp_path, models, say=said.append)
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", Mock(side_effect=OSError("No space left on device")))
        assert watch.look() == [] and models.asked == []
    assert "OSError" in said[-1]
    assert watch.look() == [NAME]


def test_what_is_being_unloaded_is_forgotten(tmp_path: Path, gone: int) -> None:
    left(tmp_path, gone)
    models = Models(tmp_path)
    assert StubWatch(tmp_path, models, say=print).look() == []
    assert models.asked == [] and not list(tmp_path.iterdir())


def test_a_base_that_dies_over_a_stub_leaves_it_to_the_next_base(tmp_path: Path, gone: int) -> None:
    left(tmp_path, gone)
    models = Models(tmp_path, NAME)
    models.fails = KeyboardInterrupt  # nothing of ours runs after it
    with pytest.raises(KeyboardInterrupt):
        StubWatch(tmp_path, models, say=print).look()
    assert not models.is_model_ready(model_name=NAME)
    models.fails = None
    assert StubWatch(tmp_path, models, say=print).look() == [NAME]


def test_a_process_that_nobody_looked_at_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    assert alive(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not alive(child.pid)
    child.wait()


def test_a_record_that_is_none_is_let_alone(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_text("no number")
    models = Models(tmp_path)
    assert StubWatch(tmp_path, models, say=print).look() == [] and models.asked == []
