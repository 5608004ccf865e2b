"""Bases of the registry that are no pocket: small, under a licence, pinned or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.bases import REGISTRY, BaseModel, Registered
from helpers.bases.folder import weight_sums
from helpers.bases.licences import Licence
from helpers.bases.registry import PARTS, POCKET
from helpers.settings import Settings

ASKING = Licence(
    name="Toy Licence, dated 1 January 2026",
    spdx="LicenseRef-Toy",
    address="https://example.com/toy-licence",
    restrictions="Not for anything but tests.",
)

Register = Callable[..., Registered]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Adds an entry, for one test: a base of the pocket's shape that is somebody else's."""

    def add(base_id: str = "toy/base", **facts: object) -> Registered:
        usual = {"publisher": "Toys", "licence": ASKING, "ours": False, "training": {}}
        entry = replace(POCKET, id=base_id, **{**usual, **facts})
        monkeypatch.setitem(REGISTRY, base_id, entry)
        return entry

    return add


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A state folder of the test's own, also for whatever reads the environment."""
    monkeypatch.setenv("AVATAR_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("AVATAR_LEARNER", "tester")
    return Settings.from_environment()


def pins_of(base: BaseModel | Path) -> dict[str, str]:
    """The hashes of a folder's weights, as the registry pins them."""
    sums = weight_sums(base if isinstance(base, Path) else base.folder)
    return {part: next(iter(sums[part].values())) for part in PARTS}


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
