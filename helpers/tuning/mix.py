"""Adapters as numbers: weaken, add, shorten and compare them.

An adapter changes a layer's weights by ``B @ A`` (its strength is folded in). Functions here take
and give the tensors of an adapter's weight file, ``{"unet.….lora_A.weight": A, …}`` with ``A`` of
shape ``(rank, inputs)`` and ``B`` of ``(outputs, rank)``; ``merge_adapters`` works on folders.
What comes out is an adapter like any other, which plain diffusers loads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from helpers.bases import BaseModel
from helpers.errors import AdapterError
from helpers.tuning.adapter import (
    WEIGHTS,
    Adapter,
    check_base,
    learned_words,
    read_adapter,
    write_adapter,
)

Tensors = Mapping[str, torch.Tensor]


def scale(tensors: Tensors, factor: float) -> dict[str, torch.Tensor]:
    """The adapter at ``factor`` of its strength; 0 leaves the base, a negative one leads away."""
    return {
        key: (value.float() * factor).to(value.dtype) if ".lora_B." in key else value.clone()
        for key, value in tensors.items()
    }


def add(adapters: Sequence[Tensors], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """One adapter that changes the base by the weighted sum of what each of them does.

    It is exact: the ranks add up, ``[w1 B1, w2 B2] @ [A1; A2]``. A layer that one of them leaves
    alone gets rows of zeros, so that all layers of a network keep one rank.
    """
    scaled = [scale(one, weight) for one, weight in zip(adapters, weights, strict=True)]
    total: dict[str, torch.Tensor] = {}
    for key in sorted({key for one in scaled for key in one}):
        axis = 0 if ".lora_A." in key else 1
        like = next(one[key] for one in scaled if key in one)
        parts = [one.get(key, _zeros(like, axis, _rank(one, key))) for one in scaled]
        total[key] = torch.cat(parts, dim=axis).contiguous()
    return total


def shorten(tensors: Tensors, rank: int) -> dict[str, torch.Tensor]:
    """The closest adapter of a lower rank (the truncated singular value decomposition of ``B A``,
    optimal in the Frobenius norm: Eckart and Young 1936). Layers of that rank stay as they are."""
    short: dict[str, torch.Tensor] = {}
    for layer, (a, b) in _pairs(tensors).items():
        if a.shape[0] > rank:
            # B A = Qb (Rb Ra') Qa': the decomposition of a small square is enough.
            (qa, ra), (qb, rb) = torch.linalg.qr(a.float().T), torch.linalg.qr(b.float())
            u, s, v = torch.linalg.svd(rb @ ra.T)
            root = s[:rank].sqrt()
            a = (root[:, None] * (v[:rank] @ qa.T)).to(a.dtype)
            b = ((qb @ u[:, :rank]) * root).to(b.dtype)
        short[f"{layer}.lora_A.weight"], short[f"{layer}.lora_B.weight"] = a.clone(), b.clone()
    return short


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How alike two adapters are, over all layers together.

    ``cosine`` of the two changes, from -1 (opposite) over 0 (nothing to do with each other: they
    can be added without harm) to 1; ``norms`` are their sizes (Frobenius); ``layers`` gives the
    cosine of each layer that both change.
    """

    cosine: float
    norms: tuple[float, float]
    layers: dict[str, float]


def compare(one: Tensors, other: Tensors) -> Comparison:
    """Compare what two adapters do, whatever their ranks.

    ``<B1 A1, B2 A2> = trace((B1' B2) (A2 A1'))``, so no layer's full matrix is ever made.
    """
    left, right = _pairs(one), _pairs(other)
    products = {name: _product(left[name], right[name]) for name in left.keys() & right.keys()}
    sizes = [
        {name: math.sqrt(max(_product(pair, pair), 0.0)) for name, pair in side.items()}
        for side in (left, right)
    ]
    norms = tuple(math.sqrt(sum(size**2 for size in side.values())) for side in sizes)
    return Comparison(
        cosine=_ratio(sum(products.values()), norms[0] * norms[1]),
        norms=(norms[0], norms[1]),
        layers={
            name: _ratio(product, sizes[0][name] * sizes[1][name])
            for name, product in sorted(products.items())
        },
    )


def merge_adapters(
    folders: Sequence[Path],
    out: Path,
    *,
    base: BaseModel,
    weights: Sequence[float] | None = None,
    rank: int | None = None,
) -> Adapter:
    """Write one adapter with all the subjects of several, each at its weight (1, if not given).

    With ``rank`` the sum is shortened to it. Learned words are kept side by side. Raises
    ``AdapterError`` for a damaged adapter, one of another base, and two that learned one word.
    """
    adapters = [read_adapter(folder) for folder in folders]
    if not adapters:
        raise AdapterError("There is nothing to merge", "No adapter was given")
    for adapter in adapters:
        check_base(adapter, base)
    weights = [1.0] * len(adapters) if weights is None else list(weights)
    tensors = add([load_file(one.folder / WEIGHTS) for one in adapters], weights)
    tensors = shorten(tensors, rank) if rank else tensors
    words: dict[str, torch.Tensor] = {}
    for adapter in adapters:
        for word in learned_words(adapter.folder):
            if word.keys() & words.keys():
                raise AdapterError(
                    "The adapters cannot be merged",
                    "Two of them learned the same identifier, and only one could be kept",
                    "Fine-tune one of them again with another identifier",
                )
            words |= word
    made = [adapter.manifest for adapter in adapters]
    ranks = _ranks(tensors)
    return write_adapter(
        tensors,
        out,
        base=base,
        embeddings=words,
        resolution=made[0].resolution,
        rank=ranks["unet"],
        alpha=float(ranks["unet"]),
        text_encoder_rank=ranks.get("text_encoder"),
        text_encoder_alpha=float(ranks["text_encoder"]) if "text_encoder" in ranks else None,
        targets={
            part: sorted({layer for one in made for layer in one.targets.get(part, [])})
            for part in ("unet", "text_encoder")
        },
        prompt=made[0].prompt,
        token=made[0].token,
        class_noun=made[0].class_noun,
        subjects=[subject for one in made for subject in one.subjects],
        configuration={"merged": [one.sha256 for one in made], "weights": weights},
        seed=made[0].seed,
        versions=made[0].versions,
        metrics={},
        warnings=[warning for one in made for warning in one.warnings],
    )


def _pairs(tensors: Tensors) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    layers = {key.removesuffix(".lora_A.weight") for key in tensors if ".lora_A." in key}
    return {
        layer: (tensors[f"{layer}.lora_A.weight"], tensors[f"{layer}.lora_B.weight"])
        for layer in sorted(layers)
    }


def _product(
    one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]
) -> float:
    (a1, b1), (a2, b2) = ((a.double(), b.double()) for a, b in (one, other))
    return ((b1.T @ b2) * (a1 @ a2.T)).sum().item()


def _ratio(product: float, sizes: float) -> float:
    return min(max(product / sizes, -1.0), 1.0) if sizes else 0.0


def _rank(tensors: Tensors, key: str) -> int:
    """The rank that this adapter has in the network of ``key``; 0 if it leaves that alone."""
    return _ranks(tensors).get(key.partition(".")[0], 0)


def _ranks(tensors: Tensors) -> dict[str, int]:
    return {layer.partition(".")[0]: pair[0].shape[0] for layer, pair in _pairs(tensors).items()}


def _zeros(like: torch.Tensor, axis: int, rank: int) -> torch.Tensor:
    shape = (rank, like.shape[1]) if axis == 0 else (like.shape[0], rank)
    return like.new_zeros(shape)
