from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from helpers.bases import REGISTRY, BaseModel, open_base
from helpers.bases.registry import POCKET
from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.loop import Step, train
from helpers.tuning.lora import attach_lora, lora_tensors, set_lora_enabled
from helpers.tuning.networks import Networks, encode_pictures, encode_text, load_networks

Make = Callable[..., FineTuneConfig]
Photos = list[Image.Image]
BOTH = {"train_text_encoder": True}
STILL = {"learning_rate": 1e-12, "token_learning_rate": 1e-12}
"""Trains, and moves nothing."""


def _answer(networks: Networks) -> torch.Tensor:
    """What the base makes of a fixed question: text encoder and U-Net together."""
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        text = encode_text(networks, "a photo of a dog")
        return networks.unet(noise, torch.tensor([400]), text).sample


def _run(
    base: BaseModel, config: FineTuneConfig, photos: Photos
) -> tuple[list[Step], dict[str, torch.Tensor]]:
    networks = load_networks(base)
    steps = list(train(networks, config, photos, photos[:2]))
    return steps, lora_tensors(networks, config)


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_fresh_adapter_changes_nothing(tiny: BaseModel, settings: Make) -> None:
    networks = load_networks(tiny)
    before = _answer(networks)
    attach_lora(networks, settings(**BOTH))
    assert torch.equal(_answer(networks), before)


def test_networks_are_trained_once(tiny: BaseModel, settings: Make, photos: Photos) -> None:
    networks = load_networks(tiny)
    list(train(networks, settings(n_steps=1), photos, photos))
    with pytest.raises(TrainingError, match="carry an adapter already"):
        list(train(networks, settings(n_steps=1), photos, photos))


def test_a_trained_adapter_switched_off_leaves_the_base_bit_for_bit(
    tiny: BaseModel, settings: Make, photos: Photos
) -> None:
    networks = load_networks(tiny)
    before = _answer(networks)
    for _ in train(networks, settings(learning_rate=0.05, **BOTH), photos, photos):
        pass
    trained = _answer(networks)
    set_lora_enabled(networks, False)
    assert torch.equal(_answer(networks), before)
    assert (trained - before).abs().max() > 0.01
    set_lora_enabled(networks, True)
    assert torch.equal(_answer(networks), trained)


def test_the_seed_decides_everything_and_the_caller_s_random_numbers_nothing(
    tiny: BaseModel, settings: Make, photos: Photos
) -> None:
    config = settings(lora_dropout=0.3, gradient_accumulation=2, **BOTH)
    steps, tensors = _run(tiny, config, photos)

    torch.manual_seed(99)
    networks, losses = load_networks(tiny), []
    for step in train(networks, config, photos, photos[:2]):
        torch.rand(step.step * 7)
        losses.append(step.loss)
    assert losses == [step.loss for step in steps]
    assert _same(lora_tensors(networks, config), tensors)
    assert not _same(_run(tiny, config.replace(seed=1), photos)[1], tensors)


def test_training_leaves_the_caller_s_random_numbers_alone(
    tiny: BaseModel, settings: Make, photos: Photos
) -> None:
    torch.manual_seed(4)
    untouched = torch.rand(3)
    torch.manual_seed(4)
    _run(tiny, settings(lora_dropout=0.3), photos)
    assert torch.equal(torch.rand(3), untouched)


def test_the_loss_falls_on_one_picture(tiny: BaseModel, settings: Make, photos: Photos) -> None:
    config = settings(
        n_steps=24, learning_rate=0.03, batch_size=4, with_prior_preservation=False
    )  # fmt: skip
    steps, _ = _run(tiny, config, photos[:1])
    losses = [step.loss for step in steps]
    still = [step.loss for step in _run(tiny, config.replace(**STILL), photos[:1])[0]]
    # The same noise in both runs, so what differs is what was learned.
    assert fmean(losses[-8:]) < 0.95 * fmean(still[-8:])


def test_a_step_says_where_it_is(tiny: BaseModel, settings: Make, photos: Photos) -> None:
    steps, _ = _run(tiny, settings(n_steps=4, prior_loss_weight=0.5), photos)
    assert [(step.step, step.total) for step in steps] == [(n, 4) for n in range(1, 5)]
    assert all(one.seconds < two.seconds for one, two in pairwise(steps))
    for step in steps:
        assert step.prior_loss is not None
        assert step.loss == pytest.approx(step.instance_loss + 0.5 * step.prior_loss)


def test_a_constant_rate_stays_and_a_cosine_falls_to_a_tenth(
    tiny: BaseModel, settings: Make, photos: Photos
) -> None:
    rates = {
        kind: [step.learning_rate for step in _run(tiny, settings(
            n_steps=8, batch_size=1, learning_rate=1e-3, lr_scheduler=kind), photos)[0]]
        for kind in ("constant", "cosine")
    }  # fmt: skip
    assert rates["constant"] == [1e-3] * 8
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True)
    assert rates["cosine"][0] == 1e-3
    assert 1e-4 < rates["cosine"][-1] < 2e-4


def test_prior_preservation_off_looks_at_no_class_image(
    tiny: BaseModel, settings: Make, photos: Photos
) -> None:
    networks = load_networks(tiny)
    steps = list(train(networks, settings(with_prior_preservation=False), photos))
    assert all(step.prior_loss is None and step.loss == step.instance_loss for step in steps)


def test_a_prior_without_weight_teaches_nothing(
    tiny: BaseModel, settings: Make, photos: Photos
) -> None:
    config = settings(prior_loss_weight=0)
    others = [Image.new("RGB", (64, 64), "red")]
    networks = load_networks(tiny)
    for _ in train(networks, config, photos, others):
        pass
    assert _same(lora_tensors(networks, config), _run(tiny, config, photos)[1])
    weighted = _run(tiny, config.replace(prior_loss_weight=1), photos)[1]
    assert not _same(lora_tensors(networks, config), weighted)


