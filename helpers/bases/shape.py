"""What the configurations of a diffusers folder say: enough to tell which bases it could be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.bases.registry import Registered
from helpers.errors import BaseModelError, fit_to_print
from helpers.strict_json import parse_object

INDEX = "model_index.json"
_MOST = 2**16


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a folder's configurations say: enough to tell which bases it could be."""

    text_width: int
    latent_side: int
    resolution: int
    prediction_type: str

    def fits(self, entry: Registered) -> bool:
        return self == Shape(
            text_width=entry.text_width,
            latent_side=entry.latent_side,
            resolution=entry.resolution,
            prediction_type=entry.prediction_type,
        )

    def require(self, entry: Registered, folder: Path) -> None:
        """Raise ``BaseModelError`` unless the folder is configured as the entry says."""
        if not self.fits(entry):
            raise BaseModelError(
                f"The base model in {folder.name}/ has the weights of {entry.id} and not its "
                "configuration",
                f"It is configured for {self}; {entry.id} is {entry.resolution} pixels, "
                f"{entry.prediction_type}",
                "Take every file from the same place: with the wrong prediction type a base "
                "paints noise",
            )

    def __str__(self) -> str:
        return (
            f"{self.resolution} pixels, {self.prediction_type}, text width {self.text_width}, "
            f"latents of {self.latent_side}"
        )


def read_shape(folder: Path) -> Shape:
    """What the configurations say. Raises ``BaseModelError`` for no usable diffusers folder."""
    if not (folder / INDEX).is_file():
        raise BaseModelError(
            f"There is no base model in {folder.name}/",
            f"It has no {INDEX}",
            "Give the folder of a StableDiffusionPipeline",
        )
    unet = read_config(folder, "unet/config.json")
    vae = read_config(folder, "vae/config.json")
    noise = read_config(folder, "scheduler/scheduler_config.json")
    try:
        width, side = int(unet["cross_attention_dim"]), int(unet["sample_size"])
        resolution = side * 2 ** (len(vae["block_out_channels"]) - 1)
        if not 0 < width <= _MOST or not 0 < resolution <= _MOST:
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BaseModelError(
            f"The base model in {folder.name}/ cannot be used",
            "Its configuration does not describe a Stable Diffusion base: unet/config.json names "
            "cross_attention_dim and sample_size, vae/config.json block_out_channels",
            "Get the base model again",
        ) from None
    prediction_type = str(noise.get("prediction_type", "epsilon"))
    if prediction_type not in ("epsilon", "v_prediction"):
        raise BaseModelError(
            f"The base model in {folder.name}/ cannot be fine-tuned",
            f"scheduler/scheduler_config.json predicts '{fit_to_print(prediction_type)}'; "
            "epsilon and v_prediction are understood",
            "Take a base of the registry",
        )
    return Shape(
        text_width=width,
        latent_side=side,
        resolution=resolution,
        prediction_type=prediction_type,
    )


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of the folder. Raises ``BaseModelError`` if there is none of that name."""
    try:
        return parse_object((folder / name).read_bytes())
    except (OSError, ValueError) as trouble:
        missing = isinstance(trouble, FileNotFoundError)
        said = "" if isinstance(trouble, OSError) else f": {trouble}"
        raise BaseModelError(
            f"The base model in {folder.name}/ is incomplete",
            f"{name} is missing" if missing else f"{name} is missing or damaged{said}",
            "Get the base model again",
        ) from None
