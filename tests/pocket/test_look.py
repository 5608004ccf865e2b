"""Where the base looks first: on faces, wherever the world has put them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pocket.look import FACE, OFTEN, look_weights
from helpers.pocket.world.dataset import World
from helpers.pocket.world.labels import LABELS
from helpers.pocket.world.scene import draw_scene, face_of, render
from helpers.pocket.world.traits import KINDS

SIDE = 16


def scenes(count: int, **wanted: object) -> list:
    return [draw_scene(np.random.default_rng([5, i]), **wanted) for i in range(count)]  # type: ignore[arg-type]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_weights_are_bounded_and_the_same_each_time(seed: int) -> None:
    scene = draw_scene(np.random.default_rng(seed))
    first, again = look_weights([scene, scene], SIDE)
    assert (first == again).all()
    assert first.min() >= 1 and first.max() <= FACE


def test_a_picture_of_a_dog_is_drawn_as_often_as_its_kind_says() -> None:
    labels = np.zeros((4, len(LABELS)), np.int8)
    labels[:, list(LABELS).index("kind")] = [*map(KINDS.index, ("chair", "dog", "person", "chair"))]
    chances = World(np.empty((4, 0)), [[]] * 4, labels).chances(OFTEN)
    assert chances.sum() == pytest.approx(1)
    assert chances / chances[0] == pytest.approx([1, OFTEN["dog"], OFTEN["person"], 1])


@pytest.mark.parametrize("kind", ["chair", "car", "cup", "boat"])
def test_a_thing_has_no_face(kind: str) -> None:
    assert (look_weights(scenes(5, kind=kind), SIDE) == 1).all()


@pytest.mark.parametrize("kind", ["person", "dog", "cat", "bird"])
def test_a_face_lies_on_its_subject(kind: str) -> None:
    """The renderer's own mask says so: what weighs more is, for its larger part, the subject.
    An animal's disc has room for ears."""
    on = []
    for scene in scenes(24, kind=kind):
        mask = np.asarray(render(scene, 64).mask.resize((SIDE, SIDE)), float) / 255
        weights = look_weights([scene], SIDE)[0].numpy() - 1
        on.append((weights * mask).sum() / weights.sum())
    assert np.median(on) > (0.75 if kind == "person" else 0.55) and min(on) > 0.3, sorted(on)


def test_a_closer_face_is_a_larger_one() -> None:
    near, far = (
        np.mean([face_of(scene)[2] for scene in scenes(12, kind="person", shot=shot)])
        for shot in ("close-up", "half")
    )
    assert near > 1.5 * far
