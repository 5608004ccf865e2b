"""What is held back, by whom, and that everybody hears why."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from botocore.exceptions import ClientError
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor

from helpers.bases.checker import CHECKER, EXTRACTOR
from helpers.errors import BaseModelError, SafetyError, SetupError
from helpers.hosting.base import AvatarBase, error_text
from helpers.hosting.client import AvatarClient, spoken_error
from helpers.hosting.generate import AvatarPainter, Order
from helpers.hosting.picture import Painted
from helpers.hosting.real_time import RealTimePainter
from helpers.hosting.real_time_client import decode_answer
from helpers.hosting.request import GenerationRequest
from helpers.hosting.safety import WORDS, OwnChecker, WordList, card, open_checker

SIDE = 32
LOOK = {
    "size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE},
    "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28],
}  # fmt: skip
SMALL = {"num_inference_steps": 1, "seed": 3}


def pictures(count: int) -> list[Image.Image]:
    draw = np.random.default_rng(0)
    sizes = ((64, 64), (96, 64), (64, 80))
    return [
        Image.fromarray(draw.integers(0, 256, (*sizes[n % 3], 3), np.uint8)).resize((64 + n, 64))
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def brings_one(small_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with a checker of random weights that finds something in about half of all."""
    folder = shutil.copytree(small_base, tmp_path_factory.mktemp("checked") / "base")
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    torch.manual_seed(0)
    kind: Any = StableDiffusionSafetyChecker
    network = kind(
        CLIPConfig(
            vision_config={**tower, "image_size": SIDE, "patch_size": 8},
            text_config={**tower, "vocab_size": 8},
            projection_dim=16,
        )
    ).eval()
    for embeds in (network.concept_embeds, network.special_care_embeds):
        embeds.data.copy_(torch.randn_like(embeds))
    (folder / EXTRACTOR).mkdir()
    (folder / EXTRACTOR / "preprocessor_config.json").write_text(json.dumps(LOOK))
    scores = []
    with torch.no_grad():
        for one in pictures(24):
            seen = network.visual_projection(network.vision_model(processed([one]))[1])
            for embeds in (network.concept_embeds, network.special_care_embeds):
                scores.append(torch.cosine_similarity(seen, embeds).max())
    network.concept_embeds_weights.data.fill_(float(torch.stack(scores[::2]).median()))
    network.special_care_embeds_weights.data.fill_(float(torch.stack(scores[1::2]).median()))
    network.save_pretrained(folder / CHECKER)
    index = json.loads((folder / "model_index.json").read_text())
    index[CHECKER] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def processed(shown: list[Image.Image]) -> torch.Tensor:
    look: Any = CLIPImageProcessor(**LOOK, do_convert_rgb=True)
    return look(shown, return_tensors="pt").pixel_values


def test_the_base_s_own_checker_decides_as_diffusers_does_and_says_why(brings_one: Path) -> None:
    shown, ours = pictures(24), OwnChecker(brings_one)
    theirs: Any = StableDiffusionSafetyChecker.from_pretrained(brings_one / CHECKER)
    seen = torch.cat([processed([one]) for one in shown])
    blackened = np.ones((len(shown), 2, 2, 3))
    _, found = theirs(clip_input=seen, images=blackened)
    reasons = ours.withhold(shown)
    assert [why is not None for why in reasons] == found
    assert 4 <= sum(found) <= 20, "or nothing was decided"
    assert all("of 17" in why for why in reasons if why)


def test_a_base_that_brings_a_checker_uses_it_unless_that_is_switched_off(
    brings_one: Path, small_base: Path
) -> None:
    found = {asked: open_checker(asked, brings_one) for asked in ("", "own", "own,words", "off")}
    assert [one and one.name for one in found.values()] == ["own", "own", "words,own", None]
    assert open_checker("", small_base) is None, "off where the base brings none"
    # Its pipeline's own would blacken pictures without a word.
    assert AvatarPainter(brings_one, threads=1)._pipe.safety_checker is None


def test_what_cannot_be_checked_is_not_served_unchecked(
    brings_one: Path, small_base: Path, tmp_path: Path
) -> None:
    for asked in ("own", "words,own"):
        with pytest.raises(SetupError, match="own safety checker"):
            open_checker(asked, small_base)
    with pytest.raises(SetupError, match="off"):
        open_checker("words,of", small_base)
    damaged = shutil.copytree(brings_one, tmp_path / "damaged")
    (damaged / CHECKER / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BaseModelError, match="cannot be used"):
        open_checker("", damaged)


