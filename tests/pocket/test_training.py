"""The recipe: resumable to the bit, and the pieces of its losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.bases.keys import prefixed
from helpers.pocket.captions import world_words
from helpers.pocket.dataset import make_world
from helpers.pocket.judge import Judge, train_judge
from helpers.pocket.model import PocketShape, build_scheduler, build_text_encoder, build_unet
from helpers.pocket.train_base import snr_weights, train_base
from helpers.pocket.train_judge import area_under_curve
from helpers.pocket.vocabulary import IDENTIFIERS, build_tokenizer

SMALL = PocketShape(unet_channels=(32, 32, 32), text_width=32, text_layers=1)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(world_words())


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
    unet, text = build_unet(SMALL), build_text_encoder(SMALL, tokenizer)
    latents = torch.randn(8, 8, 16, 16, generator=torch.Generator().manual_seed(1))
    captions = [["a photo of a dog", "a cat"]] * 8
    run = train_base(unet, text, tokenizer, latents, captions, scale=1.0, steps=total, batch=4,
                     rate=1e-3, checkpoint=folder / "base.safetensors", save_every=2)  # fmt: skip
    for step, _, _ in run:
        if step == upto:
            break
    return {key: value.clone() for key, value in unet.state_dict().items()}


def test_a_killed_training_resumes_bit_for_bit(tmp_path: Path, tokenizer) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    uninterrupted = _steps(whole, tokenizer, upto=4, total=4)
    _steps(broken, tokenizer, upto=3, total=4)  # step 3 is lost: the checkpoint holds step 2
    resumed = _steps(broken, tokenizer, upto=4, total=4)
    assert all(torch.equal(uninterrupted[key], resumed[key]) for key in uninterrupted)


def test_min_snr_weights_against_their_definition() -> None:
    alphas = build_scheduler().alphas_cumprod
    snr = alphas / (1 - alphas)
    weights = snr_weights(alphas)
    assert torch.all(weights[snr <= 5] == 1)
    assert torch.allclose(weights[snr > 5] * snr[snr > 5], torch.tensor(5.0))


def test_a_world_is_read_back_and_another_seed_is_rendered_anew(tmp_path: Path) -> None:
    path = tmp_path / "world.npz"
    first = make_world(path, count=3, size=32, seed=1)
    again = make_world(path, count=3, size=32, seed=1)
    other = make_world(path, count=3, size=32, seed=2)
    assert np.array_equal(first.pictures, again.pictures) and first.captions == again.captions
    assert not np.array_equal(first.pictures, other.pictures)


def test_text_keys_carry_the_prefix_once() -> None:
    assert prefixed("final_layer_norm.bias") == "text_model.final_layer_norm.bias"
    assert prefixed(prefixed("x")) == "text_model.x"


def test_the_judge_learns_to_tell_two_colours_apart() -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 255, (40, 1, 1, 1, 3))
    pictures = np.broadcast_to(colours, (40, 3, 64, 64, 3)).astype(np.uint8).copy()
    torch.manual_seed(0)
    losses = [loss for _, loss in train_judge(Judge(), pictures, steps=30, batch=16, rate=5e-3)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_area_under_curve_at_its_ends() -> None:
    low, high = np.array([0.1, 0.2]), np.array([0.8, 0.9, 1.0])
    assert area_under_curve(high, low) == 1.0
    assert area_under_curve(low, high) == 0.0
    same = np.random.default_rng(0).random(400)
    assert abs(area_under_curve(same[:200], same[200:]) - 0.5) < 0.1
