"""Hair and glasses, in head coordinates (see ``face``)."""

from __future__ import annotations

import numpy as np

from helpers.pocket.world import noise
from helpers.pocket.world.face import bump, eye_place, step
from helpers.pocket.world.relief import FAR, Array, Frame, Sheet
from helpers.pocket.world.traits import Person, linear

LENS = 0.385
"""How far before the middle of the head the glasses sit: clear of brows and cheeks."""


def detail(frame: Frame, side: int) -> float:
    """How much of single hairs to show: all when the figure is large, or pixels would sparkle."""
    return float(np.clip(frame.scale * side / 260, 0.3, 1.0))


def hair_sheets(person: Person, head: Frame, side: int) -> list[Sheet]:
    """The hair as sheets to lay over the head; empty for a shaven one."""
    style = person.hair_style
    wide, sheets = 0.92 + 0.16 * person.width, []
    colour = linear(person.hair_colour)
    if style == "long":
        sheets.append(_curtains(person, head, side, wide, colour))
    if style == "bun":
        knot = Sheet(side)
        size = 0.10 + 0.06 * person.volume
        knot.ball(head, (0.04 * person.parting, -0.53, -0.16), (size * 1.15, size, size), colour)
        _strands(knot, person, head, 9.0)
        sheets.append(knot)
    if style == "bald" and person.hairline < 0.5:
        return sheets
    sheets.append(_cap(person, head, side, wide, colour))
    if style == "curly":
        sheets.append(_curls(person, head, side, wide, colour))
    return sheets


def _fat(person: Person) -> float:
    """How far the hair stands off the skull."""
    return {
        "short": 0.03 + 0.10 * person.volume,
        "long": 0.04 + 0.07 * person.volume,
        "curly": 0.035 + 0.045 * person.volume,
        "bun": 0.02,
        "bald": 0.008,
    }[person.hair_style]


def hairline(person: Person, x: Array) -> Array:
    """Height of the hairline over the forehead at ``x``."""
    line = -0.325 - 0.06 * person.hairline + 2.2 * np.abs(x) ** 2.2
    if person.hair_style in ("short", "long", "curly"):
        fringe = 0.17 * max(person.fringe - 0.45, 0) / 0.55
        slope = 0.30 * person.parting * x
        line = line + fringe * (1 - 0.5 * np.abs(x) / 0.3) + slope * min(1.0, fringe * 8 + 0.4)
        if person.fringe < 0.45 and person.hair_style == "long":
            line = line - 0.05 * np.exp(-(((x - 0.08 * person.parting) / 0.06) ** 2))
    return line


def _keep(person: Person, x: Array, y: Array, z: Array, jitter: Array) -> Array:
    """Where on the hair's shell there is hair: not over the face, the ears or below the nape."""
    above = y < hairline(person, x) + 0.03 * jitter
    low = {"short": 0.16, "long": 0.6, "curly": 0.22, "bun": 0.2, "bald": 0.18}[person.hair_style]
    ears = -0.02 if person.hair_style in ("long", "curly") and person.volume > 0.3 else -0.09
    # Sideburns come down before the ear; behind it the hair goes on.
    sideburn = (z < 0.10 + 0.03 * jitter) & (y < 0.02 + 0.04 * jitter)
    behind = (z < ears + 0.02 * jitter) & (y < low + 0.03 * jitter)
    if person.hair_style == "bald":
        return behind & (y > -0.2 + 0.05 * jitter)
    return above | sideburn | behind


