"""A head and its face, in relief and painted. Head coordinates: crown at y = -0.5, chin at 0.5,
the face looks along z, x to the picture's right when it looks at us."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.pocket.world import noise
from helpers.pocket.world.relief import Array, Frame, Sheet, Window, rotation
from helpers.pocket.world.traits import Person, linear


@dataclass(frozen=True, kw_only=True)
class Mood:
    """Where a face looks and what it shows. Angles in radians."""

    yaw: float = 0.0  # > 0 towards the picture's right
    pitch: float = 0.0
    roll: float = 0.0
    smile: float = 0.0  # -1 frown to 1 broad smile
    gaze: float = 0.0  # -1 left to 1 right
    open_mouth: float = 0.0


def bump(x: Array, y: Array, wide: float, high: float) -> Array:
    """A soft hill of height 1 around the origin."""
    return np.exp(-((x / wide) ** 2) - (y / high) ** 2)


def step(x: Array, low: float, high: float) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def head_sheet(person: Person, head: Frame, mood: Mood, side: int) -> Sheet:
    """The head without hair, neck included at its top; painted."""
    sheet, skin = Sheet(side), linear(person.skin)
    man = person.noun == "man"
    wide = 0.92 + 0.16 * person.width
    soft = 0.09
    sheet.ball(head, (0, -0.13, -0.08), (0.335 * wide, 0.365, 0.41), skin)
    sheet.ball(
        head, (0, 0.05, 0.02), (0.305 * wide, 0.40 + 0.05 * person.chin, 0.32), skin, soft=soft
    )
    jaw = (0.17 + 0.075 * person.jaw + 0.02 * man) * wide
    sheet.ball(
        head, (0, 0.25, 0.04), (jaw + 0.03, 0.21 + 0.04 * person.chin, 0.26), skin, soft=0.13
    )
    _nose(sheet, person, head, skin)
    for way in (-1, 1):
        sheet.ball(
            head,
            (way * 0.335 * wide, 0.02, -0.06),
            (0.03, 0.1, 0.06),
            skin,
            soft=0.02,
            turn=rotation(yaw=-0.5 * way, roll=0.12 * way),
        )
    window = sheet.window
    if window is not None:
        _paint(sheet, person, head, mood, window)
    return sheet


def nose_tip(person: Person) -> float:
    """How far down the nose ends."""
    return 0.115 + 0.045 * person.nose_length


def _nose(sheet: Sheet, person: Person, head: Frame, skin) -> None:
    tip, wide = nose_tip(person), 0.032 + 0.024 * person.nose
    reach = 0.375 + 0.03 * person.nose_length
    sheet.limb(
        head, (0, -0.08, 0.265), (0, tip - 0.02, reach - 0.01), (0.03, wide), skin, soft=0.06
    )
    sheet.ball(head, (0, tip, reach), (wide + 0.006, 0.04, 0.05), skin, soft=0.03)
    for way in (-1, 1):
        sheet.ball(
            head, (way * (wide + 0.006), tip + 0.012, 0.335), (0.03, 0.028, 0.045), skin, soft=0.025
        )


class _Patch:
    """A part of the head with its coordinates, ready to be painted on."""

    def __init__(self, sheet: Sheet, head: Frame, window: Window) -> None:
        self.x, self.y, self.z = sheet.local(head, window)
        self.albedo, self.depth = sheet.albedo[window], sheet.depth[window]
        self.gloss = sheet.gloss[window]
        self.front = step(self.z, 0.02, 0.14)

    @property
    def grids(self) -> tuple[Array, Array, Array, Array, Array, Array]:
        """x, y, front, albedo, depth and gloss, to read and to paint on."""
        return self.x, self.y, self.front, self.albedo, self.depth, self.gloss


def _part(sheet: Sheet, head: Frame, low: float, high: float, half: float) -> _Patch:
    return _Patch(sheet, head, sheet.around(head, (-half, low, 0.02), (half, high, 0.44)))


def _paint(sheet: Sheet, person: Person, head: Frame, mood: Mood, window: Window) -> None:
    all_ = _Patch(sheet, head, window)
    x, y, z, front = all_.x, all_.y, all_.z, all_.front
    albedo, depth, gloss = all_.albedo, all_.depth, all_.gloss
    scale = np.float32(head.scale)
    _complexion(albedo, person, x, y, z, front)
    smile, frown = max(mood.smile, 0), max(-mood.smile, 0)
    depth -= scale * front * _sockets(person, x, y)
    ridge = bump(np.abs(x) - 0.10, y + 0.105, 0.12, 0.045)
    cheek = bump(np.abs(x) - 0.165, y - 0.105, 0.095, 0.085)
    chin = bump(x, y - 0.385 - 0.03 * person.chin, 0.085 + 0.03 * person.jaw, 0.06)
    depth += scale * front * chin * (0.03 + 0.03 * person.chin)
    depth += scale * front * cheek * (0.012 + 0.03 * person.cheeks)
    depth += scale * front * ridge * (0.008 + 0.012 * (person.noun == "man"))
    _mouth(_part(sheet, head, 0.14, 0.42, 0.24), person, mood, scale)
    _eyes(_part(sheet, head, -0.09, 0.09, 0.26), person, mood, scale)
    _brows(_part(sheet, head, -0.21, -0.05, 0.25), person, smile, frown)
    tip = nose_tip(person)
    hole = bump(np.abs(x) - 0.018 - 0.014 * person.nose, y - tip - 0.036, 0.016, 0.011)
    _tint(albedo, hole * front * 0.85, np.array(linear(person.skin)) * (0.12, 0.06, 0.05))
    # The fold from nose to mouth deepens with a smile and with the years.
    line = 0.062 + 0.02 * person.nose + 0.42 * np.clip(y - tip, 0, 0.2) * (1 + 0.3 * smile)
    reach = step(y, tip - 0.02, tip + 0.03) * (1 - step(y, 0.25, 0.31))
    fold = np.exp(-(((np.abs(x) - line) / 0.024) ** 2)) * reach
    depth -= scale * front * fold * (0.001 + 0.006 * smile + 0.006 * person.age**2)
    if person.age > 0.55:
        lines = np.cos((y + 0.03 * x * x) * 170) * bump(x, y + 0.24, 0.14, 0.07)
        depth += scale * front * lines * 0.0035 * (person.age - 0.4)
    if frown:
        crease = np.exp(-(((np.abs(x) - 0.022) / 0.008) ** 2)) * bump(x, y + 0.105, 9, 0.045)
        depth -= scale * front * crease * 0.009 * frown
    if person.beard != "none":
        _beard(albedo, depth, gloss, person, mood, x, y, z, scale)
    gloss += front * (0.10 * bump(x, y + 0.25, 0.16, 0.09) + 0.12 * bump(x, y - 0.08, 0.03, 0.1))


def _complexion(albedo: Array, person: Person, x: Array, y: Array, z: Array, front: Array) -> None:
    offset = person.grain * 7
    albedo *= (1 + 0.035 * noise.at("clouds", x * 0.9 + offset, y * 0.9))[..., None]
    fine = noise.at("grain", x * 1.6 + offset, y * 1.6 + z)
    albedo *= (1 + 0.02 * fine * front)[..., None]
    flush = 0.5 * bump(np.abs(x) - 0.175, y - 0.11, 0.075, 0.065) + 0.45 * bump(
        x, y - 0.12, 0.06, 0.05
    )
    flush += 0.35 * bump(np.abs(x) - 0.32, y, 0.06, 0.1)
    albedo *= 1 - (flush * 0.3)[..., None] * np.array([0.05, 0.55, 0.5], np.float32)
    bags = bump(np.abs(x) - 0.13, y - 0.06, 0.06, 0.022) * (0.08 + 0.22 * person.age)
    albedo *= 1 - (bags * front)[..., None] * np.array([0.6, 0.9, 0.8], np.float32)
    if person.freckles > 0.7:
        spots = step(noise.at("grain", x * 1.1 + offset, y * 1.1 + 0.4), 1.1, 1.7)
        where = bump(x, y - 0.07, 0.24, 0.1) * front
        albedo *= 1 - (spots * where * (person.freckles - 0.4))[..., None] * np.array(
            [0.35, 0.6, 0.75], np.float32
        )


def _sockets(person: Person, x: Array, y: Array) -> Array:
    gap = eye_place(person)
    return 0.034 * bump(np.abs(x) - gap, y + 0.012, 0.075, 0.05) + 0.014 * bump(
        np.abs(x) - gap + 0.05, y + 0.01, 0.03, 0.04
    )


def eye_place(person: Person) -> float:
    """How far from the middle each eye sits."""
    return 0.122 + 0.03 * person.eye_gap


def _tint(albedo: Array, share: Array, colour) -> None:
    albedo += (np.asarray(colour, np.float32) - albedo) * np.clip(share, 0, 1)[..., None]


def _eyes(part: _Patch, person: Person, mood: Mood, scale: np.float32) -> None:
    x, y, front, albedo, depth, gloss = part.grids
    half = 0.062 + 0.016 * person.eye_size
    smile = max(mood.smile, 0)
    lash = 0.55 if person.noun == "man" else 0.95
    skin = np.array(linear(person.skin))
    blur = 0.11
    for way in (-1, 1):
        u = (x - way * eye_place(person)) / half
        v = (y + (0.10 * (person.eye_tilt - 0.5)) * way * (x - way * eye_place(person))) / half
        arc = np.clip(1 - u * u, 0, 1)
        upper = -(0.30 + 0.17 * person.eye_size) * arc**0.75
        lower = (0.22 + 0.08 * person.eye_size - 0.11 * smile) * arc
        inside = step(v - upper, -blur, blur) * step(lower - v, -blur, blur) * (np.abs(u) < 1.05)
        inside *= front
        white = 0.44 - 0.20 * step(upper - v + 0.42, 0.05, 0.5) - 0.22 * u * u
        _tint(albedo, inside, (0, 0, 0))
        albedo += (inside * white)[..., None] * np.array([1.0, 0.95, 0.91], np.float32)
        iris = np.hypot(u - 0.30 * mood.gaze, v + 0.07)
        colour = np.array(linear(person.eyes))
        _tint(albedo, inside * step(0.47 - iris, -0.05, 0.07), colour * 0.45)
        _tint(albedo, inside * step(0.38 - iris, -0.05, 0.12), colour * 0.95)
        _tint(albedo, inside * step(0.20 - iris, -0.05, 0.06), (0.006, 0.005, 0.005))
        spark = bump(u - 0.30 * mood.gaze + 0.14, v + 0.20, 0.10, 0.09)
        _tint(albedo, inside * spark, (0.9, 0.9, 0.9))
        depth += scale * inside * 0.012
        gloss += inside * 0.3
        near_ = step(1.25 - np.abs(u), 0, 0.3) * front
        rim = np.exp(-(((v - upper) / 0.12) ** 2)) * near_ * step(1.1 - np.abs(u), 0, 0.15)
        _tint(albedo, rim * lash, (0.016, 0.011, 0.010))
        below = np.exp(-(((v - lower) / 0.10) ** 2)) * near_ * step(1.0 - np.abs(u), 0, 0.3)
        _tint(albedo, below * (0.22 + 0.2 * (person.noun == "woman")), skin * 0.25)
        crease = np.exp(-(((v - upper + 0.30) / 0.10) ** 2)) * near_
        _tint(albedo, crease * 0.30, skin * (0.35, 0.25, 0.22))


def _brows(part: _Patch, person: Person, smile: float, frown: float) -> None:
    x, y, front, albedo = part.x, part.y, part.front, part.albedo
    colour = np.array(linear(person.hair_colour)) * (0.5 if person.hair != "grey" else 0.3)
    thick = 0.013 + 0.013 * person.brows + 0.004 * (person.noun == "man")
    for way in (-1, 1):
        t = (way * x - 0.045) / 0.165  # 0 at the inner end, 1 at the outer
        inner = np.clip(1 - 2.2 * t, 0, 1)
        height = -0.118 - 0.014 * person.brow_arch * 4 * t * (1 - t) - 0.012 * smile
        height += 0.02 * np.clip(t - 0.55, 0, 1) + frown * (0.034 * inner - 0.010)
        taper = thick * (0.55 + 0.45 * np.clip(4 * t, 0, 1)) * (1 - 0.55 * np.clip(t, 0, 1))
        share = np.exp(-(((y - height) / taper) ** 2) * 1.2)
        share *= step(t, -0.10, 0.08) * (1 - step(t, 0.88, 1.06)) * front
        hairs = 0.8 + 0.25 * noise.at("fur", x * 1.2 * way - y * 0.8, y * 3.0 + x * 1.5 * way)
        _tint(albedo, share * np.clip(hairs, 0, 1.1) * (0.62 + 0.35 * person.brows), colour)


def _mouth(part: _Patch, person: Person, mood: Mood, scale: np.float32) -> None:
    x, y, front, albedo, depth, gloss = part.grids
    smile, frown = max(mood.smile, 0), max(-mood.smile, 0)
    half = (0.078 + 0.032 * person.mouth) * (1 + 0.28 * smile - 0.10 * frown)
    middle = 0.262 + 0.03 * person.nose_length + 0.01 * frown
    u = x / half
    arc = np.clip(1 - u * u, 0, 1)
    bend = -0.040 * smile * (u * u - 0.45) + 0.036 * frown * (u * u - 0.35)
    seam = middle + bend
    open_ = max(mood.open_mouth, np.clip((smile - 0.35) * 1.6, 0, 1))
    gape = 0.048 * open_ * arc**0.8
    full = 0.014 + 0.016 * person.lips
    cupid = 1 - 0.32 * np.exp(-((u / 0.16) ** 2))
    upper = seam - full * arc**0.6 * cupid - 0.25 * gape
    lower = seam + gape * 0.75 + full * 1.25 * arc**0.75
    inside = step(y - upper, -0.006, 0.006) * step(lower - y, -0.006, 0.006) * front * (arc > 0)
    skin = np.array(linear(person.skin))
    red = np.array([0.42, 0.085, 0.085]) if person.noun == "woman" else np.array([0.34, 0.12, 0.10])
    lip = (
        skin * (0.5, 0.34, 0.34)
        + red * (0.42 if person.noun == "woman" else 0.25) * skin.mean() * 1.6
    )
    _tint(albedo, inside, lip)
    centre = (upper + lower) / 2
    depth += (
        scale * front * 0.017 * np.exp(-(((y - centre) / (full * 2.2 + 0.03 * open_)) ** 2)) * arc
    )
    depth -= scale * front * 0.010 * bump(x, y - lower - 0.022, half * 0.6, 0.012)
    gloss += inside * 0.16
    if open_ > 0.05:
        top, bottom = seam - 0.22 * gape, seam + gape * 0.72
        hole = step(y - top, -0.004, 0.004) * step(bottom - y, -0.004, 0.004) * front
        hole = hole * step(arc, 0.0, 0.12)
        _tint(albedo, hole, (0.05, 0.012, 0.012))
        teeth = hole * step(bottom - 0.004 - y, -0.003, 0.009) * step(0.92 - np.abs(u), 0, 0.12)
        gaps = 1 - 0.12 * np.exp(-((np.sin(x / 0.0125) / 0.22) ** 2))
        _tint(albedo, teeth, (0.74, 0.71, 0.64))
        albedo *= 1 - (teeth * (1 - gaps))[..., None]
        depth -= scale * hole * 0.012
    else:
        line = np.exp(-(((y - seam) / 0.0065) ** 2)) * step(1.04 - np.abs(u), 0, 0.12) * front
        _tint(albedo, line * 0.85, lip * (0.16, 0.10, 0.10))
    corner = bump(np.abs(x) - half, y - middle - bend, 0.013, 0.013) * front
    _tint(albedo, corner * 0.4, skin * (0.25, 0.15, 0.14))
    if smile > 0.3:
        apple = bump(np.abs(x) - 0.17, y - 0.13, 0.07, 0.055)
        depth += scale * front * apple * 0.014 * smile


def _beard(albedo, depth, gloss, person: Person, mood: Mood, x, y, z, scale) -> None:
    smile = max(mood.smile, 0)
    middle = 0.262 + 0.03 * person.nose_length
    half = (0.078 + 0.032 * person.mouth) * (1 + 0.28 * smile)
    ragged = 0.012 * noise.at("grain", x * 2 + person.grain * 3, y * 2)
    tip = nose_tip(person)
    lip = step(y - tip - 0.045 + ragged - 0.25 * np.abs(x), 0, 0.02)
    lip *= 1 - step(y - middle + 0.012 - 0.30 * np.abs(x) + 0.04 * smile, 0, 0.02)
    lip *= step(half * 1.25 - np.abs(x), 0, 0.02)
    line = 0.335 - 0.335 * np.clip(np.abs(x) / 0.31, 0, 1) ** 1.6
    chin = step(y - line + ragged, 0, 0.05)
    mouth = bump(x, y - middle - 0.012, half * 0.98, 0.034 + 0.03 * smile)
    chin *= np.clip(1 - 1.5 * mouth, 0, 1) * step(z, -0.12, 0.0)
    soul = bump(x, y - middle - 0.065, 0.03, 0.02)
    shares = {
        "moustache": lip,
        "beard": np.maximum(np.maximum(lip, chin), soul * 0.8),
        "stubble": np.maximum(lip, chin) * 0.48,
    }
    share = np.where(z > -0.15, shares[person.beard], 0)
    colour = np.array(linear(person.hair_colour)) * 0.72
    hairs = noise.at("fur", y * 0.9, x * 2.2 + 0.3 * y + person.grain) * min(
        1.0, float(scale) * 1.2
    )
    if person.beard == "stubble":
        hairs = noise.at("grain", x * 1.5 + person.grain, y * 1.5) * 0.7
    if person.beard == "stubble":
        share = share * np.clip(0.75 + 0.3 * hairs, 0, 1)
        colour = colour * 0.8 + np.array(linear(person.skin)) * 0.12
    _tint(albedo, share, colour)
    if person.beard != "stubble":
        albedo *= 1 + (share * np.clip(0.22 * hairs, -0.5, 0.6))[..., None]
        depth += scale * share * (0.022 + 0.006 * hairs)
        gloss *= 1 - 0.7 * share
