"""What an error counts by its noise, against the definitions and between the two kinds of base."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import ConfigError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.diffusion import target_of
from helpers.tuning.loop import train
from helpers.tuning.networks import load_networks
from helpers.tuning.presets import AS_V, EVEN, WEIGHTINGS
from helpers.tuning.weighting import MOST, as_v, loss_weights, min_snr

Make = Callable[..., FineTuneConfig]


def _schedule(prediction: str = "epsilon", ends_in_noise: bool = False) -> DDPMScheduler:
    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type=prediction, rescale_betas_zero_snr=ends_in_noise,
    )  # fmt: skip


def test_min_snr_against_its_definition() -> None:
    alphas = _schedule().alphas_cumprod
    snr, weights = alphas / (1 - alphas), min_snr(alphas)
    assert torch.all(weights[snr <= 5] == 1)
    assert torch.allclose(weights[snr > 5] * snr[snr > 5], torch.tensor(5.0))


def test_heavy_noise_counts_as_if_v_were_predicted_and_never_without_bound() -> None:
    alphas = _schedule().alphas_cumprod
    snr, weights = alphas / (1 - alphas), as_v(alphas)
    middle = (snr < 5) & (1 + 1 / snr < MOST)
    assert torch.allclose(weights[middle], (snr[middle] + 1) / snr[middle])
    assert torch.all(weights.diff() >= -1e-6) and weights[-1] == MOST


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize(("prediction", "ends_in_noise"), [
    ("epsilon", False), ("v_prediction", False), ("v_prediction", True),
])  # fmt: skip
def test_weights_are_positive_and_average_one(
    prediction: str, ends_in_noise: bool, weighting: str
) -> None:
    weights = loss_weights(_schedule(prediction, ends_in_noise), weighting)
    assert weights.shape == (1000,) and weights.min() > 0
    assert weights.mean().item() == pytest.approx(1)
    assert weighting != EVEN or torch.all(weights == 1)


def test_one_mistake_costs_the_same_on_either_kind_of_base() -> None:
    """A network that is wrong about a picture by so much, whether it says noise or v; up to where
    the weight of noise has its bound."""
    torch.manual_seed(0)
    clean, noise, wrong = torch.randn(3, 1000, 4, 2, 2)
    times = torch.arange(1000)
    costs = []
    for prediction in ("epsilon", "v_prediction"):
        schedule = _schedule(prediction)
        kept = schedule.alphas_cumprod[:, None, None, None]
        noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
        guessed = (noisy - kept.sqrt() * (clean + wrong)) / (1 - kept).sqrt()
        said = target_of(schedule, clean + wrong, guessed, times)
        errors = (said - target_of(schedule, clean, noise, times)).square().mean(dim=(1, 2, 3))
        costs.append(loss_weights(schedule, AS_V) * errors)
    kept = _schedule().alphas_cumprod
    ratios = (costs[0] / costs[1])[(1 - kept) / kept < MOST - 1]
    assert len(ratios) > 800
    assert ratios.std() / ratios.mean() < 1e-2


def test_the_training_and_what_it_measures_aside_are_weighed(
    tiny: BaseModel, settings: Callable[..., FineTuneConfig], photos: list[Image.Image]
) -> None:
    shown = []
    for weighting in WEIGHTINGS:
        config = settings(
            n_steps=2, heldout_images=1, heldout_every=1, loss_weighting=weighting, seed=3
        )
        steps = list(train(load_networks(tiny), config, photos * 2, photos[:2]))
        shown.append((steps[0].loss, steps[0].held_out_loss))
    assert shown[0][0] != shown[1][0] and shown[0][1] != shown[1][1]


def test_an_unknown_weighting_is_refused_and_an_even_one_needs_no_mention() -> None:
    config = FineTuneConfig()
    assert config.loss_weighting == EVEN and "loss_weighting" not in config.to_mapping()
    with pytest.raises(ConfigError, match="loss_weighting"):
        config.replace(loss_weighting="snr")
