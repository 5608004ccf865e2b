"""Evening out the latents: weak directions gain on strong ones, and pictures do not notice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pocket.even import FLOOR, even_out, evening
from helpers.pocket.model import PocketShape, build_vae
from helpers.pocket.train_vae import encode_world
from helpers.pocket.world.dataset import World

SHAPE = PocketShape(resolution=32, latent_channels=4, vae_channels=(16, 16, 32))


def strengths(latents: torch.Tensor) -> torch.Tensor:
    rows = latents.double().permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    return torch.linalg.eigvalsh(torch.cov(rows.T, correction=0))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_every_strength_becomes_its_square_root(seed: int, channels: int) -> None:
    """So the order stays, and a hundred times as strong becomes ten times."""
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(channels, channels, generator=draw)
    plain = torch.randn(64, channels, 4, 4, generator=draw)
    latents = torch.einsum("ij,njhw->nihw", mix, plain) + 3.0
    mean, matrix = evening(latents)
    evened = torch.einsum("ij,njhw->nihw", matrix, latents - mean[:, None, None])
    assert evened.mean((0, 2, 3)).abs().max() < 1e-3
    before = strengths(latents)
    strong = before > FLOOR
    assert torch.allclose(strengths(evened)[strong], before[strong].sqrt(), rtol=1e-2)
    assert torch.allclose(matrix, matrix.T, atol=1e-4)


@pytest.fixture(scope="module")
def pictures() -> World:
    noise = np.random.default_rng(0)
    soft = noise.integers(0, 256, (48, 4, 4, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    return World(soft, [[""]] * 48, np.zeros((48, 1), np.int16))


def test_a_picture_comes_back_as_before_from_other_latents(pictures: World) -> None:
    torch.manual_seed(1)
    vae = build_vae(SHAPE)
    known = encode_world(vae, pictures).float()
    real = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        before = vae.decode(vae.encode(real).latent_dist.mean).sample  # type: ignore[union-attr]
        even_out(vae, known)
        after = vae.decode(vae.encode(real).latent_dist.mean).sample  # type: ignore[union-attr]
    assert torch.allclose(before, after, atol=1e-4)
    means, logvars = encode_world(vae, pictures).float().chunk(2, dim=1)
    assert not torch.allclose(means, known.chunk(2, dim=1)[0], atol=0.05)
    assert means.mean((0, 2, 3)).abs().max() < 0.01
    assert logvars.std((0, 2, 3)).max() == 0


def test_the_encoders_own_spread_is_carried_through_the_change(pictures: World) -> None:
    """What it is for each channel is what sampling before the change would have given after it."""
    torch.manual_seed(1)
    vae = build_vae(SHAPE)
    means, logvars = encode_world(vae, pictures).float().chunk(2, dim=1)
    _, matrix = evening(means)
    draw = torch.Generator().manual_seed(3)
    jitter = torch.randn(means.shape, generator=draw) * (0.5 * logvars).exp()
    wanted = torch.einsum("ij,njhw->nihw", matrix, jitter).var((0, 2, 3))
    even_out(vae, torch.cat([means, logvars], 1))
    found = encode_world(vae, pictures).float().chunk(2, dim=1)[1].exp().mean((0, 2, 3))
    assert torch.allclose(found, wanted, rtol=0.15)
