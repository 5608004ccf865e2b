"""Notebooks under pytest are rehearsals: tiny settings, folders and a namespace of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FOLDER = pytest.StashKey[tempfile.TemporaryDirectory]()


def _settings_of(folder: str) -> dict[str, str]:
    return {
        "AVATAR_FAST": "1",
        "AVATAR_LEARNER": "rehearsal",
        "AVATAR_STATE": str(Path(folder) / "state"),
        "AVATAR_OUTPUTS": str(Path(folder) / "outputs"),
    }


_LONGEST = ("notebooks", "tests/test_demo.py", "tests/aws")


def _place(nodeid: str) -> str:
    """What stays with one of pytest-xdist's workers: a file, or all notebooks, in their order."""
    return "notebooks" if nodeid.startswith("notebooks/") else nodeid.partition("::")[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several workers end together if what takes longest begins first."""
    if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        items.sort(key=lambda item: not _place(item.nodeid).startswith(_LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands out whole places instead of single tests, whose fixtures would be made twice."""
    from xdist.scheduler import LoadScopeScheduling

    class ByPlace(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _place(nodeid)

    return ByPlace(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Notebooks share one local SageMaker, as a learner's do, and it is not the learner's own."""
    if item.path.suffix != ".ipynb":
        return (yield)
    stash = item.config.stash
    if _FOLDER not in stash:
        stash[_FOLDER] = tempfile.TemporaryDirectory(prefix="avatar-notebooks-")
    given = dict(os.environ)
    os.environ.update(_settings_of(stash[_FOLDER].name))
    try:
        return (yield)
    finally:
        os.environ.clear()
        os.environ.update(given)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the notebooks' local SageMaker."""
    folder = session.config.stash.get(_FOLDER, None)
    if folder is None:
        return
    from helpers.local.launch import stop
    from helpers.settings import Settings

    settings = Settings.from_environment(_settings_of(folder.name))
    stop(settings)
    folder.cleanup()