@given(
    st.sampled_from([(what, word) for what, words in WORDS.items() for word in words]),
    st.sampled_from([str.upper, str.title, lambda word: "\u200b".join(word), "{}!".format]),
    st.text(st.characters(codec="ascii", categories=["P", "Zs", "N"]), max_size=9),
)
def test_a_word_is_found_however_it_is_written(
    listed: tuple[str, str], written: Any, between: str
) -> None:
    what, word = listed
    why = WordList().refuse(f"a photo of a {between} {written(word)} {between} dog")
    assert why is not None and what in why and word not in why.replace(what, "")


@pytest.mark.parametrize("prompt", ["a dog in Essex", "a nuded bird", "sextant", "a blood-orange?"])
def test_a_word_within_a_word_is_another_word(prompt: str) -> None:
    assert (WordList().refuse(prompt) is None) == (prompt != "a blood-orange?")


class Second:
    """Holds back the second picture of every batch."""

    name = "second"

    def refuse(self, prompt: str) -> str | None:
        return None

    def withhold(self, pictures: Sequence[Image.Image]) -> list[str | None]:
        return ["it is the second" if place == 1 else None for place in range(len(pictures))]


def test_one_picture_is_held_back_and_its_neighbours_are_those_of_an_unchecked_painter(
    small_base: Path,
) -> None:
    painter = AvatarPainter(small_base, threads=1)
    asked = [
        GenerationRequest.from_json("a dog", None, SMALL | {"seed": seed}, limits=painter.limits)
        for seed in range(3)
    ]
    plain = painter.render_all([Order(request=one) for one in asked])
    painter.checker = Second()
    first, second, third = painter.render_all([Order(request=one) for one in asked])
    assert isinstance(second, Painted) and second.withheld == "it is the second"
    assert second.image.tobytes() == card(second.image.size, "it is the second").tobytes()
    assert second.info["seed"] == 1, "its provenance stays"
    for one, before in ((first, plain[0]), (third, plain[2])):
        assert isinstance(one, Painted) and isinstance(before, Painted)
        assert one.withheld is None and one.image.tobytes() == before.image.tobytes()


def test_callers_of_the_avatars_hear_the_reason(small_base: Path, tmp_path: Path) -> None:
    base = AvatarBase(small_base, adapter_root=tmp_path, safety="words")
    assert json.loads(base.describe())["safety"] == "words"
    with pytest.raises(SafetyError, match="nudity") as refused:
        base.answer(prompt="a MUSHROOM, naked", gen_args=json.dumps(SMALL))
    said = error_text(refused.value)
    assert "MUSHROOM" not in said and "naked" not in said
    answer: Any = {"Error": {"Code": "ModelError"}, "OriginalMessage": json.dumps({"error": said})}
    heard = spoken_error(ClientError(answer, "InvokeEndpoint"))
    assert isinstance(heard, SafetyError) and "nudity" in str(heard)
    negative = base.answer(prompt="a dog", negative_prompt="naked", gen_args=json.dumps(SMALL))
    assert Painted.from_base64(negative[0]).withheld is None, "not to be there may be asked for"

    base.painter.checker = Second()
    args = json.dumps(SMALL | {"num_images_per_prompt": 2})
    client = AvatarClient(_Answers(base.answer(prompt="a dog", gen_args=args)), "avatars")
    assert [one.withheld for one in client.paint_several("x", "a dog", count=2)] == [
        None, "it is the second",
    ]  # fmt: skip
    only = AvatarClient(_Answers(base.answer(prompt="a dog", gen_args=args)[1:]), "avatars")
    with pytest.raises(SafetyError, match="It is the second"):
        only.paint("x", "a dog")


def test_callers_of_the_real_time_endpoint_hear_it_too(small_base: Path) -> None:
    painter = RealTimePainter(small_base, safety="words")
    with pytest.raises(RuntimeError, match=r"SafetyError: .*violence"):
        painter.answer({"prompt": "a bloody dog", "num_inference_steps": 1})
    painter.painter.checker = All()
    answer = painter.answer({"prompt": "a dog", "num_inference_steps": 1})
    assert [one.withheld for one in decode_answer(json.dumps(answer).encode())] == ["all of them"]


class All(Second):
    def withhold(self, pictures: Sequence[Image.Image]) -> list[str | None]:
        return ["all of them"] * len(pictures)


class _Answers:
    """A runtime that answers with these files."""

    def __init__(self, texts: list[str]) -> None:
        shape = [1, len(texts)]
        self._said = {"outputs": [{"name": "generated_image", "shape": shape, "data": texts}]}

    def invoke_endpoint(self, **_: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(json.dumps(self._said).encode())}
