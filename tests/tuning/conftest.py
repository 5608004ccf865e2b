"""Pictures to train on, and settings that train in no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.bases import BaseModel
from helpers.tuning.config import FineTuneConfig

torch.set_num_threads(1)


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
