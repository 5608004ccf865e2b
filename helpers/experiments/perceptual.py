"""How different do two pictures look? Distances between pictures, and DIV made from them.

DIV is DreamBooth's diversity (arXiv 2208.12242, section 4.3): the mean perceptual distance of all
pairs of pictures of one prompt. The paper takes LPIPS. Here it is LPIPS's formula on the pocket
judge's convolutions, because a distance between *identity* vectors would be blind to exactly what
diversity means: the judge learned that one dog in two poses is the same. ``pixel_distances`` needs
no network at all; the controls use it to find copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments.intervals import Interval, bootstrap
from helpers.experiments.judges import Perceiver, Pictures, require

SIDES = (8, 16, 32)
"""Sides in pixels of the copies that ``pixel_distances`` compares."""


def perceptual_distances(judge: Perceiver, pictures: Pictures) -> np.ndarray:
    """Distances (N, N), 0 and up, of every picture to every other.

    d(x, y) = sum over depths l of the mean over places of |x̂_l - ŷ_l|², with x̂ the judge's maps,
    of unit length across channels: LPIPS (Zhang et al., arXiv 1801.03924, equation 1) with every
    weight one. Values compare with each other, not with those of another network.
    """
    require(pictures, "pictures")
    total = np.zeros((len(pictures), len(pictures)))
    for grid in judge.stages(pictures):
        unit = torch.nn.functional.normalize(grid.double(), dim=1, eps=1e-8)
        flat = unit.flatten(1).cpu().numpy()
        places = grid.shape[2] * grid.shape[3]
        square = (flat**2).sum(1)
        total += np.maximum(square[:, None] + square[None] - 2 * flat @ flat.T, 0) / places
    np.fill_diagonal(total, 0.0)
    return total


def pixel_distances(
    pictures: Pictures, others: Pictures, sides: Sequence[int] = SIDES
) -> np.ndarray:
    """Distances (N, M), 0 (same) to 1 (black against white), from small copies of the pictures.

    Root mean square difference of all channels, averaged over copies of several ``sides``: the
    small ones see the composition, the larger ones details.
    """
    require(pictures, "pictures")
    require(others, "pictures to compare with")
    total = np.zeros((len(pictures), len(others)))
    for side in sides:
        first, second = _copies(pictures, side), _copies(others, side)
        total += np.stack([np.sqrt(((second - one) ** 2).mean(1)) for one in first])
    return total / len(sides)


def diversity(distances: np.ndarray, picks: np.ndarray | None = None) -> float:
    """DIV: the mean distance of all pairs of different pictures; higher is more diverse.

    ``distances`` (N, N) are those of pictures for *one* prompt by one adapter. ``picks`` are the
    pictures to look at, all by default; a picture picked twice makes no pair with itself. Raises
    ``ExperimentError`` for fewer than two pictures.
    """
    picks = np.arange(len(distances)) if picks is None else picks
    pairs = picks[:, None] != picks[None]
    if not pairs.any():
        raise ExperimentError(
            "diversity needs pairs of pictures", "there are fewer than two", "paint more a prompt"
        )
    return float(distances[np.ix_(picks, picks)][pairs].mean())


def diversity_interval(matrices: Sequence[np.ndarray], **how: Any) -> Interval:
    """DIV of several seeds with its interval: ``matrices`` holds the distances of each seed.

    The mean over seeds. ``how`` goes to ``bootstrap``. A draw that took one picture only, again and
    again, has no pairs and is passed over.
    """
    ends = np.cumsum([0, *map(len, matrices)])

    def statistic(groups: Sequence[np.ndarray]) -> float:
        found = []
        for group in groups:
            seed = int(np.searchsorted(ends, group[0], "right")) - 1
            picks = group.astype(int) - ends[seed]
            if len(set(picks)) > 1:
                found.append(diversity(matrices[seed], picks))
        return float(np.mean(found)) if found else whole

    for matrix in matrices:
        require(list(matrix), "pictures", least=2)
    whole = float(np.mean([diversity(matrix) for matrix in matrices]))
    places = [np.arange(start, stop) for start, stop in pairwise(ends)]
    return bootstrap(places, statistic, **how)


def _copies(pictures: Pictures, side: int) -> np.ndarray:
    small = [one.convert("RGB").resize((side, side), Image.Resampling.BOX) for one in pictures]
    return np.stack([np.asarray(one, np.float64).reshape(-1) for one in small]) / 255
