"""Textures to look things up in: periodic fields of noise, made once and the same everywhere."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

TILE = 256
Field = np.ndarray


def _filtered(seed: int, weight: np.ndarray) -> Field:
    white = np.fft.rfft2(np.random.default_rng(seed).normal(size=(TILE, TILE)))
    field = np.fft.irfft2(white * weight, s=(TILE, TILE))
    return ((field - field.mean()) / field.std()).astype(np.float32)


@cache
def tile(kind: str) -> Field:
    """A periodic field (256, 256) of mean 0 and standard deviation 1.

    ``clouds`` is large and soft, ``grain`` small, ``fur`` runs along the second axis in short
    hairs, ``strands`` in long ones, ``lumps`` has one size of bump.
    """
    down, across = np.fft.fftfreq(TILE)[:, None] * TILE, np.fft.rfftfreq(TILE)[None] * TILE
    radius = np.hypot(down, across)
    safe = np.maximum(radius, 1)
    weights = {
        "clouds": safe**-1.9 * (radius > 0),
        "grain": np.exp(-((radius / 70) ** 2)) * (radius > 8),
        "fur": np.exp(-((down / 64) ** 2) - (across / 9) ** 2) * (np.abs(down) > 6),
        "strands": np.exp(-((down / 70) ** 2) - (across / 1.5) ** 2) * (np.abs(down) > 2),
        "lumps": np.exp(-(((radius - 12) / 5) ** 2)),
    }
    return _filtered(1 + list(weights).index(kind), weights[kind])


def at(kind: str, across: Field, down: Field) -> Field:
    """``tile(kind)`` looked up at coordinates in tiles (one tile is 1.0); any shape, float32."""
    field = tile(kind)
    rows, columns = np.broadcast_arrays(down, across)
    if rows.size < 120_000:
        # Pictures for training: the nearest sample is enough and ten times as fast.
        row = (rows * TILE).astype(np.int32) & (TILE - 1)
        column = (columns * TILE).astype(np.int32) & (TILE - 1)
        return field[row, column]
    places = np.stack([rows * TILE, columns * TILE])
    return ndimage.map_coordinates(field, places, order=1, mode="grid-wrap")
