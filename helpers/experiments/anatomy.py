"""The three networks of Stable Diffusion, looked at while they work.

The text encoder turns words into vectors, the U-Net takes noise away step by step, the autoencoder
(VAE) translates between pixels and the small latents in which the U-Net works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage

from helpers.bases import BaseModel
from helpers.hosting.generate import load_pipeline, quiet, words_past_window
from helpers.photos.photo import Image

NETWORKS = {
    "text_encoder": "reads the prompt",
    "unet": "takes noise away, guided by the words",
    "vae": "turns pixels into latents and back",
}
_LATENT_ENLARGED = 8


def open_pipeline(base: BaseModel) -> Any:
    """The base as an ordinary diffusers ``StableDiffusionPipeline``, in this process."""
    return load_pipeline(base.folder)


def describe_networks(pipe: Any) -> str:
    """A line for each network: how many weights it has, and what it does."""
    lines = []
    for name, work in NETWORKS.items():
        weights = sum(one.numel() for one in getattr(pipe, name).parameters())
        lines.append(f"{name:13}{weights / 1e6:6.1f} million weights   {work}")
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A prompt as the text encoder gets it.

    ``window`` is always as long (77), start, end and padding included; ``unread`` are the words
    that did not fit.
    """

    window: tuple[str, ...]
    read: int
    unread: tuple[str, ...]

    def __str__(self) -> str:
        words = " | ".join(self.window[: self.read])
        padding = len(self.window) - self.read
        return f"{words} | … and {padding} more of padding: {len(self.window)} tokens"


def read_tokens(pipe: Any, prompt: str) -> Tokens:
    """Cut a prompt into tokens as the pipeline does."""
    tokenizer = pipe.tokenizer
    with quiet():
        found = tokenizer(
            prompt, padding="max_length", max_length=tokenizer.model_max_length, truncation=True
        )
        unread = words_past_window(pipe, prompt)
    named = tokenizer.convert_ids_to_tokens(found.input_ids)
    return Tokens(
        window=tuple(token.removesuffix("</w>") for token in named),
        read=int(sum(found.attention_mask)),
        unread=tuple(unread),
    )


def embed(pipe: Any, prompt: str) -> np.ndarray:
    """What the text encoder makes of a prompt: one vector for each token, (77, width)."""
    with torch.no_grad(), quiet():
        found, _ = pipe.encode_prompt(
            prompt, device=pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    return found[0].float().cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """A photo, its latents (channels, height, width), and what the decoder makes of them."""

    photo: Image
    latents: np.ndarray
    decoded: Image

    @property
    def latent_pictures(self) -> list[Image]:
        """One grey picture for each channel, every latent value a square of 8 pixels."""
        return [_grey(channel) for channel in self.latents]

    @property
    def shrunk(self) -> float:
        """How many numbers the photo has for each number of its latents."""
        return self.photo.width * self.photo.height * 3 / self.latents.size


def through_the_vae(pipe: Any, photo: Image) -> RoundTrip:
    """Encode a photo and decode it again; sides must be multiples of 8."""
    photo = photo.convert("RGB")
    with torch.no_grad():
        pixels = pipe.image_processor.preprocess(photo).to(pipe.device, pipe.vae.dtype)
        latents = pipe.vae.encode(pixels).latent_dist.mode() * pipe.vae.config.scaling_factor
    return RoundTrip(
        photo=photo, latents=latents[0].float().cpu().numpy(), decoded=_decode(pipe, latents)
    )


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the decoder sees in the latents after that many steps."""

    step: int
    image: Image


def noise_to_picture(
    pipe: Any, prompt: str, *, seed: int, steps: int = 50, guidance: float = 7.5, frames: int = 8
) -> list[Frame]:
    """Paint one picture and decode its latents on the way: first pure noise, last the picture.

    The same picture as any other painter's with this seed. At most ``steps + 1`` frames, evenly
    spread.
    """
    wanted = set(np.linspace(0, steps, frames).round().astype(int).tolist())
    found: dict[int, Image] = {}

    def look(_: Any, step: int, __: Any, given: dict[str, Any]) -> dict[str, Any]:
        if step + 1 in wanted:
            found[step + 1] = _decode(pipe, given["latents"])
        return given

    noise = _noise(pipe, seed)
    if 0 in wanted:
        found[0] = _decode(pipe, noise)
    _paint(pipe, prompt, noise, steps=steps, guidance=guidance, look=look)
    return [Frame(step=step, image=found[step]) for step in sorted(found)]


def _paint(
    pipe: Any,
    prompt: str,
    noise: torch.Tensor,
    *,
    steps: int,
    guidance: float,
    look: Callable[..., dict[str, Any]],
) -> None:
    with quiet():
        pipe(
            prompt,
            latents=noise,
            num_inference_steps=steps,
            guidance_scale=guidance,
            callback_on_step_end=look,
            output_type="latent",
        )


def _noise(pipe: Any, seed: int) -> torch.Tensor:
    side = pipe.unet.config.sample_size
    shape = (1, pipe.unet.config.in_channels, side, side)
    noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))
    return noise.to(pipe.device, pipe.unet.dtype)


def _decode(pipe: Any, latents: torch.Tensor) -> Image:
    with torch.no_grad():
        pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return pipe.image_processor.postprocess(pixels, output_type="pil")[0]


def _grey(channel: np.ndarray) -> Image:
    low, high = float(channel.min()), float(channel.max())
    levels = np.uint8(255 * (channel - low) / max(high - low, 1e-6))
    small = PillowImage.fromarray(levels, "L")
    size = small.width * _LATENT_ENLARGED, small.height * _LATENT_ENLARGED
    return small.resize(size, PillowImage.Resampling.NEAREST).convert("RGB")
