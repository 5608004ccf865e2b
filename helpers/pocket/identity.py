"""Who is in the picture: the parameters that make one dog, cat, person or chair *that* one.

Each parameter is drawn independently of the others, so that a network cannot guess one from
another. Colours have a name (for captions) and a jittered value (for identity).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.pocket.canvas import Colour

COATS: dict[str, Colour] = {
    "black": (46, 43, 48), "white": (236, 232, 224), "grey": (138, 138, 146),
    "brown": (120, 74, 44), "golden": (212, 160, 84), "orange": (220, 118, 44),
}  # fmt: skip
HAIR: dict[str, Colour] = {
    "black": (34, 28, 30), "brown": (96, 60, 36), "blond": (222, 184, 106),
    "red": (176, 72, 32), "grey": (168, 168, 172),
}  # fmt: skip
SKINS: tuple[Colour, ...] = (
    (250, 220, 196), (238, 196, 164), (222, 170, 132), (190, 134, 96), (146, 98, 68), (100, 66, 48),
)  # fmt: skip
CLOTHES: dict[str, Colour] = {
    "red": (196, 48, 48), "blue": (48, 88, 176), "green": (52, 130, 74), "yellow": (230, 194, 62),
    "purple": (122, 66, 150), "white": (234, 234, 236), "black": (44, 44, 52),
}  # fmt: skip
STYLES_OF_HAIR = ("short", "long", "curly", "bald", "bun")


@dataclass(frozen=True, kw_only=True)
class Animal:
    """A dog or a cat. Numbers run from 0 to 1 unless said otherwise."""

    kind: str
    coat: str
    colour: Colour
    second: Colour
    patch: float  # size of the patch on the flank (0: none)
    patch_at: float
    chest: bool  # a chest of the second colour
    stripes: int  # tabby stripes, 0 to 4
    pointed_ears: bool
    ear: float
    tail: float
    build: float
    muzzle: float
    collar: Colour | None


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person, seen from head to shoulders. Numbers run from 0 to 1."""

    kind: str = "person"
    noun: str  # man, woman or person
    skin: Colour
    hair: str
    hair_colour: Colour
    hair_style: str
    fringe: float
    beard: float  # 0 none, above 0.2 stubble to full
    glasses: str  # none, round or square
    eyes: Colour
    brows: float
    nose: float
    width: float
    jaw: float
    clothes: str
    clothes_colour: Colour


@dataclass(frozen=True, kw_only=True)
class Chair:
    """A chair seen from slightly above."""

    kind: str = "chair"
    paint: str
    colour: Colour
    cushion: Colour
    back: float
    slats: int  # 0 is a solid back
    legs: float


Identity = Animal | Person | Chair


def _near(rng: np.random.Generator, colour: Colour, spread: float = 6) -> Colour:
    # Lightness varies more than hue: a jittered grey must stay grey.
    lighter = rng.normal(0, 2 * spread)
    red, green, blue = (int(np.clip(c + lighter + rng.normal(0, spread), 8, 250)) for c in colour)
    return red, green, blue


def _pick(rng: np.random.Generator, names: dict[str, Colour]) -> tuple[str, Colour]:
    name = str(rng.choice(list(names)))
    return name, _near(rng, names[name])


def draw_animal(rng: np.random.Generator, kind: str) -> Animal:
    """A random dog or cat."""
    coat, colour = _pick(rng, COATS)
    second = _near(rng, COATS[str(rng.choice([name for name in COATS if name != coat]))])
    return Animal(
        kind=kind,
        coat=coat,
        colour=colour,
        second=second,
        patch=float(rng.uniform(0.4, 1)) if rng.random() < 0.5 else 0.0,
        patch_at=float(rng.random()),
        chest=bool(rng.random() < 0.4),
        stripes=int(rng.integers(2, 5)) if kind == "cat" and rng.random() < 0.45 else 0,
        pointed_ears=kind == "cat" or bool(rng.random() < 0.5),
        ear=float(rng.random()),
        tail=float(rng.random()),
        build=float(rng.random()),
        muzzle=float(rng.random()),
        collar=_pick(rng, CLOTHES)[1] if rng.random() < 0.35 else None,
    )


def draw_person(rng: np.random.Generator) -> Person:
    """A random person; hair, skin, beard, glasses and clothes are independent."""
    noun = str(rng.choice(["man", "woman"]))
    hair, hair_colour = _pick(rng, HAIR)
    clothes, clothes_colour = _pick(rng, CLOTHES)
    skin = SKINS[int(rng.integers(len(SKINS)))]
    likely = (0.42, 0.1, 0.2, 0.2, 0.08) if noun == "man" else (0.2, 0.42, 0.2, 0.03, 0.15)
    return Person(
        noun=noun,
        skin=_near(rng, skin, 4),
        hair=hair,
        hair_colour=hair_colour,
        hair_style=str(rng.choice(STYLES_OF_HAIR, p=likely)),
        fringe=float(rng.random()),
        beard=float(rng.uniform(0.3, 1)) if noun == "man" and rng.random() < 0.5 else 0.0,
        glasses=str(rng.choice(["none", "round", "square"], p=[0.6, 0.2, 0.2])),
        eyes=_near(rng, ((70, 46, 30), (60, 100, 140), (70, 110, 66))[int(rng.integers(3))], 8),
        brows=float(rng.random()),
        nose=float(rng.random()),
        width=float(rng.random()),
        jaw=float(rng.random()),
        clothes=clothes,
        clothes_colour=clothes_colour,
    )


def draw_chair(rng: np.random.Generator) -> Chair:
    """A random chair."""
    paint, colour = _pick(rng, CLOTHES)
    return Chair(
        paint=paint,
        colour=colour,
        cushion=_pick(rng, CLOTHES)[1],
        back=float(rng.random()),
        slats=int(rng.integers(0, 4)),
        legs=float(rng.random()),
    )


def draw_identity(rng: np.random.Generator, kind: str) -> Identity:
    """A random identity of ``kind``: dog, cat, person or chair."""
    if kind == "person":
        return draw_person(rng)
    return draw_chair(rng) if kind == "chair" else draw_animal(rng, kind)
