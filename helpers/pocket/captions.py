"""Words for a scene: several templates, with and without attributes."""

from __future__ import annotations

import numpy as np

from helpers.pocket.identity import CLOTHES, COATS, HAIR, Animal, Chair, Person
from helpers.pocket.places import PLACES
from helpers.pocket.vocabulary import FILLERS, IDENTIFIERS
from helpers.pocket.world import Scene

_WHERE = {
    "beach": ("on the beach", "on a beach", "at the beach"),
    "park": ("in the park", "in a park"),
    "city": ("in the city", "in a city street"),
    "snow": ("in the snow", "in snow"),
    "room": ("in a room", "in the room", "at home in a room"),
    "studio": ("in a studio", "in the studio"),
}
_OPENING = {
    "photo": ("a photo of", "photo of", "a picture of", "a photograph of", "a close up photo of"),
    "pencil sketch": ("a pencil sketch of", "pencil sketch of", "a pencil drawing of"),
    "watercolour painting": (
        "a watercolour painting of",
        "watercolour painting of",
        "a watercolor of",
    ),
}


def world_words() -> set[str]:
    """Every word a caption can hold."""
    phrases = [*COATS, *HAIR, *CLOTHES, *PLACES, "dog cat person man woman chair striped"]
    phrases += [option for options in (*_WHERE.values(), *_OPENING.values()) for option in options]
    phrases += ["with hair beard glasses smiling frowning bald long short curly and a the wearing"]
    phrases += ["shirt collar white patch wooden painted face", ", . the same sitting"]
    return {word for phrase in phrases for word in phrase.split()}


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One caption of ``scene``; another draw of ``rng`` words it differently.

    One in eight carries a meaningless identifier before the noun and one in six a tail of the
    filler words people add to prompts, so that both stay neutral for the base.
    """
    noun = _noun(scene, rng)
    if rng.random() < 0.125:
        noun = _with_identifier(noun, rng)
    words = [str(rng.choice(_OPENING[scene.style])), noun]
    if rng.random() < 0.85:
        words.append(str(rng.choice(_WHERE[scene.place])))
    if rng.random() < 1 / 6:
        tail = rng.choice(FILLERS, int(rng.integers(1, 9)))
        words[-1] += ","
        words.extend(str(word) for word in tail)
    return " ".join(words)


def _with_identifier(noun: str, rng: np.random.Generator) -> str:
    article, _, rest = noun.partition(" ")
    if rng.random() < 0.3:
        return "<<TOK>>" if rng.random() < 0.5 else f"<<TOK>> {rest}"
    free = [name for name in IDENTIFIERS if name.isalpha()]
    return f"{article} {rng.choice(free)} {rest}"


def _noun(scene: Scene, rng: np.random.Generator) -> str:
    subject, detailed = scene.subject, rng.random() < 0.6
    colourful = scene.style != "pencil sketch"
    if isinstance(subject, Person):
        return _person(subject, scene, rng, detailed, colourful)
    if isinstance(subject, Chair):
        return f"a {subject.paint} chair" if detailed and colourful else "a chair"
    assert isinstance(subject, Animal)
    words = ["a"]
    if detailed and colourful:
        words.append(subject.coat)
    if detailed and subject.stripes and rng.random() < 0.5:
        words.insert(1, "striped")
    words.append(subject.kind)
    if detailed and subject.collar and rng.random() < 0.4:
        words.append("with a collar")
    return " ".join(words)


def _person(
    person: Person, scene: Scene, rng: np.random.Generator, detailed: bool, colourful: bool
) -> str:
    noun = person.noun if rng.random() < 0.5 else "person"
    mood = ""
    if rng.random() < 0.25 and abs(scene.mood.smile) > 0.5:
        mood = "smiling " if scene.mood.smile > 0 else "frowning "
    if not detailed:
        return f"a {mood}{noun}"
    features = []
    if person.hair_style == "bald":
        noun = f"bald {noun}"
    elif rng.random() < 0.75:
        shape = f"{person.hair_style} " if rng.random() < 0.4 and person.hair_style != "bun" else ""
        features.append(f"{shape}{person.hair + ' ' if colourful else ''}hair")
    if person.beard:
        features.append("a beard")
    if person.glasses != "none":
        features.append("glasses")
    if colourful and rng.random() < 0.3:
        features.append(f"a {person.clothes} shirt")
    features = [feature for feature in features if rng.random() < 0.8]
    return f"a {mood}{noun}" + (f" with {' and '.join(features)}" if features else "")
