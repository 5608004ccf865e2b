"""Dogs, cats and birds in relief. Body coordinates: x towards the head, the ground at y = 0.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.pocket.world import noise
from helpers.pocket.world.face import bump, step
from helpers.pocket.world.relief import FAR, Frame, Sheet, rotation
from helpers.pocket.world.traits import Animal, linear

Shade = tuple[float, float, float]
POSES = ("standing", "sitting", "lying")


@dataclass(frozen=True, kw_only=True)
class Stance:
    """How an animal holds itself. Angles in radians, in the picture."""

    pose: str
    yaw: float  # of the head: 0 looks at us, > 0 to the picture's right
    pitch: float
    roll: float
    tail: float  # 0 hanging to 1 up
    happy: float  # > 0.5: mouth open, tongue out


def paler(colour: Shade, gain: float) -> Shade:
    """``colour`` with more light."""
    red, green, blue = (min(c * gain + 0.01, 0.9) for c in colour)
    return red, green, blue


def darker(colour: Shade, share: float) -> Shade:
    """``colour`` with ``share`` of its light taken away."""
    red, green, blue = (c * (1 - share) for c in colour)
    return red, green, blue


def animal_sheets(animal: Animal, stance: Stance, body: Frame, side: int) -> list[Sheet]:
    """Body and head, to be laid together; the second is the head."""
    if animal.kind == "bird":
        return _bird(animal, stance, body, side)
    trunk, neck = _trunk(animal, stance, body, side)
    size = 0.37 if animal.kind == "dog" else 0.40
    head = body.facing(neck, rotation(stance.yaw, stance.pitch, stance.roll), size)
    return [trunk, quadruped_head(animal, stance, head, side)]


def head_place(animal: Animal, pose: str) -> tuple[float, float, float]:
    """Middle of the head in body coordinates."""
    dog = animal.kind == "dog"
    if pose == "standing":
        return (0.50, -0.36 if dog else -0.30, 0.0)
    if pose == "sitting":
        return (0.26, -0.44 if dog else -0.38, 0.02)
    return (0.44, 0.10, 0.03)


def _trunk(animal: Animal, stance: Stance, body: Frame, side: int):
    sheet, coat = Sheet(side), linear(animal.colour)
    far = darker(coat, 0.25)
    dog = animal.kind == "dog"
    fat = (0.8 if dog else 0.72) + 0.42 * animal.build
    leg = 0.046 + 0.02 * animal.build
    neck = head_place(animal, stance.pose)
    paw = 0.47
    if stance.pose == "standing":
        lift = 0.10 - 0.10 * animal.legs
        sheet.ball(body, (0.24, -0.03 + lift, 0), (0.20, 0.18 * fat, 0.15 * fat), coat)
        sheet.ball(body, (-0.02, -0.02 + lift, 0), (0.30, 0.145 * fat, 0.14 * fat), coat, soft=0.10)
        sheet.ball(body, (-0.28, -0.04 + lift, 0), (0.17, 0.17 * fat, 0.15 * fat), coat, soft=0.10)
        for z, tint in ((-0.09, far), (0.09, coat)):
            sheet.tube(
                body,
                [(0.29, 0.04 + lift, z), (0.28, 0.28, z), (0.29, paw - 0.03, z)],
                (0.085, leg, leg * 0.9),
                tint,
                soft=0.05,
            )
            sheet.ball(body, (0.32, paw, z), (0.065, 0.036, 0.05), tint, soft=0.02)
            sheet.tube(
                body,
                [
                    (-0.30, 0.02 + lift, z),
                    (-0.26, 0.18 + lift / 2, z),
                    (-0.36, 0.32, z),
                    (-0.31, paw - 0.03, z),
                ],
                (0.12, 0.08, leg, leg * 0.9),
                tint,
                soft=0.05,
            )
            sheet.ball(body, (-0.28, paw, z), (0.065, 0.036, 0.05), tint, soft=0.02)
        root = (-0.42, -0.10 + lift, 0.0)
        shoulder = (0.32, -0.10 + lift, 0.0)
    elif stance.pose == "sitting":
        sheet.ball(
            body, (0.10, 0.0, 0), (0.17 * fat, 0.26, 0.16 * fat), coat, turn=rotation(roll=0.30)
        )
        sheet.ball(body, (-0.10, 0.24, 0), (0.23, 0.21, 0.19 * fat), coat, soft=0.12)
        for z, tint in ((-0.10, far), (0.10, coat)):
            sheet.ball(body, (-0.05, 0.32, z * 1.35), (0.16, 0.14, 0.08), tint, soft=0.05)
            sheet.ball(body, (0.10, paw, z * 1.7), (0.10, 0.036, 0.05), tint, soft=0.03)
            sheet.tube(
                body,
                [(0.19, 0.02, z * 0.7), (0.22, 0.26, z * 0.8), (0.23, paw - 0.03, z * 0.8)],
                (0.085, leg * 1.1, leg),
                tint,
                soft=0.05,
            )
            sheet.ball(body, (0.26, paw, z * 0.8), (0.065, 0.036, 0.05), tint, soft=0.02)
        root, shoulder = (-0.27, 0.38, 0.0), (0.18, -0.16, 0.0)
    else:
        sheet.ball(body, (0.16, 0.28, 0), (0.24, 0.18 * fat, 0.17), coat)
        sheet.ball(body, (-0.16, 0.30, 0), (0.27, 0.185 * fat, 0.18), coat, soft=0.12)
        for z, tint in ((-0.12, far), (0.13, coat)):
            sheet.tube(
                body,
                [(0.26, 0.36, z), (0.44, 0.45, z), (0.52, 0.455, z)],
                (0.075, leg, leg),
                tint,
                soft=0.05,
            )
            sheet.ball(body, (-0.24, 0.36, z), (0.16, 0.13, 0.07), tint, soft=0.05)
            sheet.ball(body, (-0.12, 0.465, z * 1.35), (0.10, 0.04, 0.05), tint, soft=0.03)
        root, shoulder = (-0.42, 0.36, 0.0), (0.26, 0.20, 0.0)
    thick = (0.11 if dog else 0.085) * (0.85 + 0.3 * animal.build)
    sheet.limb(
        body,
        shoulder,
        (neck[0] - 0.04, neck[1] + 0.08, neck[2]),
        (thick * 1.35, thick),
        coat,
        soft=0.10,
    )
    _tail(sheet, animal, stance, body, root, coat)
    _coat(sheet, animal, body, stance)
    return sheet, neck


def _tail(sheet: Sheet, animal: Animal, stance: Stance, body: Frame, root, coat: Shade) -> None:
    x, y, _ = root
    long = 0.24 + 0.26 * animal.tail + 0.10 * (animal.kind == "cat")
    thick = 0.036 + 0.035 * animal.shaggy
    if stance.pose == "standing":
        up = stance.tail
        points = [
            (x, y, 0.0),
            (x - 0.5 * long, y - long * (up - 0.35), 0.02),
            (x - (0.75 - 0.35 * up) * long, y - long * (1.7 * up - 0.65), 0.03),
        ]
    else:
        points = [
            (x, y, 0.0),
            (x - 0.4 * long, 0.45, 0.10),
            (x - 0.1 * long, 0.46, 0.30),
            (x + 0.5 * long, 0.465, 0.34),
        ]
    radii = [thick * 0.9, thick * 1.2, thick, thick * 0.6][: len(points)]
    sheet.tube(body, points, radii, coat, soft=0.03)


def _coat(sheet: Sheet, animal: Animal, body: Frame, stance: Stance) -> None:
    """Markings and fur, painted in body coordinates so that they stay on the animal."""
    window = sheet.window
    if window is None:
        return
    x, y, _ = sheet.local(body, window)
    albedo, second = sheet.albedo[window], np.array(linear(animal.second), np.float32)
    blotch = noise.at("clouds", x * 0.35 + animal.grain, y * 0.35 + 3 * animal.grain)
    share = np.zeros_like(x)
    if animal.marking == "patches":
        share = step(0.9 * blotch + 1.1 * (animal.marked - 0.5), 0.25, 0.45)
    elif animal.marking == "striped":
        waves = np.sin((x + 0.05 * blotch + 0.25 * np.abs(y)) * (46 + 22 * animal.marked))
        share = step(waves, 0.1, 0.55) * step(0.33 - y, -0.1, 0.2) * 0.85
    elif animal.marking == "spotted":
        spots = noise.at("lumps", x * 0.55 + animal.grain, y * 0.55 + 2 * animal.grain)
        share = step(spots, 0.75 - 0.5 * animal.marked, 1.0 - 0.5 * animal.marked)
    paint = second if animal.marking != "striped" else np.array(linear(animal.colour)) * 0.22
    if animal.marking == "striped" and max(animal.colour) < 90:
        paint = np.array(linear(animal.colour)) * 4.5
    albedo += (np.asarray(paint, np.float32) - albedo) * share[..., None]
    if animal.chest:
        front = step(x, 0.16, 0.30) * step(y - (0.32 - 0.9 * x), -0.12, 0.05)
        albedo += (second - albedo) * (front * (y < 0.3))[..., None]
    if animal.socks:
        albedo += (second - albedo) * step(y, 0.30, 0.36)[..., None]
    _fur(sheet, animal, body, x, y, window)


def _fur(sheet: Sheet, animal: Animal, frame: Frame, x, y, window) -> None:
    fine_share = float(np.clip(frame.scale * sheet.side / 260, 0.35, 1.0))
    fine = 4.6 - 2.2 * animal.shaggy
    hairs = noise.at("fur", x * fine + 0.3 * y + animal.grain, y * fine - 0.4 * x)
    sheet.albedo[window] *= (
        1 + fine_share * (0.08 + 0.10 * animal.shaggy) * np.clip(hairs, -2, 2)
    )[..., None]
    rough = np.float32(frame.scale * fine_share) * (0.0005 + 0.0035 * animal.shaggy**1.5)
    there = sheet.depth[window] > FAR / 2
    sheet.depth[window] += np.where(there, rough * hairs, 0).astype(np.float32)


def quadruped_head(animal: Animal, stance: Stance, head: Frame, side: int) -> Sheet:
    """A dog's or cat's head, looking along z; about one unit high without the ears."""
    sheet, coat = Sheet(side), linear(animal.colour)
    second = linear(animal.second)
    pale = second if animal.chest else paler(coat, 1.22)
    inner = darker(coat, 0.35)
    dog = animal.kind == "dog"
    for way in (-1, 1):
        if animal.pointed_ears:
            tall = 0.26 + 0.26 * animal.ear
            base = (way * 0.27, -0.26, -0.06)
            sheet.limb(head, base, (way * 0.36, -0.30 - tall, -0.10), (0.15, 0.012), coat)
            sheet.limb(
                head,
                (way * 0.275, -0.27, 0.02),
                (way * 0.345, -0.24 - tall, -0.06),
                (0.09, 0.006),
                (0.45, 0.22, 0.2),
            )
    sheet.ball(head, (0, -0.06, -0.04), (0.40 if dog else 0.43, 0.37, 0.38), coat, soft=0.06)
    for way in (-1, 1):
        sheet.ball(head, (way * 0.19, 0.14, 0.05), (0.22, 0.20, 0.24), coat, soft=0.12)
    if dog:
        reach = 0.28 + 0.34 * animal.muzzle
        wide = 0.165 + 0.05 * animal.build
        sheet.limb(
            head,
            (0, 0.07, 0.14),
            (0, 0.13, reach + 0.14),
            (wide * 1.15, wide * 0.82),
            pale,
            soft=0.10,
        )
        sheet.ball(
            head, (0, 0.24, reach * 0.6 + 0.10), (wide * 0.8, 0.09, reach * 0.55), pale, soft=0.06
        )
        nose, size, eye, place = (0, 0.05, reach + 0.24), 0.085, 0.062, (0.165, -0.10, 0.30)
    else:
        for way in (-1, 1):
            sheet.ball(head, (way * 0.085, 0.185, 0.26), (0.125, 0.095, 0.13), pale, soft=0.06)
        sheet.ball(head, (0, 0.28, 0.22), (0.11, 0.08, 0.12), pale, soft=0.05)
        sheet.limb(head, (0, -0.08, 0.30), (0, 0.10, 0.36), (0.055, 0.065), coat, soft=0.06)
        nose, size, eye, place = (0, 0.115, 0.40), 0.048, 0.088, (0.185, -0.035, 0.275)
    _face_paint(sheet, animal, head)
    black = (0.012, 0.010, 0.010)
    sheet.ball(
        head,
        nose,
        (size * 1.2, size * 0.8, size * 0.8),
        black if dog else (0.42, 0.17, 0.16),
        gloss=0.5,
    )
    for way in (-1, 1):
        centre = (way * place[0], place[1], place[2])
        eyes = Sheet(side)
        eyes.ball(head, centre, (eye, eye * 0.92, eye), linear(animal.eyes), gloss=0.8)
        _iris(eyes, head, centre, eye, dog)
        sheet.lay(eyes)
    if dog and not animal.pointed_ears:
        drop = 0.24 + 0.20 * animal.ear
        for way in (-1, 1):
            sheet.ball(
                head,
                (way * 0.40, drop * 0.45 - 0.10, -0.02),
                (0.10, drop, 0.17),
                inner,
                turn=rotation(roll=-0.22 * way),
                soft=0.02,
            )
    _muzzle_lines(sheet, animal, stance, head, nose)
    return sheet


def _iris(sheet: Sheet, head: Frame, centre, eye: float, dog: bool) -> None:
    window = sheet.window
    if window is None:
        return
    x, y, _ = sheet.local(head, window)
    u, v = (x - centre[0]) / eye, (y - centre[1]) / eye
    albedo = sheet.albedo[window]
    pupil = np.hypot(u, v) < 0.55 if dog else np.hypot(u / 0.30, v / 0.78) < 1
    albedo[pupil] = (0.006, 0.005, 0.005)
    rim = np.hypot(u, v) > 0.86
    albedo[rim] = (0.012, 0.010, 0.010)
    spark = np.hypot(u + 0.28, v + 0.32) < 0.24
    albedo[spark] = (1.6, 1.6, 1.6)


def _face_paint(sheet: Sheet, animal: Animal, head: Frame) -> None:
    window = sheet.window
    if window is None:
        return
    x, y, z = sheet.local(head, window)
    albedo, second = sheet.albedo[window], np.array(linear(animal.second), np.float32)
    if animal.marking == "striped":
        bars = step(np.cos(x * 44), 0.3, 0.8) * step(-0.12 - y, 0, 0.06) * (np.abs(x) < 0.24)
        bars = np.maximum(bars, step(np.sin(y * 40), 0.4, 0.9) * step(np.abs(x) - 0.25, 0, 0.05))
        albedo *= 1 - 0.72 * bars[..., None]
    if animal.marking == "patches":
        side = 1 if animal.marked > 0.5 else -1
        share = step(bump(x - side * 0.24, y + 0.12, 0.26, 0.28), 0.35, 0.5) * (z > -0.3)
        albedo += (second - albedo) * share[..., None]
    if animal.mask:
        share = step(bump(x, y - 0.08, 0.30, 0.30), 0.42, 0.62) * (z > 0)
        albedo *= 1 - 0.68 * share[..., None]
    elif animal.chest and animal.kind == "dog":
        share = step(0.075 - np.abs(x), -0.02, 0.02) * (y < 0.1) * (z > 0)
        albedo += (second - albedo) * share[..., None]
    _fur(sheet, animal, head, x * 0.42, y * 0.42, window)


def _muzzle_lines(sheet: Sheet, animal: Animal, stance: Stance, head: Frame, nose) -> None:
    window = sheet.window
    if window is None:
        return
    x, y, z = sheet.local(head, window)
    albedo, front = sheet.albedo[window], z > 0.12
    low = nose[1] + (0.12 if animal.kind == "dog" else 0.075)
    split = np.exp(-((x / 0.016) ** 2)) * (y > nose[1]) * (y < low)
    curve = low + 0.05 - 0.05 * (np.abs(np.abs(x) - 0.09) / 0.09) ** 2 * 1.4
    lips = np.exp(-(((y - curve) / 0.018) ** 2)) * (np.abs(x) < 0.20)
    albedo *= 1 - 0.75 * np.maximum(split, lips)[..., None] * front[..., None]
    if animal.kind == "dog" and stance.happy > 0.5:
        tongue = bump(x, y - low - 0.10, 0.065, 0.10) > 0.45
        albedo[tongue & front] = (0.55, 0.13, 0.14)
    if animal.kind == "cat":
        dots = np.exp(-(((np.abs(x) - 0.11) / 0.03) ** 2)) * (np.abs(y - 0.18) < 0.05) * front
        albedo *= 1 - 0.25 * dots[..., None]


def _bird(bird: Animal, stance: Stance, body: Frame, side: int) -> list[Sheet]:
    sheet, coat, second = Sheet(side), linear(bird.colour), linear(bird.second)
    fat = 0.85 + 0.3 * bird.build
    belly = second if bird.chest else paler(coat, 1.22)
    wing = second if bird.marking in ("patches", "striped") else darker(coat, 0.3)
    tilt = rotation(roll=-0.55)
    sheet.tube(
        body,
        [(-0.20, 0.12, 0), (-0.46 - 0.16 * bird.tail, 0.30 + 0.10 * bird.tail, 0)],
        (0.11, 0.05),
        darker(coat, 0.2),
        soft=0.03,
    )
    sheet.ball(body, (0, 0.04, 0), (0.31, 0.22 * fat, 0.22 * fat), coat, turn=tilt)
    sheet.ball(
        body, (0.09, 0.09, 0.0), (0.21, 0.20 * fat, 0.225 * fat), belly, turn=tilt, soft=0.06
    )
    for z in (-0.06, 0.06):
        sheet.limb(body, (0.02, 0.22, z), (0.04, 0.47, z), (0.02, 0.014), (0.40, 0.22, 0.05))
        sheet.limb(body, (0.0, 0.48, z), (0.13, 0.485, z), (0.016, 0.012), (0.40, 0.22, 0.05))
    for z in (0.17 * fat, -0.17 * fat):
        sheet.ball(
            body, (-0.06, 0.06, z), (0.25, 0.12, 0.07), wing, turn=rotation(roll=-0.62), soft=0.015
        )
    window = sheet.window
    if window is not None:
        x, y, _ = sheet.local(body, window)
        quills = noise.at("fur", x * 0.7 + 0.6 * y + bird.grain, y * 0.9 - 0.8 * x)
        sheet.albedo[window] *= (1 + 0.12 * np.clip(quills, -2, 2))[..., None]
        if bird.marking == "striped":
            bars = step(np.sin((x * 0.8 - y * 0.6) * 60), 0.2, 0.7) * (x < 0.0)
            sheet.albedo[window] *= 1 - 0.7 * bars[..., None]
        if bird.marking == "spotted":
            spots = step(noise.at("lumps", x * 0.7 + bird.grain, y * 0.7), 0.9, 1.2)
            spots = spots * (x > -0.05)
            sheet.albedo[window] *= 1 - 0.7 * spots[..., None]
    head = body.facing((0.22, -0.25, 0.0), rotation(stance.yaw, stance.pitch, stance.roll), 0.40)
    top = Sheet(side)
    cap = darker(coat, 0.72) if bird.mask else coat
    top.ball(head, (0, 0, 0), (0.40, 0.38, 0.40), cap)
    top.ball(head, (0, 0.14, 0.10), (0.33, 0.26, 0.31), belly if bird.chest else coat, soft=0.05)
    if bird.pointed_ears:
        top.tube(
            head,
            [
                (0, -0.28, 0.02),
                (0, -0.50 - 0.2 * bird.ear, -0.12),
                (0, -0.62 - 0.2 * bird.ear, -0.34),
            ],
            (0.13, 0.08, 0.01),
            cap,
            soft=0.05,
        )
    reach = 0.22 + 0.30 * bird.muzzle
    top.limb(
        head,
        (0, 0.06, 0.30),
        (0, 0.10, 0.40 + reach),
        (0.095, 0.012),
        (0.62, 0.30, 0.03),
        gloss=0.3,
    )
    for way in (-1, 1):
        eyes = Sheet(side)
        centre = (way * 0.24, -0.05, 0.27)
        eyes.ball(head, centre, (0.075, 0.075, 0.075), (0.012, 0.010, 0.010), gloss=0.8)
        _iris(eyes, head, centre, 0.075, True)
        top.lay(eyes, lift=0.004)
    sheet.limb(body, (0.12, -0.10, 0), (0.21, -0.22, 0), (0.15, 0.14), coat, soft=0.08)
    return [sheet, top]
