"""Chairs, cars, cups and boats in relief. The ground is at y = 0.5; a car and a boat point along x,
a chair and a cup's front along z."""

from __future__ import annotations

import numpy as np

from helpers.pocket.world import noise
from helpers.pocket.world.face import step
from helpers.pocket.world.relief import Frame, Point, Sheet, rotation
from helpers.pocket.world.traits import Thing, linear

Planes = list[tuple[Point, float]]


def _unit(x: float, y: float, z: float) -> Point:
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length


def seat_height(chair: Thing) -> float:
    """y of the top of the seat."""
    return 0.10 - 0.10 * chair.height


def chair_sheet(chair: Thing, body: Frame, side: int) -> Sheet:
    """A chair with slats or a solid back, with or without arms."""
    sheet, paint, cushion = Sheet(side), linear(chair.colour), linear(chair.second)
    seat, wide, deep = seat_height(chair), 0.22 + 0.07 * chair.width, 0.21 + 0.05 * chair.depth
    shine, leg = 0.1 + 0.3 * chair.gloss, 0.024 + 0.016 * chair.depth
    for x in (-wide + leg, wide - leg):
        for z in (-deep + leg, deep - leg):
            foot = (x * (1.0 + 0.18 * chair.detail), 0.49, z * (1.0 + 0.15 * chair.detail))
            sheet.limb(body, (x, seat, z), foot, (leg, leg * 0.75), paint, gloss=shine)
    sheet.slab(body, (0, seat + 0.03, 0), (wide, 0.03, deep), paint, rounded=0.02, gloss=shine)
    top, back = seat - 0.34 - 0.12 * chair.height, -deep + 0.03
    for x in (-wide + leg, wide - leg):
        sheet.limb(
            body, (x, seat, back), (x * 1.02, top, back - 0.07), (leg, leg), paint, gloss=shine
        )
    if chair.form < 0.45:
        tilt = rotation(pitch=-0.17)
        middle = (0, (seat + top) / 2 - 0.02, back - 0.035)
        sheet.slab(
            body,
            middle,
            (wide - 0.01, (seat - top) / 2 - 0.03, 0.022),
            paint,
            turn=tilt,
            rounded=0.02,
            gloss=shine,
        )
    else:
        count = 2 + int(chair.detail * 2.99)
        upright = chair.form > 0.72
        for index in range(count):
            share = (index + 0.7) / (count + 0.4)
            if upright:
                x = (2 * share - 1) * (wide - leg)
                sheet.limb(body, (x, seat, back), (x, top, back - 0.07), (0.018, 0.018), paint)
            else:
                y, z = seat + (top - seat) * share, back - 0.07 * share
                sheet.limb(body, (-wide + leg, y, z), (wide - leg, y, z), (0.026, 0.026), paint)
        sheet.limb(
            body,
            (-wide + leg, top, back - 0.07),
            (wide - leg, top, back - 0.07),
            (leg * 1.25, leg * 1.25),
            paint,
            gloss=shine,
        )
    if chair.cushioned:
        sheet.slab(
            body,
            (0, seat - 0.012, 0.01),
            (wide - 0.02, 0.026, deep - 0.02),
            cushion,
            rounded=0.05,
            gloss=0.05,
        )
    if chair.detail > 0.65:
        for x in (-wide + leg, wide - leg):
            sheet.limb(
                body,
                (x, seat, deep - 0.06),
                (x, seat - 0.15, deep - 0.06),
                (leg * 0.8, leg * 0.8),
                paint,
            )
            sheet.limb(
                body,
                (x, seat - 0.16, deep - 0.04),
                (x, seat - 0.16, back - 0.02),
                (leg * 1.1, leg),
                paint,
                gloss=shine,
            )
    _grained(sheet, chair, body)
    return sheet


