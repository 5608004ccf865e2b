"""The second world's recipe: chunks and plans survive a kill, the judge learns, scores can fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.errors import BaseModelError
from helpers.pocket.model import PocketShape
from helpers.pocket.world2 import dataset, judge, likeness, scores
from helpers.pocket.world2.astronaut import HELDOUT, INSTANCE, portrait, variant
from helpers.pocket.world2.captions import world_words
from helpers.pocket.world2.dataset import World, make_world, read_chunks, render_chunks
from helpers.pocket.world2.identities import Identities, make_identities
from helpers.pocket.world2.judge import Judge
from helpers.pocket.world2.labels import LABELS
from helpers.pocket.world2.recipe import Recipe, Training
from helpers.pocket.world2.train_judge import identity_auc, train_judge
from helpers.pocket.world2.traits import KINDS

TINY = PocketShape(
    latent_channels=8, vae_channels=(16, 16, 32), unet_channels=(32, 32, 32), text_width=32,
    text_layers=1,
)  # fmt: skip
SIZE = {"size": 32, "seed": 3}


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


def test_a_killed_rendering_takes_up_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "CHUNK", 2)
    whole = make_world(tmp_path / "a", count=6, **SIZE)
    killed = render_chunks(tmp_path / "b", count=6, **SIZE)
    next(killed)
    killed.close()
    kept = next((tmp_path / "b").rglob("chunk_0000.npz"))
    written = kept.stat().st_mtime_ns
    again = make_world(tmp_path / "b", count=6, **SIZE)
    assert kept.stat().st_mtime_ns == written
    assert np.array_equal(whole.pictures, again.pictures)
    assert whole.captions == again.captions and np.array_equal(whole.labels, again.labels)
    fewer = read_chunks(tmp_path / "b", count=3, **SIZE)
    assert np.array_equal(fewer.pictures, whole.pictures[:3])


def test_two_processes_render_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "CHUNK", 2)
    one = make_world(tmp_path / "one", count=4, **SIZE)
    two = make_world(tmp_path / "two", count=4, **SIZE, workers=2)
    assert np.array_equal(one.pictures, two.pictures) and one.captions == two.captions


def test_labels_of_the_dataset_are_those_of_its_captions(world: World) -> None:
    kinds = [LABELS["kind"][row[0]] for row in world.labels]
    words = {"person": ("person", "man", "woman"), "cup": ("cup", "mug")}
    for kind, four in zip(kinds, world.captions, strict=True):
        named = [c for c in four if "<<TOK>>" not in c]
        assert all(any(w in c.split() or f"{w}," in c for w in words.get(kind, (kind,)))
                   for c in named)  # fmt: skip


def test_views_show_one_subject_in_different_pictures(tmp_path: Path) -> None:
    found = make_identities(tmp_path, count=3, views=2, seed=5, side=32)
    assert found.pictures.shape == (3, 2, 32, 32, 3)
    assert all(np.abs(a.astype(int) - b).mean() > 4 for a, b in found.pictures)
    assert set(found.kinds) <= set(range(len(KINDS)))


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


@pytest.mark.slow
def test_the_whole_recipe_makes_a_base_that_diffusers_opens(tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    recipe = Recipe(pictures=24, subjects=4, views=2, vae_steps=2, base_steps=2, judge_steps=1,
                    base_batch=4, vae_batch=4, judge_batch=8, sheet_every=100,
                    sheet_rows=1)  # fmt: skip
    training = Training(recipe, tmp_path / "out", tmp_path / "judge", tmp_path / "work", 1, TINY)
    world, some = training.render()
    training.train_vae(world, training.plan(world, 0.0))
    training.train_base(world, training.plan(world, 0.0))
    assert len(some) == 4
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    assert pipe.unet.config.in_channels == pipe.vae.config.latent_channels == 8
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a photo of a dog", num_inference_steps=2).images[0]
    assert picture.size == (64, 64)
    assert Image.open(tmp_path / "work" / "sheets" / "step_000002.png").size == (16 * 96, 96)


def test_a_plan_once_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(Recipe(hours=1.0), tmp_path / "o", tmp_path / "j", tmp_path, 1, TINY)
    nothing = World(np.zeros((0, 64, 64, 3), np.uint8), [], np.zeros((0, len(LABELS)), np.int8))
    costs = {"vae": 0.1, "base": 0.5, "judge": 0.3}
    monkeypatch.setattr(training, "_seconds_per_step", lambda world: costs)
    plan = training.plan(nothing, rendering=600)
    spent = sum(plan[f"{name}_steps"] * cost for name, cost in costs.items())
    assert 0.9 * 3000 < spent <= 3000
    costs.update(base=5.0)
    assert training.plan(nothing, rendering=0) == plan
    assert json.loads((tmp_path / "plan.json").read_text()) == plan


def test_prompts_of_the_scores_ask_for_what_the_cell_says_and_use_known_words() -> None:
    known = world_words()
    for label, asked in scores.cells(8).items():
        assert set(asked) <= set(LABELS[label])
        for value, prompts in asked.items():
            assert len(prompts) >= 8
            assert {word for prompt in prompts for word in prompt.split()} <= known, value
    assert all("red" in p for p in scores.cells(4)["colour"]["red"])


def test_copies_are_noticed_and_different_pictures_are_not_copies() -> None:
    rng = np.random.default_rng(0)
    some = [Image.fromarray(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)) for _ in range(4)]
    assert scores.closest_pair(some) > scores.NEAR_IDENTICAL
    assert scores.closest_pair([*some, some[0]]) < 1e-3


class _Flat:
    """An embedder of mean colours."""

    def embed(self, pictures):
        means = torch.tensor(np.array([np.asarray(p, float).mean((0, 1)) for p in pictures]))
        return torch.nn.functional.normalize(means.float() - 128, dim=1)


def test_halfway_is_none_of_the_way_and_all_of_it_at_its_ends() -> None:
    red, blue = (Image.new("RGB", (8, 8), c) for c in ((250, 20, 20), (20, 20, 250)))
    ends = [likeness.halfway(_Flat(), [blue], tuned, [red], [red])["share"]
            for tuned in ([blue], [red], [red, blue])]  # fmt: skip
    assert ends == pytest.approx([0, 1, 0.5], abs=1e-3)


def test_the_astronaut_ranks_first_and_drawn_strangers_do_not() -> None:
    photograph = portrait()
    hers = [variant(photograph, what, 64) for what in INSTANCE[:3]]
    heldout = [variant(photograph, what, 64) for what in HELDOUT]
    others = likeness.other_faces()
    assert len(others) == likeness.OTHERS
    assert likeness.ranks_first(hers, heldout, others) == 1.0
    rng = np.random.default_rng(2)
    noise = [Image.fromarray(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)) for _ in range(5)]
    assert likeness.ranks_first(noise, heldout, others) < 0.5
