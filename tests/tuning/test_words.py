"""Identifiers with embeddings of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from helpers.bases import BaseModel
from helpers.tuning.adapter import load_adapter, read_adapter
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from helpers.tuning.networks import Networks, encode_text, load_networks, token_ids
from helpers.tuning.words import LearnedWords, learnable, rows_for

Make = Callable[..., FineTuneConfig]
Photos = list[Image.Image]


def _with_words(networks: Networks, count: int, **nouns: str) -> LearnedWords:
    named = {f"<{word}>": noun for word, noun in nouns.items()}
    words = LearnedWords(networks.text_encoder, networks.tokenizer, named, count, seed=1)
    networks.text_encoder.set_input_embeddings(words)
    return words


def test_what_has_no_learned_word_in_it_is_read_as_before(tiny: BaseModel) -> None:
    networks = load_networks(tiny)
    before = encode_text(networks, "a photo of a dog")
    _with_words(networks, 2, rex="dog")
    assert torch.equal(encode_text(networks, "a photo of a dog"), before)


def test_a_word_begins_as_its_class_and_its_rows_differ(tiny: BaseModel) -> None:
    networks = load_networks(tiny)
    (dog,) = networks.tokenizer("dog", add_special_tokens=False).input_ids
    noun = networks.text_encoder.get_input_embeddings().weight[dog]
    words = _with_words(networks, 3, rex="dog", tom="cat")
    rows = words.tensors()
    assert {word: tuple(value.shape) for word, value in rows.items()} == {
        "<rex>": (3, len(noun)),
        "<tom>": (3, len(noun)),
    }
    likeness = torch.nn.functional.cosine_similarity(rows["<rex>"], noun[None])
    assert likeness.min() > 0.95
    assert len({tuple(row.tolist()) for row in rows["<rex>"]}) == 3


def test_only_the_rows_get_a_gradient(tiny: BaseModel) -> None:
    networks = load_networks(tiny)
    words = _with_words(networks, 1, rex="dog", tom="cat")
    networks.text_encoder(token_ids(networks, "a photo of <rex>"))[0].square().sum().backward()
    assert words.rows.grad is not None
    assert words.rows.grad[0].abs().max() > 0
    assert torch.equal(words.rows.grad[1], torch.zeros_like(words.rows.grad[1]))
    others = [one for one in networks.text_encoder.parameters() if one is not words.rows]
    assert all(one.grad is None for one in others)


@pytest.mark.parametrize(("word", "count"), [("<rex>", 3), ("<Rex>", 2), ("<rex>", 1)])
def test_a_pipeline_reads_a_prompt_as_the_training_did(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path, word: str, count: int
) -> None:
    config = settings(
        n_steps=1, concept_prompt=f"a photo of {word} dog", class_prompt="a photo of a dog",
        with_prior_preservation=False, learned_tokens=count,
    )  # fmt: skip
    made = fine_tune(photos, config, tiny, tmp_path / "adapter")
    networks = load_networks(tiny)
    rows = rows_for(word, count)
    words = LearnedWords(networks.text_encoder, networks.tokenizer, {word: "dog"}, rows, seed=0)
    networks.text_encoder.set_input_embeddings(words)
    pipe = StableDiffusionPipeline.from_pretrained(tiny.folder)
    load_adapter(pipe, made.folder)
    for prompt in (config.concept_prompt, f"{word} and a cat", "a cat"):
        spelled = pipe.maybe_convert_prompt(prompt, pipe.tokenizer)
        ids = pipe.tokenizer(
            spelled, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        assert torch.equal(ids, token_ids(networks, prompt))
    said = any("capital letters" in text for text in made.manifest.warnings)
    assert said == (rows < count)


def test_a_word_that_is_a_piece_of_others_is_not_learned_and_that_is_said(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path
) -> None:
    networks = load_networks(tiny)
    piece = next(
        one for one in sorted(networks.tokenizer.get_vocab())
        if one.isalpha() and one.isascii() and one.islower() and len(one) > 1
    )  # fmt: skip
    assert not learnable(piece, networks.tokenizer)
    config = settings(
        n_steps=1, concept_prompt=f"a photo of {piece} dog", class_prompt="a photo of a dog",
        with_prior_preservation=False,
    )  # fmt: skip
    made = fine_tune(photos, config, tiny, tmp_path / "adapter")
    assert read_adapter(made.folder).manifest.embeddings_sha256 is None
    assert any("is a piece of other words" in text for text in made.manifest.warnings)
