"""Evens out how strong the latent channels of the autoencoder are: noise hides weak ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

FLOOR = 0.1
"""Variances below count as this much: a direction that carries next to nothing stays faint."""


def evening(latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of latents (N, C, h, w): their mean (C,), and the matrix (C, C) that takes the square root of
    their spread in every direction.

    The directions are those of a principal component analysis, and the matrix is the symmetric one,
    which turns channels least: half of a whitening, V diag(e)^(-1/4) V'.
    """
    rows = latents.double().permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    mean = rows.mean(0)
    strengths, directions = torch.linalg.eigh(torch.cov(rows.T, correction=0))
    matrix = directions * strengths.clamp_min(FLOOR).pow(-0.25) @ directions.T
    return mean.float(), matrix.float()


@torch.no_grad()
def even_out(vae: AutoencoderKL, parameters: torch.Tensor) -> None:
    """Fold ``evening`` into the convolutions around the latents; pictures decode as before.

    ``parameters`` (N, 2C, h, w) are means and log-variances of pictures. Brightness is ten times
    as strong as what tells an eye from skin: under the same noise the eye goes long before. The
    encoder's own spread becomes a constant of each channel, the mean of what it was.
    """
    known = DiagonalGaussianDistribution(parameters.float())
    mean, matrix = evening(known.mean)
    noise = known.var.mean((0, 2, 3))
    count = len(mean)
    into, out = vae.quant_conv, vae.post_quant_conv
    assert into is not None and out is not None and into.bias is not None and out.bias is not None
    into.weight[:count] = torch.einsum("ij,jkhw->ikhw", matrix, into.weight[:count])
    into.bias[:count] = matrix @ (into.bias[:count] - mean)
    into.weight[count:] = 0.0
    into.bias[count:] = (matrix.square() @ noise).log()
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight.copy_(torch.einsum("ijhw,jk->ikhw", out.weight, matrix.inverse()))
