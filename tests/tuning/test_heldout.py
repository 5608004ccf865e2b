from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers.bases import BaseModel
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from helpers.tuning.heldout import Best, HeldOut
from helpers.tuning.loop import Step, train
from helpers.tuning.lora import lora_tensors
from helpers.tuning.networks import load_networks
from helpers.tuning.subjects import put_aside

Make = Callable[..., FineTuneConfig]
MEASURED = {"heldout_images": 1, "heldout_every": 2, "with_prior_preservation": False}


@pytest.fixture
def ten(photos: list[Image.Image]) -> list[Image.Image]:
    """Ten pictures, no two the same."""
    return [one.rotate(9 * turn) for turn in range(4) for one in photos][:10]


def _run(
    base: BaseModel, config: FineTuneConfig, photos: list[Image.Image]
) -> tuple[list[Step], dict[str, torch.Tensor]]:
    networks = load_networks(base)
    steps = list(train(networks, config, photos))
    return steps, lora_tensors(networks, config)


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_it_is_measured_every_few_steps_and_at_the_end(
    tiny: BaseModel, settings: Make, ten: list[Image.Image]
) -> None:
    steps, _ = _run(tiny, settings(n_steps=5, **MEASURED), ten)
    assert [step.step for step in steps if step.held_out_loss is not None] == [2, 4, 5]


def test_the_same_weights_give_the_same_number_whatever_the_training_draws(
    tiny: BaseModel, settings: Make, ten: list[Image.Image]
) -> None:
    still = {"learning_rate": 1e-12, "token_learning_rate": 1e-12, "lora_dropout": 0.5}
    steps, _ = _run(tiny, settings(n_steps=6, **MEASURED, **still), ten)
    found = [step.held_out_loss for step in steps if step.held_out_loss is not None]
    assert found == pytest.approx([found[0]] * 3, rel=1e-6)
    assert len({step.loss for step in steps}) == len(steps)


def test_measuring_changes_nothing_that_is_trained(
    tiny: BaseModel, settings: Make, ten: list[Image.Image]
) -> None:
    config = settings(n_steps=6, **MEASURED, lora_dropout=0.3)
    often, rarely = (_run(tiny, config.replace(heldout_every=every), ten)[1] for every in (1, 99))
    assert _same(often, rarely)


def test_photos_put_aside_are_never_trained_on(
    tiny: BaseModel, settings: Make, ten: list[Image.Image]
) -> None:
    config = settings(n_steps=4, **MEASURED)
    kept, (aside,) = put_aside(config, ten)
    assert len(kept) == 9 and all(one is not aside for one in kept)
    other = [Image.new("RGB", one.size, "red") if one is aside else one for one in ten]
    steps, tensors = _run(tiny, config, ten)
    changed, same = _run(tiny, config, other)
    assert _same(tensors, same)
    assert steps[-1].held_out_loss != changed[-1].held_out_loss


def test_the_training_stops_when_nothing_gets_better_and_keeps_the_best_of_its_second_half(
    tiny: BaseModel, settings: Make, ten: list[Image.Image], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The measurements are given: best of all at step 10, best of the second half at 36."""
    wild = settings(n_steps=60, learning_rate=0.1, lr_scheduler="constant", lr_warmup=0.0,
                    patience=2, **MEASURED)  # fmt: skip
    told_at = {10: 0.2, 32: 0.4, 36: 0.3}

    def measured(config: FineTuneConfig) -> None:
        calls = count(config.heldout_every, config.heldout_every)
        monkeypatch.setattr(HeldOut, "loss", lambda _: told_at.get(next(calls), 0.5))

    measured(wild)
    steps, tensors = _run(tiny, wild, ten)
    assert len(steps) == 36 + 2 * wild.heldout_every < 60
    assert _same(tensors, _run(tiny, wild.replace(n_steps=36, patience=0), ten)[1])
    measured(wild)
    told = fine_tune(ten, wild, tiny, tmp_path / "adapter").manifest.metrics
    assert (told["kept_step"], told["steps"]) == (36, len(steps))
    assert told["held_out_loss"] == pytest.approx(0.3, abs=1e-6)


def test_without_patience_the_last_weights_are_kept(
    tiny: BaseModel, settings: Make, ten: list[Image.Image], tmp_path: Path
) -> None:
    wild = settings(n_steps=12, learning_rate=0.2, lr_scheduler="constant", **MEASURED)
    assert len(_run(tiny, wild, ten)[0]) == 12
    metrics = fine_tune(ten, wild, tiny, tmp_path / "adapter").manifest.metrics
    assert metrics["kept_step"] == 12


def test_the_best_is_a_copy_that_later_steps_do_not_touch() -> None:
    weights, best = [torch.ones(3)], Best()
    best.offer(0.5, 1, weights)
    weights[0] *= 7
    best.offer(0.9, 2, weights)
    assert (best.loss, best.step) == (0.5, 1)
    best.restore(weights)
    assert torch.equal(weights[0], torch.ones(3))


def test_few_photos_are_all_trained_on(
    tiny: BaseModel, settings: Make, photos: list[Image.Image]
) -> None:
    steps, _ = _run(tiny, settings(**MEASURED), photos)
    assert all(step.held_out_loss is None for step in steps)
