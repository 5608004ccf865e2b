"""The shipped pocket base: an ordinary diffusers folder that paints what it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from helpers.bases import open_base
from helpers.bases.folder import base_hash
from helpers.pocket.judge import Judge
from helpers.pocket.recipe import HELD_OUT
from helpers.pocket.scores import GOALS, NEAR_IDENTICAL, closest_pair, psnr
from helpers.pocket.sheets import paint
from helpers.pocket.world.captions import OPENING, WHERE
from helpers.pocket.world.dataset import scene_of
from helpers.pocket.world.scene import render
from helpers.pocket.world.traits import KINDS
from helpers.settings import ROOT
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune

POCKET = ROOT / "models" / "pocket"
JUDGE = ROOT / "models" / "pocket_judge"
WISH = {"num_inference_steps": 4, "output_type": "np"}


@pytest.fixture(scope="module")
def pipe():
    from diffusers import StableDiffusionPipeline

    opened = StableDiffusionPipeline.from_pretrained(POCKET)
    opened.set_progress_bar_config(disable=True)
    return opened


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load(JUDGE / "judge.safetensors")


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_it_is_small_and_safe() -> None:
    files = [path for path in POCKET.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 60e6
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pkl", ".ckpt")]


def test_text_keys_carry_the_prefix_that_every_transformers_reads() -> None:
    with safe_open(POCKET / "text_encoder" / "model.safetensors", "pt") as weights:
        assert all(key.startswith("text_model.") for key in weights.keys())  # noqa: SIM118


def test_nothing_is_missing_and_nothing_left_over() -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    for name, kind in {"unet": UNet2DConditionModel, "vae": AutoencoderKL,
                       "text_encoder": CLIPTextModel}.items():  # fmt: skip
        _, report = kind.from_pretrained(POCKET / name, output_loading_info=True)
        assert not report["missing_keys"], name
        assert not report["unexpected_keys"], name


def test_the_tokenizer_is_clips_and_reads_77_positions(pipe) -> None:
    from transformers import CLIPTokenizer

    assert isinstance(pipe.tokenizer, CLIPTokenizer)
    assert pipe.tokenizer.model_max_length == 77
    assert (POCKET / "tokenizer" / "vocab.json").exists()
    classic = CLIPTokenizer(
        str(POCKET / "tokenizer" / "vocab.json"), str(POCKET / "tokenizer" / "merges.txt")
    )
    text = "a photo of a <<TOK>> person on the beach, naïve 35mm"
    assert classic(text).input_ids == pipe.tokenizer(text).input_ids


def test_a_saved_copy_paints_the_same_picture(pipe, tmp_path: Path) -> None:
    from diffusers import AutoPipelineForText2Image, StableDiffusionPipeline

    pipe.save_pretrained(tmp_path / "copy")
    first = pipe("a photo of a dog", **WISH, generator=seeded(1)).images
    for kind in (StableDiffusionPipeline, AutoPipelineForText2Image):
        copy = kind.from_pretrained(tmp_path / "copy")
        assert isinstance(copy, StableDiffusionPipeline)
        copy.set_progress_bar_config(disable=True)
        assert np.array_equal(first, copy("a photo of a dog", **WISH, generator=seeded(1)).images)


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler",
                                  "PNDMScheduler", "UniPCMultistepScheduler"])  # fmt: skip
def test_any_scheduler_paints_what_is_asked_for(pipe, judge: Judge, name: str) -> None:
    import diffusers
    from diffusers import StableDiffusionPipeline

    parts = {part: value for part, value in pipe.components.items() if part != "scheduler"}
    scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config)
    other = StableDiffusionPipeline(**parts, scheduler=scheduler, requires_safety_checker=False)
    read = judge.read(paint(other, ["a photo of a person in the park"] * 4, 1, 15))
    assert read["place"].count("park") >= 3, read["place"]


def test_several_pictures_a_prompt_and_a_negative_prompt(pipe) -> None:
    wish = {"prompt": "a photo of a dog", **WISH}
    two = pipe(**wish, num_images_per_prompt=2, generator=seeded(1)).images
    assert two.shape == (2, 64, 64, 3) and np.isfinite(two).all()
    assert np.abs(two[0] - two[1]).mean() > 0.02
    plain, without = (pipe(**wish, negative_prompt=words, generator=seeded(1)).images
                      for words in (None, "a photo of a golden dog on the beach"))  # fmt: skip
    assert np.abs(plain - without).mean() > 0.01


def test_an_adapter_comes_and_goes(pipe, tmp_path: Path) -> None:
    pictures = [render(scene_of(HELD_OUT, i)[0], 64).image for i in range(4)]
    base = open_base(POCKET)
    config = FineTuneConfig.for_base(base, n_steps=6, learning_rate=0.01, batch_size=1,
                                     with_prior_preservation=False)  # fmt: skip
    adapter = fine_tune(pictures, config, base, tmp_path / "adapter")

    def picture() -> np.ndarray:
        return pipe("a photo of a <<TOK>> person", **WISH, generator=seeded(2)).images

    before = picture()
    pipe.load_lora_weights(str(adapter.folder))
    try:
        assert np.abs(picture() - before).max() > 0.02
    finally:
        pipe.unload_lora_weights()
    assert np.array_equal(picture(), before)


def test_the_autoencoder_keeps_drawings_it_never_saw(pipe) -> None:
    drawings = [render(scene_of(HELD_OUT, i)[0], 64).image for i in range(24)]
    assert psnr(pipe.vae, drawings) > 28


def test_the_judge_reads_drawings_that_nobody_trained_on(judge: Judge) -> None:
    """Before it judges the base: right on the world's own pictures."""
    scenes = [scene_of(HELD_OUT + 1, i)[0] for i in range(96)]
    read = judge.read([render(scene, 64).image for scene in scenes])
    kinds = [a == scene.subject.kind for a, scene in zip(read["kind"], scenes, strict=True)]
    places = [a == scene.place for a, scene in zip(read["place"], scenes, strict=True)]
    known = json.loads((JUDGE / "scores.json").read_text())["label_accuracy"]
    assert np.mean(kinds) > known["kind"] - 0.08 and np.mean(places) > known["place"] - 0.05


