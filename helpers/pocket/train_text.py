"""Teaches the text encoder to read, before it meets the U-Net, which then takes it as it is.

Most of a prompt's 77 positions lie behind its last word, and a U-Net's attention looks there first.
Trained by the picture's loss alone, a small encoder soon carries kind, setting and style to these
places, but hardly a colour: black, white, brown, golden and red lay ten times closer to each other
than blue to any of them, and more training brought them closer still. So the encoder learns to read
by itself, from captions and what they are about, and is then left alone, as Stable Diffusion leaves
CLIP's.
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
from helpers.tuning.precision import CPU, in_half

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
    rate: float = 1e-3,
    keep: bool = False,
    seed: int = 0,
    save_every: int = 250,
) -> Iterator[tuple[int, float]]:
    """Yield ``(step, loss)``, of the labels; resumes from ``checkpoint`` and writes it as it goes.

    What a caption says of its scene, and which words it used, is read linearly from one place
    behind its last word. ``keep`` also holds the output near what it was.
    """
    wide = text_encoder.config.hidden_size
    torch.manual_seed(seed)
    heads, words = label_heads(wide), nn.Linear(wide, len(tokenizer))
    nn.init.constant_(words.bias, -5.0)  # a caption holds few of all words
    before = copy.deepcopy(text_encoder).eval() if keep else None
    modules = {"text": text_encoder, "heads": heads, "words": words}
    weights = [weight for module in modules.values() for weight in module.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=1e-2, betas=(0.9, 0.98))
    start = load_state(checkpoint, modules=modules, optimizer=optimizer)
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step, 3])
        rows = rng.integers(0, len(world), batch)
        said = [world.captions[row][int(rng.integers(len(world.captions[row])))] for row in rows]
        ids = tokenizer(said, padding="max_length", truncation=True, return_tensors="pt").input_ids
        end = (ids == tokenizer.eos_token_id).int().argmax(1)
        # No position sees a later one, so that the rest need not be there.
        ids = ids[:, : int(rng.integers(int(end.max()) + 1, ids.shape[1] + 1))]
        places = torch.from_numpy(rng.integers(end.numpy(), ids.shape[1])).long()
        truth = torch.from_numpy(said_labels(said, world.labels[rows])).long()
        for group in optimizer.param_groups:
            group["lr"] = cosine(step, steps, rate)
        with in_half(CPU):
            output = text_encoder(ids)[0]
        output = output.float()
        seen = output[torch.arange(batch), places]
        loss = label_loss(heads, seen, truth)
        # Words too, as much of what captions say is in no label.
        total = loss + _word_loss(words(seen), ids)
        if before is not None:
            with torch.no_grad(), in_half(CPU):
                was = before(ids)[0]
            total = total + KEEP * F.mse_loss(output, was.float())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_state(checkpoint, step=step + 1, modules=modules, optimizer=optimizer)
        yield step + 1, loss.item()


def _word_loss(scores: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of "this word was read", summed over the vocabulary, a word read.

    ``scores`` (N, vocabulary), ``ids`` (N, positions).
    """
    read = torch.zeros_like(scores).scatter_(1, ids, 1.0)
    return F.binary_cross_entropy_with_logits(scores, read, reduction="sum") / read.sum()
