"""One JupyterLab and one Chromium for all tests of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from helpers.launcher.machine import chromium
from helpers.local.launch import stop
from helpers.settings import Settings
from tests.browser.jupyter import Desk, browser, jupyter_lab


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Kernels at rehearsal speed, in folders of their own."""
    executable = chromium()
    if executable is None:
        reason = "no Chromium on this machine (Debian, Ubuntu: sudo apt-get install chromium)"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("desk")
    given = {
        "AVATAR_FAST": "1", "AVATAR_LEARNER": "browser", "AVATAR_THREADS": "1",
        "AVATAR_STATE": str(folder / "state"), "AVATAR_OUTPUTS": str(folder / "outputs"),
    }  # fmt: skip
    settings = Settings.from_environment(given)
    with jupyter_lab(folder, given) as address, browser(executable) as page:
        yield Desk(settings=settings, page=page, address=address)
    stop(settings)
