"""The recipe: rendering, plans and training survive a kill, and the whole makes an open base."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from helpers.bases import BaseModel
from helpers.pocket.model import PocketShape, build_text_encoder, build_unet
from helpers.pocket.recipe import Recipe, Training
from helpers.pocket.train_base import (
    NOISY_FROM,
    NOISY_SHARE,
    timesteps,
    train_base,
)
from helpers.pocket.train_text import train_text
from helpers.pocket.vocabulary import IDENTIFIERS, build_tokenizer
from helpers.pocket.world import dataset
from helpers.pocket.world.captions import world_words
from helpers.pocket.world.dataset import World, make_world, read_chunks, render_chunks
from helpers.pocket.world.identities import make_identities
from helpers.pocket.world.labels import LABELS
from helpers.pocket.world.traits import KINDS
from tests.random_base import SMALL

TINY = PocketShape(
    vae_channels=(16, 16, 32), unet_channels=(32, 32, 32), text_width=32, text_layers=1
)
SIZE = {"size": 32, "seed": 3}


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


def test_labels_of_the_dataset_are_those_of_its_captions(tmp_path: Path) -> None:
    world = make_world(tmp_path, count=40, size=32, seed=3)
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


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(world_words())


def test_a_word_has_the_same_number_after_a_restart(tokenizer) -> None:
    again = [build_tokenizer(world_words()).get_vocab() for _ in range(3)]
    assert all(vocabulary == tokenizer.get_vocab() for vocabulary in again)


def test_every_word_of_the_world_is_one_token_and_any_text_encodes(tokenizer) -> None:
    for word in (*world_words(), *(name for name in IDENTIFIERS)):
        if word.isalpha():
            assert len(tokenizer.tokenize(word)) == 1, word
    strange = "Zebra 3.5mm (naïve) 猫 <<TOK>>"
    ids = tokenizer(strange).input_ids
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert "zebra" in tokenizer.decode(ids)


def _steps(folder: Path, tokenizer, upto: int, total: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    unet, text = build_unet(TINY), build_text_encoder(TINY, tokenizer)
    latents = torch.randn(8, 24, 16, 16, generator=torch.Generator().manual_seed(1))
    captions = [["a photo of a dog", "a cat"]] * 8
    before = {key: value.clone() for key, value in text.state_dict().items()}
    run = train_base(unet, text, tokenizer, latents, captions, scale=1.0, steps=total, batch=4,
                     rate=1e-3, checkpoint=folder / "base.safetensors", save_every=2)  # fmt: skip
    for step, _, _ in run:
        if step == upto:
            break
    assert all(torch.equal(before[key], value) for key, value in text.state_dict().items())
    return {key: value.clone() for key, value in unet.state_dict().items()}


@pytest.mark.promise(
    "The base's training can be killed",
    fault="an end between two checkpoints",
    outcome="the same weights, bit for bit",
)
def test_a_killed_training_resumes_bit_for_bit(tmp_path: Path, tokenizer) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    uninterrupted = _steps(whole, tokenizer, upto=4, total=4)
    _steps(broken, tokenizer, upto=3, total=4)  # step 3 is lost: the checkpoint holds step 2
    resumed = _steps(broken, tokenizer, upto=4, total=4)
    assert all(torch.equal(uninterrupted[key], resumed[key]) for key in uninterrupted)


def test_reading_lessons_tell_captions_apart_behind_their_last_word(
    tmp_path: Path, tokenizer
) -> None:
    """By which kind is named, which is a label and read linearly there, and by which cushion, which
    is none."""
    captions = [[f"a photo of a {kind} with a {colour} cushion"]
                for kind in ("dog", "chair") for colour in ("red", "black")] * 4  # fmt: skip
    labels = np.full((16, len(LABELS)), -1, np.int8)
    labels[:, 0] = [LABELS["kind"].index(c[0].split()[4]) for c in captions]
    world = World(np.zeros((16, 1, 1, 3), np.uint8), captions, labels)
    four = tokenizer([c[0] for c in captions[:4]], padding="max_length", return_tensors="pt")

    @torch.no_grad()
    def closest(text) -> float:
        seen = text(four.input_ids)[0][:, 40]
        return torch.cdist(seen, seen)[~torch.eye(4, dtype=torch.bool)].min().item()

    def lessons(path: Path, upto: int) -> tuple[list[float], list[float], dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        text, losses, apart = build_text_encoder(TINY, tokenizer), [], []
        for step, loss in train_text(text, tokenizer, world, steps=60, checkpoint=path,
                                     batch=8, rate=1e-2, save_every=30):  # fmt: skip
            losses.append(loss)
            apart.append(closest(text))
            if step == upto:
                break
        return losses, apart, {key: value.clone() for key, value in text.state_dict().items()}

    losses, apart, whole = lessons(tmp_path / "whole", 60)
    assert losses[0] > 1.5 and np.mean(losses[-5:]) < 0.2
    assert apart[-1] > 3 * apart[0], apart
    lessons(tmp_path / "killed", 40)
    rest, _, resumed = lessons(tmp_path / "killed", 60)
    assert len(rest) == 30 and all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_heavy_noise_is_drawn_more_often() -> None:
    steps = timesteps(32, np.random.default_rng(0))
    assert len(steps) == 32 and steps.min() < 63 and steps.max() > 970
    more = round(32 * NOISY_SHARE)
    rest = (32 - more) * (1000 - NOISY_FROM) / 1000
    assert abs((steps >= NOISY_FROM).sum() - more - rest) < 1, "its own share, and some of the rest"


def test_a_picture_without_a_chance_is_never_drawn(tmp_path: Path, tokenizer) -> None:
    """Latents of nothing but NaN, which any step would notice."""
    latents = torch.randn(8, 24, 16, 16, generator=torch.Generator().manual_seed(1))
    latents[::2] = float("nan")
    chances = np.array([0.0, 0.25] * 4)

    def losses(name: str, chances: np.ndarray | None) -> list[float]:
        unet, text = build_unet(TINY), build_text_encoder(TINY, tokenizer)
        run = train_base(
            unet, text, tokenizer, latents, [["a dog"]] * 8, scale=1.0, steps=3, batch=4, rate=1e-3,
            chances=chances, checkpoint=tmp_path / name,
        )  # fmt: skip
        return [loss for _, loss, _ in run]

    assert np.isfinite(losses("some", chances)).all()
    assert np.isnan(losses("all", None)).all()


def test_only_what_has_weight_is_learned(tmp_path: Path, tokenizer) -> None:
    """Where no weight lies anything may change, and the loss does not."""
    latents = torch.randn(8, 24, 16, 16, generator=torch.Generator().manual_seed(1))
    latents[:, 12:] = -30.0
    weights = torch.ones(8, 16, 16)

    def loss(name: str, weights: torch.Tensor | None, seen: torch.Tensor = latents) -> float:
        torch.manual_seed(0)
        unet, text = build_unet(TINY), build_text_encoder(TINY, tokenizer)
        torch.nn.init.zeros_(unet.conv_out.weight)  # it guesses nothing: the loss is the target's
        run = train_base(unet, text, tokenizer, seen, [["a dog"]] * 8, scale=1.0, steps=1, batch=4,
                         rate=1e-3, weights=weights, checkpoint=tmp_path / name)  # fmt: skip
        return next(run)[1]

    assert loss("ones", weights) == pytest.approx(loss("none", None))
    assert loss("zeros", 0 * weights) == 0.0
    weights[:, :, :8] = 0.0
    left, right = latents.clone(), latents.clone()
    left[:, :12, :, :8] += 3.0
    right[:, :12, :, 8:] += 3.0
    known = loss("half", weights)
    assert loss("left", weights, left) == pytest.approx(known)
    assert loss("right", weights, right) > 1.5 * known


@pytest.mark.slow
def test_the_whole_recipe_makes_a_base_that_diffusers_opens(tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    recipe = Recipe(pictures=24, subjects=4, views=2, vae_steps=2, polish_steps=2, text_steps=2,
                    base_steps=2, judge_steps=1, decoder_steps=2, base_batch=4, vae_batch=4,
                    judge_batch=8, sheet_every=100, sheet_rows=1)  # fmt: skip
    training = Training(recipe, tmp_path / "out", tmp_path / "judge", tmp_path / "work", 1, TINY)
    world, some = training.render()
    training.train_vae(world, training.plan(world, 0.0))
    training.train_text(world, training.plan(world, 0.0))
    training.train_base(world, training.plan(world, 0.0))
    encoder = {key: value.clone() for key, value in training.vae.encoder.state_dict().items()}
    training.train_decoder(world, training.plan(world, 0.0))
    for key, value in training.vae.encoder.state_dict().items():
        assert torch.equal(value, encoder[key]), key
    assert len(some) == 4
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    assert pipe.unet.config.in_channels == pipe.vae.config.latent_channels == 12
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a photo of a dog", num_inference_steps=2).images[0]
    assert picture.size == (64, 64)
    assert Image.open(tmp_path / "work" / "sheets" / "step_000002.png").size == (16 * 96, 96)


@pytest.mark.slow
def test_a_base_is_trained_for_longer_from_where_it_is(tiny: BaseModel, tmp_path: Path) -> None:
    recipe = Recipe(pictures=8, subjects=4, views=2, vae_steps=1, polish_steps=1, text_steps=1,
                    base_steps=1, judge_steps=1, decoder_steps=1, base_batch=2, sheet_every=100,
                    sheet_rows=1)  # fmt: skip
    places = {"out": tmp_path / "out", "judge_out": tmp_path / "j", "work": tmp_path / "work"}
    training = Training(recipe, **places, workers=1, shape=SMALL, go_on_from=tiny.folder)
    world, _ = training.render()
    training.train_vae(world, training.plan(world, 0.0))
    training.train_base(world, training.plan(world, 0.0))
    before, after = (load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
                     for folder in (tiny.folder, tmp_path / "out"))  # fmt: skip
    changes = [(before[key] - after[key]).abs().max().item() for key in before]
    assert 0 < max(changes) < 0.01, "a step further, not another training"
    vaes = [load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
            for folder in (tiny.folder, tmp_path / "out")]  # fmt: skip
    assert all(torch.equal(vaes[0][key], vaes[1][key]) for key in vaes[0])


def test_a_plan_once_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(Recipe(hours=1.0), tmp_path / "o", tmp_path / "j", tmp_path, 1, TINY)
    nothing = World(np.zeros((0, 64, 64, 3), np.uint8), [], np.zeros((0, len(LABELS)), np.int8))
    costs = {"vae": 0.1, "polish": 0.1, "text": 0.2, "base": 0.5, "judge": 0.3, "decoder": 0.1}
    monkeypatch.setattr(training, "_seconds_per_step", lambda world: costs)
    plan = training.plan(nothing, rendering=600)
    spent = sum(plan[f"{name}_steps"] * cost for name, cost in costs.items())
    assert 0.9 * 3000 < spent <= 3000
    costs.update(base=5.0)
    assert training.plan(nothing, rendering=0) == plan
    assert json.loads((tmp_path / "plan.json").read_text()) == plan
