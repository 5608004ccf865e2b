"""Running out of memory: the error says which settings would need less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.loop import train
from helpers.tuning.networks import load_networks
from helpers.tuning.precision import memory_explained

FULL_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"),
]


def _said(config: FineTuneConfig, error: BaseException) -> str:
    with (
        pytest.raises(TrainingError, match="does not fit into memory") as found,
        memory_explained(config),
    ):
        raise error
    return found.value.next


@pytest.mark.promise(
    "Out of memory names what to turn",
    fault="each library's own error for full memory",
    outcome="the message names batch, resolution, rank and checkpointing",
)
@pytest.mark.parametrize("error", FULL_MEMORY, ids=lambda error: type(error).__name__)
def test_however_memory_runs_out_the_knobs_are_named(error: BaseException) -> None:
    said = _said(FineTuneConfig(gradient_checkpointing=False, batch_size=4), error)
    for knob in ("gradient_checkpointing", "batch_size", "resolution", "lora_r"):
        assert knob in said


@pytest.mark.parametrize(
    ("changes", "named", "not_named"),
    [
        ({"gradient_checkpointing": True}, ["resolution"], ["gradient_checkpointing"]),
        ({"batch_size": 1}, ["resolution"], ["batch_size"]),
        ({"lora_r": 4}, ["resolution"], ["lora_r"]),
        ({"method": "full"}, ['method to "lora"'], ["lora_r"]),
    ],
)
def test_a_knob_that_is_turned_already_is_not_named(
    changes: dict[str, Any], named: list[str], not_named: list[str]
) -> None:
    said = _said(FineTuneConfig(**changes), MemoryError())
    assert all(knob in said for knob in named)
    assert not any(knob in said for knob in not_named)


def test_other_errors_pass_as_they_are() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes do not match"),
        memory_explained(FineTuneConfig()),
    ):
        raise RuntimeError("shapes do not match")


def test_a_step_without_room_ends_the_training_in_these_words(
    tiny: BaseModel,
    settings: Callable[..., FineTuneConfig],
    photos: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks = load_networks(tiny)
    training = train(networks, settings(), photos, photos)
    next(training)

    def no_room(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(networks.unet, "forward", no_room)
    with pytest.raises(TrainingError, match=r"does not fit.*gradient_checkpointing.*batch_size"):
        next(training)
    assert not networks.unet.training
