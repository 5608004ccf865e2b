"""What is true of a scene, as small numbers that a network can be trained and measured on."""

from __future__ import annotations

from helpers.pocket.world.places import PLACES
from helpers.pocket.world.scene import SHOTS, Scene
from helpers.pocket.world.styles import STYLES
from helpers.pocket.world.traits import (
    BEARDS,
    COATS,
    FEATHERS,
    GLASSES,
    HAIR,
    HAIR_STYLES,
    KINDS,
    MARKINGS,
    PAINTS,
    Animal,
    Person,
    Thing,
)

COLOURS = tuple(dict.fromkeys([*PAINTS, *COATS, *FEATHERS, *HAIR]))
"""Every colour name: of a coat, of feathers, of paint, of hair."""

LABELS: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "place": tuple(PLACES),
    "style": STYLES,
    "colour": COLOURS,  # a person's is the hair's
    "clothes": tuple(PAINTS),
    "noun": ("man", "woman"),
    "hair_style": HAIR_STYLES,
    "beard": BEARDS,
    "glasses": GLASSES,
    "expression": ("smile", "neutral", "frown"),
    "facing": ("left", "front", "right"),
    "shot": SHOTS,
    "marking": MARKINGS,
    "seated": ("no", "yes"),
}


def label(scene: Scene) -> list[int]:
    """One number for each of ``LABELS``: the index of its value, -1 where none can be seen."""
    subject, said = scene.subject, dict[str, str]()
    said["kind"], said["place"], said["style"] = subject.kind, scene.place, scene.style
    said["shot"] = scene.camera.shot
    said["seated"] = "no" if scene.seat is None else "yes"
    if isinstance(subject, Person):
        said["noun"], said["clothes"] = subject.noun, scene.clothes.name
        said["hair_style"] = subject.hair_style
        if subject.hair_style != "bald":
            said["colour"] = subject.hair
        if scene.camera.shot != "whole":
            said["beard"], said["glasses"] = subject.beard, subject.glasses
            said["expression"], said["facing"] = scene.expression, scene.facing
    elif isinstance(subject, Animal):
        said["colour"], said["marking"] = subject.coat, subject.marking
    elif isinstance(subject, Thing):
        said["colour"] = subject.paint
    if scene.style == "pencil sketch":
        said.pop("colour", None)
        said.pop("clothes", None)
    return [values.index(said[name]) if name in said else -1 for name, values in LABELS.items()]
