"""The objective, its caches and its randomness, checked on gradients and closed forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image

from helpers.bases import BaseModel
from helpers.tuning.batches import Batches, pick
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.diffusion import target_of
from helpers.tuning.loop import batch_losses, rate_factor
from helpers.tuning.networks import load_networks
from helpers.tuning.precision import choose_precision
from helpers.tuning.subjects import Subject, all_subjects, crops_of
from helpers.tuning.trainable import make_trainable

Make = Callable[..., FineTuneConfig]
Photos = list[Image.Image]


def _gradients(base: BaseModel, config: FineTuneConfig, photos: Photos) -> list[torch.Tensor]:
    """Of every trained number, for one batch; the adapter is no longer fresh, so all are moved."""
    networks = load_networks(base)
    style = Subject(
        images=photos[1:], concept_prompt="a <<INK>> drawing", class_prompt="a drawing",
        class_images=photos,
    )  # fmt: skip
    subjects = all_subjects(config, photos, photos[:2], [style])
    groups = make_trainable(networks, config, subjects)
    parameters = [one for group in groups for one in group["params"]]
    generator = torch.Generator().manual_seed(8)
    for one in parameters:
        one.data += torch.randn(one.shape, generator=generator) * 0.02
    precision = choose_precision(config, networks.device)
    batches = Batches(networks, config, subjects)
    batch_losses(networks, config, precision, batches, 5).sum().backward()
    found = [one.grad for one in parameters]
    assert all(one is not None and one.abs().max() > 0 for one in found)
    return [one for one in found if one is not None]


@pytest.mark.parametrize("trained_text", [False, True])
def test_caches_change_nothing_but_the_work(
    tiny: BaseModel, settings: Make, photos: Photos, trained_text: bool
) -> None:
    config = settings(crops=3, train_text_encoder=trained_text)
    cached = _gradients(tiny, config, photos)
    for off in ({"cache_latents": False}, {"cache_text_embeddings": False}):
        fresh = _gradients(tiny, config.replace(**off), photos)
        scale = max(one.abs().max().item() for one in cached)
        for one, other in zip(cached, fresh, strict=True):
            assert (one - other).abs().max() <= 1e-5 * scale


def _schedule(kind: str) -> DDPMScheduler:
    return DDPMScheduler(beta_schedule="scaled_linear", prediction_type=kind)


@examples(deadline=None)
@given(st.integers(0, 999), st.integers(0, 2**31))
def test_targets_have_their_closed_forms(time: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, e = torch.randn(2, 1, 4, 3, 3, generator=generator)
    times = torch.tensor([time])
    assert torch.equal(target_of(_schedule("epsilon"), x, e, times), e)
    schedule: Any = _schedule("v_prediction")
    a = schedule.alphas_cumprod[time]
    v = target_of(schedule, x, e, times)
    assert torch.allclose(v, a.sqrt() * e - (1 - a).sqrt() * x, atol=1e-5)
    # The noisy latent and v together give the clean one back.
    noisy = schedule.add_noise(x, e, times)
    assert torch.allclose(a.sqrt() * noisy - (1 - a).sqrt() * v, x, atol=1e-4)


@examples(deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 6), st.integers(0, 99))
def test_groups_take_turns_and_each_goes_through_all_its_pictures(
    sizes: list[int], batch: int, seed: int
) -> None:
    passes = max(sizes) * 2
    draws = len(sizes) * passes
    picked = [one for draw in range(draws) for one in pick(sizes, batch, draw, seed)]
    groups = Counter(group for group, _ in picked)
    assert max(groups.values()) - min(groups.values(), default=0) <= 1
    starts = [sum(sizes[:group]) for group in range(len(sizes))]
    for group, size in enumerate(sizes):
        places = [place - starts[group] for found, place in picked if found == group]
        assert set(places) <= set(range(size))
        counts = Counter(places[: len(places) // size * size])
        assert len(set(counts.values())) <= 1
    assert picked == [one for draw in range(draws) for one in pick(sizes, batch, draw, seed)]


@examples(deadline=None)
@given(st.integers(1, 300), st.floats(0, 0.9), st.sampled_from(["constant", "linear", "cosine"]))
def test_the_rate_rises_once_and_never_exceeds_what_was_asked(
    total: int, warmup: float, kind: str
) -> None:
    config = FineTuneConfig(lr_warmup=warmup, lr_scheduler=kind)
    factors = [rate_factor(config, number, total) for number in range(total)]
    warm = int(warmup * total)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:warm] == sorted(factors[:warm])
    assert factors[warm] == 1
    assert factors[warm:] == sorted(factors[warm:], reverse=True)
    assert min(factors[warm:]) >= (1 if kind == "constant" else 0.1)


def test_crops_are_the_whole_and_closer_ones_and_the_seed_chooses(photos: Photos) -> None:
    cut = crops_of(photos, 32, 4, seed=3)
    assert {one.size for one in cut} == {(32, 32)}
    assert len(cut) == 4 * len(photos)
    assert len({one.tobytes() for one in cut}) == len(cut)
    for place, photo in enumerate(photos):
        assert crops_of([photo], 32, 1, seed=9)[0].tobytes() == cut[4 * place].tobytes()
    assert [one.tobytes() for one in crops_of(photos, 32, 4, seed=3)] == [
        one.tobytes() for one in cut
    ]
    assert crops_of(photos, 32, 4, seed=4)[1].tobytes() != cut[1].tobytes()
