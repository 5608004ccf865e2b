"""The drawn world: same scene, same pixels; masks, captions and labels true; all balanced."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.stats import chi2_contingency

from helpers.pocket.sheets import world_sheet
from helpers.pocket.vocabulary import FILLERS, IDENTIFIERS, build_tokenizer
from helpers.pocket.world.captions import WHERE, caption, world_words
from helpers.pocket.world.labels import LABELS, label
from helpers.pocket.world.places import PLACES
from helpers.pocket.world.scene import Scene, draw_scene, render
from helpers.pocket.world.styles import STYLES
from helpers.pocket.world.traits import (
    COATS,
    FEATHERS,
    HAIR,
    KINDS,
    PAINTS,
    Animal,
    Person,
    Thing,
    draw_identity,
    held_out,
)
from helpers.settings import ROOT

seeds = st.integers(0, 2**32 - 1)


def _scenes(count: int, seed: int = 1, **given_: Any) -> list[Scene]:
    return [draw_scene(np.random.default_rng([seed, i]), **given_) for i in range(count)]


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_a_scene_always_gives_the_same_pixels_and_mask(seed: int) -> None:
    first = render(draw_scene(np.random.default_rng(seed)))
    again = render(draw_scene(np.random.default_rng(seed)))
    assert first.scene.truth == again.scene.truth
    assert first.image.tobytes() == again.image.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_visible_in_every_style(kind: str, style: str) -> None:
    for scene in _scenes(3, kind=kind, style=style):
        drawing = render(scene)
        covered = (np.asarray(drawing.mask) > 127).mean()
        assert drawing.image.size == drawing.mask.size == (64, 64)
        assert 0.02 < covered < 0.97, (kind, scene.camera)


@pytest.mark.parametrize("place", PLACES)
def test_a_setting_is_not_the_same_twice_and_no_other_setting(place: str) -> None:
    one, two = (np.asarray(render(s).image, int) for s in _scenes(2, kind="cup", place=place))
    assert np.abs(one - two).mean() > 3
    scene = _scenes(1, kind="cup", place=place, style="photo")[0]
    for other in PLACES:
        if other != place:
            moved = np.asarray(render(replace(scene, place=other)).image, int)
            assert np.abs(moved - np.asarray(render(scene).image, int)).mean() > 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_marks_the_subject_and_nothing_else(kind: str) -> None:
    """Another colour of the subject changes pixels under its mask only. (A cartoon, because a
    photograph's exposure follows its subject.)"""
    for scene in _scenes(4, kind=kind, place="studio", style="cartoon", seated=False):
        field = "skin" if kind == "person" else "colour"
        other = replace(scene, subject=replace(scene.subject, **{field: (250, 20, 250)}))
        one, two = (np.asarray(render(s).image, int) for s in (scene, other))
        moved = np.abs(one - two).max(-1) > 24
        mask = np.asarray(render(scene).mask) > 0
        assert moved.sum() > 15
        assert not (moved & ~ndimage.binary_dilation(mask, iterations=1)).any()


def test_the_chair_it_sits_on_is_not_part_of_the_subject() -> None:
    for scene in _scenes(6, kind="cat", place="studio", style="cartoon", seated=True):
        assert scene.seat is not None
        painted = replace(scene, seat=replace(scene.seat, colour=(250, 20, 250)))
        one, two = (np.asarray(render(s).image, int) for s in (scene, painted))
        moved = np.abs(one - two).max(-1) > 24
        mask = np.asarray(render(scene).mask) > 200
        assert moved.sum() > 40
        assert (moved & ndimage.binary_erosion(mask)).sum() <= 0.02 * mask.sum()


def test_a_pencil_sketch_has_no_colour_and_the_other_styles_have() -> None:
    scene = _scenes(1, kind="dog", place="park")[0]
    spread = {
        style: np.ptp(np.asarray(render(replace(scene, style=style)).image, int), axis=-1).mean()
        for style in STYLES
    }
    assert spread.pop("pencil sketch") == 0
    assert min(spread.values()) > 12


def test_a_smile_a_turn_and_glasses_change_the_face_where_they_should() -> None:
    scene = _scenes(1, kind="person", place="studio", style="photo", shot="close-up")[0]
    assert isinstance(scene.subject, Person)
    plain = replace(scene.subject, glasses="none", beard="none", noun="man")
    calm = replace(scene, subject=plain, mood=replace(scene.mood, smile=0.0, yaw=0.0, roll=0.0))
    before = np.asarray(render(calm, 128).image, int)
    middle = int(calm.camera.y * 128)

    def rows_moved(other: Scene) -> float:
        moved = np.abs(np.asarray(render(other, 128).image, int) - before).max(-1) > 30
        return float(np.nonzero(moved)[0].mean())

    assert rows_moved(replace(calm, mood=replace(calm.mood, smile=1.0))) > middle
    assert rows_moved(replace(calm, subject=replace(plain, beard="beard"))) > middle
    glasses = rows_moved(replace(calm, subject=replace(plain, glasses="sunglasses")))
    assert abs(glasses - middle) < 8


def _association(one: np.ndarray, two: np.ndarray) -> tuple[float, float]:
    """Mutual information in bits, less what chance gives; and the p value of independence."""
    both = (one >= 0) & (two >= 0)
    table = np.zeros((one.max() + 1, two.max() + 1))
    np.add.at(table, (one[both], two[both]), 1)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape) < 2:
        return 0.0, 1.0
    share = table / table.sum()
    expected = share.sum(1, keepdims=True) * share.sum(0, keepdims=True)
    bits = float((share * np.log2(np.where(share > 0, share / expected, 1))).sum())
    chance = (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * np.log(2) * table.sum())
    return bits - chance, float(chi2_contingency(table).pvalue)


