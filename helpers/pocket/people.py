"""Draws a person from head to shoulders."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.pocket.canvas import Colour, Layer, View, mix, shade
from helpers.pocket.identity import Person


@dataclass(frozen=True, kw_only=True)
class Expression:
    """``turn`` and ``gaze`` from -1 (left) to 1 (right); ``smile`` from -1 (frown) to 1."""

    turn: float = 0.0
    smile: float = 0.0
    gaze: float = 0.0


def draw_person_layers(person: Person, view: View, size: int, mood: Expression) -> list[Layer]:
    """Sheets from back to front: hair behind, body, head, hair in front."""
    half = 0.155 + 0.035 * person.width
    shift = 0.05 * mood.turn
    return [
        _back_hair(person, view, size, half),
        _body(person, view, size),
        _head(person, view, size, half, mood, shift),
        _front_hair(person, view, size, half, shift),
    ]


def _back_hair(person: Person, view: View, size: int, half: float) -> Layer:
    layer, dark = Layer(size, view), shade(person.hair_colour, -0.22)
    if person.hair_style == "long":
        left, right = 0.5 - half - 0.055, 0.5 + half + 0.055
        layer.blob([(0.5, 0.12), (left + 0.02, 0.24), (left - 0.02, 0.5), (left, 0.74),
                    (right, 0.74), (right + 0.02, 0.5), (right - 0.02, 0.24)], dark)  # fmt: skip
    elif person.hair_style == "curly":
        for x, y in ((-1, 0.3), (-1.12, 0.42), (1, 0.3), (1.12, 0.42), (-0.9, 0.2), (0.9, 0.2)):
            layer.ellipse(0.5 + x * (half + 0.01), y, 0.085, 0.085, dark)
    elif person.hair_style == "bun":
        layer.ellipse(0.5, 0.1, 0.085, 0.075, dark)
    return layer.lit(0.03, 0.35)


def _body(person: Person, view: View, size: int) -> Layer:
    layer, cloth = Layer(size, view), person.clothes_colour
    layer.polygon([(0.42, 0.52), (0.58, 0.52), (0.6, 0.72), (0.4, 0.72)], shade(person.skin, -0.16))
    layer.blob([(0.4, 0.655), (0.22, 0.71), (0.11, 0.83), (0.08, 1.02), (0.08, 1.7), (0.92, 1.7),
                (0.92, 1.02), (0.89, 0.83), (0.78, 0.71), (0.6, 0.655), (0.5, 0.70)],
               cloth)  # fmt: skip
    layer.stroke([(0.4, 0.66), (0.5, 0.73), (0.6, 0.66)], 0.018, shade(cloth, -0.3))
    layer.stroke([(0.24, 0.86), (0.25, 1.1)], 0.012, shade(cloth, -0.25))
    layer.stroke([(0.76, 0.86), (0.75, 1.1)], 0.012, shade(cloth, -0.25))
    return layer.lit(0.06, 0.5)


def _head(
    person: Person, view: View, size: int, half: float, mood: Expression, shift: float
) -> Layer:
    skin, layer = person.skin, Layer(size, view)
    for side in (-1, 1):
        layer.ellipse(0.5 + side * (half + 0.004) - shift * 0.3, 0.395, 0.026, 0.05,
                      shade(skin, -0.1))  # fmt: skip
    chin = half * (0.42 + 0.28 * person.jaw)
    layer.blob([(0.5, 0.13), (0.5 - half * 0.8, 0.185), (0.5 - half, 0.33),
                (0.5 - half * 0.93, 0.46), (0.5 - chin, 0.575), (0.5, 0.605), (0.5 + chin, 0.575),
                (0.5 + half * 0.93, 0.46), (0.5 + half, 0.33), (0.5 + half * 0.8, 0.185)],
               skin)  # fmt: skip
    layer.lit(0.055, 0.5)
    _shadows(layer, person, half, shift)
    if person.beard:
        _beard(layer, person, half, chin, shift)
    _eyes(layer, person, half, mood, shift)
    _nose_and_mouth(layer, person, mood, shift)
    if person.glasses != "none":
        _glasses(layer, person, half, shift)
    return layer


def _shadows(layer: Layer, person: Person, half: float, shift: float) -> None:
    soft = Layer(layer.size, layer.view)
    dark, warm = shade(person.skin, -0.28), mix(person.skin, (222, 92, 80), 0.16)
    for side in (-1, 1):
        soft.ellipse(0.5 + side * half * 0.46 + shift, 0.362, 0.058, 0.034, dark)
        soft.ellipse(0.5 + side * half * 0.6 + shift, 0.46, 0.045, 0.035, warm)
    soft.ellipse(0.5 + shift, 0.60, half * 0.5, 0.02, dark)
    soft.soften(0.016 * layer.view.scale)
    soft.image.putalpha(soft.image.getchannel("A").point(lambda a: int(a * 0.55)))
    head = layer.image.getchannel("A")
    layer.image.paste(soft.image, (0, 0), soft.image)
    layer.image.putalpha(head)


def _beard(layer: Layer, person: Person, half: float, chin: float, shift: float) -> None:
    full = 0.35 + 0.65 * person.beard
    colour = mix(person.skin, shade(person.hair_colour, -0.1), full)
    top = 0.47 - 0.02 * person.beard
    layer.blob([(0.5 - half * 0.95, top - 0.03), (0.5 - half * 0.6, 0.485), (0.5 + shift, 0.478),
                (0.5 + half * 0.6, 0.485), (0.5 + half * 0.95, top - 0.03),
                (0.5 + chin * 1.04, 0.585), (0.5, 0.615 + 0.05 * person.beard),
                (0.5 - chin * 1.04, 0.585)], colour)  # fmt: skip


def _eyes(layer: Layer, person: Person, half: float, mood: Expression, shift: float) -> None:
    brow = shade(person.hair_colour if person.hair != "grey" else (90, 86, 84), -0.3)
    for side in (-1, 1):
        x, y = 0.5 + side * half * 0.46 + shift, 0.372
        layer.ellipse(x, y, 0.035, 0.0195, (246, 243, 238))
        layer.ellipse(x + 0.010 * mood.gaze, y, 0.0175, 0.0185, person.eyes)
        layer.ellipse(x + 0.010 * mood.gaze, y, 0.0095, 0.0105, (16, 14, 14))
        layer.ellipse(x + 0.010 * mood.gaze - 0.006, y - 0.007, 0.0045, 0.0045, (255, 255, 255))
        layer.stroke([(x - 0.038, y - 0.004), (x, y - 0.023), (x + 0.038, y - 0.004)], 0.009,
                     (44, 32, 28))  # fmt: skip
        lift = 0.012 * max(mood.smile, 0) - 0.016 * max(-mood.smile, 0)
        inner, outer = x - side * 0.036, x + side * 0.046
        layer.stroke([(inner, 0.322 + 0.9 * max(-mood.smile, 0) * 0.02),
                      (x, 0.308 - lift), (outer, 0.323)], 0.011 + 0.012 * person.brows,
                     brow)  # fmt: skip


def _nose_and_mouth(layer: Layer, person: Person, mood: Expression, shift: float) -> None:
    wide, dark = 0.018 + 0.016 * person.nose, shade(person.skin, -0.32)
    tip = 0.5 + shift * 1.5
    layer.stroke([(0.5 + shift * 1.1 - 0.012, 0.375), (tip - 0.014, 0.43)], 0.007,
                 shade(person.skin, -0.18))  # fmt: skip
    layer.ellipse(tip, 0.452, wide, 0.017, shade(person.skin, 0.1))
    layer.stroke([(tip - wide, 0.46), (tip, 0.472), (tip + wide, 0.46)], 0.009, dark)
    x, y, lips = 0.5 + shift * 1.2, 0.525, mix(person.skin, (168, 44, 52), 0.55)
    bend, reach = (
        (0.034 if mood.smile > 0 else 0.02) * mood.smile,
        0.055 + 0.012 * max(mood.smile, 0),
    )
    corners = (x - reach, y - bend * 0.7), (x + reach, y - bend * 0.7)
    if mood.smile > 0.45:
        layer.blob([corners[0], (x, y - 0.004), corners[1], (x, y + bend * 1.15)], (112, 30, 36))
        teeth, lip = reach * 0.75, y - bend * 0.45
        layer.blob([(x - teeth, lip), (x, y), (x + teeth, lip), (x, y + bend * 0.5)],
                   (246, 242, 236))  # fmt: skip
    layer.stroke([corners[0], (x, y + bend * 0.9), corners[1]], 0.014, lips)


def _glasses(layer: Layer, person: Person, half: float, shift: float) -> None:
    frame: Colour = (30, 28, 34)
    for side in (-1, 1):
        x, y, r = 0.5 + side * half * 0.48 + shift, 0.374, 0.058
        if person.glasses == "round":
            ring = [(-1, 0), (-0.7, -0.7), (0, -1), (0.7, -0.7), (1, 0), (0.7, 0.7), (0, 1),
                    (-0.7, 0.7), (-1, 0)]  # fmt: skip
        else:
            ring = [(-1.05, -0.7), (0, -0.72), (1.05, -0.7), (1, 0.05), (0.9, 0.7), (0, 0.75),
                    (-0.9, 0.7), (-1, 0.05), (-1.05, -0.7)]  # fmt: skip
        layer.stroke([(x + a * r, y + b * r) for a, b in ring], 0.011, frame)
        layer.stroke([(x + side * r, y - 0.012), (0.5 + side * half, y - 0.02)], 0.009, frame)
    layer.stroke([(0.5 - half * 0.48 + 0.056 + shift, 0.368), (0.5 + shift, 0.358),
                  (0.5 + half * 0.48 - 0.056 + shift, 0.368)], 0.009, frame)  # fmt: skip


def _front_hair(person: Person, view: View, size: int, half: float, shift: float) -> Layer:
    layer, colour = Layer(size, view), person.hair_colour
    if person.hair_style == "bald":
        return layer
    low = 0.215 + 0.06 * person.fringe
    edge = half + 0.012
    if person.hair_style == "curly":
        for step in range(9):
            along = -1 + step / 4
            layer.ellipse(0.5 + along * edge * 0.95, 0.15 + 0.1 * along**2, 0.062, 0.062, colour)
        for along in (-0.5, 0, 0.5):
            layer.ellipse(0.5 + along * edge, 0.13, 0.07, 0.06, colour)
    else:
        side = 0.34 if person.hair_style == "short" else 0.31
        part = shift + (0.06 if person.fringe > 0.5 else -0.06)
        layer.blob([(0.5, 0.085), (0.5 - edge * 0.75, 0.115), (0.5 - edge * 1.05, 0.22),
                    (0.5 - edge * 1.04, side), (0.5 - edge * 0.86, 0.27),
                    (0.5 - edge * 0.5, low), (0.5 + part, low - 0.045), (0.5 + edge * 0.5, low),
                    (0.5 + edge * 0.86, 0.27), (0.5 + edge * 1.04, side),
                    (0.5 + edge * 1.05, 0.22), (0.5 + edge * 0.75, 0.115)], colour)  # fmt: skip
        if person.hair_style == "long":
            for way in (-1, 1):
                layer.blob([(0.5 + way * edge * 0.8, 0.2), (0.5 + way * (edge + 0.03), 0.3),
                            (0.5 + way * (edge + 0.05), 0.55), (0.5 + way * (edge + 0.02), 0.72),
                            (0.5 + way * (edge - 0.03), 0.6), (0.5 + way * (edge - 0.015), 0.4)],
                           colour)  # fmt: skip
    return layer.lit(0.03, 0.45)