def _grained(sheet: Sheet, thing: Thing, body: Frame) -> None:
    window = sheet.window
    if window is None:
        return
    x, y, _ = sheet.local(body, window)
    wood = noise.at("fur", x * 0.5 + thing.grain, y * 1.5 + x)
    sheet.albedo[window] *= (1 + 0.08 * (1 - thing.gloss) * np.clip(wood, -2, 2))[..., None]


def car_sheet(car: Thing, body: Frame, side: int) -> Sheet:
    """A car, from a low racer to a van."""
    sheet, paint = Sheet(side), linear(car.colour)
    long, wide = 0.44 + 0.06 * car.depth, 0.19 + 0.03 * car.width
    waist, roof = 0.20 - 0.05 * car.height, 0.02 - 0.16 * car.height
    nose = _unit(1, -0.25 - 0.5 * (1 - car.form), 0)
    lower: Planes = [
        ((0, -1, 0), -waist),
        ((0, 1, 0), 0.42),
        ((0, 0, 1), wide),
        ((0, 0, -1), wide),
        ((1, 0, 0), long),
        ((-1, 0, 0), long),
        (nose, nose[0] * long - nose[1] * -0.30),
        (_unit(0.25, -1, 0), -waist + 0.25 * long * 0.9),
    ]
    sheet.solid(body, lower, 0.62, paint, rounded=0.045, gloss=0.55)
    rear = _unit(-1, -0.35 - 0.9 * (1 - car.form), 0)
    front = _unit(0.9, -0.75, 0)
    back_at, front_at = -long * (0.62 + 0.36 * car.form), 0.10 + 0.12 * car.detail
    cabin: Planes = [
        ((0, -1, 0), -roof),
        ((0, 1, 0), waist + 0.05),
        (_unit(0, -0.22, 1), 0.97 * wide - 0.215 * waist),
        (_unit(0, -0.22, -1), 0.97 * wide - 0.215 * waist),
        (front, front[0] * (front_at + 0.12) + front[1] * waist),
        (rear, rear[0] * back_at + rear[1] * waist),
    ]
    glass = Sheet(side)
    glass.solid(body, cabin, 0.62, paint, rounded=0.03, gloss=0.6)
    window = glass.window
    if window is not None:
        x, y, z = glass.local(body, window)
        pillar = np.abs(x - (back_at + front_at) / 2) < 0.02
        flank = np.abs(z) > wide * 0.80
        pane = (y < waist - 0.005) & (y > roof + 0.028) & ~(pillar & flank)
        ends = (x < back_at + 0.05 + 0.3 * (waist - y) * (1 - car.form)) | (
            x > front_at + 0.06 - 0.8 * (waist - y)
        )
        pane &= ~(flank & ends)
        tone = 0.02 + 0.16 * step(waist - y, 0, waist - roof)
        glass.albedo[window][pane] = np.stack([tone, tone * 1.15, tone * 1.3], -1)[pane]
        glass.gloss[window][pane] = 0.9
    sheet.lay(glass)
    window = sheet.window
    if window is not None:
        x, y, z = sheet.local(body, window)
        albedo = sheet.albedo[window]
        seam = (np.abs(y - 0.345) < 0.008) | (
            (np.abs(x + 0.02) < 0.006) & (np.abs(z) > 0.9 * wide) & (y > waist) & (y < 0.36)
        )
        albedo[seam] *= 0.4
        if car.pattern == "striped":
            band = (np.abs(z) < 0.055) & (y < waist + 0.1)
            albedo[band & (sheet.gloss[window] < 0.7)] = linear(car.second)
        ahead = x > long - 0.06
        lamps = ahead & (np.abs(np.abs(z) - wide * 0.72) < 0.045) & (np.abs(y - 0.285) < 0.032)
        albedo[lamps] = (1.1, 1.05, 0.85)
        grille = ahead & (np.abs(z) < wide * 0.42) & (np.abs(y - 0.31) < 0.035)
        albedo[grille] = (0.02, 0.02, 0.022)
        tail = (
            (x < -long + 0.05)
            & (np.abs(np.abs(z) - wide * 0.78) < 0.04)
            & (np.abs(y - 0.27) < 0.035)
        )
        albedo[tail] = (0.5, 0.02, 0.02)
        albedo[(y > 0.365)] *= 0.5
    wheel = 0.085 + 0.02 * car.height
    for x in (-0.62 * long, 0.62 * long):
        for z in (-wide, wide):
            sheet.ball(
                body, (x, 0.5 - wheel, z * 0.98), (wheel, wheel, 0.045), (0.014, 0.014, 0.016)
            )
            sheet.ball(
                body,
                (x, 0.5 - wheel, z * 1.04),
                (wheel * 0.55, wheel * 0.55, 0.04),
                (0.35, 0.35, 0.37),
                gloss=0.6,
            )
    return sheet


