"""Draws dogs (from the side), cats (sitting) and chairs."""

from __future__ import annotations

from helpers.pocket.canvas import Layer, View, shade
from helpers.pocket.identity import Animal, Chair


def draw_dog_layers(dog: Animal, view: View, size: int, lift: float) -> list[Layer]:
    """A dog standing, looking to the right in its own square; ``lift`` 0..1 raises its head."""
    coat, dark = dog.colour, shade(dog.colour, -0.25)
    thick = 0.115 + 0.04 * dog.build
    back, legs = Layer(size, view), Layer(size, view)
    up = 0.2 + 0.25 * dog.tail
    back.stroke([(0.24, 0.5), (0.14, 0.47 - up * 0.3), (0.11 + 0.1 * dog.tail, 0.47 - up)], 0.05,
                coat)  # fmt: skip
    for x in (0.34, 0.66):
        back.stroke([(x, 0.6), (x + 0.01, 0.86)], 0.07, dark)
    body = legs
    body.blob([(0.22, 0.5), (0.3, 0.5 - thick), (0.5, 0.52 - thick), (0.68, 0.48 - thick),
               (0.78, 0.5), (0.72, 0.5 + thick), (0.5, 0.51 + thick), (0.3, 0.53 + thick)],
              coat)  # fmt: skip
    for x in (0.28, 0.72):
        body.stroke([(x, 0.58), (x, 0.87)], 0.078, coat)
        body.ellipse(x + 0.02, 0.885, 0.055, 0.026, dog.second if dog.chest else coat)
    if dog.patch:
        x = 0.36 + 0.24 * dog.patch_at
        body.ellipse(x, 0.48, 0.11 * dog.patch, 0.085 * dog.patch + 0.01, dog.second, 0.2)
    if dog.chest:
        body.ellipse(0.73, 0.56, 0.06, 0.1, dog.second)
    return [back.lit(0.03, 0.35), body.lit(0.05, 0.5), _dog_head(dog, view, size, lift)]


def _dog_head(dog: Animal, view: View, size: int, lift: float) -> Layer:
    head, coat = Layer(size, view), dog.colour
    y = 0.33 - 0.06 * lift
    reach = 0.1 + 0.06 * dog.muzzle
    head.blob([(0.66, 0.5), (0.70, y + 0.02), (0.78, y - 0.02), (0.84, 0.5)], coat)
    if dog.collar:
        head.stroke([(0.67, 0.45), (0.75, 0.49), (0.84, 0.46)], 0.035, dog.collar)
    if dog.pointed_ears:
        tall = 0.1 + 0.06 * dog.ear
        for x in (0.70, 0.79):
            head.polygon([(x - 0.045, y - 0.06), (x, y - 0.07 - tall), (x + 0.05, y - 0.05)],
                         shade(coat, -0.2))  # fmt: skip
    head.ellipse(0.77, y, 0.115, 0.1, coat)
    nose = dog.second if dog.chest else shade(coat, 0.12)
    head.ellipse(0.84 + reach * 0.4, y + 0.03, reach * 0.75, 0.055, nose)
    head.lit(0.035, 0.45)
    head.ellipse(0.84 + reach * 1.08, y + 0.012, 0.028, 0.024, (26, 22, 24))
    head.stroke([(0.82 + reach * 0.4, y + 0.065), (0.84 + reach, y + 0.055)], 0.012, (70, 40, 40))
    if not dog.pointed_ears:
        drop = 0.08 + 0.07 * dog.ear
        head.ellipse(0.695, y + drop * 0.6, 0.048, drop + 0.03, shade(coat, -0.32), 0.18)
    head.ellipse(0.80, y - 0.025, 0.022, 0.026, (250, 248, 244))
    head.ellipse(0.805, y - 0.022, 0.016, 0.02, (24, 18, 18))
    head.ellipse(0.80, y - 0.03, 0.006, 0.006, (255, 255, 255))
    return head