def _cap(person: Person, head: Frame, side: int, wide: float, colour) -> Sheet:
    sheet, fat = Sheet(side), _fat(person)
    sheet.ball(
        head,
        (0, -0.13 - 0.35 * fat, -0.085),
        (0.335 * wide + 0.9 * fat + 0.012, 0.37 + fat, 0.415 + fat),
        colour,
        gloss=0.35,
    )
    sheet.ball(
        head,
        (0, 0.02, -0.12),
        (0.33 * wide + fat + 0.012, 0.34, 0.33 + fat),
        colour,
        soft=0.08,
        gloss=0.35,
    )
    window = sheet.window
    if window is None:
        return sheet
    x, y, z = sheet.local(head, window)
    turned = _combed(person, x, y, z)
    jitter = noise.at("strands", y * 0.25 + person.grain, turned * 0.45 + person.grain * 5)
    lumps = noise.at("lumps", x * 0.35 + person.grain, y * 0.35 + z * 0.2)
    sheet.depth[window] += np.float32(head.scale) * (
        0.005 * detail(head, side) * jitter + 0.008 * lumps * min(fat * 20, 1)
    )
    keep = _keep(person, x, y, z, 0.6 * jitter + 0.3 * lumps)
    if person.hair_style == "bald":
        sheet.gloss[window] *= 0.4
    sheet.depth[window] = np.where(keep, sheet.depth[window], FAR)
    _strands(sheet, person, head, 1.6)
    return sheet


def _curtains(person: Person, head: Frame, side: int, wide: float, colour) -> Sheet:
    sheet = Sheet(side)
    length = 0.42 + 0.5 * person.volume
    out = 0.30 * wide + 0.03 * person.volume
    sheet.ball(
        head, (0, 0.12, -0.2), (out + 0.07, 0.5 + 0.25 * person.volume, 0.22), colour, gloss=0.35
    )
    for way in (-1, 1):
        sheet.tube(
            head,
            [
                (way * out * 0.86, -0.28, 0.02),
                (way * (out + 0.035), 0.05, -0.02),
                (way * (out + 0.06), 0.35, -0.05),
                (way * (out + 0.03), length, -0.03),
            ],
            (0.07, 0.085, 0.10, 0.06),
            colour,
            soft=0.06,
            gloss=0.35,
        )
    window = sheet.window
    if window is None:
        return sheet
    x, y, _ = sheet.local(head, window)
    wave = 0.35 * (person.hairline - 0.5) * np.sin(y * 16)
    hairs = noise.at("strands", y * 0.25 + person.grain, x * 1.3 + 0.06 * wave + person.grain)
    sheet.depth[window] += np.float32(head.scale) * (
        0.006 * detail(head, side) * hairs + 0.02 * wave
    )
    ragged = y < length - 0.02 + 0.05 * hairs
    sheet.depth[window] = np.where(ragged, sheet.depth[window], FAR)
    sheet.albedo[window] *= (1 + np.clip(0.20 * detail(head, side) * hairs, -0.5, 0.6))[..., None]
    return sheet


def _curls(person: Person, head: Frame, side: int, wide: float, colour) -> Sheet:
    sheet, rng = Sheet(side), np.random.default_rng(int(person.grain * 1e6))
    fat = _fat(person)
    count = 80
    # Points spread evenly over the shell (a golden spiral), those over the face left out.
    index = np.arange(count) + 0.5
    height = 1 - 1.75 * index / count
    angle = index * 2.39996 + rng.random()
    ring = np.sqrt(np.clip(1 - height**2, 0, 1))
    for up, across, deep in zip(height, ring * np.sin(angle), ring * np.cos(angle), strict=True):
        x, y = across * (0.335 * wide + fat), -0.13 - up * (0.37 + fat)
        z = -0.085 + deep * (0.41 + fat)
        if y > float(hairline(person, np.asarray(x))) - 0.03 and z > 0.06:
            continue
        if (y > 0.10 + 0.25 * (person.volume - 0.5) and z > -0.2) or y > 0.25:
            continue
        size = 0.055 + 0.035 * person.volume + 0.025 * rng.random()
        tone = 0.8 + 0.35 * rng.random()
        red, green, blue = colour
        sheet.ball(
            head,
            (x, y, z),
            (size, size, size),
            (red * tone, green * tone, blue * tone),
            gloss=0.05,
            soft=0.06,
        )
    window = sheet.window
    if window is not None:
        # Rings within each lump, so that it reads as locks of hair and not as a ball.
        x, y, z = sheet.local(head, window)
        turns = noise.at("lumps", x * 2.6 + person.grain, y * 2.6 + z)
        there = sheet.covered[window]
        sheet.depth[window] += np.where(there, np.float32(head.scale) * 0.007 * turns, 0)
    _strands(sheet, person, head, 2.5)
    return sheet