def cup_sheet(cup: Thing, body: Frame, side: int) -> Sheet:
    """A cup or a mug with a handle."""
    sheet, paint, second = Sheet(side), linear(cup.colour), linear(cup.second)
    tall, wide = 0.42 + 0.24 * cup.height, 0.24 + 0.08 * cup.width
    top = 0.48 - tall
    slant = 0.05 + 0.22 * cup.form
    if cup.detail > 0.6:
        sheet.ball(body, (0, 0.475, 0), (wide * 1.55, 0.03, wide * 1.55), paint, gloss=0.4)
    out = wide - slant * tall * 0.35
    bend = np.linspace(-1.6, 1.9, 8)
    handle = [
        (
            float(out - 0.02 * t + 0.17 * np.cos(t)),
            float(top + (0.44 + 0.27 * np.sin(t)) * tall),
            0.0,
        )
        for t in bend
    ]
    turn = rotation(yaw=0.9 - 1.8 * cup.depth)
    held = body.inside((0, 0, 0), turn)
    sheet.tube(held, handle, (0.034,) * 8, paint, gloss=0.45, soft=0.02)
    planes: Planes = [((0, -1, 0), -top), ((0, 1, 0), 0.48)]
    for angle in np.arange(24) / 24 * 2 * np.pi:
        normal = _unit(float(np.sin(angle)), slant, float(np.cos(angle)))
        planes.append((normal, float(np.hypot(normal[0], normal[2])) * wide + normal[1] * top))
    sheet.solid(body, planes, 0.75, paint, rounded=0.03, gloss=0.45)
    window = sheet.window
    if window is None:
        return sheet
    x, y, z = sheet.local(body, window)
    albedo = sheet.albedo[window]
    near = np.hypot(x, z) < wide * 1.06
    if cup.pattern == "striped":
        band = step(np.sin((y - top) / tall * 19), -0.1, 0.1) * near * (y > top + 0.05)
        albedo += (np.array(second, np.float32) - albedo) * band[..., None]
    _mouth_of(sheet, body, top, wide, paint)
    return sheet


def _mouth_of(sheet: Sheet, body: Frame, top: float, wide: float, paint) -> None:
    """The rim, and what is in the cup."""
    turn, n = body.turn, sheet.side
    origin = body.point((0, top, 0))
    # The sight line meets the plane y = top: two unknowns (x, z), two equations.
    axes = np.linalg.inv(
        np.array([[turn[0, 0], turn[0, 2]], [turn[1, 0], turn[1, 2]]]) * body.scale
    )
    middle = (np.arange(n, dtype=np.float32) + 0.5) / n
    dx, dy = (middle - origin[0])[None], (middle - origin[1])[:, None]
    x, z = axes[0, 0] * dx + axes[0, 1] * dy, axes[1, 0] * dx + axes[1, 1] * dy
    away = np.hypot(x, z)
    depth = origin[2] + body.scale * (turn[2, 0] * x + turn[2, 2] * z)
    ring = (away < wide) & (away > wide - 0.035)
    inside = away <= wide - 0.035
    plane = ring | inside
    sheet.depth[plane] = depth[plane]
    sheet.albedo[ring] = paint
    sheet.gloss[plane] = 0.3
    full = np.hypot(x, z - 0.06) < wide - 0.055
    wall = np.asarray(paint, np.float32) * 0.35
    sheet.albedo[inside] = wall
    sheet.albedo[inside & full] = (0.045, 0.02, 0.009)


