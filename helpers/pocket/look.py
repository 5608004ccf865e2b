"""Where people look first: those who live, and a face's few pixels, which a mean over the picture
would pass over."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from helpers.pocket.world.scene import Scene, face_of

FACE = 5.0
"""Weight of an error in a face, where one elsewhere weighs 1. Eyes and a mouth are one number in
two hundred of a picture's latents: unweighted, a blank face costs next to nothing."""

OFTEN = {"dog": 4.0, "cat": 4.0, "person": 3.0}
"""How often a picture of a kind is drawn, where one of another kind is drawn once. A chair is
learned in an hour; a dog has a pose, a way it looks, a coat, and a head that goes on one end."""


def look_weights(scenes: Iterable[Scene], side: int) -> torch.Tensor:
    """(N, side, side), from 1 to ``FACE``: each cell by how much of it the face's disc covers,
    the rim being as wide as a cell."""
    middle = (np.arange(side) + 0.5) / side
    across, down = np.meshgrid(middle, middle)
    maps = []
    for scene in scenes:
        face = face_of(scene)
        weights = np.ones((side, side), np.float32)
        if face is not None:
            x, y, radius = face
            inside = np.clip((radius - np.hypot(across - x, down - y)) * side + 0.5, 0.0, 1.0)
            weights += (FACE - 1) * inside.astype(np.float32)
        maps.append(weights)
    return torch.from_numpy(np.stack(maps))
