"""An account of its own for tests that empty it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.cloud.session import Cloud, open_cloud
from helpers.local.launch import stop
from helpers.settings import Settings
from tests.cloud.accounts import what_is_left, wipe
from tests.cloud.faults import Faults


@pytest.fixture(scope="module")
def lone_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A local SageMaker that no other module shares."""
    state = tmp_path_factory.mktemp("lone") / "state"
    settings = Settings(fast=True, threads=1, state=state, learner="ada")
    yield open_cloud(settings)
    stop(settings)


@pytest.fixture
def own_cloud(lone_cloud: Cloud) -> Iterator[Cloud]:
    """An account that holds the course's bucket, and is empty again after the test."""
    open_cloud(lone_cloud.settings)
    yield lone_cloud
    wipe(lone_cloud.client)
    assert what_is_left(lone_cloud.client) == {}
    lone_cloud.ledger().path.unlink(missing_ok=True)


@pytest.fixture
def faults(own_cloud: Cloud) -> Iterator[Faults]:
    """Refusals of single operations, until the test ends."""
    made = Faults(own_cloud)
    yield made
    made.end()


@pytest.fixture
def short_lived(tmp_path: Path) -> Iterator[Cloud]:
    """A local SageMaker that a test may end."""
    settings = Settings(fast=True, threads=1, state=tmp_path / "state", learner="ada")
    yield open_cloud(settings)
    stop(settings)
