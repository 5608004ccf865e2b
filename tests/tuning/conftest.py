"""A base that trains in no time, and pictures to train it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.bases import BaseModel, open_base
from helpers.tuning.config import FineTuneConfig
from tests.random_base import write_random_base

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A random base with the pocket's interface. Do not change its files."""
    return open_base(write_random_base(tmp_path_factory.mktemp("tiny") / "base"))


@pytest.fixture(scope="session")
def photos() -> list[Image.Image]:
    """Three pictures of 96 x 80 pixels with coarse structure."""
    rng = np.random.default_rng(5)
    small = [Image.fromarray(rng.integers(0, 255, (5, 6, 3), np.uint8)) for _ in range(3)]
    return [one.resize((96, 80), Image.Resampling.BICUBIC) for one in small]


@pytest.fixture
def settings(tiny: BaseModel) -> Callable[..., FineTuneConfig]:
    """A short job on the tiny base, with changes."""

    def make(**changes: Any) -> FineTuneConfig:
        short = {"n_steps": 3, "batch_size": 2, "num_class_images": 2, "lora_r": 4, "lora_alpha": 4}
        return FineTuneConfig.for_base(tiny, **{**short, **changes})

    return make


@pytest.fixture
def copy_base(tiny: BaseModel, tmp_path: Path) -> Callable[[], Path]:
    """A copy of the tiny base to change."""
    import shutil

    return lambda: Path(shutil.copytree(tiny.folder, tmp_path / "base-copy"))
