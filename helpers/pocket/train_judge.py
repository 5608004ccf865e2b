"""Trains the judge and measures it on identities it never saw.

python -m helpers.pocket.train_judge --out models/pocket_judge --work build/pocket
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from helpers.pocket.judge import Judge, make_identities
from helpers.pocket.judge import train_judge as train


def area_under_curve(same: np.ndarray, other: np.ndarray) -> float:
    """Chance that a pair of one subject scores above a pair of two (Mann-Whitney U / n·m)."""
    ranks = np.concatenate([same, other]).argsort().argsort() + 1
    u = ranks[: len(same)].sum() - len(same) * (len(same) + 1) / 2
    return float(u / (len(same) * len(other)))


def measure(judge: Judge, pictures: np.ndarray) -> dict[str, float]:
    """AUC of same-or-not and top-1 accuracy among twenty, on (identities, views, …) pictures."""
    count, views = pictures.shape[:2]
    flat = [Image.fromarray(p) for p in pictures.reshape(-1, *pictures.shape[2:])]
    vectors = judge.embed(flat).numpy().reshape(count, views, -1)
    likeness = vectors[:, 0] @ vectors[:, 1].T
    same, other = np.diag(likeness), likeness[~np.eye(count, dtype=bool)]
    firsts = [likeness[i : i + 20, i : i + 20].argmax(1) == np.arange(20)
              for i in range(0, count - 19, 20)]  # fmt: skip
    return {
        "auc": round(area_under_curve(same, other), 4),
        "top1_of_20": round(float(np.mean(firsts)), 4),
        "same": round(float(same.mean()), 4),
        "other": round(float(other.mean()), 4),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/pocket_judge"))
    parser.add_argument("--work", type=Path, default=Path("build/pocket"))
    parser.add_argument("--identities", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(11)
    options.work.mkdir(parents=True, exist_ok=True)
    seen = make_identities(options.work / "identities.npz", count=options.identities, views=4,
                           seed=101, workers=options.threads)  # fmt: skip
    judge = Judge()
    for step, loss in train(judge, seen, steps=options.steps):
        if step % 100 == 0:
            print(f"judge {step:5} loss {loss:.3f}", flush=True)
    judge.save(options.out / "judge.safetensors")
    unseen = make_identities(options.work / "unseen.npz", count=400, views=2, seed=202,
                             workers=options.threads)  # fmt: skip
    scores = measure(Judge.load(options.out / "judge.safetensors"), unseen)
    (options.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    print(scores)


if __name__ == "__main__":
    main()