def draw_cat_layers(cat: Animal, view: View, size: int, lift: float) -> list[Layer]:
    """A cat sitting and looking at us; ``lift`` 0..1 sways its tail."""
    coat, dark = cat.colour, shade(cat.colour, -0.28)
    wide = 0.17 + 0.05 * cat.build
    tail, body = Layer(size, view), Layer(size, view)
    end = 0.34 + 0.3 * cat.tail
    tail.stroke([(0.62, 0.86), (0.8, 0.84), (0.86, 0.7), (0.82 + 0.04 * lift, 0.9 - end)], 0.06,
                coat)  # fmt: skip
    body.blob([(0.5, 0.42), (0.5 - wide * 0.75, 0.55), (0.5 - wide, 0.8), (0.5 - wide * 0.8, 0.9),
               (0.5 + wide * 0.8, 0.9), (0.5 + wide, 0.8), (0.5 + wide * 0.75, 0.55)],
              coat)  # fmt: skip
    for stripe in range(cat.stripes):
        y = 0.6 + 0.075 * stripe
        for side in (-1, 1):
            body.stroke([(0.5 + side * wide * 0.95, y), (0.5 + side * wide * 0.45, y + 0.02)],
                        0.026, dark)  # fmt: skip
    if cat.patch:
        body.ellipse(0.5 + 0.12 * (cat.patch_at - 0.5), 0.74, 0.1 * cat.patch, 0.09 * cat.patch,
                     cat.second)  # fmt: skip
    if cat.chest:
        body.ellipse(0.5, 0.6, 0.075, 0.12, cat.second)
    for x in (0.44, 0.56):
        body.stroke([(x, 0.7), (x, 0.88)], 0.06, coat)
        body.ellipse(x, 0.895, 0.045, 0.028, cat.second if cat.chest else coat)
    return [tail.lit(0.03, 0.35), body.lit(0.05, 0.5), _cat_head(cat, view, size)]


def _cat_head(cat: Animal, view: View, size: int) -> Layer:
    head, coat, dark = Layer(size, view), cat.colour, shade(cat.colour, -0.3)
    round_ = 0.145 + 0.025 * cat.build
    for side in (-1, 1):
        tall = 0.1 + 0.07 * cat.ear
        tip = (0.5 + side * round_ * 0.85, 0.26 - tall)
        head.polygon([(0.5 + side * round_ * 0.98, 0.33), tip, (0.5 + side * round_ * 0.2, 0.235)],
                     coat)  # fmt: skip
        head.polygon([(0.5 + side * round_ * 0.85, 0.29), (tip[0], tip[1] + 0.045),
                      (0.5 + side * round_ * 0.42, 0.25)], (206, 142, 140))  # fmt: skip
    head.ellipse(0.5, 0.34, round_, 0.125, coat)
    if cat.collar:
        head.stroke([(0.42, 0.455), (0.5, 0.475), (0.58, 0.455)], 0.034, cat.collar)
    head.ellipse(0.5, 0.395, 0.07, 0.045, cat.second if cat.chest else shade(coat, 0.18))
    head.lit(0.035, 0.45)
    if cat.stripes:
        for x in (-0.05, 0, 0.05):
            head.stroke([(0.5 + x, 0.225), (0.5 + x * 0.8, 0.275)], 0.018, dark)
    for side in (-1, 1):
        x = 0.5 + side * 0.062
        head.ellipse(x, 0.335, 0.03, 0.03, (178, 196, 84) if cat.muzzle < 0.5 else (226, 176, 60))
        head.ellipse(x, 0.335, 0.011, 0.026, (18, 16, 16))
        head.ellipse(x - 0.008, 0.325, 0.006, 0.006, (255, 255, 255))
        for drop in (0.0, 0.022):
            head.stroke([(0.5 + side * 0.05, 0.4 + drop * 0.5), (0.5 + side * 0.19, 0.385 + drop)],
                        0.005, (238, 236, 232))  # fmt: skip
    head.polygon([(0.482, 0.375), (0.518, 0.375), (0.5, 0.393)], (206, 110, 110))
    head.stroke([(0.47, 0.418), (0.5, 0.405), (0.53, 0.418)], 0.009, shade(dark, -0.2))
    return head


def draw_chair_layers(chair: Chair, view: View, size: int) -> list[Layer]:
    """A chair: back, seat and four legs."""
    layer, paint, dark = Layer(size, view), chair.colour, shade(chair.colour, -0.3)
    top, foot = 0.12 + 0.12 * chair.back, 0.84 + 0.06 * chair.legs
    for x in (0.34, 0.7):
        layer.stroke([(x, 0.55), (x, foot - 0.06)], 0.04, dark)
    if chair.slats:
        for slat in range(chair.slats):
            x = 0.36 + (slat + 0.5) * 0.32 / chair.slats
            layer.stroke([(x, top + 0.04), (x, 0.55)], 0.035, paint)
        layer.stroke([(0.33, top + 0.03), (0.71, top + 0.03)], 0.06, paint)
        for x in (0.33, 0.71):
            layer.stroke([(x, top + 0.03), (x, 0.56)], 0.045, paint)
    else:
        layer.blob([(0.32, 0.55), (0.31, top + 0.06), (0.4, top), (0.64, top), (0.73, top + 0.06),
                    (0.72, 0.55)], paint)  # fmt: skip
    layer.polygon([(0.3, 0.55), (0.74, 0.55), (0.8, 0.66), (0.24, 0.66)], chair.cushion)
    layer.polygon([(0.24, 0.66), (0.8, 0.66), (0.8, 0.7), (0.24, 0.7)], dark)
    for x in (0.27, 0.77):
        layer.stroke([(x, 0.68), (x, foot)], 0.045, paint)
    return [layer.lit(0.03, 0.4)]
