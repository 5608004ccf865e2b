"""Trained the shipped pocket base from nothing, on the first drawn world.

The second world has its own recipe, ``helpers.pocket.world2.recipe``; once its base is shipped,
this one goes.

    python -m helpers.pocket.recipe --out models/pocket --work build/pocket

Every stage writes checkpoints into ``--work`` and takes up from them after a kill.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from helpers.pocket.captions import world_words
from helpers.pocket.dataset import make_world, photographs
from helpers.pocket.model import PocketShape, build_text_encoder, build_unet, build_vae
from helpers.pocket.progress import Progress
from helpers.pocket.save import save_pocket
from helpers.pocket.train_base import train_base
from helpers.pocket.train_vae import encode_world, train_vae
from helpers.pocket.vocabulary import build_tokenizer


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The numbers of one training of the pocket base."""

    pictures: int = 24_000
    vae_steps: int = 3_000
    base_steps: int = 3_900
    vae_batch: int = 16
    base_batch: int = 32
    rate: float = 1e-3
    seed: int = 7


def train_pocket(recipe: Recipe, out: Path, work: Path, workers: int = 2) -> None:
    """Run the stages of ``recipe`` that ``work`` does not hold yet; write the base to ``out``."""
    shape = PocketShape()
    work.mkdir(parents=True, exist_ok=True)
    log = Progress(work / "log.jsonl")
    torch.manual_seed(recipe.seed)
    tokenizer = build_tokenizer(world_words())
    vae, unet = build_vae(shape), build_unet(shape)
    text_encoder = build_text_encoder(shape, tokenizer)

    world = make_world(work / "world.npz", count=recipe.pictures, size=shape.resolution,
                       seed=recipe.seed, workers=workers)  # fmt: skip
    log("world", len(world), 0.0)
    for step, loss in train_vae(vae, world, photographs(shape.resolution), steps=recipe.vae_steps,
                                batch=recipe.vae_batch, checkpoint=work / "vae.safetensors",
                                seed=recipe.seed):  # fmt: skip
        log("vae", step, loss)
    latents = _latents(vae, world, work / "latents.safetensors")
    spread = latents[:, :4].float().std().item()
    vae.register_to_config(scaling_factor=1 / spread)

    for step, loss, average in train_base(
        unet, text_encoder, tokenizer, latents, world.captions, scale=1 / spread,
        steps=recipe.base_steps, batch=recipe.base_batch, rate=recipe.rate,
        checkpoint=work / "base.safetensors", seed=recipe.seed,
    ):  # fmt: skip
        log("base", step, loss)
        if step % 500 == 0 or step == recipe.base_steps:
            save_pocket(out, vae, unet, text_encoder, tokenizer, average)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")


def _latents(vae, world, path: Path) -> torch.Tensor:
    from safetensors.torch import load_file, save_file

    if not path.exists():
        save_file({"latents": encode_world(vae, world)}, path)
    return load_file(path)["latents"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/pocket"))
    parser.add_argument("--work", type=Path, default=Path("build/pocket"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = vars(parser.parse_args())
    out, work, threads = given.pop("out"), given.pop("work"), given.pop("threads")
    torch.set_num_threads(threads)
    train_pocket(Recipe(**given), out, work, workers=threads)


if __name__ == "__main__":
    main()