@pytest.mark.parametrize("kind", ["dog", "person", "chair", None])
def test_labels_are_independent_of_each_other(kind: str | None) -> None:
    """Nothing a picture shows foretells anything else in it: a network would learn the shortcut."""
    labels = np.array([label(scene) for scene in _scenes(2500, seed=5, kind=kind)])
    tied = {("shot", "expression"), ("shot", "facing"), ("shot", "beard"), ("shot", "glasses"),
            ("style", "colour"), ("style", "clothes"), ("noun", "beard")}  # fmt: skip
    if kind is None:  # what only some kinds have
        wanted = {("place", "style"), ("kind", "place"), ("kind", "style")}
    else:
        wanted = {pair for pair in combinations(LABELS, 2) if "kind" not in pair}
    names = list(LABELS)
    for one, two in sorted(wanted):
        if (one, two) in tied or (two, one) in tied:
            continue
        if "seated" in (one, two):  # a seated animal sits, whole in the picture
            continue
        bits, chance = _association(labels[:, names.index(one)], labels[:, names.index(two)])
        assert bits < 0.012 and chance > 1e-5, (kind, one, two, bits, chance)


def test_the_association_measure_notices_a_shortcut() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 5, 2500)
    copied = np.where(rng.random(2500) < 0.3, one, rng.integers(0, 5, 2500))
    bits, chance = _association(one, copied)
    assert bits > 0.05 and chance < 1e-9


def test_hidden_traits_are_independent_too() -> None:
    rng = np.random.default_rng(0)
    people = [draw_identity(rng, "person") for _ in range(2000)]
    numbers = ("age", "eye_gap", "nose", "mouth", "width", "jaw", "volume", "brows")
    table = np.array([[getattr(p, n) for n in numbers] for p in people])
    other = [[p.skin[0], p.hair == "black"] for p in people if isinstance(p, Person)]
    table = np.column_stack([table, other])
    strongest = np.abs(np.corrcoef(table.T) - np.eye(table.shape[1])).max()
    assert strongest < 0.09
    for column in table[:, : len(numbers)].T:
        assert abs(column.mean() - 0.5) < 0.03 and abs(column.std() - 12**-0.5) < 0.02


def test_values_are_balanced_and_faces_are_large() -> None:
    labels = np.array([label(scene) for scene in _scenes(3000, seed=8)])
    for name in ("place", "facing", "expression", "marking", "clothes", "noun"):
        column = labels[:, list(LABELS).index(name)]
        counts = np.bincount(column[column >= 0], minlength=len(LABELS[name]))
        assert counts.min() > 0.5 * counts.mean(), (name, counts)
    people = [s for s in _scenes(3000, seed=8) if s.subject.kind == "person"]
    large = np.mean([s.camera.shot == "close-up" and s.camera.size >= 0.5 for s in people])
    assert len(people) > 900 and large > 0.5


