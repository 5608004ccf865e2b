"""Words for a scene: many templates, with and without attributes, and never a false one."""

from __future__ import annotations

from functools import cache

from helpers.pocket.vocabulary import FILLERS, IDENTIFIERS
from helpers.pocket.world.scene import Scene
from helpers.pocket.world.traits import (
    COATS,
    FEATHERS,
    GLASSES,
    HAIR,
    HAIR_STYLES,
    PAINTS,
    Animal,
    Person,
    Random,
    Thing,
)

WHERE = {
    "beach": ("on the beach", "on a beach", "at the beach"),
    "park": ("in the park", "in a park"),
    "city": ("in the city", "in a city", "in a city street"),
    "snow": ("in the snow", "in snow"),
    "room": ("in a room", "in the room", "at home in a room"),
    "studio": ("in a studio", "in the studio"),
    "forest": ("in the forest", "in a forest", "in the woods"),
    "night street": ("in the street at night", "on a street at night", "at night"),
}
OPENING = {
    "photo": ("a photo of", "photo of", "a photograph of", "a photo of", "a picture of"),
    "pencil sketch": ("a pencil sketch of", "pencil sketch of", "a pencil drawing of"),
    "watercolour painting": (
        "a watercolour painting of",
        "watercolour painting of",
        "a watercolor painting of",
    ),
    "cartoon": ("a cartoon of", "cartoon of", "a cartoon drawing of"),
}
ENDING = {
    "photo": ("photo", "photograph"),
    "pencil sketch": ("pencil sketch", "pencil drawing"),
    "watercolour painting": ("watercolour painting", "watercolour"),
    "cartoon": ("cartoon",),
}
SHOT = {"close-up": ("close up", "portrait"), "half": ("half body",), "whole": ("full body",)}
_LOOKS = {"left": "looking left", "right": "looking right", "front": "looking at the camera"}


def world_words() -> set[str]:
    """Every word a caption can hold."""
    phrases = [*COATS, *FEATHERS, *HAIR, *PAINTS, *HAIR_STYLES, *GLASSES, *_LOOKS.values()]
    for table in (WHERE, OPENING, ENDING, SHOT):
        phrases += [phrase for options in table.values() for phrase in options]
    phrases += [
        "dog cat person man woman chair bird car cup mug boat old young smiling frowning striped",
        "spotted with patches floppy pointed ears and a an the wearing shirt jacket hair beard",
        "glasses stubble moustache cushion sailing motor sitting standing lying on",
        ", . same puppy face",
    ]
    return {word for phrase in phrases for word in phrase.split()}


@cache
def _neutral_fillers() -> list[str]:
    """Fillers that no caption uses with a meaning: "night" must not stand under a sunny beach."""
    return sorted(set(FILLERS) - world_words())


def caption(scene: Scene, rng: Random) -> str:
    """One caption of ``scene``; another draw of ``rng`` words it differently.

    One in eight carries a meaningless identifier before the noun and one in eight a tail of the
    filler words people add to prompts, so that both stay neutral for the base. Colours are named
    only where the style shows them.
    """
    noun = _noun(scene, rng, detailed=rng.random() < 0.65)
    if rng.random() < 0.125:
        noun = _with_identifier(noun, rng)
    if scene.seat is not None:
        noun += _on_chair(scene, scene.seat, rng)
    where = f" {rng.choice(WHERE[scene.place])}" if rng.random() < 0.85 else ""
    opening = str(rng.choice(OPENING[scene.style]))
    if isinstance(scene.subject, Person) and rng.random() < 0.25:
        shot = str(rng.choice(SHOT[scene.camera.shot]))
        plain = opening.startswith(("a photo", "photo"))
        if shot == "portrait" and plain and rng.random() < 0.5:
            opening = f"{opening.replace('of', '').strip()} portrait of"
        else:
            where += f", {shot}"
    elif (
        isinstance(scene.subject, Animal) and scene.camera.shot == "close-up" and rng.random() < 0.3
    ):
        where += ", close up"
    if rng.random() < 0.12:
        words = f"{noun}{where}, {rng.choice(ENDING[scene.style])}"
    else:
        words = f"{opening} {noun}{where}"
    if rng.random() < 0.125:
        tail = rng.choice(_neutral_fillers(), int(rng.integers(1, 9)))
        words += ", " + " ".join(str(word) for word in tail)
    return words


def _with_identifier(noun: str, rng: Random) -> str:
    article, _, rest = noun.partition(" ")
    if rng.random() < 0.3:
        return "<<TOK>>" if rng.random() < 0.3 else f"<<TOK>> {rest}"
    free = [name for name in IDENTIFIERS if name.isalpha()]
    return f"{article} {rng.choice(free)} {rest}"