def _combed(person: Person, x: Array, y: Array, z: Array) -> Array:
    """A coordinate that stays the same along a hair: down from the crown, or swept aside."""
    falling = np.arctan2(x - 0.06 * person.parting, z + 0.3)
    if person.fringe > 0.45 or person.hair_style == "long":
        return falling
    return falling + 2.2 * person.parting * (y + 0.3)


def _strands(sheet: Sheet, person: Person, head: Frame, fine: float) -> None:
    window = sheet.window
    if window is None:
        return
    x, y, z = sheet.local(head, window)
    turned = _combed(person, x, y, z)
    if person.hair_style == "curly":
        hairs = noise.at("lumps", x * 1.1 + person.grain, y * 1.1 + z)
    else:
        hairs = noise.at("strands", y * 0.3 + person.grain, turned * fine * 0.5 + person.grain * 3)
    sheet.albedo[window] *= (1 + np.clip(0.22 * detail(head, sheet.side) * hairs, -0.5, 0.7))[
        ..., None
    ]
    # Roots lie in shade: darker near the hairline and the parting.
    sheet.albedo[window] *= (0.72 + 0.28 * step(-y, -0.2, 0.35))[..., None]


def glasses_sheet(person: Person, head: Frame, side: int) -> Sheet:
    """The glasses, floating before the eyes, with their temples."""
    sheet = Sheet(side)
    gap, half = eye_place(person), 0.088 + 0.012 * person.eye_size
    dark = person.glasses == "sunglasses"
    frame = (0.01, 0.01, 0.012) if dark else linear(person.frame)
    for way in (-1, 1):
        hinge = (way * (gap + half), -0.02, LENS - 0.01)
        sheet.limb(
            head,
            hinge,
            (way * 0.335 * (0.92 + 0.16 * person.width), -0.01, -0.06),
            (0.011, 0.009),
            frame,
            gloss=0.2,
        )
    x, y, z = sheet.plane(head, LENS)
    for way in (-1, 1):
        u, v = x - way * gap, y - 0.012
        if person.glasses == "round":
            away = np.hypot(u, v * 1.04) - half
        else:
            tall = 0.80 if not dark else 0.86
            power = np.abs(u / half) ** 4 + np.abs(v / (half * tall)) ** 4
            away = (np.clip(power, 1e-6, None) ** 0.25 - 1) * half * tall
        rim = np.abs(away) < 0.0125
        bridge = (np.abs(u + way * gap) < gap - half + 0.01) & (np.abs(v + 0.028) < 0.012)
        shape = rim | bridge | ((away < 0) & dark)
        won = shape & (z > sheet.depth)
        sheet.depth[won] = z[won]
        sheet.albedo[won] = frame
        sheet.gloss[won] = 0.4 if dark else 0.15
        if dark:
            lens = won & (away < -0.012)
            fade = 0.02 + 0.10 * np.clip((v + half) / (2 * half), 0, 1) ** 2
            sheet.albedo[lens] = np.stack([fade, fade, fade * 1.15], -1)[lens]
            glint = bump(u + 0.03 - 0.2 * v, v + 0.03, 0.014, 0.03)
            sheet.albedo[lens] += (glint[..., None] * 0.8)[lens]
    rows, columns = np.nonzero(sheet.covered)
    if len(rows):
        sheet._low = [int(rows.min()), int(columns.min())]
        sheet._high = [int(rows.max()) + 1, int(columns.max()) + 1]
    return sheet


def glaze(colour: Array, person: Person, head: Frame, sheet: Sheet, light_x: float) -> None:
    """Reflections on clear lenses, added to the lit picture ``colour`` in place."""
    if person.glasses not in ("round", "square"):
        return
    gap, half = eye_place(person), 0.088 + 0.012 * person.eye_size
    x, y, _ = sheet.plane(head, LENS)
    for way in (-1, 1):
        u, v = x - way * gap, y - 0.012
        lens = np.hypot(u, v) < half * 0.9
        band = bump(u - 0.35 * half * np.sign(light_x) + 0.6 * v, 0.0 * v, 0.022, 1.0)
        colour += ((0.10 * band + 0.015) * lens)[..., None] * np.array([0.9, 1.0, 1.05], np.float32)
