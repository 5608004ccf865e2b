"""A base and an adapter of today in the libraries of a year ago, for real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from helpers.bases import open_base
from helpers.bases.keys import bare, encoder_keys
from helpers.bases.shape import read_config
from helpers.launcher.environments import direct_pins
from helpers.settings import ROOT
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from tests.bases.older import PINS, make_older

pytestmark = pytest.mark.slow

World = tuple[dict[str, torch.Tensor], dict[str, Any]]


@pytest.fixture(scope="module")
def worlds(pocket: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """What the same script found with the course's libraries and with the older ones."""
    work, base = tmp_path_factory.mktemp("worlds"), open_base(pocket)
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    config = FineTuneConfig.for_base(
        base, n_steps=6, batch_size=1, learning_rate=0.05, train_text_encoder=True,
        with_prior_preservation=False, lora_r=4, lora_alpha=4,
    )  # fmt: skip
    adapter = fine_tune(pictures, config, base, work / "adapter")
    short = Path(shutil.copytree(base.folder, work / "short"))
    encoder = short / "text_encoder" / "model.safetensors"
    renamed = {bare(key): value for key, value in load_file(encoder).items()}
    save_file(renamed, encoder, metadata={"format": "pt"})
    found = {}
    for name, packages in (("ours", []), ("older", [make_older()])):
        out = work / f"{name}.safetensors"
        _run(packages, "tests/bases/encode.py", base.folder, short, adapter.folder, out)
        with safe_open(out, "pt") as file:
            found[name] = load_file(out), json.loads(file.metadata()["report"])
    return found


def _run(packages: list[Path], script: str, *arguments: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / script, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [*packages, ROOT])),
            "HF_HUB_OFFLINE": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_these_are_two_major_versions(worlds: dict[str, World]) -> None:
    assert worlds["ours"][1]["version"] == version("transformers")
    assert worlds["older"][1]["version"] == direct_pins(PINS)["transformers"]
    majors = {world[1]["version"].partition(".")[0] for world in worlds.values()}
    assert majors == {"4", "5"}


@pytest.mark.parametrize("name", ["ours", "older"])
def test_no_key_is_missing_or_left_over(worlds: dict[str, World], name: str) -> None:
    assert worlds[name][1]["wrong"] == []


def test_short_keys_are_what_the_older_version_cannot_read(
    worlds: dict[str, World], pocket: Path
) -> None:
    """The control: without the prefix, every weight of the encoder would be at random."""
    assert worlds["ours"][1]["wrong_when_short"] == []
    config = read_config(pocket, "text_encoder/config.json")
    assert set(worlds["older"][1]["wrong_when_short"]) == encoder_keys(config)


@pytest.mark.parametrize("way", ["plain", "mapped", "mapped_short", "adapted"])
def test_both_versions_read_the_same_prompt_alike(worlds: dict[str, World], way: str) -> None:
    ours, older = (worlds[name][0][way] for name in ("ours", "older"))
    assert (ours - older).abs().max() < 1e-5
    if way == "adapted":
        assert (ours - worlds["ours"][0]["plain"]).abs().max() > 0.01, "the adapter does nothing"
    else:
        assert torch.equal(ours, worlds["ours"][0]["plain"])


def test_both_versions_paint_the_same_picture(worlds: dict[str, World]) -> None:
    ours, older = (worlds[name][0]["picture"] for name in ("ours", "older"))
    assert ours.std() > 0.05, "an empty picture proves nothing"
    assert (ours - older).abs().max() < 1 / 255


def test_every_layer_of_the_adapter_lands_in_both(worlds: dict[str, World]) -> None:
    assert worlds["ours"][1]["layers"] == worlds["older"][1]["layers"] > 0
