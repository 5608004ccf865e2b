"""The shapes of the pocket base: an ordinary Stable Diffusion, two hundred times smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.pocket.vocabulary import CONTEXT

if TYPE_CHECKING:
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTokenizer


@dataclass(frozen=True, kw_only=True)
class PocketShape:
    """Sizes of the three networks. Pixels ``resolution``², latents ``resolution / 4``²."""

    resolution: int = 64
    latent_channels: int = 12
    vae_channels: tuple[int, ...] = (32, 64, 96)
    unet_channels: tuple[int, ...] = (80, 160, 256)
    text_width: int = 192
    text_layers: int = 4


POCKET = PocketShape()
"""The shape of the shipped base. A patch of 4 x 4 pixels is 48 numbers; of the 12 latent channels
pictures use about seven: without the five weakest directions a drawing loses 0.15 dB."""
LATENT_SPREAD = 1.5
"""Standard deviation of latents as the U-Net sees them. Stronger latents are a schedule with less
noise (Chen 2023, arXiv 2301.10972), which is what few pixels want."""


def build_vae(shape: PocketShape) -> AutoencoderKL:
    """A KL autoencoder that shrinks each side by four."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=shape.latent_channels,
        down_block_types=("DownEncoderBlock2D",) * len(shape.vae_channels),  # type: ignore[arg-type]
        up_block_types=("UpDecoderBlock2D",) * len(shape.vae_channels),  # type: ignore[arg-type]
        block_out_channels=shape.vae_channels,  # type: ignore[arg-type]
        layers_per_block=1,
        norm_num_groups=16,
        sample_size=shape.resolution,
        mid_block_add_attention=False,
    )


def build_unet(shape: PocketShape) -> UNet2DConditionModel:
    """A conditional U-Net with attention on its two lower levels.

    The prompt joins the time embedding too (``addition_embed_type``), as in DeepFloyd IF: what it
    says of the whole picture need not find its way through attention.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=shape.resolution // 4,
        in_channels=shape.latent_channels,
        out_channels=shape.latent_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=shape.unet_channels,
        layers_per_block=1,
        cross_attention_dim=shape.text_width,
        attention_head_dim=32,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=shape.text_width // 32,
    )


def build_text_encoder(shape: PocketShape, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A small CLIP text encoder with Stable Diffusion's window of 77 positions."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.text_width,
            intermediate_size=shape.text_width * 4,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,  # type: ignore[arg-type]
            eos_token_id=tokenizer.eos_token_id,  # type: ignore[arg-type]
            pad_token_id=tokenizer.pad_token_id,  # type: ignore[arg-type]
        )
    )


def build_scheduler() -> DDIMScheduler:
    """A cosine schedule that ends in noise alone; v prediction; sampling begins at the last step.

    Stable Diffusion's scaled-linear schedule is made for latents of 64 x 64, where neighbours say
    the same. In ours of 16 x 16 an eye is one number, and an eighth of that schedule hides it for
    good; the cosine (Nichol and Dhariwal 2021, arXiv 2102.09672) gives small things more of the
    steps. Noise alone at the end, as otherwise a picture's mean shows through (Lin et al. 2023,
    arXiv 2305.08891): a base learns to read colours there in place of the prompt.
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def assemble(
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> StableDiffusionPipeline:
    """The networks as an ordinary pipeline, ready for ``save_pretrained``."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),  # type: ignore[arg-type]
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
