"""``course.py base`` as a learner types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.bases import REGISTRY, BaseModel
from helpers.bases.registry import ORIGINAL, UNSUPPORTED
from helpers.bases.store import find_base
from helpers.cloud.session import Cloud, open_cloud
from helpers.launcher import commands
from helpers.settings import ROOT, Settings


def base(settings: Settings, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "helpers.bases", *map(str, arguments)],
        cwd=ROOT,
        env={
            **os.environ,
            "AVATAR_STATE": str(settings.state),
            "AVATAR_LEARNER": settings.learner,
            "AVATAR_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_lists_every_base_and_what_is_none(settings: Settings) -> None:
    listed = base(settings)
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in [*REGISTRY, *UNSUPPORTED])
    assert "not supported: Stable Diffusion XL has two text encoders" in listed.stdout


def test_it_shows_the_licence_and_writes_its_acceptance_down(settings: Settings) -> None:
    entry = REGISTRY[ORIGINAL]
    shown = base(settings, ORIGINAL)
    assert shown.returncode == 0
    for told in (entry.licence.name, entry.licence.address, "accepted: not yet", "withdrew"):
        assert told in shown.stdout
    accepted = base(settings, ORIGINAL, "--accept-licence")
    assert "accepted on 20" in accepted.stdout
    assert "accepted: not yet" not in base(settings, ORIGINAL).stdout


def test_without_the_licence_it_sends_nothing(settings: Settings, tiny: BaseModel) -> None:
    refused = base(settings, ORIGINAL, "--from", tiny.folder)
    assert refused.returncode == 1
    assert "--accept-licence" in refused.stderr
    assert not (settings.state / "service.json").exists(), "no service was started"


def test_the_wrong_files_are_refused(settings: Settings, cloud: Cloud, tiny: BaseModel) -> None:
    refused = base(cloud.settings, ORIGINAL, "--from", tiny.folder, "--accept-licence")
    assert refused.returncode == 1
    assert "64 pixels" in refused.stderr and "512 pixels" in refused.stderr


def test_one_command_verifies_packages_and_uploads(cloud: Cloud, tiny: BaseModel) -> None:
    for sent in ("uploaded", "there already"):
        done = base(cloud.settings, "pocket", "--from", tiny.folder)
        assert done.returncode == 0, done.stderr
        assert f"{sent}  unet/diffusion_pytorch_model.safetensors" in done.stdout
        assert done.stdout.strip().endswith(find_base(open_cloud(cloud.settings), "pocket"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody/knows"], "not in the registry"),
        (list(UNSUPPORTED), "two text encoders"),
        (["pocket", "--from", "nowhere"], "is not a folder"),
    ],
)
def test_what_it_cannot_do_it_says(settings: Settings, arguments: list[str], message: str) -> None:
    refused = base(settings, *arguments)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_launcher_hands_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is meant from where the learner stands, not from where the course lies."""
    asked: list[Any] = []

    class Recorder(commands.Launcher):
        def prepare(self) -> Path:
            return Path("python")

        def run(self, *command: str | Path, **variables: str) -> int:
            asked.extend(command)
            return 3

    monkeypatch.setattr(commands, "Launcher", Recorder)
    monkeypatch.chdir(tmp_path)
    words = ["base", "pocket", "--from", "here", "--accept-licence", "--trust-weights"]
    assert commands.main(words) == 3
    folder = str(tmp_path / "here")
    assert asked == [
        Path("python"), "-m", "helpers.bases", "pocket", "--from", folder,
        "--accept-licence", "--trust-weights",
    ]  # fmt: skip
