"""A JupyterLab and a Chromium for each test of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.launcher.machine import chromium
from helpers.local.launch import stop
from helpers.settings import Settings
from tests.browser.jupyter import Desk, browser, jupyter_lab


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Kernels at rehearsal speed, in folders of their own."""
    executable = chromium()
    if executable is None:
        reason = "no Chromium on this machine (Debian, Ubuntu: sudo apt-get install chromium)"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path / "desk"
    folder.mkdir()
    given = {
        "AVATAR_FAST": "1", "AVATAR_LEARNER": "browser", "AVATAR_THREADS": "1",
        "AVATAR_STATE": str(folder / "state"), "AVATAR_OUTPUTS": str(folder / "outputs"),
    }  # fmt: skip
    settings = Settings.from_environment(given)
    with jupyter_lab(folder, given) as address, browser(executable) as page:
        yield Desk(settings=settings, page=page, address=address)
    stop(settings)
