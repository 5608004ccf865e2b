"""The parts of a base model in memory, checked while they are loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from PIL import Image, ImageOps
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging

from helpers.bases import BaseModel
from helpers.bases.keys import PREFIX, prefixed, read_keys
from helpers.errors import BaseModelError
from helpers.tuning.words import words_of

BUILDING = threading.Lock()
"""Held while layers are made: the libraries change torch's classes for a moment to do so, and two
jobs in one process would get each other's layers."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """A base's frozen networks, on one device and with one kind of numbers.

    ``noise`` is the base's own noise schedule: betas and prediction type come from its
    configuration, never from here. ``base_hash`` says whose weights they are.
    """

    tokenizer: Any
    text_encoder: Any
    vae: Any
    unet: Any
    noise: Any
    device: torch.device
    dtype: torch.dtype
    base_hash: str = ""


def default_device() -> torch.device:
    """The accelerator, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_networks(
    base: BaseModel, *, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Networks:
    """Load every part of ``base`` and freeze it.

    Raises ``BaseModelError`` when a weight is missing or left over: the libraries only warn, and
    would go on with random numbers in its place.
    """
    device = device or default_device()
    # Some layers draw their first weights even though stored ones replace them.
    with BUILDING, _no_progress_bar(), torch.random.fork_rng(devices=[]):
        loaded = {
            "text_encoder": load_text_encoder(base.folder / "text_encoder", dtype),
            "vae": _load(AutoencoderKL, base.folder / "vae", dtype),
            "unet": _load(UNet2DConditionModel, base.folder / "unet", dtype),
        }
    return Networks(
        **{name: network.to(device) for name, network in loaded.items()},
        tokenizer=CLIPTokenizer.from_pretrained(base.folder / "tokenizer", local_files_only=True),
        noise=DDPMScheduler.from_pretrained(base.folder / "scheduler", local_files_only=True),
        device=device,
        dtype=dtype,
        base_hash=base.hash,
    )


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_text_encoder(folder: Path, dtype: torch.dtype) -> Any:
    """The text encoder in ``folder``, whichever form its keys have; on the processor, frozen.

    Raises ``BaseModelError`` when a weight is missing or left over.
    """
    files = sorted(folder.glob("*.safetensors"))
    if all(key.startswith(PREFIX) for path in files for key in read_keys(path)):
        return _load(CLIPTextModel, folder, dtype)
    # An older transformers would leave weights of short names at random.
    tensors = [load_file(path) for path in files]
    renamed = {prefixed(key): value for part in tensors for key, value in part.items()}
    config = CLIPTextConfig.from_pretrained(folder, local_files_only=True)
    return _load(CLIPTextModel, folder, dtype, config=config, state_dict=renamed)


def _load(kind: Any, folder: Path, dtype: torch.dtype, **given: Any) -> Any:
    """``given`` stands in for the folder's files."""
    try:
        network, report = kind.from_pretrained(
            None if given else folder,
            local_files_only=True,
            use_safetensors=True,
            torch_dtype=dtype,
            output_loading_info=True,
            **given,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise BaseModelError(
            f"The base model's {folder.name} cannot be loaded", f"{type(error).__name__}: {error}"
        ) from error
    # Some converters still save this buffer of counting numbers.
    wrong = [
        key
        for key in (*report["missing_keys"], *report["unexpected_keys"])
        if not key.endswith("position_ids")
    ]
    if wrong:
        raise BaseModelError(
            f"The base model's {folder.name} is damaged",
            f"{len(wrong)} weights are missing or left over, the first is {sorted(wrong)[0]}",
            "Get the base model again",
        )
    return network.requires_grad_(False).eval()


@torch.no_grad()
def encode_text(networks: Networks, prompt: str) -> torch.Tensor:
    """Embeddings of one prompt, shape ``(1, window, width)``; longer prompts are cut."""
    return networks.text_encoder(token_ids(networks, prompt))[0]


def token_ids(networks: Networks, prompt: str) -> torch.Tensor:
    """Token ids of one prompt, padded or cut to the window: shape ``(1, window)``.

    Words that were learned beside an adapter are known.
    """
    words = words_of(networks.text_encoder)
    tokenizer = words.tokenizer if words else networks.tokenizer
    ids = tokenizer(
        words.spelled(prompt) if words else prompt,
        padding="max_length",
        truncation=True,
        max_length=networks.tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
    return ids.to(networks.device)


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Pictures as the autoencoder sees them: mean and spread of their latents.

    Encoded once; every step draws fresh latents from them. Shape ``(n, channels, side, side)``,
    already scaled as the U-Net expects.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __len__(self) -> int:
        return len(self.mean)

    def draw(self, picks: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Latents of the pictures ``picks``. ``generator`` lives on the CPU."""
        noise = torch.randn(self.mean[picks].shape, generator=generator)
        return self.mean[picks] + self.std[picks] * noise.to(self.mean)


@torch.no_grad()
def encode_pictures(networks: Networks, pictures: list[Image.Image], side: int) -> Moments:
    """Encode pictures of ``side`` pixels; others are cut to a square from their centre first."""
    vae = networks.vae
    means, stds = [], []
    for picture in pictures:
        if picture.size != (side, side):
            picture = ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
        data = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
        pixels = data.view(1, side, side, 3).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = vae.encode(pixels.to(networks.device, networks.dtype)).latent_dist
        means.append(latents.mean.float())
        stds.append(latents.std.float())
    shift = vae.config.shift_factor or 0.0
    scale = vae.config.scaling_factor
    return Moments(mean=(torch.cat(means) - shift) * scale, std=torch.cat(stds) * scale)
