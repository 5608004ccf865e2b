"""A subject of noise, and sweeps on the tiny base that take a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.bases import BaseModel
from helpers.experiments.sweep import Subject, Sweep, Variant
from tests.experiments.colours import COLOURS, noisy

torch.set_num_threads(1)


def write_subject(folder: Path, colour: str = "red", noun: str = "dog", token: str = "") -> Path:
    """A subject's folder with three training and two held-out pictures."""
    pictures = noisy(COLOURS[colour], 5)
    for place, part in enumerate(["instance"] * 3 + ["heldout"] * 2):
        (folder / part).mkdir(parents=True, exist_ok=True)
        pictures[place].resize((64, 64)).save(folder / part / f"{place}.png")
    info = {"instance_prompt": f"a photo of a {token or '<<TOK>>'} {noun}",
            "class_prompt": f"a photo of a {noun}"}  # fmt: skip
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


SHORT = {"batch_size": 1, "lora_r": 2, "lora_alpha": 2, "num_class_images": 2, "learned_tokens": 0}
"""Changes that make a training take no time."""


@pytest.fixture(scope="session")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject.read(write_subject(tmp_path_factory.mktemp("subjects") / "doppler"))


@pytest.fixture(scope="session")
def make_sweep(tiny: BaseModel, subject: Subject) -> Callable[..., Sweep]:
    """A sweep of two seeds and two marks, with changes."""

    def make(**changes: Any) -> Sweep:
        usual: dict[str, Any] = {
            "base": tiny,
            "subjects": (subject,),
            "steps": (1, 2),
            "seeds": (0, 1),
            "pictures": 2,
            "sampling_steps": 1,
            "variants": (Variant(name="lora", changes=SHORT),),
        }
        return Sweep(**{**usual, **changes})

    return make
