"""Teaches the text encoder to carry a caption's meaning past its end, before it meets the U-Net.

Most of a prompt's 77 positions lie behind its last word, and a U-Net's attention looks there first.
Trained by the picture's loss alone, a small encoder soon carries kind, setting and style to these
places, but not colour: after 3,600 steps a linear reader found the colour in 37% of captions that
named one. A few minutes of reading lessons put it there; ``train_base`` sees that it stays.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from helpers.pocket.checkpoint import load_state, save_state
from helpers.pocket.train_vae import cosine
from helpers.pocket.world.labels import LABELS

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

    from helpers.pocket.world.dataset import World

_ALWAYS = ("kind", "place", "style")
KEEP = 0.5
"""Weight of staying where a U-Net already knows the encoder's output."""


def label_heads(width: int) -> nn.ModuleDict:
    """A linear reader for each of ``LABELS``: (N, width) to scores of its values."""
    return nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in LABELS.items()})


def label_loss(heads: nn.ModuleDict, seen: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the labels that apply; ``seen`` (N, width), ``truth`` (N, LABELS)."""
    total, count = seen.new_zeros(()), 0
    for place, head in enumerate(heads.values()):
        known = truth[:, place] >= 0
        if known.any():
            total = total + F.cross_entropy(head(seen[known]), truth[known, place])
            count += 1
    return total / max(count, 1)


def said_labels(captions: list[str], labels: np.ndarray) -> np.ndarray:
    """``labels`` (N, LABELS) with -1 for what a caption leaves open: guessing teaches nothing.

    Kind, setting and style are asked for always, as they are worded in many ways.
    """
    left = labels.copy()
    for row, words in enumerate({*caption.replace(",", " ").split()} for caption in captions):
        for place, (name, values) in enumerate(LABELS.items()):
            value = left[row, place]
            if name not in _ALWAYS and value >= 0 and not words.issuperset(values[value].split()):
                left[row, place] = -1
    return left


def train_text(
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    world: World,
    *,
    steps: int,
    checkpoint: Path,
    batch: int = 48,
    rate: float = 5e-4,
    keep: bool = False,
    seed: int = 0,
    save_every: int = 250,
) -> Iterator[tuple[int, float]]:
    """Yield ``(step, loss)``; resumes from ``checkpoint`` and writes it as it goes.

    What a caption says of its scene is read linearly from places behind its last word. ``keep``
    also holds the output near what it was.
    """
    wide = text_encoder.config.hidden_size
    torch.manual_seed(seed)
    heads = label_heads(wide)
    before = copy.deepcopy(text_encoder).eval() if keep else None
    weights = [*text_encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=1e-2, betas=(0.9, 0.98))
    modules = {"text": text_encoder, "heads": heads}
    start = load_state(checkpoint, modules=modules, optimizer=optimizer)
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step, 3])
        rows = rng.integers(0, len(world), batch)
        said = [world.captions[row][int(rng.integers(len(world.captions[row])))] for row in rows]
        ids = tokenizer(said, padding="max_length", truncation=True, return_tensors="pt").input_ids
        end = (ids == tokenizer.eos_token_id).int().argmax(1).numpy()
        places = torch.from_numpy(rng.integers(end, ids.shape[1])).long()
        truth = torch.from_numpy(said_labels(said, world.labels[rows])).long()
        for group in optimizer.param_groups:
            group["lr"] = cosine(step, steps, rate)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = text_encoder(ids)[0]
        output = output.float()
        loss = label_loss(heads, output[torch.arange(batch), places], truth)
        total = loss
        if before is not None:
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                was = before(ids)[0]
            total = loss + KEEP * F.mse_loss(output, was.float())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_state(checkpoint, step=step + 1, modules=modules, optimizer=optimizer)
        yield step + 1, loss.item()
