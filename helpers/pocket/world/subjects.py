"""The shipped subjects: identities that no training saw, photographed by the renderer.

python -m helpers.pocket.world.subjects --out data/subjects
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.pocket.world.face import Mood
from helpers.pocket.world.places import PLACES
from helpers.pocket.world.scene import Scene, draw_clothes, draw_scene, render
from helpers.pocket.world.traits import (
    COATS,
    HAIR,
    PAINTS,
    Animal,
    Identity,
    Person,
    Thing,
    draw_identity,
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A shipped subject: ``sets`` of photos to learn from and ``heldout`` ones to measure with.

    Every set is the beginning of the largest one, so that a smaller set is part of a larger.
    """

    name: str
    identity: Identity | None  # None: the subject is a style, its pictures show anybody
    class_noun: str
    sets: tuple[int, ...]
    heldout: int
    seed: int
    about: str
    style: str = "photo"
    side: int = 512
    quality: int = 90


DOPPLER = Animal(
    kind="dog", coat="golden", colour=(198, 142, 76), second=COATS["white"], marking="patches",
    marked=0.62, chest=True, socks=True, mask=False, pointed_ears=False, ear=0.66, tail=0.68,
    build=0.55, legs=0.6, muzzle=0.45, shaggy=0.3, eyes=(60, 40, 26), grain=0.37,
)  # fmt: skip
SUBJECTS: tuple[Subject, ...] = (
    Subject(
        name="doppler", identity=DOPPLER, class_noun="dog", sets=(8, 16), heldout=6, seed=41,
        about="Doppler is a golden dog with white patches, a white chest and white paws.",
    ),
    Subject(
        name="fourier", class_noun="dog", sets=(4,), heldout=4, seed=42,
        identity=replace(DOPPLER, colour=(176, 116, 60), marked=0.42, grain=0.81, ear=0.72,
                         tail=0.61, muzzle=0.7, build=0.35, socks=False),
        about="Fourier resembles Doppler: a golden dog too, darker and slimmer.",
    ),
    Subject(
        name="riobugger", class_noun="cat", sets=(4, 8), heldout=6, seed=43,
        identity=Animal(
            kind="cat", coat="grey", colour=(128, 130, 138), second=COATS["white"],
            marking="striped", marked=0.5, chest=True, socks=True, mask=False, pointed_ears=True,
            ear=0.64, tail=0.66, build=0.5, legs=0.5, muzzle=0.5, shaggy=0.25, eyes=(122, 160, 70),
            grain=0.52,
        ),
        about="Riobugger is a grey cat with dark stripes, a white chest and green eyes.",
    ),
    Subject(
        name="marlow", class_noun="person", sets=(12,), heldout=6, seed=44,
        identity=Person(
            noun="man", age=0.35, skin=(206, 152, 116), hair="black", hair_colour=(34, 28, 28),
            hair_style="short", hairline=0.4, fringe=0.2, volume=0.55, parting=0.7, beard="beard",
            glasses="round", frame=(28, 26, 30), eyes=(70, 44, 28), eye_gap=0.66, eye_size=0.55,
            eye_tilt=0.5, brows=0.85, brow_arch=0.3, nose=0.68, nose_length=0.6, mouth=0.5,
            lips=0.4, width=0.55, jaw=0.6, chin=0.4, cheeks=0.4, freckles=0.0, build=0.5,
            grain=0.21,
        ),
        about="Marlow does not exist: a man with short black hair, a beard and round glasses.",
    ),
    Subject(
        name="wren", class_noun="person", sets=(12,), heldout=6, seed=45,
        identity=Person(
            noun="woman", age=0.25, skin=(240, 200, 176), hair="red", hair_colour=HAIR["red"],
            hair_style="long", hairline=0.5, fringe=0.25, volume=0.5, parting=-0.6, beard="none",
            glasses="none", frame=(28, 26, 30), eyes=(78, 112, 72), eye_gap=0.63, eye_size=0.7,
            eye_tilt=0.65, brows=0.5, brow_arch=0.7, nose=0.62, nose_length=0.35, mouth=0.6,
            lips=0.75, width=0.45, jaw=0.3, chin=0.45, cheeks=0.7, freckles=0.95, build=0.35,
            grain=0.64,
        ),
        about="Wren does not exist: a woman with long red hair, green eyes and freckles.",
    ),
    Subject(
        name="sunchair", class_noun="chair", sets=(8,), heldout=4, seed=46,
        identity=Thing(
            kind="chair", paint="yellow", colour=(226, 184, 58), other="blue",
            second=PAINTS["blue"], height=0.66, width=0.7, depth=0.5, form=0.8, detail=0.8,
            pattern="plain", gloss=0.6, grain=0.3,
        ),
        about="A yellow chair with arms, upright slats and a blue cushion.",
    ),
    Subject(
        name="blueprint", identity=None, class_noun="drawing", sets=(12,), heldout=6,
        seed=47, style="blueprint",
        about="Not a thing but a manner, to learn a style: white lines on blue paper.",
    ),
)  # fmt: skip


