"""An account of its own for tests that empty it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.cloud.session import Cloud, open_cloud
from helpers.local.launch import stop
from helpers.settings import Settings


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A local SageMaker that nobody shares."""
    settings = Settings(fast=True, threads=1, state=tmp_path / "state", learner="ada")
    yield open_cloud(settings)
    stop(settings)
