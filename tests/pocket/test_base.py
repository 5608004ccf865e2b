"""The shipped pocket base: an ordinary diffusers folder that paints what it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from helpers.experiments.similarity import open_judge
from helpers.pocket.scores import (
    Nearest,
    kinds_right,
    place_by_colour,
    places_right,
    reconstruction_psnr,
)
from helpers.pocket.world import draw_scene, render
from helpers.settings import ROOT

POCKET = ROOT / "models" / "pocket"


@pytest.fixture(scope="module")
def pipe():
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(POCKET)


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


def test_the_schedulers_are_interchangeable_and_save_round_trips(pipe, tmp_path: Path) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

    pipe.save_pretrained(tmp_path / "copy")
    copy = StableDiffusionPipeline.from_pretrained(tmp_path / "copy")
    for one in (pipe, copy):
        one.set_progress_bar_config(disable=True)
    wish = {"prompt": "a photo of a dog", "num_inference_steps": 4, "output_type": "np"}
    first = pipe(**wish, generator=torch.Generator().manual_seed(1)).images
    again = copy(**wish, generator=torch.Generator().manual_seed(1)).images
    assert np.array_equal(first, again)
    copy.scheduler = EulerDiscreteScheduler.from_config(copy.scheduler.config)
    many = copy(**wish, negative_prompt="a cat", num_images_per_prompt=2).images
    assert many.shape == (2, 64, 64, 3) and np.isfinite(many).all()


def test_the_autoencoder_keeps_drawings_it_never_saw(pipe) -> None:
    assert reconstruction_psnr(pipe.vae, count=24) > 26


def test_the_measures_know_the_drawings_themselves() -> None:
    """Before they judge the model: right on the world's own pictures, and not by chance."""
    nearest, rng = Nearest(open_judge()), np.random.default_rng(77)
    kinds = ("dog", "cat", "person") * 8
    drawn = [render(draw_scene(rng, kind=kind, style="photo")).image for kind in kinds]
    right = [a == b for a, b in zip(nearest(drawn), kinds, strict=True)]
    assert np.mean(right) > 0.85
    for place in ("park", "snow", "beach"):
        scenes = [draw_scene(rng, kind="dog", place=place, style="photo") for _ in range(12)]
        assert np.mean([place_by_colour(render(s).image) == place for s in scenes]) > 0.8
    for place in ("room", "studio"):
        scenes = [draw_scene(rng, kind="cat", place=place, style="photo") for _ in range(12)]
        assert np.mean([place_by_colour(render(s).image) == "other" for s in scenes]) > 0.5


@pytest.mark.slow
def test_it_paints_the_kinds_and_settings_it_is_asked_for(pipe) -> None:
    kinds = kinds_right(pipe, open_judge(), each=8, steps=15)
    assert min(kinds.values()) >= 0.6 and np.mean(list(kinds.values())) >= 0.75, kinds
    places = places_right(pipe, each=6, steps=15)
    assert np.mean(list(places.values())) >= 0.75, places


def test_another_seed_is_another_picture_and_the_same_seed_is_not(pipe) -> None:
    pipe.set_progress_bar_config(disable=True)

    def paint(seed: int) -> np.ndarray:
        noise = torch.Generator().manual_seed(seed)
        done = pipe("a photo of a cat", num_inference_steps=6, generator=noise, output_type="np")
        return done.images[0]

    assert np.array_equal(paint(3), paint(3))
    assert np.abs(paint(3) - paint(4)).mean() > 0.02