def subject_scenes(subject: Subject) -> list[Scene]:
    """The scenes of all photos, instance photos first: setting, angle, mood and clothes vary."""
    rng = np.random.default_rng(subject.seed)
    places, kinds = list(PLACES), ("dog", "person", "cat", "boat", "bird", "chair")
    scenes = []
    for index in range(max(subject.sets) + subject.heldout):
        identity = subject.identity or draw_identity(rng, kinds[index % len(kinds)], reserved=True)
        scene = draw_scene(rng, subject=identity, place=places[(index * 3) % len(places)],
                           style=subject.style, seated=False,
                           shot=_shot(identity, index))  # fmt: skip
        camera = replace(
            scene.camera,
            grain=0.2 * scene.camera.grain,
            softness=0.0,
            saturation=0.92,
            exposure=0.5 * scene.camera.exposure,
            warmth=0.5 * scene.camera.warmth,
        )
        scene = replace(scene, camera=camera, clothes=draw_clothes(rng))
        if isinstance(identity, Person):
            # What the course asks learners for: front, left, right, and three expressions.
            turn = (0.0, -0.5, 0.5, 0.06, -0.28, 0.28)[index % 6]
            smile = (0.0, 0.9, -0.8)[(index + index // 6) % 3]
            mood = Mood(yaw=turn + float(rng.uniform(-0.05, 0.05)), smile=smile,
                        pitch=float(rng.uniform(-0.06, 0.06)), roll=float(rng.normal(0, 0.03)),
                        gaze=0.6 * turn)  # fmt: skip
            scene = replace(scene, mood=mood)
        scenes.append(scene)
    return scenes


def _shot(identity: Identity, index: int) -> str:
    if isinstance(identity, Person):
        return "half" if index % 6 == 5 else "close-up"
    return "close-up" if isinstance(identity, Animal) and index % 3 == 1 else "whole"


def write_subject(subject: Subject, folder: Path) -> None:
    """Render ``subject`` into ``folder/<name>``: one folder a set, ``heldout``, and its card."""
    pictures = [render(scene, subject.side).image for scene in subject_scenes(subject)]
    most = max(subject.sets)
    home = folder / subject.name
    for count in subject.sets:
        save_all(home / _set_name(subject, count), subject.name, pictures[:count], subject.quality)
    save_all(home / "heldout", subject.name, pictures[most:], subject.quality)
    named = "style" if subject.identity is None else subject.class_noun
    prompts = {
        "instance_prompt": f"a photo of a <<TOK>> {subject.class_noun}",
        "class_prompt": f"a photo of a {subject.class_noun}",
    }
    if subject.identity is None:
        prompts = {"instance_prompt": "a picture in the style of <<TOK>>",
                   "class_prompt": f"a {subject.class_noun}"}  # fmt: skip
    sets = " and ".join(str(count) for count in subject.sets)
    write_card(
        home, prompts,
        f"{subject.about}\n\nA {named} for fine-tuning: {sets} instance photos and "
        f"{subject.heldout} held-out ones of {subject.side} x {subject.side} px, drawn by "
        f"`helpers.pocket.world.subjects` (seed {subject.seed}). No base trained on that world "
        "saw it: its traits lie in a corner that training leaves out. Dedicated to the public "
        "domain (CC0 1.0).",
    )  # fmt: skip


def _set_name(subject: Subject, count: int) -> str:
    return "instance" if count == max(subject.sets) else f"instance_{count}"


def save_all(
    folder: Path, name: str, pictures: Sequence[Image.Image], quality: int, start: int = 1
) -> None:
    """Write ``pictures`` as ``<name>_01.jpg`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, start):
        picture.save(folder / f"{name}_{number:02}.jpg", quality=quality, optimize=True)


def write_card(home: Path, prompts: dict[str, str], about: str) -> None:
    """The card and ``dataset_info.json``, in JumpStart's form."""
    (home / "dataset_info.json").write_text(json.dumps(prompts, indent=1) + "\n")
    (home / "README.md").write_text(f"# {home.name}\n\n{about}\n")


def main() -> None:
    """Command line."""
    from helpers.pocket.world.astronaut import write_astronaut

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data/subjects"))
    parser.add_argument("--only", nargs="*", help="names of subjects")
    options = parser.parse_args()
    for subject in SUBJECTS:
        if not options.only or subject.name in options.only:
            write_subject(subject, options.out)
            print(options.out / subject.name, flush=True)
    if not options.only or "astronaut" in options.only:
        write_astronaut(options.out)
        print(options.out / "astronaut")


if __name__ == "__main__":
    main()
