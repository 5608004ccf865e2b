from __future__ import annotations

import pytest
from transformers import CLIPTokenizer

from helpers.bases import REGISTRY, BaseModel
from helpers.pocket.vocabulary import IDENTIFIERS
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.prompts import class_noun, identifier


@pytest.fixture(scope="module")
def tokenizer(tiny: BaseModel) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(tiny.folder / "tokenizer")


@pytest.mark.parametrize(
    ("prompt", "class_prompt", "name", "noun"),
    [
        ("photo of <<TOK>>", "a photo of person", "<<TOK>>", "person"),
        ("a photo of a <<TOK>> person", "a photo of a person", "<<TOK>>", "person"),
        ("a photo of Doppler dog.", "a photo of a dog", "Doppler", "dog"),
        ("a red <cat-toy>, close up", "a photo of a toy", "<cat-toy>", "toy"),
        ("a photo of a dog", "a photo of a dog", "", "dog"),
    ],
)
def test_a_prompt_says_who_and_what(prompt: str, class_prompt: str, name: str, noun: str) -> None:
    assert (identifier(prompt, class_prompt), class_noun(class_prompt)) == (name, noun)


@pytest.mark.parametrize(
    ("prompt", "warned"),
    [
        ("a photo of a <<TOK>> person", []),
        ("a photo of a sks person", []),
        ("a photo of a blorfix person", []),
        ("photo of <<TOK>>", ["does not name the class"]),
        ("a photo of a beach person", ["already a word"]),
        ("a photo of beach", ["already a word", "does not name the class"]),
        ("a photo of a person", ["no identifier"]),
    ],
)
def test_prompts_that_are_probably_not_meant_are_warned_about(
    tokenizer: CLIPTokenizer, prompt: str, warned: list[str]
) -> None:
    said = FineTuneConfig.for_base("pocket", concept_prompt=prompt).warnings(tokenizer)
    assert len(said) == len(warned)
    assert all(words in text for words, text in zip(warned, said, strict=True))


def test_the_class_folder_of_the_original_is_not_used_and_says_so(
    tokenizer: CLIPTokenizer,
) -> None:
    config = FineTuneConfig.for_base("pocket", class_data_dir="/tmp/priors")
    assert ["class_data_dir" in text for text in config.warnings(tokenizer)] == [True]


def test_the_registry_knows_the_pocket_s_spare_words() -> None:
    assert REGISTRY["pocket"].spare_words == set(IDENTIFIERS)
