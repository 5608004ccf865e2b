"""Notebooks under pytest are rehearsals: tiny settings, folders and a namespace of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_FOLDER = pytest.StashKey[tempfile.TemporaryDirectory]()


def _settings_of(folder: str) -> dict[str, str]:
    return {
        "AVATAR_FAST": "1",
        "AVATAR_LEARNER": "rehearsal",
        "AVATAR_STATE": str(Path(folder) / "state"),
        "AVATAR_OUTPUTS": str(Path(folder) / "outputs"),
    }


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
