"""Draws the shipped subjects: identities the base never saw, as photos of 512 px and more.

python -m helpers.pocket.subjects --out data/subjects
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from helpers.pocket.identity import CLOTHES, Identity, Person
from helpers.pocket.people import Expression
from helpers.pocket.places import PLACES
from helpers.pocket.world import Scene, draw_scene, render


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A shipped subject: ``instance`` photos to learn from and ``heldout`` ones to measure with."""

    name: str
    identity: Identity
    class_noun: str
    instance: int
    heldout: int
    seed: int
    side: int = 640
    about: str = ""


ROBIN = Subject(
    name="robin",
    identity=Person(
        noun="person", skin=(236, 190, 158), hair="red", hair_colour=(186, 74, 30),
        hair_style="curly", fringe=0.35, beard=0.0, glasses="none", eyes=(62, 118, 74), brows=0.75,
        nose=0.35, width=0.55, jaw=0.35, clothes="green", clothes_colour=CLOTHES["green"],
    ),
    class_noun="person",
    instance=10,
    heldout=6,
    seed=31,
    about="Robin does not exist: a drawn person with curly red hair and green eyes.",
)  # fmt: skip

SUBJECTS = (ROBIN,)


def subject_scenes(subject: Subject) -> list[Scene]:
    """The scenes of all photos, instance photos first: settings, clothes, angle and mood vary."""
    rng = np.random.default_rng(subject.seed)
    places = list(PLACES)
    clothes = list(CLOTHES)
    scenes = []
    for index in range(subject.instance + subject.heldout):
        identity = subject.identity
        if isinstance(identity, Person):
            name = clothes[int(rng.integers(len(clothes)))]
            identity = replace(identity, clothes=name, clothes_colour=CLOTHES[name])
        scene = draw_scene(rng, subject=identity, place=places[index % len(places)], style="photo")
        if isinstance(identity, Person):
            # What the course asks learners for: front, left, right, and three expressions.
            turn = (0.0, -0.8, 0.8, -0.35, 0.35)[index % 5]
            mood = Expression(turn=turn, smile=(0.0, 0.85, -0.6)[index % 3], gaze=turn * 0.5)
            scene = replace(scene, mood=mood, view=replace(scene.view, flip=False))
        scenes.append(scene)
    return scenes


def write_subject(subject: Subject, folder: Path) -> None:
    """Render ``subject`` into ``folder/<name>/instance`` and ``heldout``, with its card."""
    home = folder / subject.name
    for index, scene in enumerate(subject_scenes(subject)):
        held = index >= subject.instance
        number = index - subject.instance if held else index
        path = home / ("heldout" if held else "instance") / f"{subject.name}_{number + 1:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        render(scene, subject.side).image.save(path, quality=88, optimize=True)
    prompts = {
        "instance_prompt": f"a photo of a <<TOK>> {subject.class_noun}",
        "class_prompt": f"a photo of a {subject.class_noun}",
    }
    (home / "dataset_info.json").write_text(json.dumps(prompts, indent=1) + "\n")
    (home / "README.md").write_text(
        f"# {subject.name}\n\n{subject.about}\n\n"
        f"{subject.instance} instance photos and {subject.heldout} held-out photos of "
        f"{subject.side} x {subject.side} px, drawn by `helpers.pocket.subjects` "
        f"(seed {subject.seed}). Dedicated to the public domain (CC0 1.0).\n"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data/subjects"))
    options = parser.parse_args()
    for subject in SUBJECTS:
        write_subject(subject, options.out)
        print(options.out / subject.name)


if __name__ == "__main__":
    main()
