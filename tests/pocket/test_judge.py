"""The judge: it learns, resumes to the bit, comes back from disk, and refuses another world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.errors import BaseModelError
from helpers.pocket import judge
from helpers.pocket.judge import Judge
from helpers.pocket.train_judge import OFTEN, area_under_curve, identity_auc, train_judge
from helpers.pocket.world.dataset import World, make_world
from helpers.pocket.world.identities import Identities
from helpers.pocket.world.labels import LABELS


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), count=40, size=64, seed=3)


@pytest.fixture(scope="module")
def identities() -> Identities:
    """Subjects that differ in colour alone, three views each, of two kinds."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 255, (40, 1, 1, 1, 3))
    pictures = np.broadcast_to(colours, (40, 3, 64, 64, 3)).astype(np.uint8)
    return Identities(pictures.copy(), np.arange(40) % 2)


def _train(folder: Path, world: World, some: Identities, upto: int, total: int) -> Judge:
    torch.manual_seed(0)
    fresh = Judge()
    steps = train_judge(fresh, world, some, steps=total, batch=12, save_every=2,
                        checkpoint=folder / "judge.safetensors")  # fmt: skip
    for step, _ in steps:
        if step == upto:
            break
    return fresh


def test_the_judge_resumes_bit_for_bit(
    tmp_path: Path, world: World, identities: Identities
) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    whole = _train(tmp_path / "a", world, identities, 4, 4)
    _train(tmp_path / "b", world, identities, 3, 4)
    resumed = _train(tmp_path / "b", world, identities, 4, 4)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_a_scene_is_drawn_as_often_as_its_kind_says(
    tmp_path: Path, world: World, identities: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kinds that are never drawn lack captions, which any step that draws them would notice."""
    seen = world.kinds[0]
    captions = [four if kind == seen else [] for kind, four in zip(
        world.kinds, world.captions, strict=True)]  # fmt: skip
    lacking = World(world.pictures, captions, world.labels)
    with pytest.raises(IndexError):
        _train(tmp_path, lacking, identities, 2, 2)
    for kind in set(world.kinds) - {seen}:
        monkeypatch.setitem(OFTEN, kind, 0.0)
    _train(tmp_path, lacking, identities, 2, 2)


@pytest.mark.slow
def test_the_judge_learns_subjects_apart_within_a_kind(
    tmp_path: Path, world: World, identities: Identities
) -> None:
    torch.manual_seed(0)
    fresh = Judge()
    before = identity_auc(fresh, identities)
    losses = [loss for _, loss in train_judge(fresh, world, identities, steps=30, batch=16,
                                              rate=3e-3, checkpoint=tmp_path / "j")]  # fmt: skip
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    after = identity_auc(fresh, identities)
    assert set(after) == {"dog", "cat"} and min(after.values()) > 0.9
    assert before.keys() == after.keys()


def test_a_judge_comes_back_and_refuses_another_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Judge().eval()
    path = tmp_path / "judge.safetensors"
    fresh.save(path)
    picture = Image.effect_noise((80, 80), 60).convert("RGB")
    again = Judge.load(path)
    assert torch.allclose(again.embed([picture]), fresh.embed([picture]), atol=2e-3)
    assert again.embed([picture]).norm().item() == pytest.approx(1, abs=1e-5)
    assert set(again.read([picture])) == set(LABELS)
    assert again.agree([picture] * 2, ["a dog", "a cat", "a zebra"]).shape == (2, 3)
    monkeypatch.setattr(judge, "vocabulary", lambda: ["", "?", "dog"])
    with pytest.raises(BaseModelError, match="another world"):
        Judge.load(path)
    with pytest.raises(BaseModelError, match="missing"):
        Judge.load(tmp_path / "none.safetensors")


def test_area_under_curve_at_its_ends() -> None:
    low, high = np.array([0.1, 0.2]), np.array([0.8, 0.9, 1.0])
    assert area_under_curve(high, low) == 1.0
    assert area_under_curve(low, high) == 0.0
    assert area_under_curve(np.ones(3), np.ones(5)) == 0.5, "who sees no difference guesses"
    same = np.random.default_rng(0).random(400)
    assert abs(area_under_curve(same[:200], same[200:]) - 0.5) < 0.1