@given(seed=seeds)
@settings(max_examples=250, deadline=None)
def test_captions_tell_the_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng)
    text = caption(scene, rng)
    words = [word.strip(",") for word in text.split()]
    subject = scene.subject
    said = set(words)
    nouns = {"person": {"person", "man", "woman"}, "cup": {"cup", "mug"}}.get(
        subject.kind, {subject.kind}
    )
    seen = said & {*KINDS, "man", "woman", "mug"}
    assert seen <= nouns | ({"chair"} if scene.seat is not None else set())
    assert seen or "<<TOK>>" in said
    for style, sign in {"pencil sketch": "pencil", "cartoon": "cartoon"}.items():
        assert (sign in said) == (scene.style == style), text
    assert bool({"watercolour", "watercolor"} & said) == (scene.style == "watercolour painting")
    for place, sign in {"beach": "beach", "park": "park", "snow": "snow", "room": "room",
                        "studio": "studio", "night street": "night"}.items():  # fmt: skip
        assert sign not in said or scene.place == place, text
    assert not {"forest", "woods"} & said or scene.place == "forest"
    assert "city" not in said or scene.place == "city"
    _check_attributes(scene, said, text)


def _check_attributes(scene: Scene, said: set[str], text: str) -> None:
    subject = scene.subject
    colours = said & {*COATS, *PAINTS, *FEATHERS, *HAIR}
    true = set()
    if isinstance(subject, Person):
        true = {subject.hair, scene.clothes.name}
        assert "beard" not in said or subject.beard == "beard"
        assert "moustache" not in said or subject.beard == "moustache"
        assert "stubble" not in said or subject.beard == "stubble"
        assert "glasses" not in said or subject.glasses in ("round", "square")
        assert "sunglasses" not in said or subject.glasses == "sunglasses"
        assert "smiling" not in said or scene.expression == "smile"
        assert "frowning" not in said or scene.expression == "frown"
        assert "left" not in said or scene.facing == "left"
        assert "right" not in said or scene.facing == "right"
        assert "camera" not in said or scene.facing == "front"
        assert "bald" not in said or subject.hair_style == "bald"
        assert not {"man", "woman"} & said or subject.noun in said
        assert "striped" not in said or scene.clothes.pattern == "striped"
        assert "jacket" not in said or scene.clothes.cut == "jacket"
        assert "old" not in said or subject.age > 0.75
    elif isinstance(subject, Animal):
        true = {subject.coat}
        assert "striped" not in said or subject.marking == "striped"
        assert "spotted" not in said or subject.marking == "spotted"
        assert "floppy" not in said or not subject.pointed_ears
        assert "standing" not in said or scene.stance.pose == "standing"
        assert "lying" not in said or scene.stance.pose == "lying"
        assert "sitting" not in said or scene.stance.pose == "sitting" or scene.seat is not None
    elif isinstance(subject, Thing):
        true = {subject.paint} | ({subject.other} if "cushion" in said else set())
        assert "cushion" not in said or subject.cushioned
        assert "striped" not in said or subject.pattern == "striped"
    if scene.seat is not None:
        true.add(scene.seat.paint)
        assert "chair" in said
    assert colours <= true, text
    assert not colours or scene.style != "pencil sketch", text


def test_every_caption_word_is_known_and_one_token() -> None:
    tokenizer = build_tokenizer(world_words())
    known = {*world_words(), *FILLERS, *IDENTIFIERS, "<<TOK>>"}
    rng = np.random.default_rng(4)
    spoken = {w.strip(",") for s in _scenes(1200, seed=6) for w in caption(s, rng).split()}
    assert spoken <= known, spoken - known
    for word in world_words():
        if word.isalpha():
            assert len(tokenizer.tokenize(word)) == 1, word


def test_every_setting_and_attribute_is_spoken_of() -> None:
    rng = np.random.default_rng(9)
    spoken = " ".join(caption(s, rng) for s in _scenes(4000, seed=10))
    phrases = ["sitting on the chair", "glasses", "a beard", "looking left", "smiling"]
    phrases += ["a red chair", "striped", "portrait", *(where[0] for where in WHERE.values())]
    for phrase in phrases:
        assert phrase in spoken, phrase


def test_training_never_draws_from_the_held_out_corner() -> None:
    rng = np.random.default_rng(3)
    for kind in KINDS:
        assert not any(held_out(draw_identity(rng, kind)) for _ in range(300))
        assert all(held_out(draw_identity(rng, kind, reserved=True)) for _ in range(20))


def test_the_sheet_in_the_documentation_is_of_this_world() -> None:
    drawn = np.asarray(world_sheet(), dtype=np.float32)
    with Image.open(ROOT / "docs" / "images" / "world.png") as kept:
        shown = np.asarray(kept.convert("RGB"), dtype=np.float32)
    assert drawn.shape == shown.shape
    same, other = (
        float(np.abs(drawn - np.roll(shown, columns * 104, axis=1)).mean()) for columns in (0, 1)
    )
    assert same < 8 < 30 < other, "the one that is kept has 255 colours"
