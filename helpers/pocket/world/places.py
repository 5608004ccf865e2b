"""Settings: the picture behind the subject (linear RGB), and the light that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.pocket.world import noise
from helpers.pocket.world.face import bump, step
from helpers.pocket.world.light import Light
from helpers.pocket.world.relief import Array
from helpers.pocket.world.traits import PAINTS, Colour, linear, near

Random = np.random.Generator


@dataclass(frozen=True)
class Place:
    """A painted setting (N, N, 3) and how it is lit; ``ground`` is a colour of its floor."""

    picture: Array
    light: Light


class Canvas:
    """A picture of ``side`` pixels to paint a setting on, with its coordinates."""

    def __init__(self, rng: Random, side: int, horizon: float) -> None:
        self.rng, self.side, self.horizon = rng, side, horizon
        middle = (np.arange(side, dtype=np.float32) + 0.5) / side
        self.x, self.y = middle[None, :], middle[:, None]
        self.picture = np.zeros((side, side, 3), np.float32)
        self.soft = 1.2 / side
        # Looking at a floor: nearer is larger, by one over the distance below the horizon.
        near_ = np.maximum(self.y - horizon, 0.012)
        self.far = 0.16 / near_
        self.floor_x, self.floor_y = (self.x - 0.5) * self.far * 2.2, self.far * 1.6
        self.shift = float(rng.random()) * 7
        self.lane = float(rng.uniform(-0.7, 0.7))

    def fill(self, share: Array, colour: object) -> None:
        """Paint ``colour`` (three numbers or (N, N, 3)) where ``share`` (0..1) says."""
        share = np.broadcast_to(share, (self.side, self.side)).astype(np.float32)[..., None]
        self.picture += (np.asarray(colour, np.float32) - self.picture) * share

    def below(self, line: Array | float) -> Array:
        """1 under the height ``line``."""
        return step(self.y - line, -self.soft, self.soft)

    def box(self, left: float, top: float, right: float, bottom: float) -> Array:
        """1 inside a rectangle."""
        s = self.soft
        across = step(self.x - left, -s, s) * step(right - self.x, -s, s)
        return across * (step(self.y - top, -s, s) * step(bottom - self.y, -s, s))

    def fade(self, top: tuple, bottom: tuple, start: float = 0.0, end: float = 1.0) -> Array:
        """A vertical run of colours, (N, 1, 3)."""
        t = np.clip((self.y - start) / max(end - start, 1e-3), 0, 1)[..., None]
        return np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t

    def ground(self, colour: tuple, rough: float, kind: str = "grain", size: float = 1.0) -> Array:
        """A floor of ``colour`` with texture that shrinks towards the horizon, (N, N, 3)."""
        grit = noise.at(kind, self.floor_x * size * 0.22 + self.shift, self.floor_y * size * 0.22)
        tone = 1 + rough * np.clip(grit, -2.2, 2.2) * np.clip(0.45 / self.far, 0.15, 1)
        tone = tone + 0.10 * noise.at(
            "clouds", self.floor_x * 0.12 + self.shift, self.floor_y * 0.12
        )
        return np.asarray(colour, np.float32) * tone[..., None]


def _tone(rng: Random, first: Colour, second: Colour) -> tuple[float, float, float]:
    share = float(rng.random())
    a, b = linear(first), linear(second)
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def _lamp(
    rng: Random,
    colour: tuple,
    sky: tuple,
    ground: tuple,
    *,
    low: float = 0.35,
    high: float = 1.0,
    hard: float = 0.6,
    rim: float = 0.3,
) -> Light:
    side = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 1.0))
    return Light(
        way=(side, -float(rng.uniform(low, high)), float(rng.uniform(0.45, 1.0))),
        lamp=colour,
        sky=sky,
        ground=ground,
        hard=hard,
        rim=rim * float(rng.random()),
    )


def _sky(c: Canvas, clouds: float = 1.0) -> None:
    top = _tone(c.rng, (58, 118, 196), (104, 160, 220))
    low = _tone(c.rng, (186, 214, 236), (238, 220, 196))
    c.picture[:] = c.fade(top, low, 0, c.horizon)
    puff = noise.at("clouds", c.x * 0.35 + c.shift, c.y * 0.7 + c.shift)
    c.fill(step(puff, 0.5, 1.7) * 0.75 * clouds * (c.y < c.horizon), (0.92, 0.93, 0.95))


def _sun(rng: Random) -> tuple[tuple, float]:
    """Colour of the daylight and how hard its shadows are: noon, evening or overcast."""
    kind = rng.random()
    if kind < 0.5:
        return (2.0, 1.88, 1.66), 0.75
    return ((2.05, 1.58, 1.12), 0.65) if kind < 0.75 else ((1.05, 1.08, 1.12), 0.3)


def _beach(rng: Random, side: int) -> Place:
    c = Canvas(rng, side, float(rng.uniform(0.30, 0.44)))
    _sky(c)
    sea, line = _tone(rng, (22, 92, 150), (30, 140, 160)), c.horizon
    shore = line + float(rng.uniform(0.10, 0.22))
    shore = (
        shore
        + float(rng.normal(0, 0.10)) * (c.x - 0.5)
        + 0.008 * noise.at("clouds", c.x * 0.6 + c.shift, 0 * c.x)
    )
    c.fill(c.below(line), c.fade(sea, _tone(rng, (60, 150, 170), (90, 180, 180)), line, line + 0.2))
    ripple = noise.at("fur", c.floor_x * 0.10 + c.shift, c.floor_y * 0.4)
    c.fill(c.below(line) * step(ripple, 0.9, 1.8) * 0.55, (0.75, 0.82, 0.85))
    sand = _tone(rng, (226, 196, 146), (206, 172, 122))
    c.fill(c.below(shore - 0.02), np.asarray(sand) * 0.6)
    c.fill(c.below(shore), c.ground(sand, 0.10))
    foam = np.exp(-(((c.y - shore + 0.014) / 0.010) ** 2))
    c.fill(foam * 0.9, (0.9, 0.93, 0.93))
    sun, hard = _sun(rng)
    return Place(c.picture, _lamp(rng, sun, (0.42, 0.52, 0.68), (0.42, 0.34, 0.24), hard=hard))


def _foliage(c: Canvas, line: float, top: float, colour: tuple, ragged: float, size: float) -> None:
    """A mass of leaves whose upper edge runs around the height ``top``."""
    edge = top + ragged * noise.at("clouds", c.x * 0.35 / size + c.shift * 3, 0 * c.x + colour[1])
    edge = edge + ragged * 0.25 * noise.at("lumps", c.x * 0.5 / size, c.y * 0.5 / size)
    leaves = noise.at("lumps", c.x * 0.8 / size + c.shift, c.y * 0.8 / size)
    tone = 0.85 + 0.35 * np.clip(leaves, -1.6, 1.8) - 0.9 * np.clip(c.y - edge, 0, 0.5)
    where = c.below(edge) * (1 - c.below(line))
    c.fill(where, np.asarray(colour, np.float32) * np.clip(tone, 0.15, 2)[..., None])


def _park(rng: Random, side: int) -> Place:
    c = Canvas(rng, side, float(rng.uniform(0.42, 0.54)))
    _sky(c, 0.7)
    _foliage(
        c, c.horizon + 0.02, c.horizon - 0.16, _tone(rng, (66, 112, 62), (96, 130, 70)), 0.05, 0.6
    )
    for _ in range(int(rng.integers(1, 4))):
        x, leaf = float(rng.uniform(0, 1)), _tone(rng, (44, 96, 36), (98, 136, 52))
        high, wide = float(rng.uniform(0.08, 0.26)), float(rng.uniform(0.10, 0.2))
        c.fill(c.box(x - 0.018, high, x + 0.018, c.horizon + 0.05), (0.07, 0.045, 0.028))
        lump = noise.at("lumps", c.x * 0.7 + x, c.y * 0.7)
        away = np.hypot((c.x - x) / wide, (c.y - high) / (wide * 0.9)) + 0.12 * lump
        light = 0.95 + 0.4 * np.clip(lump, -1.5, 1.5) - 1.6 * (c.y - high)
        c.fill(step(1 - away, -0.06, 0.06), np.asarray(leaf) * np.clip(light, 0.2, 2)[..., None])
    grass = _tone(rng, (70, 128, 46), (124, 156, 64))
    c.fill(c.below(c.horizon), c.ground(grass, 0.28, "grain", 1.6))
    if rng.random() < 0.4:
        way = float(rng.uniform(-0.5, 0.5))
        middle = 0.5 + way * (1 - (c.y - c.horizon)) + 0.02
        path = step(0.05 + 0.5 * (c.y - c.horizon) - np.abs(c.x - middle - 0.0), -0.01, 0.01)
        c.fill(
            path * c.below(c.horizon), c.ground(_tone(rng, (190, 170, 136), (160, 148, 128)), 0.06)
        )
    sun, hard = _sun(rng)
    return Place(c.picture, _lamp(rng, sun, (0.40, 0.50, 0.58), (0.20, 0.28, 0.12), hard=hard))


def _buildings(c: Canvas, line: float, night: bool) -> None:
    left = -float(c.rng.uniform(0, 0.12))
    while left < 1:
        wide, top = float(c.rng.uniform(0.14, 0.28)), float(c.rng.uniform(0.0, 0.34))
        wall = _tone(c.rng, (110, 112, 122), (176, 140, 116))
        bright = 0.07 if night else float(c.rng.uniform(0.5, 1.1))
        c.fill(c.box(left, top, left + wide, line), np.asarray(wall) * bright)
        u, v = (c.x - left) / wide * (3 + int(wide * 14)), (c.y - top) / 0.075
        inside = c.box(left + 0.015, top + 0.03, left + wide - 0.015, line - 0.04)
        pane = (
            inside
            * step(0.27 - np.abs(u % 1 - 0.5), -0.06, 0.06)
            * step(0.30 - np.abs(v % 1 - 0.5), -0.08, 0.08)
        )
        lit = noise.at("grain", np.floor(u) * 0.31 + c.shift, np.floor(v) * 0.37 + left)
        if night:
            c.fill(pane * step(lit, 0.0, 0.2), _tone(c.rng, (255, 214, 130), (255, 176, 90)))
        else:
            c.fill(pane, (np.asarray((0.10, 0.13, 0.17)) + 0.16 * step(lit, 0.2, 1.2)[..., None]))
        left += wide + float(c.rng.uniform(0, 0.02))


def _city(rng: Random, side: int) -> Place:
    c = Canvas(rng, side, float(rng.uniform(0.58, 0.68)))
    _sky(c, 0.6)
    _buildings(c, c.horizon + 0.03, night=False)
    road = _tone(rng, (92, 92, 96), (128, 124, 118))
    c.fill(c.below(c.horizon + 0.02), c.ground(road, 0.06))
    c.fill(
        c.box(-1, c.horizon + 0.02, 2, c.horizon + 0.065),
        _tone(rng, (150, 148, 144), (176, 170, 160)),
    )
    dash = step(np.sin(c.floor_y * 3.2 + c.shift), -0.1, 0.1) * step(
        0.05 - np.abs(c.floor_x - c.lane), -0.01, 0.01
    )
    c.fill(dash * c.below(c.horizon + 0.08), (0.62, 0.60, 0.52))
    sun, hard = _sun(rng)
    return Place(c.picture, _lamp(rng, sun, (0.40, 0.46, 0.55), (0.24, 0.23, 0.22), hard=hard))


def _night(rng: Random, side: int) -> Place:
    c = Canvas(rng, side, float(rng.uniform(0.56, 0.66)))
    c.picture[:] = c.fade((0.004, 0.006, 0.018), (0.03, 0.03, 0.06), 0, c.horizon)
    _buildings(c, c.horizon + 0.03, night=True)
    c.fill(c.below(c.horizon + 0.02), c.ground((0.022, 0.022, 0.03), 0.10))
    for _ in range(int(rng.integers(7, 14))):
        x, y = float(rng.random()), float(rng.uniform(0.12, c.horizon + 0.08))
        glow = np.asarray(
            linear(
                near(
                    rng,
                    ((255, 180, 90), (255, 230, 190), (255, 80, 60), (90, 160, 255))[
                        int(rng.integers(4))
                    ],
                    8,
                )
            )
        )
        size = float(rng.uniform(0.014, 0.04))
        away = np.hypot(c.x - x, c.y - y)
        c.picture += (
            0.9 * step(size - away, -0.006, 0.006) + 0.20 * np.exp(-((away / (size * 3)) ** 2))
        )[..., None] * glow
        streak = np.exp(-(((c.x - x) / size) ** 2)) * c.below(c.horizon + 0.02) * 0.10
        c.picture += streak[..., None] * glow
    warm = _tone(rng, (255, 214, 160), (240, 232, 226))
    lamp = tuple(1.7 * v for v in warm)
    return Place(
        c.picture, _lamp(rng, lamp, (0.09, 0.10, 0.18), (0.07, 0.06, 0.05), hard=0.8, rim=0.9)
    )


def _snow(rng: Random, side: int) -> Place:
    c = Canvas(rng, side, float(rng.uniform(0.42, 0.54)))
    c.picture[:] = c.fade(
        _tone(rng, (128, 158, 196), (168, 184, 204)), (0.72, 0.76, 0.82), 0, c.horizon
    )
    for shade in (0.9, 0.6):
        ridge = (
            c.horizon
            - 0.04
            - 0.14
            * shade
            * np.abs(noise.at("clouds", c.x * 0.22 + c.shift * shade, 0 * c.x + shade))
        )
        rock = noise.at("lumps", c.x * 0.5 + c.y * 0.3, c.y * 0.4 + shade)
        tone = np.asarray((0.62, 0.68, 0.78)) * shade + 0.12 * step(rock, 0, 0.8)[..., None]
        c.fill(c.below(ridge), tone)
    for _ in range(int(rng.integers(2, 7))):
        x, high = float(rng.uniform(0, 1)), float(rng.uniform(0.10, 0.26))
        base = c.horizon + float(rng.uniform(0.0, 0.05))
        t = (c.y - base + high) / high
        jag = 0.20 * high * (t + 0.25 * (np.abs((t * 5) % 1)))
        fir = step(jag - np.abs(c.x - x), -0.008, 0.008) * (t > 0) * (t < 1)
        frost = step(noise.at("lumps", c.x * 1.1, c.y * 1.1 + x), 0.2, 0.9)[..., None]
        c.fill(fir, np.asarray((0.02, 0.05, 0.045)) * (1 - frost) + 0.6 * frost)
    c.fill(
        c.below(c.horizon + 0.01 * noise.at("clouds", c.x * 0.3 + c.shift, 0 * c.x)),
        c.ground((0.80, 0.84, 0.90), 0.05, "clouds", 0.8),
    )
    if rng.random() < 0.5:
        flakes = step(noise.at("grain", c.x * 0.45 + c.shift, c.y * 0.45), 2.0, 2.5)
        c.fill(flakes * 0.9, (0.95, 0.96, 0.98))
    sun, hard = _sun(rng)
    lamp = (0.5 * sun[0] + 0.55, 0.5 * sun[1] + 0.6, 0.5 * sun[2] + 0.7)
    return Place(c.picture, _lamp(rng, lamp, (0.52, 0.58, 0.68), (0.50, 0.53, 0.58), hard=hard))


def _room(rng: Random, side: int) -> Place:
    c = Canvas(rng, side, float(rng.uniform(0.60, 0.70)))
    paint = list(PAINTS.values())[int(rng.integers(len(PAINTS)))]
    wall = 0.62 * np.asarray(linear((226, 216, 202))) + 0.20 * np.asarray(linear(paint))
    lean = float(rng.choice([-1.0, 1.0]))
    c.picture[:] = wall * (0.95 + 0.35 * lean * (c.x - 0.5) - 0.15 * c.y)[..., None]
    floor = _tone(rng, (140, 96, 60), (190, 150, 106))
    line = c.horizon + 0.06
    c.fill(c.below(line), c.ground(floor, 0.04))
    plank = np.exp(-(((c.floor_x * 2.4) % 1 - 0.5) ** 2) / 0.002)
    c.fill(plank * c.below(line) * 0.35, np.asarray(floor) * 0.35)
    c.fill(c.box(-1, line - 0.03, 2, line), (0.70, 0.68, 0.64))
    left = 0.06 + float(rng.uniform(0, 0.06)) if lean < 0 else 0.60 + float(rng.uniform(0, 0.06))
    top, wide, high = (
        float(rng.uniform(0.06, 0.14)),
        float(rng.uniform(0.24, 0.32)),
        float(rng.uniform(0.30, 0.40)),
    )
    c.fill(c.box(left, top, left + wide, top + high), (0.80, 0.78, 0.74))
    outside = c.fade((0.9, 1.0, 1.15), (0.75, 0.9, 0.7), top, top + high)
    for u in (0.0, 0.5):
        for v in (0.0, 0.5):
            pane = c.box(
                left + wide * (u + 0.03),
                top + high * (v + 0.03),
                left + wide * (u + 0.47),
                top + high * (v + 0.47),
            )
            c.fill(pane, outside)
    other = 0.70 - left * 0.9
    if rng.random() < 0.5:
        art = list(PAINTS.values())[int(rng.integers(len(PAINTS)))]
        c.fill(c.box(other, 0.14, other + 0.22, 0.36), (0.10, 0.06, 0.04))
        c.fill(c.box(other + 0.02, 0.16, other + 0.20, 0.34), 0.5 * np.asarray(linear(art)) + 0.15)
    else:
        for shelf in (0.16, 0.30, 0.44):
            u = (c.x - other) / 0.024
            book = noise.at("grain", np.floor(u) * 0.173 + c.shift, 0 * c.y + shelf)
            tint = np.stack(
                [0.22 + 0.14 * book, 0.16 + 0.06 * np.sin(book * 9), 0.14 - 0.08 * book], -1
            )
            c.fill(c.box(other, shelf, other + 0.26, shelf + 0.10), np.clip(tint, 0.02, 0.8))
            c.fill(
                c.box(other - 0.01, shelf + 0.10, other + 0.27, shelf + 0.125), (0.16, 0.09, 0.05)
            )
    if rng.random() < 0.5:
        sofa = np.asarray(linear(near(rng, paint, 10))) * 0.7
        c.fill(c.box(other - 0.15, line - 0.16, other + 0.4, line + 0.05), sofa)
        c.fill(c.box(other - 0.15, line - 0.06, other + 0.4, line + 0.05), sofa * 1.25)
    lamp = _tone(rng, (255, 240, 220), (255, 214, 160))
    light = _lamp(
        rng, tuple(1.5 * v for v in lamp), (0.30, 0.28, 0.26), (0.22, 0.18, 0.14), hard=0.5
    )
    x, y, z = light.way
    return Place(
        c.picture,
        Light(
            way=(lean * abs(x), y, z),
            lamp=light.lamp,
            sky=light.sky,
            ground=light.ground,
            hard=light.hard,
            rim=light.rim,
        ),
    )


def _studio(rng: Random, side: int) -> Place:
    c = Canvas(rng, side, 0.7)
    names = [*PAINTS.values(), (150, 150, 154), (196, 190, 182), (90, 92, 98)]
    tone = np.asarray(linear(near(rng, names[int(rng.integers(len(names)))], 8)))
    tone = tone * float(rng.uniform(0.35, 0.9)) + 0.06
    x, y = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.25, 0.55))
    spot = 0.5 + 0.75 * bump(c.x - x, c.y - y, 0.55, 0.5)
    cloth = 1 + 0.05 * noise.at("clouds", c.x * 0.3 + c.shift, c.y * 0.3)
    c.picture[:] = tone * (spot * cloth)[..., None]
    light = _lamp(rng, (1.9, 1.86, 1.8), (0.26, 0.26, 0.28), (0.14, 0.14, 0.15), hard=0.7, rim=1.0)
    return Place(c.picture, light)


def _forest(rng: Random, side: int) -> Place:
    c = Canvas(rng, side, float(rng.uniform(0.54, 0.64)))
    glow = _tone(rng, (150, 176, 110), (206, 204, 140))
    leaves = noise.at("lumps", c.x * 0.7 + c.shift, c.y * 0.7)
    c.picture[:] = np.asarray(glow) * (0.30 + 0.25 * step(leaves, 0.2, 1.4))[..., None]
    _foliage(c, 1.0, c.horizon - 0.16, _tone(rng, (24, 52, 26), (40, 72, 30)), 0.08, 0.5)
    floor = _tone(rng, (74, 70, 36), (92, 66, 38))
    c.fill(c.below(c.horizon), c.ground(floor, 0.30, "lumps", 2.0))
    for depth in (0.35, 0.6, 1.0):
        for _ in range(int(rng.integers(2, 5))):
            x, wide = (
                float(rng.uniform(-0.05, 1.05)),
                float(rng.uniform(0.02, 0.045)) * (0.5 + depth),
            )
            foot = c.horizon + 0.02 + 0.10 * depth
            bark = _tone(rng, (58, 44, 32), (96, 78, 58))
            ridge = noise.at("fur", c.y * 0.4 + x, c.x * 1.2)
            round_ = 1.2 - 0.8 * np.clip((c.x - x) / wide, -1, 1) ** 2 + 0.2 * ridge
            mist = (1 - depth) * 0.35
            c.fill(
                c.box(x - wide, -1, x + wide, foot),
                np.asarray(bark) * (round_ * (1 - mist))[..., None] + mist * np.asarray(glow) * 0.5,
            )
    top = step(noise.at("lumps", c.x * 0.6 + c.shift, c.y * 0.6) + 6 * (0.10 - c.y), 0.2, 0.8)
    c.fill(top, np.asarray(_tone(rng, (22, 50, 20), (48, 80, 30))) * (1 + 0.3 * leaves)[..., None])
    lamp = _tone(rng, (255, 240, 190), (220, 240, 200))
    return Place(
        c.picture,
        _lamp(
            rng,
            tuple(1.5 * v for v in lamp),
            (0.22, 0.30, 0.18),
            (0.12, 0.11, 0.07),
            low=0.6,
            hard=0.7,
            rim=0.8,
        ),
    )


PLACES: dict[str, Callable[[Random, int], Place]] = {
    "beach": _beach,
    "park": _park,
    "city": _city,
    "snow": _snow,
    "room": _room,
    "studio": _studio,
    "forest": _forest,
    "night street": _night,
}


def draw_place(name: str, rng: Random, side: int) -> Place:
    """The setting ``name``, another one for every draw of ``rng``."""
    return PLACES[name](rng, side)
