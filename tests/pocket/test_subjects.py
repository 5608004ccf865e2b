"""The shipped subjects: held out of training, as the renderer makes them, their faces found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from helpers.photos.faces import find_face
from helpers.pocket.world.astronaut import HELDOUT, INSTANCE, portrait, variant
from helpers.pocket.world.scene import render
from helpers.pocket.world.subjects import SUBJECTS, Subject, subject_scenes
from helpers.pocket.world.traits import held_out
from helpers.settings import ROOT

DATA = ROOT / "data" / "subjects"
NAMES = [subject.name for subject in SUBJECTS]


@pytest.mark.parametrize("subject", SUBJECTS, ids=NAMES)
def test_a_subject_lies_where_training_does_not_look(subject: Subject) -> None:
    assert all(held_out(scene.subject) for scene in subject_scenes(subject))


@pytest.mark.parametrize("subject", SUBJECTS, ids=NAMES)
def test_the_files_are_what_the_renderer_makes(subject: Subject) -> None:
    home, scenes = DATA / subject.name, subject_scenes(subject)
    most = max(subject.sets)
    for count in subject.sets:
        folder = "instance" if count == most else f"instance_{count}"
        assert len(list((home / folder).glob("*.jpg"))) == count
    assert len(list((home / "heldout").glob("*.jpg"))) == subject.heldout
    first = Image.open(home / "instance" / f"{subject.name}_01.jpg")
    assert min(first.size) >= 512
    drawn = np.asarray(render(scenes[0], subject.side).image, int)
    assert np.abs(np.asarray(first, int) - drawn).mean() < 4  # what JPEG loses


@pytest.mark.parametrize("name", [*NAMES, "astronaut"])
def test_every_subject_has_a_card_and_prompts(name: str) -> None:
    info = json.loads((DATA / name / "dataset_info.json").read_text())
    assert "<<TOK>>" in info["instance_prompt"] and "<<TOK>>" not in info["class_prompt"]
    card = (DATA / name / "README.md").read_text()
    assert "public domain" in card


@pytest.mark.slow
@pytest.mark.parametrize("name", [s.name for s in SUBJECTS if s.class_noun == "person"])
def test_faces_are_found_in_ten_of_twelve(name: str) -> None:
    pictures = [Image.open(p).convert("RGB") for p in sorted((DATA / name / "instance").iterdir())]
    assert len(pictures) == 12
    assert sum(find_face(picture) is not None for picture in pictures) >= 10


def test_two_pictures_of_a_subject_are_not_the_same_picture() -> None:
    for name in NAMES:
        small = [np.asarray(Image.open(p).convert("L").resize((24, 24)), int)
                 for p in sorted((DATA / name / "instance").iterdir())]  # fmt: skip
        gaps = [np.abs(a - b).mean() for i, a in enumerate(small) for b in small[:i]]
        assert min(gaps) > 6, name


def test_the_astronaut_comes_in_ten_variants_that_are_hers() -> None:
    folder, photograph = DATA / "astronaut", portrait()
    assert len(list((folder / "instance").glob("*.jpg"))) == len(INSTANCE) == 10
    assert len({what[1:] for what in (*INSTANCE, *HELDOUT)}) == len(INSTANCE) + len(HELDOUT)
    stored = np.asarray(Image.open(folder / "instance" / "astronaut_06.jpg"), int)
    assert np.abs(stored - np.asarray(variant(photograph, INSTANCE[5]), int)).mean() < 4
    assert "NASA" in (folder / "README.md").read_text()
