"""Who is in the picture: the numbers that make one dog, cup or person *that* one.

Every trait is drawn independently of the others and evenly over its range, so that a network
cannot guess one from another. (One exception: beards grow on men and on half of them.) Colours
have a name, for captions, and a jittered value, for identity. Numbers run from 0 to 1 unless said
otherwise; colours are sRGB triples in 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

Colour = tuple[int, int, int]
Random = np.random.Generator

COATS: dict[str, Colour] = {
    "black": (40, 37, 40), "white": (232, 228, 220), "grey": (134, 134, 140),
    "brown": (104, 64, 40), "golden": (206, 154, 84), "orange": (206, 108, 44),
}  # fmt: skip
FEATHERS: dict[str, Colour] = {
    "red": (190, 44, 40), "blue": (52, 100, 190), "yellow": (232, 196, 58),
    "green": (70, 140, 66), "white": (234, 232, 226), "black": (42, 42, 50),
}  # fmt: skip
HAIR: dict[str, Colour] = {
    "black": (30, 25, 26), "brown": (84, 54, 34), "blond": (204, 164, 98),
    "red": (150, 62, 28), "grey": (162, 160, 160),
}  # fmt: skip
SKINS: tuple[Colour, ...] = (
    (244, 208, 186), (232, 186, 156), (214, 162, 126), (180, 124, 88), (136, 90, 62), (88, 58, 42),
)  # fmt: skip
PAINTS: dict[str, Colour] = {
    "red": (186, 40, 42), "blue": (44, 82, 168), "green": (50, 124, 72), "yellow": (228, 188, 56),
    "purple": (112, 62, 142), "orange": (224, 112, 38), "white": (230, 230, 230),
    "black": (40, 40, 46),
}  # fmt: skip
EYES: tuple[Colour, ...] = (
    (64, 40, 26),
    (92, 62, 34),
    (66, 104, 142),
    (78, 108, 70),
    (96, 104, 112),
)
HAIR_STYLES = ("short", "long", "curly", "bald", "bun")
BEARDS = ("none", "stubble", "moustache", "beard")
GLASSES = ("none", "round", "square", "sunglasses")
MARKINGS = ("plain", "patches", "striped", "spotted")


@dataclass(frozen=True, kw_only=True)
class Animal:
    """A dog, a cat or a bird."""

    kind: str
    coat: str
    colour: Colour
    second: Colour
    marking: str
    marked: float  # where the marking lies and how much of it there is
    chest: bool  # chest and muzzle of the second colour
    socks: bool
    mask: bool  # a darker face
    pointed_ears: bool
    ear: float
    tail: float
    build: float
    legs: float
    muzzle: float
    shaggy: float
    eyes: Colour
    grain: float  # which piece of the fur


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person from the hair down."""

    kind: str = "person"
    noun: str  # man or woman
    age: float
    skin: Colour
    hair: str
    hair_colour: Colour
    hair_style: str
    hairline: float
    fringe: float
    volume: float
    parting: float  # -1 left to 1 right
    beard: str
    glasses: str
    frame: Colour
    eyes: Colour
    eye_gap: float
    eye_size: float
    eye_tilt: float
    brows: float
    brow_arch: float
    nose: float
    nose_length: float
    mouth: float
    lips: float
    width: float
    jaw: float
    chin: float
    cheeks: float
    freckles: float
    build: float
    grain: float


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A chair, a car, a cup or a boat."""

    kind: str
    paint: str
    colour: Colour
    other: str  # the name of the second colour
    second: Colour
    height: float
    width: float
    depth: float
    form: float  # which of its forms: slats or solid, van or racer, ...
    detail: float
    pattern: str  # plain or striped
    gloss: float
    grain: float

    @property
    def cushioned(self) -> bool:
        """A chair with a cushion of its second colour."""
        return self.kind == "chair" and self.gloss > 0.4


Identity = Animal | Person | Thing


def near(rng: Random, colour: Colour, spread: float = 5) -> Colour:
    """A colour like ``colour``. Lightness varies more than hue: a grey must stay grey."""
    lighter = rng.normal(0, 2.2 * spread)
    red, green, blue = (int(np.clip(c + lighter + rng.normal(0, spread), 8, 250)) for c in colour)
    return red, green, blue


def pick(rng: Random, names: dict[str, Colour]) -> tuple[str, Colour]:
    """One of ``names`` and a colour near it."""
    name = str(rng.choice(list(names)))
    return name, near(rng, names[name])


def _numbers(rng: Random, kind: type, *names: str) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    assert known.issuperset(names)
    return {name: float(rng.random()) for name in names}


def draw_animal(rng: Random, kind: str) -> Animal:
    """A random dog, cat or bird."""
    palette = FEATHERS if kind == "bird" else COATS
    coat, colour = pick(rng, palette)
    second = near(rng, palette[str(rng.choice([name for name in palette if name != coat]))])
    return Animal(
        kind=kind, coat=coat, colour=colour, second=second,
        marking=str(rng.choice(MARKINGS)),
        chest=bool(rng.random() < 0.4), socks=bool(rng.random() < 0.35),
        mask=bool(rng.random() < 0.3),
        pointed_ears=kind == "cat" or bool(rng.random() < 0.2),
        eyes=near(rng, ((70, 44, 24), (150, 120, 40), (110, 150, 70), (90, 140, 170))[
            int(rng.integers(4))] if kind == "cat" else (60, 40, 26), 6),
        **_numbers(rng, Animal, "marked", "ear", "tail", "build", "legs", "muzzle", "shaggy",
                   "grain"),
    )  # fmt: skip


def draw_person(rng: Random) -> Person:
    """A random person; hair, skin, beard, glasses and face are independent."""
    noun = str(rng.choice(["man", "woman"]))
    hair, hair_colour = pick(rng, HAIR)
    tone = float(rng.uniform(0, len(SKINS) - 1.001))
    low, share = SKINS[int(tone)], tone % 1
    high, under = SKINS[int(tone) + 1], float(rng.normal(0, 5))
    skin = [a + (b - a) * share for a, b in zip(low, high, strict=True)]
    beard = str(rng.choice(BEARDS, p=(0.45, 0.15, 0.15, 0.25))) if noun == "man" else "none"
    return Person(
        noun=noun,
        skin=(int(np.clip(skin[0] + under * 0.5, 20, 252)), int(skin[1]),
              int(np.clip(skin[2] - under, 16, 250))),
        hair=hair, hair_colour=hair_colour,
        hair_style=str(rng.choice(HAIR_STYLES, p=(0.3, 0.25, 0.22, 0.08, 0.15))),
        parting=float(rng.uniform(-1, 1)),
        beard=beard,
        glasses=str(rng.choice(GLASSES, p=(0.55, 0.17, 0.17, 0.11))),
        frame=((28, 26, 30), (110, 70, 40), (150, 148, 150), (150, 30, 40))[int(rng.integers(4))],
        eyes=near(rng, EYES[int(rng.integers(len(EYES)))], 5),
        **_numbers(rng, Person, "age", "hairline", "fringe", "volume", "eye_gap", "eye_size",
                   "eye_tilt", "brows", "brow_arch", "nose", "nose_length", "mouth", "lips",
                   "width", "jaw", "chin", "cheeks", "freckles", "build", "grain"),
    )  # fmt: skip


def draw_thing(rng: Random, kind: str) -> Thing:
    """A random chair, car, cup or boat."""
    paint, colour = pick(rng, PAINTS)
    other = str(rng.choice([name for name in PAINTS if name != paint]))
    return Thing(
        kind=kind, paint=paint, colour=colour, other=other,
        second=near(rng, PAINTS[other]),
        pattern=str(rng.choice(["plain", "striped"], p=(0.65, 0.35))),
        **_numbers(rng, Thing, "height", "width", "depth", "form", "detail", "gloss", "grain"),
    )  # fmt: skip


ANIMALS, THINGS = ("dog", "cat", "bird"), ("chair", "car", "cup", "boat")
KINDS = ("dog", "cat", "person", "chair", "bird", "car", "cup", "boat")


_RESERVED = {Animal: ("ear", "tail"), Person: ("eye_gap", "nose"), Thing: ("height", "width")}
_FROM, _TO = 0.60, 0.75


def held_out(identity: Identity) -> bool:
    """Whether ``identity`` lies where no training looks: both of two numbers in 0.60..0.75.

    The corner holds one identity in 44, too few to disturb the balance, and every shipped subject.
    """
    return all(_FROM <= getattr(identity, name) < _TO for name in _RESERVED[type(identity)])


def draw_identity(rng: Random, kind: str, *, reserved: bool = False) -> Identity:
    """A random identity of ``kind``, one of ``KINDS``; from the held-out corner if ``reserved``."""
    while True:
        if kind == "person":
            found: Identity = draw_person(rng)
        else:
            found = draw_animal(rng, kind) if kind in ANIMALS else draw_thing(rng, kind)
        if reserved:
            corner = {name: float(rng.uniform(_FROM, _TO)) for name in _RESERVED[type(found)]}
            return replace(found, **corner)
        if not held_out(found):
            return found


def linear(colour: Colour) -> tuple[float, float, float]:
    """sRGB 0..255 to linear light 0..1."""
    red, green, blue = (((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 3295 for c in colour)
    return red, green, blue
