"""A small painter: shapes in unit coordinates on layers, lit so that they look round.

Coordinates run from 0 to 1, x to the right and y down. Colours are RGB triples in 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """``first`` with ``share`` (0..1) of ``second`` stirred in."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(colour: Colour, amount: float) -> Colour:
    """Lighter for a positive ``amount`` (-1..1), darker for a negative one."""
    return mix(colour, (255, 255, 255) if amount > 0 else (0, 0, 0), abs(amount))


@dataclass(frozen=True)
class View:
    """Places a subject: its unit square is scaled, mirrored, tilted and moved into the scene."""

    x: float = 0.5
    y: float = 0.5
    scale: float = 1.0
    flip: bool = False
    tilt: float = 0.0  # radians

    def __call__(self, x: float, y: float) -> Point:
        dx, dy = (x - 0.5) * (-1 if self.flip else 1), y - 0.5
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        return (
            self.x + self.scale * (dx * cos - dy * sin),
            self.y + self.scale * (dx * sin + dy * cos),
        )


class Layer:
    """One transparent sheet of ``size``² pixels; shapes are placed through a ``View``."""

    def __init__(self, size: int, view: View | None = None) -> None:
        self.size, self.view = size, view or View()
        self.image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)

    def _at(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.size, y * self.size) for x, y in (self.view(*p) for p in points)]

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon with sharp corners."""
        self._draw.polygon(self._at(points), fill=(*colour, 255))

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, turn: float = 0.0
    ) -> None:
        """A filled ellipse around ``(x, y)``, turned by ``turn`` radians."""
        cos, sin = math.cos(turn), math.sin(turn)
        steps = (math.tau * step / 36 for step in range(36))
        ring = ((rx * math.cos(angle), ry * math.sin(angle)) for angle in steps)
        self.polygon([(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in ring], colour)

    def blob(self, points: Sequence[Point], colour: Colour) -> None:
        """A smooth closed outline through ``points`` (Catmull-Rom)."""
        self.polygon(_smooth(points, closed=True), colour)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A smooth line with round ends; ``width`` in units of the view."""
        line = self._at(_smooth(points, closed=False) if len(points) > 2 else points)
        pixels = max(1, round(width * self.view.scale * self.size))
        self._draw.line(line, fill=(*colour, 255), width=pixels, joint="curve")
        for x, y in (line[0], line[-1]):
            half = pixels / 2
            self._draw.ellipse((x - half, y - half, x + half, y + half), fill=(*colour, 255))

    def soften(self, radius: float) -> Layer:
        """Blur by ``radius`` (unit coordinates)."""
        # Premultiplied, or the black of transparent pixels would bleed into the colours.
        blur = ImageFilter.GaussianBlur(radius * self.size)
        self.image = self.image.convert("RGBa").filter(blur).convert("RGBA")
        self._draw = ImageDraw.Draw(self.image)
        return self

    def lit(self, depth: float, strength: float, light: Point = (-0.6, -0.8)) -> Layer:
        """Shade the sheet as if it were a cushion ``depth`` thick lit from ``light``."""
        alpha = self.image.getchannel("A")
        radius = depth * self.view.scale * self.size
        height = np.asarray(alpha.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
        slope_y, slope_x = np.gradient(height)
        glow = (slope_x * light[0] + slope_y * light[1]) * -radius * 1.6
        if radius > 12:
            # The blur counts in 255 steps; on a large sheet they would show as contour lines.
            side = self.size // 12
            coarse = Image.fromarray(glow).resize((side, side), Image.Resampling.BOX)
            glow = np.asarray(coarse.resize(self.image.size, Image.Resampling.BICUBIC))
        pixels = np.asarray(self.image, np.float32)
        gain = 1 + strength * np.clip(glow, -1, 1)[..., None]
        pixels[..., :3] = np.clip(pixels[..., :3] * gain, 0, 255)
        self.image = Image.fromarray(pixels.astype(np.uint8), "RGBA")
        self._draw = ImageDraw.Draw(self.image)
        return self

    def over(self, below: Image.Image) -> Image.Image:
        """This sheet laid on ``below`` (RGB), as a new picture."""
        merged = below.copy()
        merged.paste(self.image, (0, 0), self.image)
        return merged


def _smooth(points: Sequence[Point], closed: bool, steps: int = 6) -> list[Point]:
    count = len(points)
    if closed:
        padded = [points[-1], *points, points[0], points[1]]
        spans = count
    else:
        padded = [points[0], *points, points[-1]]
        spans = count - 1
    curve: list[Point] = []
    for index in range(spans):
        a, b, c, d = padded[index : index + 4]
        for step in range(steps):
            t = step / steps
            curve.append((_spline(a[0], b[0], c[0], d[0], t), _spline(a[1], b[1], c[1], d[1], t)))
    return curve if closed else [*curve, points[-1]]


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
