"""From light to a picture: photograph, pencil sketch, watercolour painting, cartoon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from helpers.pocket.world import noise
from helpers.pocket.world.face import bump, step
from helpers.pocket.world.light import Light, normals
from helpers.pocket.world.relief import Array, Sheet

if TYPE_CHECKING:
    from helpers.pocket.world.scene import Camera

STYLES = ("photo", "pencil sketch", "watercolour painting", "cartoon")
"""The styles of the world; ``STYLE`` knows one more, for a subject."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What a style works on. Figures have twice the pixels of the picture, to be averaged."""

    setting: Array  # (n, n, 3) linear
    figure: Array  # (2n, 2n, 3) linear, lit, black where there is nothing
    sheet: Sheet
    light: Light
    owner: Array  # (2n, 2n) bool: the subject itself
    feet: tuple[float, float, float] | None
    camera: Camera
    seed: int

    @property
    def side(self) -> int:
        """Pixels of the finished picture."""
        return self.setting.shape[0]


def halve(fine: Array) -> Array:
    """Average blocks of 2 x 2 pixels."""
    return (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) * np.float32(
        0.25
    )


def blur(picture: Array, sigma: float) -> Array:
    """A soft focus over ``sigma`` pixels, (n, n, 3); less than a third of one does nothing."""
    if sigma < 0.33:
        return picture
    if sigma < 1.4:
        return ndimage.gaussian_filter(picture, (sigma, sigma, 0), mode="nearest", truncate=2.5)
    size = max(3, round(sigma * 1.9) | 1)
    for _ in range(2):
        for axis in (0, 1):
            picture = ndimage.uniform_filter1d(picture, size, axis=axis, mode="nearest")
    return picture


def luminance(picture: Array) -> Array:
    """Linear RGB to brightness."""
    return picture @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def encode(picture: Array) -> Array:
    """Linear light to sRGB, 0..1."""
    return np.clip(picture, 0, 1) ** np.float32(1 / 2.2)


def to_bytes(picture: Array) -> Array:
    """0..1 to uint8."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _grounded(layers: Layers, setting: Array) -> Array:
    """The setting with the subject's shadow on its floor."""
    if layers.feet is None:
        return setting
    n, (x, y, wide) = layers.side, layers.feet
    middle = (np.arange(n, dtype=np.float32) + 0.5) / n
    lean = -layers.light.way[0] * 0.10 * wide / 0.3
    contact = bump(middle[None] - x, middle[:, None] - y, wide * 0.9, 0.028 + 0.05 * wide)
    cast = bump(
        middle[None] - x - lean * 2, middle[:, None] - y + 0.004, wide * 1.3, 0.04 + 0.05 * wide
    )
    dark = 0.42 * contact + layers.light.hard * 0.45 * cast
    return setting * np.clip(1 - dark, 0.12, 1)[..., None]


def _together(layers: Layers, focus: float) -> Array:
    """Figure over setting at the picture's size, linear."""
    cover = halve(layers.sheet.covered.astype(np.float32))
    setting = _grounded(layers, blur(layers.setting, focus * layers.side))
    return setting * (1 - cover[..., None]) + halve(layers.figure)


def photograph(layers: Layers, rng: np.random.Generator) -> Array:
    """Depth of field, exposure, colour cast, film curve, vignette, softness and grain."""
    camera, n = layers.camera, layers.side
    picture = _together(layers, camera.blur)
    cover = layers.sheet.covered[::2, ::2]
    bright = luminance(picture)
    # A camera meters for its subject first.
    metered = 0.65 * bright[cover].mean() + 0.35 * bright.mean() if cover.any() else bright.mean()
    gain = (0.22 / max(float(metered), 0.02)) ** 0.55 * 2.0**camera.exposure
    cast = np.array([1 + 0.10 * camera.warmth, 1.0, 1 - 0.12 * camera.warmth], np.float32)
    picture = picture * cast * np.float32(gain)
    across = np.linspace(-1, 1, n, dtype=np.float32)
    away = across[None] ** 2 + across[:, None] ** 2
    picture *= (1 - 0.22 * camera.vignette * away)[..., None]
    grey = luminance(picture)[..., None]
    picture = grey + (picture - grey) * np.float32(camera.saturation)
    picture = np.clip(picture, 0, None)
    # A filmic curve (Narkowicz's fit of ACES): soft highlights, rich shadows.
    picture = picture * (2.51 * picture + 0.03) / (picture * (2.43 * picture + 0.59) + 0.14)
    shown = encode(blur(picture, camera.softness * n))
    shown = 0.5 + (shown - 0.5) * (1 + 0.08 * camera.contrast)
    grit = rng.normal(0, 1, (n, n, 3)).astype(np.float32)
    grit = 0.75 * grit[..., :1] + 0.35 * grit
    return to_bytes(shown + grit * (0.004 + 0.022 * camera.grain))


def _outlines(layers: Layers) -> Array:
    """1 on the figure's outlines and creases, at the picture's size."""
    sheet = layers.sheet
    covered = sheet.covered
    floor = np.where(covered, sheet.depth, -0.6)
    line = np.zeros_like(floor)
    turn = normals(sheet.depth, sheet.side)[..., 2]
    tone = luminance(sheet.albedo) ** 0.5
    for axis in (0, 1):
        jump = np.abs(np.diff(floor, axis=axis, prepend=floor[:1] if axis == 0 else floor[:, :1]))
        fold = np.abs(np.diff(turn, axis=axis, prepend=turn[:1] if axis == 0 else turn[:, :1]))
        mark = np.abs(np.diff(tone, axis=axis, prepend=tone[:1] if axis == 0 else tone[:, :1]))
        line = np.maximum(line, np.clip((jump - 0.035) * 14, 0, 1))
        line = np.maximum(line, np.clip((fold - 0.22) * 1.6, 0, 0.7))
        line = np.maximum(line, np.clip((mark - 0.09) * 3.2, 0, 0.9) * covered)
    return line


