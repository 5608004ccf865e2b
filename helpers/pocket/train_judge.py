"""Trains the judge, and measures it on scenes and subjects it never saw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import rankdata
from torch.nn import functional as F

from helpers.pocket.checkpoint import load_state, save_state
from helpers.pocket.judge import SIDE, Judge
from helpers.pocket.train_vae import cosine, to_tensor
from helpers.pocket.world.dataset import World
from helpers.pocket.world.identities import SHARES, Identities
from helpers.pocket.world.labels import LABELS
from helpers.tuning.precision import CPU, in_half

HEAT_IDENTITY, HEAT_WORDS = 0.1, 0.07
WEIGHTS = {"kind": 2.0, "place": 1.0, "style": 1.0, "colour": 1.0}
"""Of the labels' losses; the others weigh 0.4. Kinds are hardest: a dog and a cat share a shape."""

OFTEN = {"dog": 3.0, "cat": 3.0}
"""How often a scene of a kind is drawn, where one of another kind is drawn once: nine errors in ten
are a dog taken for a cat, or a cat for a dog."""


def train_judge(
    judge: Judge, world: World, identities: Identities, *, steps: int, checkpoint: Path,
    batch: int = 64, rate: float = 2e-3, seed: int = 0, save_every: int = 250,
) -> Iterator[tuple[int, float]]:  # fmt: skip
    """Yield ``(step, loss)``: labels and captions on ``batch`` scenes, identity on half as many
    pairs of subjects of one kind. Resumes from ``checkpoint``."""
    optimizer = torch.optim.AdamW(judge.parameters(), lr=rate, weight_decay=1e-3)
    start = load_state(checkpoint, modules={"judge": judge}, optimizer=optimizer)
    judge.train()
    of_kind = [np.flatnonzero(identities.kinds == kind) for kind in range(len(SHARES))]
    shares = np.array([share if len(rows) > 1 else 0.0
                       for share, rows in zip(SHARES, of_kind, strict=True)])  # fmt: skip
    chances = world.chances(OFTEN)
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step])
        rows = rng.choice(len(world), batch, p=chances)
        kind = int(rng.choice(len(shares), p=shares / shares.sum()))
        pairs = min(batch // 2, len(of_kind[kind]))
        who = rng.choice(of_kind[kind], pairs, replace=False)
        seen = np.stack([rng.choice(identities.pictures.shape[1], 2, replace=False) for _ in who])
        stack = [world.pictures[rows], *(identities.pictures[who, seen[:, i]] for i in (0, 1))]
        pictures = _worn(to_tensor(np.ascontiguousarray(np.concatenate(stack))), rng)
        words = judge.tokens([world.captions[row][int(rng.integers(4))] for row in rows])
        for group in optimizer.param_groups:
            group["lr"] = cosine(step, steps, rate)
        with in_half(CPU):
            features = judge.features(pictures)
            scores = {name: part.float() for name, part in judge.split(features[:batch]).items()}
            vectors = F.normalize(judge.identity(features[batch:]).float(), dim=1)
            shown = F.normalize(judge.agreement(features[:batch]).float(), dim=1)
            told = judge.read_words(words).float()
        loss = _label_loss(scores, torch.from_numpy(world.labels[rows]).long())
        loss = loss + _contrast(vectors[:pairs], vectors[pairs:], HEAT_IDENTITY)
        loss = loss + 0.5 * _contrast(shown, told, HEAT_WORDS)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(judge.parameters(), 5.0)
        optimizer.step()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_state(checkpoint, step=step + 1, modules={"judge": judge}, optimizer=optimizer)
        yield step + 1, loss.item()
    judge.eval()


def _worn(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The wear that generated pictures show: softness, noise, a shift of colour and of place."""
    if rng.random() < 0.6:
        small = int(rng.integers(28, 60))
        pictures = F.interpolate(pictures, size=small, mode="bilinear", antialias=True)
        pictures = F.interpolate(pictures, size=SIDE, mode="bilinear")
    count = len(pictures)
    gain = torch.from_numpy(rng.normal(1, 0.05, (count, 3, 1, 1))).float()
    offset = torch.from_numpy(rng.normal(0, 0.04, (count, 1, 1, 1))).float()
    noise = torch.from_numpy(rng.normal(0, 0.03, tuple(pictures.shape)).astype(np.float32))
    shifted = torch.roll(pictures, (int(rng.integers(-4, 5)), int(rng.integers(-4, 5))), (2, 3))
    return (shifted * gain + offset + noise).clamp(-1, 1)


def _label_loss(scores: dict[str, torch.Tensor], truth: torch.Tensor) -> torch.Tensor:
    total = truth.new_zeros((), dtype=torch.float32)
    for place, (name, part) in enumerate(scores.items()):
        known = truth[:, place] >= 0
        if known.any():
            weight = WEIGHTS.get(name, 0.4)
            total = total + weight * F.cross_entropy(part[known], truth[known, place])
    return total


def _contrast(first: torch.Tensor, second: torch.Tensor, heat: float) -> torch.Tensor:
    likeness, target = first @ second.T / heat, torch.arange(len(first))
    return (F.cross_entropy(likeness, target) + F.cross_entropy(likeness.T, target)) / 2


def measure_judge(judge: Judge, world: World, identities: Identities) -> dict[str, Any]:
    """Accuracy of every label, AUC of identity within each kind, and how often a picture's own
    caption beats another picture's."""
    pictures = [Image.fromarray(picture) for picture in world.pictures]
    read = judge.read(pictures)
    accuracy = {}
    for place, (name, values) in enumerate(LABELS.items()):
        known = world.labels[:, place] >= 0
        if known.any():
            truth = [values[i] for i in world.labels[known, place]]
            said = [value for value, keep in zip(read[name], known, strict=True) if keep]
            accuracy[name] = round(
                float(np.mean([a == b for a, b in zip(truth, said, strict=True)])), 4
            )
    cosines = judge.agree(pictures, [four[0] for four in world.captions]).numpy()
    own, others = np.diag(cosines)[:, None], ~np.eye(len(cosines), dtype=bool)
    return {
        "label_accuracy": accuracy,
        "identity_auc": identity_auc(judge, identities),
        "own_caption_preferred": round(float((own > cosines)[others].mean()), 4),
        "pictures": len(pictures), "subjects": len(identities),
    }  # fmt: skip


def area_under_curve(same: np.ndarray, other: np.ndarray) -> float:
    """Chance that a pair of one subject scores above a pair of two (Mann-Whitney U / n·m)."""
    ranks = rankdata(np.concatenate([same, other]))  # ties share a rank, and count half
    u = ranks[: len(same)].sum() - len(same) * (len(same) + 1) / 2
    return float(u / (len(same) * len(other)))


def identity_auc(judge: Judge, identities: Identities) -> dict[str, float]:
    """AUC of "same subject or not" among subjects of one kind, for every kind with five or more."""
    from helpers.pocket.world.traits import KINDS

    scores = {}
    for kind, name in enumerate(KINDS):
        some = identities.pictures[identities.kinds == kind]
        if len(some) >= 5:
            first, second = (
                judge.embed([Image.fromarray(picture) for picture in some[:, i]]).numpy()
                for i in (0, 1)
            )
            likeness = first @ second.T
            other = likeness[~np.eye(len(some), dtype=bool)]
            scores[name] = round(area_under_curve(np.diag(likeness), other), 4)
    return scores