def boat_sheet(boat: Thing, body: Frame, side: int) -> Sheet:
    """A sailing boat or a small motor boat."""
    sheet, paint, second = Sheet(side), linear(boat.colour), linear(boat.second)
    long, wide = 0.40 + 0.08 * boat.depth, 0.15 + 0.04 * boat.width
    deck, keel = 0.24, 0.49
    bow_a, bow_b = _unit(0.5, 0.35, 0.8), _unit(0.5, 0.35, -0.8)
    hull: Planes = [
        ((0, -1, 0), -deck),
        ((0, 1, 0), keel),
        (_unit(0, 0.5, 1), 0.894 * wide + 0.447 * deck),
        (_unit(0, 0.5, -1), 0.894 * wide + 0.447 * deck),
        (bow_a, bow_a[0] * long + bow_a[1] * deck),
        (bow_b, bow_b[0] * long + bow_b[1] * deck),
        (_unit(-1, 0.3, 0), 0.958 * long + 0.287 * deck),
    ]
    sheet.solid(body, hull, 0.62, paint, rounded=0.03, gloss=0.35)
    window = sheet.window
    if window is not None:
        x, y, _ = sheet.local(body, window)
        albedo = sheet.albedo[window]
        albedo[y < deck + 0.012] = (0.36, 0.22, 0.11)
        line = np.abs(y - deck - 0.045) < 0.02
        albedo[line] = (0.8, 0.8, 0.78)
        albedo[y > 0.42] = linear(boat.second)
        if boat.pattern == "striped":
            albedo[np.abs(y - 0.345) < 0.022] = second
    if boat.form < 0.7:
        mast, high = 0.02 + 0.06 * boat.detail, -0.42 - 0.06 * boat.height
        sheet.limb(body, (mast, deck, 0), (mast, high, 0), (0.016, 0.012), (0.34, 0.2, 0.1))
        cloth = (0.82, 0.80, 0.74) if boat.detail < 0.6 else second
        for way, reach in ((-1, 0.34), (1, 0.24)):
            foot = deck - 0.06
            slope = _unit(way * (foot - high), -reach, 0)
            planes: Planes = [
                ((0, 1, 0), foot),
                ((float(-way), 0, 0), -way * mast - 0.02),
                (slope, slope[0] * (mast + way * reach) + slope[1] * foot),
                (_unit(0, 0, 1), 0.02),
                (_unit(0, 0, -1), 0.02),
            ]
            sail = Sheet(side)
            sail.solid(body, planes, 0.8, cloth, gloss=0.05)
            window = sail.window
            if window is not None:
                x, y, _ = sail.local(body, window)
                belly = 0.06 * np.sin(np.clip((x - mast) * way / reach, 0, 1) * np.pi)
                sail.depth[window] += np.where(sail.covered[window], body.scale * belly, 0)
            sheet.lay(sail)
    else:
        sheet.slab(
            body,
            (-0.04, deck - 0.08, 0),
            (0.15, 0.10, wide * 0.62),
            (0.8, 0.8, 0.78),
            rounded=0.02,
            gloss=0.3,
        )
        sheet.slab(
            body,
            (-0.03, deck - 0.115, 0),
            (0.155, 0.03, wide * 0.63),
            (0.04, 0.06, 0.08),
            gloss=0.8,
        )
        sheet.limb(body, (-0.12, deck - 0.16, 0), (-0.12, deck - 0.34, 0), (0.035, 0.03), second)
    return sheet


SHEETS = {"chair": chair_sheet, "car": car_sheet, "cup": cup_sheet, "boat": boat_sheet}
