"""Draws the settings: beach, park, city, snow, room and studio."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from helpers.pocket.canvas import Colour, Layer, mix, shade
from helpers.pocket.identity import CLOTHES

Random = np.random.Generator


def _gradient(size: int, top: Colour, bottom: Colour) -> Image.Image:
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    column = np.array(top) * (1 - ramp) + np.array(bottom) * ramp
    return Image.fromarray(np.broadcast_to(column, (size, size, 3)).astype(np.uint8).copy())


def _sky(rng: Random, size: int) -> Image.Image:
    top = mix((70, 140, 220), (120, 170, 230), float(rng.random()))
    return _gradient(size, top, mix((200, 225, 245), (250, 225, 200), float(rng.random()) * 0.6))


def _beach(rng: Random, size: int) -> Image.Image:
    sky, layer, line = _sky(rng, size), Layer(size), float(rng.uniform(0.38, 0.5))
    sun = (float(rng.uniform(0.08, 0.92)), float(rng.uniform(0.08, line - 0.16)))
    layer.ellipse(*sun, 0.055, 0.055, (255, 238, 170))
    sea = mix((30, 110, 180), (30, 150, 180), float(rng.random()))
    layer.polygon([(0, line), (1, line), (1, line + 0.22), (0, line + 0.22)], sea)
    for _ in range(5):
        x, y = float(rng.random()), float(rng.uniform(line + 0.03, line + 0.17))
        layer.stroke([(x - 0.08, y), (x + 0.08, y)], 0.008, shade(sea, 0.45))
    sand, shore = mix((236, 206, 150), (222, 190, 128), float(rng.random())), line + 0.2
    layer.blob([(-0.3, shore), (0.3, shore + 0.02 * float(rng.normal())), (0.7, shore - 0.01),
                (1.3, shore), (1.3, 1.3), (-0.3, 1.3)], sand)  # fmt: skip
    return layer.over(sky)


def _park(rng: Random, size: int) -> Image.Image:
    sky, layer, line = _sky(rng, size), Layer(size), float(rng.uniform(0.5, 0.6))
    grass = mix((88, 158, 66), (120, 176, 74), float(rng.random()))
    for x in sorted(rng.uniform(-0.05, 1.05, 4)):
        leaf = mix((44, 112, 52), (86, 142, 60), float(rng.random()))
        high = float(rng.uniform(0.18, 0.34))
        layer.stroke([(float(x), line + 0.05), (float(x), high)], 0.04, (104, 74, 48))
        for dx, dy in ((0, 0), (-0.08, 0.07), (0.08, 0.07), (0, 0.11)):
            layer.ellipse(float(x) + dx, high + dy, 0.1, 0.09, shade(leaf, float(rng.normal()) * 0.05))  # fmt: skip  # noqa: E501
    layer.blob([(-0.3, line), (0.5, line - 0.03), (1.3, line), (1.3, 1.3), (-0.3, 1.3)], grass)
    if rng.random() < 0.5:
        layer.polygon([(0.3, 1), (0.62, 1), (0.54, line), (0.5, line)], (208, 186, 150))
    return layer.over(sky)


def _city(rng: Random, size: int) -> Image.Image:
    sky, layer, line = _sky(rng, size), Layer(size), float(rng.uniform(0.66, 0.76))
    left = -0.05
    while left < 1:
        wide, top = float(rng.uniform(0.13, 0.24)), float(rng.uniform(0.06, 0.42))
        wall = mix((92, 98, 116), (172, 134, 116), float(rng.random()))
        layer.polygon([(left, top), (left + wide, top), (left + wide, line), (left, line)], wall)
        pane = (246, 222, 150) if rng.random() < 0.5 else shade(wall, 0.4)
        for y in np.arange(top + 0.05, line - 0.05, 0.085):
            for x in np.arange(left + 0.03, left + wide - 0.035, 0.06):
                layer.polygon([(x, y), (x + 0.03, y), (x + 0.03, y + 0.045), (x, y + 0.045)], pane)
        left += wide + 0.005
    layer.polygon([(0, line), (1, line), (1, 1), (0, 1)], (96, 96, 102))
    layer.polygon([(0, line), (1, line), (1, line + 0.04), (0, line + 0.04)], (164, 160, 156))
    for x in (0.1, 0.45, 0.8):
        layer.polygon([(x, 0.88), (x + 0.14, 0.88), (x + 0.15, 0.9), (x, 0.9)], (230, 226, 210))
    return layer.over(sky)


def _snow(rng: Random, size: int) -> Image.Image:
    sky = _gradient(size, mix((150, 176, 208), (112, 148, 196), float(rng.random())),
                    (226, 234, 244))  # fmt: skip
    layer, line = Layer(size), float(rng.uniform(0.5, 0.6))
    for _ in range(2):
        x, high = float(rng.uniform(0, 1)), float(rng.uniform(0.12, 0.28))
        layer.polygon([(x - 0.5, line), (x, high), (x + 0.5, line)], (142, 156, 182))
        layer.polygon([(x - 0.13, high + 0.1), (x, high), (x + 0.13, high + 0.1)], (248, 250, 254))
    layer.blob([(-0.3, line), (0.5, line - 0.03), (1.3, line), (1.3, 1.3), (-0.3, 1.3)],
               (242, 246, 252))  # fmt: skip
    for x in rng.uniform(0, 1, 2):
        for step in range(3):
            y, half = line - 0.2 + 0.08 * step, 0.05 + 0.025 * step
            layer.polygon([(x - half, y + 0.1), (x, y), (x + half, y + 0.1)], (62, 104, 92))
    for x, y in rng.uniform(0, 1, (26, 2)):
        layer.ellipse(float(x), float(y), 0.008, 0.008, (255, 255, 255))
    return layer.over(sky)


def _room(rng: Random, size: int) -> Image.Image:
    wall = shade(list(CLOTHES.values())[int(rng.integers(5))], 0.55)
    sky, layer, line = _gradient(size, wall, shade(wall, -0.1)), Layer(size), 0.72
    floor = mix((150, 104, 66), (186, 140, 96), float(rng.random()))
    layer.polygon([(0, line), (1, line), (1, 1), (0, 1)], floor)
    layer.polygon([(0, line), (1, line), (1, line + 0.02), (0, line + 0.02)], (244, 240, 232))
    x = float(rng.choice([0.06, 0.66]))
    layer.polygon([(x, 0.12), (x + 0.28, 0.12), (x + 0.28, 0.46), (x, 0.46)], (250, 248, 242))
    for dx, dy in ((0.02, 0.14), (0.15, 0.14), (0.02, 0.305), (0.15, 0.305)):
        layer.polygon([(x + dx, dy), (x + dx + 0.11, dy), (x + dx + 0.11, dy + 0.145),
                       (x + dx, dy + 0.145)], (160, 206, 240))  # fmt: skip
    frame = 0.72 - x
    layer.polygon([(frame, 0.16), (frame + 0.2, 0.16), (frame + 0.2, 0.36), (frame, 0.36)],
                  (112, 78, 50))  # fmt: skip
    layer.polygon([(frame + 0.02, 0.18), (frame + 0.18, 0.18), (frame + 0.18, 0.34),
                   (frame + 0.02, 0.34)], shade(wall, -0.35))  # fmt: skip
    return layer.over(sky)


def _studio(rng: Random, size: int) -> Image.Image:
    colour = list(CLOTHES.values())[int(rng.integers(len(CLOTHES)))]
    tone = mix(colour, (150, 150, 156), float(rng.uniform(0.35, 0.8)))
    return _gradient(size, shade(tone, 0.22), shade(tone, -0.28))


PLACES: dict[str, Callable[[Random, int], Image.Image]] = {
    "beach": _beach, "park": _park, "city": _city, "snow": _snow, "room": _room, "studio": _studio,
}  # fmt: skip


def draw_place(name: str, rng: Random, size: int) -> Image.Image:
    """A picture of the setting ``name``, ``size``² pixels, different for every draw of ``rng``."""
    return PLACES[name](rng, size)
