"""An AWS account that is this machine, as the template's stack leaves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.local.launch import start, stop
from helpers.settings import Settings
from tests.aws.rehearsal import Account


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("aws")
    settings = Settings(fast=True, threads=1, state=folder / "aws")
    yield Account.open(start(settings), folder)
    stop(settings)