def pencil(layers: Layers, rng: np.random.Generator) -> Array:
    """Graphite on paper: outlines, hatching where it is dark, a lighter setting."""
    n = layers.side
    shown = encode(_together(layers, 0.0) * 1.1)
    grey = luminance(shown)
    cover = halve(layers.sheet.covered.astype(np.float32))
    near_ = ndimage.gaussian_filter(grey, n * 0.012)
    drawn = np.clip((near_ - grey) * 4.0, 0, 1) * 0.8
    lines = halve(_outlines(layers)) * 1.1
    middle = (np.arange(n, dtype=np.float32) + 0.5) / n
    way = middle[None] + middle[:, None]
    wobble = 0.012 * noise.at("clouds", middle[None] * 0.6 + layers.seed % 7, middle[:, None] * 0.6)
    stroke = 0.5 + 0.5 * np.sin((way + wobble) * 2 * np.pi * 15)
    grain = noise.at("grain", middle[None] * 0.45, middle[:, None] * 0.45 + layers.seed % 11 / 11)
    dark = np.clip(0.62 - grey, 0, 1) * (0.55 + 0.55 * cover)
    hatch = dark * (0.75 + 0.35 * stroke) * (1 + 0.25 * np.clip(grain, -2, 2))
    ink = np.clip(
        np.maximum(lines, drawn * (0.45 + 0.55 * cover)) * (0.9 + 0.2 * grain) + 0.85 * hatch,
        0,
        0.93,
    )
    paper = 0.955 + 0.012 * grain - 0.02 * (middle[:, None] - 0.5)
    page = paper * (1 - ink)
    return to_bytes(np.repeat(page[..., None], 3, -1))


def blueprint(layers: Layers, rng: np.random.Generator) -> Array:
    """White lines on blue paper: kept from all training, so that it can be a style to learn."""
    ink = 1 - pencil(layers, rng)[..., :1].astype(np.float32) / 255
    paper = np.array([0.09, 0.22, 0.52], np.float32)
    return to_bytes(paper + (np.array([0.93, 0.96, 1.0], np.float32) - paper) * ink)


def watercolour(layers: Layers, rng: np.random.Generator) -> Array:
    """Pale washes that run and dry darker at their edges, on white paper."""
    n = layers.side
    picture = encode(_together(layers, 0.006) * 1.35)
    wash = ndimage.median_filter(picture, (3, 3, 1)) if n <= 128 else blur(picture, n * 0.006)
    wash = blur(wash, n * 0.008)
    middle = (np.arange(n, dtype=np.float32) + 0.5) / n
    x, y = middle[None], middle[:, None]
    shift = (layers.seed % 97) / 97
    wet = noise.at("clouds", x * 0.5 + shift, y * 0.5)
    wash = np.round(wash * 7 + 0.25 * wet[..., None]) / 7 * 0.5 + wash * 0.5
    wash = 1 - (1 - wash) * (0.80 + 0.14 * wet[..., None])
    grey = luminance(wash)[..., None]
    wash = grey + (wash - grey) * 1.6
    soft = ndimage.gaussian_filter(luminance(picture), n * 0.010)
    edge = np.hypot(ndimage.sobel(soft, 0), ndimage.sobel(soft, 1))
    wash = wash * (1 - np.clip(edge * 0.55, 0, 0.35))[..., None]
    wash = wash * (1 - 0.25 * halve(_outlines(layers)))[..., None]
    paper = noise.at("grain", x * 0.6 + shift, y * 0.6)
    wash = wash * (1 + 0.018 * paper[..., None])
    away = np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) * 2 + 0.06 * wet
    rim = step(away, 0.86, 0.97)[..., None]
    return to_bytes(wash * (1 - rim) + 0.975 * rim)


def cartoon(layers: Layers, rng: np.random.Generator) -> Array:
    """Flat colours in a few steps of light, with black outlines."""
    n = layers.side
    sheet = layers.sheet
    bright = luminance(layers.figure) / np.maximum(luminance(sheet.albedo), 0.02)
    steps = 0.55 + 0.32 * step(bright, 0.55, 0.65) + 0.22 * step(bright, 1.35, 1.45)
    flat = encode(np.clip(sheet.albedo, 0, 1)) * steps[..., None]
    grey = luminance(flat)[..., None]
    flat = np.clip(grey + (flat - grey) * 1.35, 0, 1)
    line = np.clip(ndimage.maximum_filter(_outlines(layers), 2 if n <= 128 else n // 96), 0, 1)
    line = np.clip(line * 1.5 - 0.2, 0, 1) if n <= 128 else line
    flat = (flat * (1 - line)[..., None]) * 1.0
    cover = np.maximum(sheet.covered.astype(np.float32), line)
    setting = encode(_grounded(layers, layers.setting) * 1.15)
    setting = ndimage.median_filter(setting, (3, 3, 1)) if n <= 128 else blur(setting, n * 0.006)
    grey = luminance(setting)[..., None]
    setting = np.round((grey + (setting - grey) * 1.45) * 5) / 5
    cover = halve(cover)[..., None]
    shown = setting * (1 - cover) + halve(flat)
    return to_bytes(shown)


STYLE: dict[str, Callable[[Layers, np.random.Generator], Array]] = {
    "blueprint": blueprint,
    "photo": photograph,
    "pencil sketch": pencil,
    "watercolour painting": watercolour,
    "cartoon": cartoon,
}
