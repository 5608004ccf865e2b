"""The drawn world: the same scene gives the same pixels, and the truth it reports is true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pocket.captions import caption, world_words
from helpers.pocket.identity import Animal, Person
from helpers.pocket.places import PLACES
from helpers.pocket.subjects import ROBIN, subject_scenes
from helpers.pocket.world import KINDS, draw_scene, render

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds)
@settings(max_examples=12, deadline=None)
def test_a_scene_always_gives_the_same_pixels(seed: int) -> None:
    first = render(draw_scene(np.random.default_rng(seed)))
    again = render(draw_scene(np.random.default_rng(seed)))
    assert first.scene == again.scene
    assert first.image.tobytes() == again.image.tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_every_kind_is_visible_in_every_place(kind: str, place: str) -> None:
    drawing = render(draw_scene(np.random.default_rng(5), kind=kind, place=place, style="photo"))
    covered = (np.asarray(drawing.mask) > 127).mean()
    assert drawing.image.size == (64, 64)
    assert 0.04 < covered < 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_marks_the_subject_and_nothing_else(kind: str) -> None:
    """Another subject colour changes pixels inside the mask only."""
    rng = np.random.default_rng(3)
    scene = draw_scene(rng, kind=kind, place="studio", style="photo")
    changed = "skin" if kind == "person" else "colour"
    other = replace(scene, subject=replace(scene.subject, **{changed: (250, 20, 250)}))
    one, two = (np.asarray(render(s).image, int) for s in (scene, other))
    moved = np.abs(one - two).max(-1) > 24
    mask = np.asarray(render(scene).mask) > 0
    assert moved.sum() > 20
    assert (moved & ~mask).sum() <= 0.02 * moved.sum()


def test_a_pencil_sketch_has_no_colour_and_a_photo_has() -> None:
    scene = draw_scene(np.random.default_rng(1), kind="dog", place="park", style="photo")
    colourful = np.asarray(render(scene).image, int)
    grey = np.asarray(render(replace(scene, style="pencil sketch")).image, int)
    assert np.ptp(grey, axis=-1).max() == 0
    assert np.ptp(colourful, axis=-1).mean() > 20


@given(seed=seeds)
@settings(max_examples=40, deadline=None)
def test_captions_tell_the_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng)
    words = caption(scene, rng).replace(",", " ").split()
    assert ({"pencil", "watercolour", "watercolor"} & set(words[:3]) != set()) == (
        scene.style != "photo"
    )
    for place in PLACES:
        # "studio" and "city" may also stand in the tail of filler words.
        if place in ("beach", "park", "snow", "room") and place in words:
            assert scene.place == place
    subject = scene.subject
    if isinstance(subject, Person):
        assert "dog" not in words and "cat" not in words
        assert ("beard" in words) <= bool(subject.beard)
        assert ("glasses" in words) <= (subject.glasses != "none")
    elif isinstance(subject, Animal) and scene.style == "pencil sketch":
        assert subject.coat not in words[:6]


def test_attributes_are_independent() -> None:
    """Hair must not foretell skin, nor the coat the ears: a network would learn the shortcut."""
    rng = np.random.default_rng(0)
    people = [draw_scene(rng, kind="person").subject for _ in range(1500)]
    dogs = [draw_scene(rng, kind="dog").subject for _ in range(1500)]
    black = np.array([p.hair == "black" for p in people], float)
    skin = np.array([p.skin[0] for p in people], float)
    coat = np.array([d.coat == "black" for d in dogs], float)
    ears = np.array([d.pointed_ears for d in dogs], float)
    assert abs(np.corrcoef(black, skin)[0, 1]) < 0.1
    assert abs(np.corrcoef(coat, ears)[0, 1]) < 0.1


def test_every_caption_word_is_in_the_vocabulary() -> None:
    from helpers.pocket.vocabulary import FILLERS

    known = {*world_words(), *FILLERS}
    rng = np.random.default_rng(4)
    spoken = {word.strip(",") for _ in range(800) for word in caption(draw_scene(rng), rng).split()}
    identifiers = {word for word in spoken - known if not word.isdigit()}
    assert identifiers <= {"<<TOK>>", "sks", "tok", "doppler", "riobugger", "zwx", "ohwx", "xkq",
                           "vlt", "qrn", "bnha"}  # fmt: skip


def test_the_subject_keeps_its_face_and_changes_everything_else() -> None:
    scenes = subject_scenes(ROBIN)
    assert len(scenes) == ROBIN.instance + ROBIN.heldout
    people = [scene.subject for scene in scenes]
    assert len({(p.skin, p.hair_colour, p.eyes, p.hair_style) for p in people}) == 1
    assert len({p.clothes for p in people}) > 3
    assert len({scene.place for scene in scenes[: ROBIN.instance]}) == len(PLACES)
