"""Fixtures that every room may use."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from helpers.bases import BaseModel, open_base
from helpers.cloud.session import Cloud, open_cloud
from helpers.local.launch import stop
from helpers.settings import ROOT, Settings
from tests.random_base import write_random_base

# On two busy cores any example may take long: how long is nothing that these tests claim.
hypothesis.settings.register_profile("course", deadline=None)
hypothesis.settings.load_profile("course")


@pytest.fixture(scope="session")
def local_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings with folders of their own; the local SageMaker that they lead to ends with us."""
    folder = tmp_path_factory.mktemp("course")
    settings = Settings(
        fast=True, threads=1, state=folder / "state", outputs=folder / "outputs", learner="tester"
    )
    yield settings
    stop(settings)


@pytest.fixture(scope="session")
def cloud(local_settings: Settings) -> Cloud:
    """A real local SageMaker, shared by the tests of a session: use names of your own."""
    return open_cloud(local_settings)


@pytest.fixture(scope="session")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pocket base, or of a random one of its kind while that is not trained."""
    trained = ROOT / "models" / "pocket"
    if (trained / "model_index.json").is_file():
        return trained
    return write_random_base(tmp_path_factory.mktemp("base") / "pocket")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A random base with the pocket's interface, which trains in no time. Do not change its
    files."""
    return open_base(write_random_base(tmp_path_factory.mktemp("tiny") / "base"))


@pytest.fixture
def copy_base(tiny: BaseModel, tmp_path: Path) -> Callable[[], Path]:
    """A copy of the tiny base to change."""
    return lambda: Path(shutil.copytree(tiny.folder, tmp_path / "base-copy"))
