"""A base model on disk: what its folder holds, and how to tell two apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.bases.registry import REGISTRY, Registered
from helpers.errors import BaseModelError
from helpers.settings import ROOT

POCKET = ROOT / "models" / "pocket"
"""The base that the course ships."""

_WEIGHT_FOLDERS = ("text_encoder", "unet", "vae")


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A base model on disk.

    ``hash`` is the SHA-256 over its weights, ``resolution`` the side in pixels that it paints,
    ``prediction_type`` what its U-Net predicts: ``epsilon`` or ``v_prediction``.
    """

    id: str
    folder: Path
    hash: str
    resolution: int
    prediction_type: str

    @property
    def registered(self) -> Registered:
        """The registry's entry."""
        return REGISTRY[self.id]


def shipped_base(base_id: str) -> BaseModel:
    """The base of that id on this machine. Raises ``BaseModelError`` if it is not there."""
    if base_id != "pocket":
        raise BaseModelError(
            f"the base model {base_id} is not on this machine",
            "the course ships the base pocket",
            "leave AVATAR_BASE_MODEL out, or set it to pocket",
        )
    return open_base(POCKET)


def open_base(folder: Path) -> BaseModel:
    """Read what a diffusers folder holds. Loads no weights, but reads them all for the hash.

    Raises ``BaseModelError`` when the folder is missing or incomplete, holds weights in another
    format than safetensors, or is no base of the registry.
    """
    folder = Path(folder)
    if not (folder / "model_index.json").is_file():
        raise BaseModelError(
            f"There is no base model in {folder.name}/",
            "It has no model_index.json",
            "Give the folder of a StableDiffusionPipeline",
        )
    unet = _config(folder, "unet/config.json")
    vae = _config(folder, "vae/config.json")
    noise = _config(folder, "scheduler/scheduler_config.json")
    try:
        width, side = int(unet["cross_attention_dim"]), int(unet["sample_size"])
        resolution = side * 2 ** (len(vae["block_out_channels"]) - 1)
    except (KeyError, TypeError, ValueError):
        raise BaseModelError(
            f"The base model in {folder.name}/ cannot be used",
            "Its configuration does not describe a Stable Diffusion base",
        ) from None
    prediction_type = str(noise.get("prediction_type", "epsilon"))
    if prediction_type not in ("epsilon", "v_prediction"):
        raise BaseModelError(
            f"The base model in {folder.name}/ cannot be fine-tuned",
            f"Its scheduler predicts {prediction_type!r}; epsilon and v_prediction are understood",
        )
    return BaseModel(
        id=_recognise(folder, width, side),
        folder=folder,
        hash=base_hash(folder),
        resolution=resolution,
        prediction_type=prediction_type,
    )


def base_hash(folder: Path) -> str:
    """SHA-256 (hex) over the weight files of text encoder, U-Net and autoencoder.

    Names count as well as bytes; cards and configurations do not. Raises ``BaseModelError`` when
    one of the three has no safetensors file.
    """
    digest = hashlib.sha256()
    for part in _WEIGHT_FOLDERS:
        files = sorted((folder / part).glob("*.safetensors"))
        if not files:
            raise BaseModelError(
                f"The base model in {folder.name}/ has no usable weights for {part}",
                "Only safetensors files are read, because other formats can run code",
                "Convert or download the base in that format",
            )
        for file in files:
            digest.update(f"{part}/{file.name}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recognise(folder: Path, width: int, side: int) -> str:
    for base in REGISTRY.values():
        if (base.text_width, base.latent_side) == (width, side):
            return base.id
    raise BaseModelError(
        f"The base model in {folder.name}/ is none that the course knows",
        f"Text width {width} and latents of {side} match no entry of the registry",
        f"Use one of: {', '.join(REGISTRY)}",
    )


def _config(folder: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise BaseModelError(
            f"The base model in {folder.name}/ is incomplete", f"{name} is missing or damaged"
        )
    return config