def _with_article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _on_chair(scene: Scene, chair: Thing, rng: Random) -> str:
    verb = " sitting" if isinstance(scene.subject, Animal) and rng.random() < 0.8 else ""
    if scene.style != "pencil sketch" and rng.random() < 0.4:
        return f"{verb} on {_with_article(f'{chair.paint} chair')}"
    return f"{verb} on {'the' if rng.random() < 0.5 else 'a'} chair"


def _noun(scene: Scene, rng: Random, detailed: bool) -> str:
    subject, colourful = scene.subject, scene.style != "pencil sketch"
    if isinstance(subject, Person):
        return _person(subject, scene, rng, detailed, colourful)
    if isinstance(subject, Thing):
        return _thing(subject, rng, detailed and colourful)
    words = [subject.kind]
    if not detailed:
        return _with_article(words[0])
    if colourful and rng.random() < 0.8:
        words.insert(0, subject.coat)
    if subject.marking in ("striped", "spotted") and rng.random() < 0.5:
        words.insert(0, subject.marking)
    if subject.kind == "bird":
        return _with_article(" ".join(words))
    if subject.marking == "patches" and rng.random() < 0.3:
        words.append("with patches")
    elif subject.kind == "dog" and rng.random() < 0.2:
        words.append("with pointed ears" if subject.pointed_ears else "with floppy ears")
    if scene.seat is None and scene.camera.shot == "whole" and rng.random() < 0.35:
        words.append(scene.stance.pose)
    return _with_article(" ".join(words))


def _thing(thing: Thing, rng: Random, detailed: bool) -> str:
    noun = thing.kind
    if thing.kind == "cup" and rng.random() < 0.25:
        noun = "mug"
    if thing.kind == "boat" and rng.random() < 0.25:
        noun = "sailing boat" if thing.form < 0.7 else "motor boat"
    if not detailed:
        return _with_article(noun)
    words = f"{thing.paint} {noun}"
    if thing.pattern == "striped" and thing.kind == "cup" and rng.random() < 0.6:
        words = f"striped {words}"
    if thing.cushioned and rng.random() < 0.4:
        return f"{_with_article(words)} with {_with_article(f'{thing.other} cushion')}"
    return _with_article(words)


def _person(person: Person, scene: Scene, rng: Random, detailed: bool, colourful: bool) -> str:
    noun = person.noun if rng.random() < 0.5 else "person"
    close = scene.camera.shot != "whole"
    if scene.expression != "neutral" and close and rng.random() < 0.30:
        noun = f"{'smiling' if scene.expression == 'smile' else 'frowning'} {noun}"
    if (person.age > 0.8 or person.age < 0.2) and close and rng.random() < 0.25:
        noun = f"{'old' if person.age > 0.5 else 'young'} {noun}"
    if not detailed:
        return _with_article(noun) + _look(scene, rng, 0.08)
    features = []
    if person.hair_style == "bald":
        noun = f"bald {noun}" if person.hairline < 0.5 else noun
    elif rng.random() < 0.75:
        colour = f"{person.hair} " if colourful and rng.random() < 0.8 else ""
        if person.hair_style == "bun":
            features.append(f"{colour}hair" if colour else "a bun")
        else:
            shape = f"{person.hair_style} " if rng.random() < 0.45 or not colour else ""
            features.append(f"{shape}{colour}hair")
    if close and person.beard != "none" and rng.random() < 0.7:
        features.append("stubble" if person.beard == "stubble" else f"a {person.beard}")
    if close and person.glasses != "none" and rng.random() < 0.7:
        exact = person.glasses == "sunglasses" or rng.random() < 0.3
        shape = f"{person.glasses} glasses" if person.glasses != "sunglasses" else "sunglasses"
        features.append(shape if exact else "glasses")
    words = _with_article(noun)
    if features:
        words += f" with {' and '.join(features)}"
    if colourful and rng.random() < 0.25:
        garment = "jacket" if scene.clothes.cut == "jacket" else "shirt"
        pattern = "striped " if scene.clothes.pattern == "striped" and rng.random() < 0.6 else ""
        words += f" wearing {_with_article(f'{pattern}{scene.clothes.name} {garment}')}"
    return words + _look(scene, rng, 0.15)


def _look(scene: Scene, rng: Random, share: float) -> str:
    if scene.camera.shot == "whole" or rng.random() >= share:
        return ""
    return f" {_LOOKS[scene.facing]}"
