"""The painter against plain diffusers: whatever was painted before, the pixels are the same."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from helpers.errors import AdapterError, GenerationError
from helpers.hosting.generate import AvatarPainter, GenerationRequest, words_past_window
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
from tests.hosting import originals
from tests.hosting.conftest import MakeAdapter

LARGEST_DIFFERENCE = 2


@pytest.fixture(scope="module")
def painter(pocket: Path) -> AvatarPainter:
    return AvatarPainter(pocket, threads=1)


def wish(painter: AvatarPainter, prompt: str = "a photo of a dog on the beach", **args: object):
    args = {"seed": 5, "num_inference_steps": 4} | args
    return GenerationRequest.from_json(prompt, "blurry", args, limits=painter.limits)


def plain(
    pocket: Path, request: GenerationRequest, adapter: Path | None, pipe: Any = None
) -> np.ndarray:
    """What a learner gets who follows the diffusers documentation."""
    pipe = pipe or StableDiffusionPipeline.from_pretrained(pocket)
    pipe.set_progress_bar_config(disable=True)
    if adapter:
        pipe.load_lora_weights(adapter)
        if (adapter / "learned_embeds.safetensors").exists():
            pipe.load_textual_inversion(adapter, weight_name="learned_embeds.safetensors")
    picture = pipe(
        request.prompt,
        negative_prompt=request.negative_prompt,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        width=request.width,
        height=request.height,
        generator=torch.Generator("cpu").manual_seed(request.seed),
    ).images[0]
    return np.asarray(picture).astype(int)


def difference(picture: object, expected: np.ndarray) -> int:
    return int(np.abs(np.asarray(picture).astype(int) - expected).max())


def test_pixels_are_those_of_plain_diffusers_in_any_order(
    painter: AvatarPainter, pocket: Path, make_adapter: MakeAdapter
) -> None:
    adapters = [
        None,
        make_adapter(1),
        make_adapter(2, text_encoder=True, rank=8),
        make_adapter(3, token="<dog>", words=2),
    ]
    request = wish(painter, "a photo of <dog> on the beach")
    expected = [plain(pocket, request, adapter) for adapter in adapters]
    for one, other in itertools.combinations(range(4), 2):
        assert difference(expected[one], expected[other]) > 3 * LARGEST_DIFFERENCE, "distinct"
    # Every ordered pair of neighbours occurs.
    for turn in (0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3, 0, 0):
        painted = painter.render(request, adapters[turn])
        assert difference(painted.image, expected[turn]) <= LARGEST_DIFFERENCE, turn
    assert len(painter.attached) == 3


def test_size_seed_and_guidance_reach_the_pipeline(painter: AvatarPainter, pocket: Path) -> None:
    for args in ({"width": 96, "height": 72}, {"seed": 2**63 - 1}, {"guidance_scale": 0}):
        request = wish(painter, **args)
        painted = painter.paint(request)
        assert painted.size == (request.width, request.height)
        assert difference(painted, plain(pocket, request, None)) <= LARGEST_DIFFERENCE


@pytest.mark.parametrize("name", ["ddim", "pndm", "euler", "dpm++", "unipc"])
def test_a_scheduler_paints_as_it_does_in_diffusers(
    painter: AvatarPainter, pocket: Path, name: str
) -> None:
    request, own = wish(painter, scheduler=name), painter._schedulers["base"]
    painted = painter.render(request)
    assert painted.info["scheduler"] == name
    pipe = StableDiffusionPipeline.from_pretrained(pocket)
    pipe.scheduler = type(painter._schedulers[name]).from_config(own.config)
    expected = plain(pocket, request, None, pipe)
    assert difference(painted.image, expected) <= LARGEST_DIFFERENCE
    assert difference(painter.paint(wish(painter)), plain(pocket, wish(painter), None)) <= 2


def test_the_scale_goes_from_the_base_to_more_than_the_adapter(
    painter: AvatarPainter, pocket: Path, make_adapter: MakeAdapter
) -> None:
    adapter = make_adapter(3, token="<dog>", words=2)
    prompt = "a photo of <dog> on the beach"
    base = plain(pocket, wish(painter, prompt), None)
    whole = plain(pocket, wish(painter, prompt), adapter)
    painted = {}
    for scale in (1.0, 0.0, 0.5, 1.0, 1.5, 0.0):
        done = painter.render(wish(painter, prompt, adapter_scale=scale), adapter)
        picture = np.asarray(done.image).astype(int)
        assert done.info["adapter_scale"] == scale
        assert scale not in painted or difference(picture, painted[scale]) == 0
        painted[scale] = picture
    assert difference(painted[0.0], base) <= LARGEST_DIFFERENCE
    assert difference(painted[1.0], whole) <= LARGEST_DIFFERENCE
    assert all(difference(painted[0.5], painted[other]) > 3 for other in (0.0, 1.0, 1.5))


def test_an_attached_adapter_is_not_read_again(
    painter: AvatarPainter, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(make_adapter(1), folder)
    first = painter.render(wish(painter), folder)
    identity = painter.attached[-1]
    shutil.rmtree(folder)
    again = painter.render(wish(painter), folder, identity=identity)
    assert difference(again.image, np.asarray(first.image).astype(int)) == 0
    with pytest.raises(AdapterError):
        painter.render(wish(painter), folder)


@pytest.mark.parametrize("damage", ["missing", "changed", "other base", "other hash", "layers"])
def test_a_wrong_adapter_is_refused_and_leaves_no_trace(
    painter: AvatarPainter,
    make_adapter: MakeAdapter,
    tmp_path: Path,
    damage: str,
) -> None:
    before = np.asarray(painter.paint(wish(painter))).astype(int)
    folder, announced = tmp_path / "adapter", None
    if damage == "other base":
        folder = make_adapter(4, base_hash="0" * 64)
    elif damage == "layers":
        folder = make_adapter(5, change=lambda tensors: _renamed(tensors, "attn2", "attn9"))
    elif damage == "other hash":
        folder, announced = make_adapter(6), "1" * 64
    elif damage == "changed":
        shutil.copytree(make_adapter(7), folder)
        weights = folder / "pytorch_lora_weights.safetensors"
        tensors = load_file(weights)
        save_file({name: tensor + 1 for name, tensor in tensors.items()}, weights)
    with pytest.raises(AdapterError):
        painter.render(wish(painter), folder, identity=announced)
    assert difference(painter.paint(wish(painter)), before) == 0
    good = make_adapter(1)
    assert painter.render(wish(painter), good).info["adapter_sha256"] in painter.attached


def _renamed(tensors: dict[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def test_the_originals_prompts_run_and_their_unread_words_are_reported(
    painter: AvatarPainter, make_adapter: MakeAdapter
) -> None:
    request = GenerationRequest.from_json(
        originals.PROMPT,
        originals.NEGATIVE_PROMPT,
        originals.GEN_ARGS | {"num_inference_steps": 2},
        limits=painter.limits,
    )
    painted = painter.render(request, make_adapter(1))
    words = originals.NEGATIVE_PROMPT.split()
    unread = painted.unread["negative_prompt"]
    assert unread and unread == words[-len(unread) :]
    assert len(unread) < len(words)
    assert painted.info["seed"] == originals.GEN_ARGS["seed"]
    assert painted.info["prompt"] == originals.PROMPT


def test_unread_words_change_nothing_and_read_words_do(painter: AvatarPainter) -> None:
    prompt = " ".join(["a photo of a dog"] * 40)
    unread = words_past_window(painter._pipe, prompt)
    assert unread and len(unread) < len(prompt.split())
    read = prompt.split()[: -len(unread)]
    assert not words_past_window(painter._pipe, " ".join(read))
    assert words_past_window(painter._pipe, " ".join([*read, "cat"])) == ["cat"]
    full = np.asarray(painter.paint(wish(painter, prompt))).astype(int)
    cut = painter.paint(wish(painter, " ".join([*read, "cat"])))
    inside = painter.paint(wish(painter, " ".join([*read[:-1], "cat"])))
    assert difference(cut, full) == 0
    assert difference(inside, full) > 0


def test_no_room_on_the_accelerator_is_said_without_the_words_of_a_507(
    painter: AvatarPainter, make_adapter: MakeAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter.paint(wish(painter), make_adapter(1))
    painter.paint(wish(painter), make_adapter(2))
    tries = []

    def full(**arguments: object) -> object:
        tries.append(1)
        if len(tries) <= 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return pipe(**arguments)

    pipe = painter._pipe
    expected = np.asarray(painter.paint(wish(painter), make_adapter(2))).astype(int)
    with monkeypatch.context() as patch:
        patch.setattr(painter, "_pipe", _Broken(pipe, full))
        with pytest.raises(GenerationError) as refusal:
            painter.paint(wish(painter), make_adapter(2))
        assert len(tries) == 2, "once more after giving back what is ours"
        assert len(painter.attached) == 1
        painted = painter.paint(wish(painter), make_adapter(2))
    assert len(tries) == 4, "the second try had room"
    assert difference(painted, expected) == 0
    assert not any(words in str(refusal.value) for words in OUT_OF_MEMORY_WORDS)
    assert painter.paint(wish(painter), make_adapter(1)).size == (64, 64)


class _Broken:
    """A pipeline whose call fails: the only way to see a full accelerator without one."""

    def __init__(self, pipe: object, call: Callable[..., object]) -> None:
        self.__dict__.update(_pipe=pipe, _call=call)

    def __getattr__(self, name: str) -> object:
        return getattr(self._pipe, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._pipe, name, value)

    def __call__(self, **arguments: object) -> object:
        return self._call(**arguments)
