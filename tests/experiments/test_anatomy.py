"""The three networks, each held to what the notebook says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.bases import open_base
from helpers.experiments.anatomy import (
    describe_networks,
    embed,
    noise_to_picture,
    open_pipeline,
    read_tokens,
    through_the_vae,
)
from helpers.hosting.generate import AvatarPainter, GenerationRequest
from tests.random_base import write_random_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_base(tmp_path_factory.mktemp("anatomy") / "base")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    return open_pipeline(open_base(folder))


def test_every_network_is_counted(pipe: Any) -> None:
    lines = describe_networks(pipe).splitlines()
    assert [line.split()[0] for line in lines] == ["text_encoder", "unet", "vae"]
    assert all(float(line.split()[1]) > 0 for line in lines)


def test_the_window_is_always_as_long(pipe: Any) -> None:
    short, long = read_tokens(pipe, "a dog"), read_tokens(pipe, "a dog " * 60 + "zebra")
    assert len(short.window) == len(long.window) == pipe.tokenizer.model_max_length == 77
    assert (short.read, short.unread) == (4, ())
    assert short.window[1:3] == ("a", "dog")
    assert long.read == 77 and long.unread[-1] == "zebra"
    assert "73 more of padding" in str(short)


def test_each_token_has_a_vector_and_unread_words_change_none(pipe: Any) -> None:
    width = pipe.text_encoder.config.hidden_size
    assert embed(pipe, "a dog").shape == (77, width)
    assert not np.array_equal(embed(pipe, "a dog"), embed(pipe, "a cat"))
    full = "a dog " * 60
    assert np.array_equal(embed(pipe, full + "in the snow"), embed(pipe, full + "on the beach"))


def test_a_photo_goes_through_the_autoencoder(pipe: Any) -> None:
    photo = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    trip = through_the_vae(pipe, photo)
    assert trip.latents.shape == (4, 16, 16) and trip.shrunk == 12
    assert trip.decoded.size == photo.size
    assert [one.size for one in trip.latent_pictures] == [(128, 128)] * 4
    grey = np.asarray(trip.latent_pictures[0])
    assert (grey.min(), grey.max()) == (0, 255), "each channel uses all greys"


def test_a_flat_channel_is_a_picture_too(pipe: Any) -> None:
    trip = through_the_vae(pipe, Image.new("RGB", (64, 64)))
    flat = type(trip)(photo=trip.photo, latents=np.zeros((1, 4, 4)), decoded=trip.decoded)
    assert np.asarray(flat.latent_pictures[0]).max() == 0


@pytest.mark.parametrize(("steps", "frames", "expected"), [(4, 3, [0, 2, 4]), (2, 8, [0, 1, 2])])
def test_frames_lead_from_noise_to_the_picture(
    pipe: Any, steps: int, frames: int, expected: list[int]
) -> None:
    found = noise_to_picture(pipe, "a dog", seed=3, steps=steps, frames=frames)
    assert [frame.step for frame in found] == expected
    assert len({frame.image.tobytes() for frame in found}) == len(found)


def test_the_last_frame_is_the_picture_that_any_painter_paints(pipe: Any, folder: Path) -> None:
    found = noise_to_picture(pipe, "a dog", seed=3, steps=3, guidance=7.5)
    asked = {"seed": 3, "num_inference_steps": 3, "guidance_scale": 7.5}
    painter = AvatarPainter(folder)
    picture = painter.paint(
        GenerationRequest.from_json("a dog", None, asked, limits=painter.limits)
    )
    assert np.array_equal(np.asarray(found[-1].image), np.asarray(picture))


def test_noise_depends_on_the_seed_alone(pipe: Any) -> None:
    first, other = (
        noise_to_picture(pipe, prompt, seed=5, steps=1, frames=2)[0].image
        for prompt in ("a dog", "a cat in the snow")
    )
    assert first.tobytes() == other.tobytes()
    changed = noise_to_picture(pipe, "a dog", seed=6, steps=1, frames=2)[0].image
    assert changed.tobytes() != first.tobytes()