def test_text_encoder_training_can_be_off(tiny: BaseModel, settings: Make, photos: Photos) -> None:
    def parts(switch: bool) -> set[str]:
        _, tensors = _run(tiny, settings(train_text_encoder=switch), photos)
        return {key.partition(".")[0] for key in tensors}

    assert (parts(True), parts(False)) == ({"unet", "text_encoder"}, {"unet"})


def test_gradient_checkpointing_changes_memory_not_the_result(
    tiny: BaseModel, settings: Make, photos: Photos
) -> None:
    config = settings(lora_dropout=0.2, **BOTH)
    plain, checkpointed = (
        _run(tiny, config.replace(gradient_checkpointing=switch), photos)[0]
        for switch in (False, True)
    )
    assert [one.loss for one in checkpointed] == pytest.approx(
        [one.loss for one in plain], rel=1e-5
    )


def test_dropout_acts_in_training_only(tiny: BaseModel, settings: Make, photos: Photos) -> None:
    config = settings(learning_rate=0.05, lora_dropout=0.5)
    networks = load_networks(tiny)
    for _ in train(networks, config, photos, photos):
        pass
    assert torch.equal(_answer(networks), _answer(networks))
    other = _run(tiny, config.replace(lora_dropout=0.0), photos)[1]
    assert not _same(lora_tensors(networks, config), other)


def test_accumulated_batches_make_one_step(tiny: BaseModel, settings: Make, photos: Photos) -> None:
    steps, _ = _run(tiny, settings(n_steps=2, gradient_accumulation=3, batch_size=1), photos)
    assert [step.step for step in steps] == [1, 2]
    singles, _ = _run(tiny, settings(n_steps=3, batch_size=1, **STILL), photos)
    assert steps[0].loss == pytest.approx(fmean(step.loss for step in singles), rel=1e-5)


def test_the_frozen_base_is_never_trained(tiny: BaseModel, settings: Make, photos: Photos) -> None:
    networks = load_networks(tiny)
    before = {key: value.clone() for key, value in networks.unet.state_dict().items()}
    for _ in train(networks, settings(learning_rate=0.05, **BOTH), photos, photos):
        pass
    after = networks.unet.state_dict()
    assert all(torch.equal(after.get(key, after.get(_wrapped(key))), before[key]) for key in before)


def _wrapped(key: str) -> str:
    """Where peft moves a layer's own weights to."""
    layer, _, name = key.rpartition(".")
    return f"{layer}.base_layer.{name}"


@pytest.fixture
def silent(
    copy_base: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., BaseModel]:
    """A base whose U-Net always answers zero, so that the loss is the target's mean square."""

    def make(prediction_type: str, scaling_factor: float) -> BaseModel:
        entry = replace(POCKET, prediction_type=prediction_type)
        monkeypatch.setitem(REGISTRY, entry.id, entry)
        folder = copy_base()
        weights = folder / "unet/diffusion_pytorch_model.safetensors"
        tensors = load_file(weights)
        for key in ("conv_out.weight", "conv_out.bias"):
            tensors[key] = torch.zeros_like(tensors[key])
        save_file(tensors, weights, metadata={"format": "pt"})
        for name, change in {
            "scheduler/scheduler_config.json": {"prediction_type": prediction_type},
            "vae/config.json": {"scaling_factor": scaling_factor},
        }.items():
            path = folder / name
            path.write_text(json.dumps(json.loads(path.read_text()) | change))
        return open_base(folder)

    return make


@pytest.mark.parametrize("scale", [0.5, 8.0])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_target_and_latent_scale_come_from_the_base(
    silent: Callable[..., BaseModel], settings: Make, photos: Photos, kind: str, scale: float
) -> None:
    base = silent(kind, scale)
    networks = load_networks(base)
    latents = encode_pictures(networks, photos, 64)
    power = (latents.mean.square() + latents.std.square()).mean().item()
    config = settings(n_steps=6, batch_size=8, with_prior_preservation=False,
                      loss_weighting="even", **STILL)  # fmt: skip
    loss = fmean(step.instance_loss for step in train(networks, config, photos))
    if kind == "epsilon":
        assert loss == pytest.approx(1, rel=0.03)
    else:
        # v = a * noise - s * latent: mean square is a^2 + s^2 * power, a^2 + s^2 = 1.
        signal = networks.noise.alphas_cumprod.mean().item()
        assert loss == pytest.approx(signal + (1 - signal) * power, rel=0.15)


def test_a_loss_that_is_no_number_ends_the_training(
    copy_base: Callable[[], Path], settings: Make, photos: Photos
) -> None:
    folder = copy_base()
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"][0] = math.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="no longer a number at step 1"):
        list(train(load_networks(open_base(folder)), settings(), photos, photos))


def test_the_deadline_ends_the_training(tiny: BaseModel, settings: Make, photos: Photos) -> None:
    def until_late(steps: Iterator[Step]) -> int:
        count = 0
        for _ in steps:
            count += 1
            time.sleep(0.1)
        return count

    deadline = time.monotonic() + 1.5
    with pytest.raises(TrainingError, match=r"stopped after \d+ of 20000 steps.*time ran out"):
        until_late(
            train(load_networks(tiny), settings(n_steps=20_000), photos, photos, deadline=deadline)
        )
    assert time.monotonic() - deadline < 2


@pytest.mark.parametrize(("images", "message"), [([], "nothing to learn"), (None, "class images")])
def test_missing_pictures_are_refused(
    tiny: BaseModel, settings: Make, photos: Photos, images: Any, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        list(train(load_networks(tiny), settings(), photos if images is None else images))