@pytest.fixture(scope="module")
def painted(pipe, judge: Judge) -> dict[str, tuple[list[str], list[str]]]:
    """What was asked for and what the judge read, by label: every kind in every style, every
    setting four times."""
    kinds, places, styles = list(KINDS), list(WHERE), list(OPENING)
    asked = [(kind, places[(i + 2 * j) % len(places)], style)
             for i, kind in enumerate(kinds) for j, style in enumerate(styles)]  # fmt: skip
    prompts = [f"{OPENING[style][0]} a {kind} {WHERE[place][0]}" for kind, place, style in asked]
    read = judge.read(paint(pipe, prompts, 31, 15))
    return {label: ([one[n] for one in asked], read[label])
            for n, label in enumerate(("kind", "place", "style"))}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("label", ["kind", "place", "style"])
def test_it_paints_what_it_is_asked_for(painted: dict, label: str) -> None:
    """Few pictures, and three wishes at once, so the bar is lower than what ``scores.json`` holds;
    that file says which goals are reached."""
    measured = json.loads((POCKET / "scores.json").read_text())["right"][label]["mean"]
    asked, read = painted[label]
    right = np.mean([said == value for value, said in zip(asked, read, strict=True)])
    assert right > min(measured, GOALS[label]) - 0.2, list(zip(asked, read, strict=True))


def test_another_seed_is_another_picture_and_the_same_seed_is_not(pipe) -> None:
    def one(seed: int) -> np.ndarray:
        return pipe("a photo of a cat", **WISH, generator=seeded(seed)).images[0]

    assert np.array_equal(one(3), one(3))
    assert np.abs(one(3) - one(4)).mean() > 0.02
    assert closest_pair(paint(pipe, ["a photo of a cat on the beach"] * 8, 5, 8)) > NEAR_IDENTICAL


def test_the_cards_numbers_are_those_that_were_measured() -> None:
    """``scores.json`` beside the base is what ``helpers.pocket.scores`` wrote for these weights."""
    found = json.loads((POCKET / "scores.json").read_text())
    assert found["base_hash"] == base_hash(POCKET)
    card = (POCKET / "README.md").read_text()
    for label in ("kind", "place", "style", "colour"):
        assert f"{found['right'][label]['mean']:.1%}" in card
    assert f"{found['pictures_each']} pictures a cell" in card
    for name in ("vae_drawings_db", "vae_photographs_db"):
        assert f"{found[name]:.1f} dB" in card
    for distance in found["from_drawings"].values():
        assert f"{distance:.2f}" in card


@pytest.mark.parametrize("name", ["doppler", "marlow", "astronaut"])
def test_the_cards_subjects_were_taught_to_these_weights(name: str) -> None:
    found = json.loads((POCKET / f"{name}.json").read_text())
    assert found["base_hash"] == base_hash(POCKET)
    assert found["cpu_seconds"] < 300 and (POCKET / f"{name}.jpg").exists()
    card = (POCKET / "README.md").read_text()
    assert f"{found['identity']['share']:.0%}" in card
    for share in (*found["kept"].values(), *found.get("ranks_first", {}).values()):
        assert f"{share:.0%}" in card
