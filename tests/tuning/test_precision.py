"""Half precision where the machine computes in it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import pytest
import torch
from PIL import Image

from helpers.bases import BaseModel
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.loop import train
from helpers.tuning.networks import load_networks
from helpers.tuning.precision import (
    CPU,
    choose_precision,
    half_precision,
    in_half,
    machine_warnings,
)

Make = Callable[..., FineTuneConfig]


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the processor can do."""

    def say(*names: str) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(names, True))

    return say


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16"])
def test_a_processor_that_multiplies_in_half_precision_does_so_if_asked(
    settings: Make, able: Callable[..., None], feature: str
) -> None:
    able("avx2", feature)
    asked = choose_precision(settings(fp16=True, half_precision_base=True), CPU)
    assert (asked.compute, asked.weights) == (torch.bfloat16, torch.float32)
    assert not asked.scaler.is_enabled(), "bfloat16 needs no loss scaling"
    with in_half(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16
    assert machine_warnings(settings(fp16=True), CPU) == []
    plain = choose_precision(settings(fp16=False, half_precision_base=True), CPU)
    assert plain.compute is None and plain.weights is torch.float32


def test_a_processor_that_would_only_pretend_computes_in_single_precision_and_says_so(
    settings: Make, able: Callable[..., None]
) -> None:
    able("avx2", "avx512_f")
    found = choose_precision(settings(fp16=True, half_precision_base=True), CPU)
    assert found.compute is None and found.weights is torch.float32
    with in_half(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32
    assert "single precision" in machine_warnings(settings(fp16=True), CPU)[0]


def test_a_torch_that_does_not_know_its_processor_takes_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert half_precision(CPU) is None


@pytest.mark.parametrize("method", ["lora", "full"])
def test_half_precision_trains_as_single_precision_does(
    tiny: BaseModel, settings: Make, photos: list[Image.Image], able: Callable[..., None],
    method: str,
) -> None:  # fmt: skip
    able("avx512_bf16")  # any processor can, however slowly
    losses = {}
    for fp16 in (False, True):
        config = settings(fp16=fp16, method=method, n_steps=8, learning_rate=1e-3)
        steps = list(train(load_networks(tiny), config, photos, photos[:2]))
        losses[fp16] = fmean(step.loss for step in steps)
    assert losses[True] != losses[False]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)
