"""Neck, shoulders, arms and legs of a person, in body coordinates: the unit is a head's height,
y = 0 at the middle of the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.pocket.world import noise
from helpers.pocket.world.face import step
from helpers.pocket.world.relief import Frame, Sheet
from helpers.pocket.world.traits import Colour, Person, linear


@dataclass(frozen=True, kw_only=True)
class Clothes:
    """What a person wears today: not part of who they are."""

    name: str
    colour: Colour
    second: Colour
    cut: str  # round, vee, collar or jacket
    pattern: str  # plain or striped


CUTS = ("round", "vee", "collar", "jacket")


def torso_sheet(
    person: Person, clothes: Clothes, body: Frame, neck_top: np.ndarray, side: int, whole: bool
) -> Sheet:
    """From the neck down; ``neck_top`` is where the head sits (picture), ``whole`` adds legs."""
    sheet, skin, cloth = Sheet(side), linear(person.skin), linear(clothes.colour)
    man = person.noun == "man"
    span = 0.52 + 0.13 * person.build + 0.08 * man
    neck = 0.145 + 0.03 * person.build + 0.025 * man
    body = body.inside((0, -0.17, 0))
    start = (neck_top - body.at) @ body.turn / body.scale
    sheet.limb(
        body,
        (float(start[0]), float(start[1]), float(start[2])),
        (0, 0.84, -0.17),
        (neck, neck * 1.12),
        skin,
    )
    sheet.ball(body, (0, 0.92, -0.16), (span * 0.80, 0.20, 0.20), cloth, soft=0.05)
    for way in (-1, 1):
        sheet.limb(
            body, (0, 0.74, -0.19), (way * span, 0.97, -0.18), (neck * 0.8, 0.15), cloth, soft=0.10
        )
        sheet.ball(body, (way * span, 1.04, -0.17), (0.17, 0.18, 0.18), cloth, soft=0.10)
    sheet.ball(
        body, (0, 1.28, -0.14), (span * 0.98, 0.52, 0.27 + 0.08 * person.build), cloth, soft=0.14
    )
    waist = span * (0.66 + 0.16 * person.build)
    sheet.ball(body, (0, 1.85, -0.16), (waist, 0.62, 0.25 + 0.1 * person.build), cloth, soft=0.14)
    sheet.ball(
        body, (0, 2.35, -0.16), (waist * 1.02, 0.25, 0.22), linear(clothes.second), soft=0.05
    )
    for way in (-1, 1):
        out = span + 0.05
        sheet.tube(
            body,
            [
                (way * out, 1.06, -0.18),
                (way * (out + 0.1), 1.75, -0.16),
                (way * (out + 0.03), 2.35, -0.02),
            ],
            (0.15, 0.13, 0.10),
            cloth,
            soft=0.04,
        )
        if whole:
            sheet.ball(body, (way * (out + 0.03), 2.48, 0.0), (0.09, 0.13, 0.09), skin)
    if whole:
        trousers = linear(clothes.second)
        for way in (-1, 1):
            sheet.tube(
                body,
                [(way * 0.2, 2.3, -0.16), (way * 0.24, 3.3, -0.14), (way * 0.25, 4.2, -0.18)],
                (0.25, 0.18, 0.13),
                trousers,
                soft=0.05,
            )
            sheet.ball(body, (way * 0.27, 4.32, -0.06), (0.13, 0.10, 0.24), (0.03, 0.025, 0.02))
    window = sheet.window
    if window is not None:
        _dress(sheet, person, clothes, body, window)
    return sheet


def _dress(sheet: Sheet, person: Person, clothes: Clothes, body: Frame, window) -> None:
    x, y, z = sheet.local(body, window)
    albedo, depth = sheet.albedo[window], sheet.depth[window]
    worn = (y > 0.72) & (y < 2.22)
    neck = {
        "round": 0.86 - 1.1 * x * x,
        "vee": 1.08 - 1.5 * np.abs(x),
        "collar": 0.96 - 1.6 * np.abs(x),
        "jacket": 0.90 - 1.2 * x * x,
    }[clothes.cut]
    bare = (y < neck) & (np.abs(x) < 0.34) & (z > -0.25)
    folds = noise.at("clouds", x * 0.5 + person.grain, y * 0.35) + 0.5 * noise.at(
        "lumps", x * 0.12 + 0.3, y * 0.06 + person.grain
    )
    depth += np.float32(body.scale) * np.where(worn & ~bare, 0.012 * folds, 0).astype(np.float32)
    albedo *= np.where(worn & ~bare, 1 + 0.04 * noise.at("grain", x * 1.5, y * 1.5), 1)[..., None]
    if clothes.pattern == "striped":
        bands = step(np.sin(y * 26 + 0.02 * folds), -0.15, 0.15)
        share = (bands * (worn & ~bare))[..., None]
        albedo += (np.array(linear(clothes.second), np.float32) - albedo) * share
    if clothes.cut == "jacket":
        inner = worn & ~bare & (np.abs(x) < 0.05 + 0.24 * (y - 0.7) * (y < 1.4) + 0.1 * (y >= 1.4))
        albedo[inner] = linear(clothes.second)
        edge = np.exp(-(((np.abs(x) - 0.05 - 0.24 * (y - 0.7)) / 0.018) ** 2)) * (y < 1.9)
        depth += np.float32(body.scale) * (0.015 * edge * worn).astype(np.float32)
    if clothes.cut == "collar":
        flap = worn & (y < neck + 0.11) & (y > neck) & (np.abs(x) < 0.30)
        depth[flap] += np.float32(0.02 * body.scale)
        albedo[flap] = np.minimum(albedo[flap] * 1.25 + 0.02, 0.9)
        button = (np.abs(x) < 0.018) & (np.abs((y * 5) % 1 - 0.5) < 0.09) & (y > 1.0) & worn
        albedo[button] *= 0.4
    if clothes.cut == "round":
        hem = np.exp(-(((y - neck) / 0.018) ** 2)) * worn * (np.abs(x) < 0.32)
        depth += np.float32(body.scale) * (0.012 * hem).astype(np.float32)
    skin = np.array(linear(person.skin), np.float32)
    albedo[bare] = skin * (1 + 0.02 * noise.at("clouds", x, y))[bare][:, None]
