"""Light on a relief: a lamp with its shadows, the sky, what comes back from the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from helpers.pocket.world.relief import FAR, Array, Colour, Sheet


@dataclass(frozen=True, kw_only=True)
class Light:
    """Linear RGB of each source; ``way`` points from the subject to the lamp (x, y down, z)."""

    way: tuple[float, float, float]
    lamp: Colour
    sky: Colour
    ground: Colour
    rim: float = 0.0  # light from behind on the outline, 0 to 1
    hard: float = 0.6  # depth of the cast shadows, 0 to 1


def normals(depth: Array, side: int) -> Array:
    """Unit normals (rows, columns, 3) of a relief whose picture is ``side`` pixels wide."""
    slopes = []
    for axis in (1, 0):
        field = depth if axis == 0 else depth.T
        step = (field[1:] - field[:-1]) * side
        # The gentler side: across an outline the other one would see a cliff.
        slope = np.zeros_like(field)
        before, after = step[:-1], step[1:]
        slope[1:-1] = np.where(np.abs(before) < np.abs(after), before, after)
        slopes.append(slope if axis == 0 else slope.T)
    length = 1 / np.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + 1)
    return np.stack([-slopes[0] * length, -slopes[1] * length, length], -1)


def occlusion(depth: Array, covered: Array, side: int, reach: float = 0.05) -> Array:
    """1 in the open, down to 0 in hollows: how far a pixel lies behind its blurred surroundings."""
    floor = np.where(covered, depth, depth[covered].min() if covered.any() else 0)
    size = max(3, int(reach * side) | 1)
    around = ndimage.uniform_filter(ndimage.uniform_filter(floor, size), size)
    return np.exp(-np.clip(around - floor - 0.004, 0, 0.2) * 9).astype(np.float32)


def shadows(depth: Array, way: Sequence[float], side: int, steps: int = 9) -> Array:
    """1 in the light, 0 where something nearer stands between a pixel and the lamp."""
    lit = np.ones_like(depth)
    flat = (way[0] ** 2 + way[1] ** 2) ** 0.5
    if flat < 1e-3:
        return lit
    rise = max(way[2], 0.15) / flat
    rows, columns = depth.shape
    for step in range(1, steps + 1):
        reach = 0.008 * step**1.35
        right, down = round(way[0] / flat * reach * side), round(way[1] / flat * reach * side)
        if (right == 0 and down == 0) or abs(right) >= columns or abs(down) >= rows:
            continue
        ours = (
            slice(max(0, -down), rows - max(0, down)),
            slice(max(0, -right), columns - max(0, right)),
        )
        theirs = (
            slice(max(0, down), rows - max(0, -down)),
            slice(max(0, right), columns - max(0, -right)),
        )
        above = depth[theirs] - depth[ours] - (reach * rise + 0.004)
        np.minimum(lit[ours], 1 - np.clip(above / (0.012 + 0.25 * reach), 0, 1), out=lit[ours])
    return ndimage.uniform_filter(lit, max(1, int(side * 0.016) | 1))


def shade(sheet: Sheet, light: Light, skin: Array | None = None) -> Array:
    """Linear RGB (N, N, 3) of the relief in this light; ``skin`` (0..1) lets red light through."""
    result = np.zeros_like(sheet.albedo)
    window = sheet.window
    if window is None:
        return result
    depth, albedo, gloss = sheet.depth[window], sheet.albedo[window], sheet.gloss[window]
    covered = depth > FAR / 2
    normal = normals(depth, sheet.side)
    length = sum(part * part for part in light.way) ** 0.5
    way = np.array(light.way, np.float32) / np.float32(length)
    facing = normal @ way
    dark = np.float32(light.hard) * (1 - shadows(depth, way.tolist(), sheet.side))
    lit, open_ = 1 - dark, occlusion(depth, covered, sheet.side)
    lamp, sky, ground = (np.asarray(c, np.float32) for c in (light.lamp, light.sky, light.ground))
    direct = np.maximum(facing, 0) * lit
    if skin is None:
        glow = direct[..., None] * lamp
    else:
        # Under skin light spreads, red farthest: the edge of a shadow on a face is warm.
        under = skin[window][..., None]
        wrap = np.array([0.34, 0.2, 0.14], np.float32) * under
        soft = np.maximum((facing[..., None] + wrap) / (1 + wrap) ** 2, 0)
        spread = 1 - dark[..., None] * (1 - np.array([0.4, 0.16, 0.08], np.float32) * under)
        glow = soft * spread * lamp
    up = 0.5 - 0.5 * normal[..., 1:2]
    around = (ground + (sky - ground) * up) * open_[..., None]
    colour = albedo * (glow + around)
    half = way + np.array([0, 0, 1], np.float32)
    shine = normal @ (half / np.sqrt((half * half).sum()))
    # exp(-p (1 - c)) stands in for c ** p: the same highlight for a fraction of the time.
    spark = np.exp((8 + 50 * gloss) * (shine - 1)) * gloss * lit * (0.25 + gloss)
    colour += spark[..., None] * lamp
    if light.rim:
        edge = np.maximum(1 - normal[..., 2], 0) ** 3 * np.maximum(0.4 - normal[..., 1], 0) * open_
        colour += (np.float32(light.rim) * edge)[..., None] * (0.12 + 0.5 * albedo) * lamp
    result[window] = colour * covered[..., None]
    return result
