"""Trains the pocket base and its judge from nothing, on the drawn world.

    python -m helpers.pocket.recipe --hours 2.5

Stages: pictures, autoencoder, latents, reading lessons for the text encoder, U-Net, decoder, judge.
Each writes checkpoints into ``--work`` and takes up from them after a kill. ``--hours`` times a few
steps of everything first and fixes the numbers of steps in ``plan.json`` there: the same plan,
seed, thread count, kind of processor and version of torch give the same weights.
``--go-on-from models/pocket --seed 8`` gives that base's text encoder and U-Net, and the judge
beside it (``models/pocket_judge``), more of all that, on pictures of another seed; its autoencoder
keeps its latents.
Progress goes to ``log.jsonl``, sample sheets to ``sheets/``.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import CLIPTokenizer

from helpers.pocket.even import even_out
from helpers.pocket.judge import Judge
from helpers.pocket.look import OFTEN, look_weights
from helpers.pocket.model import (
    LATENT_SPREAD,
    POCKET,
    PocketShape,
    build_text_encoder,
    build_unet,
    build_vae,
)
from helpers.pocket.photographs import photographs
from helpers.pocket.progress import Progress
from helpers.pocket.save import save_pocket
from helpers.pocket.sheets import sample_sheet
from helpers.pocket.train_base import train_base
from helpers.pocket.train_judge import measure_judge, train_judge
from helpers.pocket.train_text import train_text
from helpers.pocket.train_vae import encode_world, train_vae
from helpers.pocket.vocabulary import build_tokenizer
from helpers.pocket.world.captions import world_words
from helpers.pocket.world.dataset import VERSION, World, read_chunks, render_chunks, scene_of
from helpers.pocket.world.identities import make_identities

HELD_OUT = 999
"""Seed of scenes that no training draws."""
MEASURED = 4_000
"""Pictures from which the strength of latents is known well enough."""
SHARES = {"vae": 0.20, "polish": 0.08, "text": 0.06, "base": 0.51, "judge": 0.10, "decoder": 0.05}
"""How the time that is left after rendering is spent."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The numbers of one training. Steps of 0 are planned from ``hours``."""

    hours: float = 2.5
    pictures: int = 40_000
    subjects: int = 4_000
    views: int = 4
    vae_steps: int = 0
    polish_steps: int = 0
    text_steps: int = 0
    base_steps: int = 0
    judge_steps: int = 0
    decoder_steps: int = 0
    vae_batch: int = 16
    text_batch: int = 48
    base_batch: int = 32
    judge_batch: int = 64
    rate: float = 1e-3
    seed: int = 7
    sheet_every: int = 1_000
    sheet_rows: int = 4


class Training:
    """One training: its networks, its folder of work, and its stages in order."""

    def __init__(
        self, recipe: Recipe, out: Path, judge_out: Path, work: Path, workers: int,
        shape: PocketShape = POCKET, go_on_from: Path | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.out, self.judge_out, self.work = recipe, out, judge_out, work
        self.workers, self.shape = workers, shape
        work.mkdir(parents=True, exist_ok=True)
        self.log = Progress(work / "log.jsonl")
        torch.manual_seed(recipe.seed)
        self.tokenizer = (
            CLIPTokenizer.from_pretrained(go_on_from / "tokenizer")
            if go_on_from else build_tokenizer(world_words())
        )  # fmt: skip
        self.vae, self.unet = build_vae(shape), build_unet(shape)
        self.text = build_text_encoder(shape, self.tokenizer)
        self.judge = Judge()
        self.goes_on = go_on_from is not None
        if go_on_from:
            self._load(go_on_from)

    def run(self) -> None:
        """Every stage that the folder of work does not hold yet."""
        began = time.monotonic()
        world, identities = self.render()
        plan = self.plan(world, time.monotonic() - began)
        print(json.dumps(plan), flush=True)
        spent = {"world": time.monotonic() - began}
        stages = {"autoencoder": self.train_vae, "words": self.train_text,
                  "base": self.train_base, "decoder": self.train_decoder}  # fmt: skip
        for name, stage in stages.items():
            began = time.monotonic()
            stage(world, plan)
            spent[name] = time.monotonic() - began
        began = time.monotonic()
        scores = self.train_judge(world, identities, plan)
        spent["judge"] = time.monotonic() - began
        about = {**asdict(self.recipe), **plan, "world": VERSION, "shape": asdict(self.shape),
                 "threads": torch.get_num_threads(), "torch": torch.__version__,
                 "minutes": {name: round(s / 60, 1) for name, s in spent.items()}}  # fmt: skip
        (self.out / "recipe.json").write_text(json.dumps(about, indent=1) + "\n")
        print(json.dumps(scores, indent=1))

    def _load(self, base: Path) -> None:
        from diffusers import AutoencoderKL, UNet2DConditionModel

        from helpers.tuning.networks import load_text_encoder

        text = load_text_encoder(base / "text_encoder", torch.float32)
        for mine, stored in (
            (self.vae, AutoencoderKL.from_pretrained(base / "vae")),
            (self.unet, UNet2DConditionModel.from_pretrained(base / "unet")),
            (self.text, text),
        ):
            mine.load_state_dict(stored.float().state_dict())  # type: ignore[union-attr]
        beside = base.parent / "pocket_judge" / "judge.safetensors"
        if beside.exists():
            self.judge = Judge.load(beside)

    # -- stages -----------------------------------------------------------------------------

    def render(self) -> tuple[World, Any]:
        """All pictures, or those that are missing."""
        recipe, side = self.recipe, self.shape.resolution
        every = {"count": recipe.pictures, "size": side, "seed": recipe.seed}
        for done, all_ in render_chunks(self.work, workers=self.workers, **every):
            if done % 8 == 0 or done == all_:
                print(f"world {done} of {all_} chunks", flush=True)
        identities = make_identities(self.work, count=recipe.subjects, views=recipe.views,
                                     seed=recipe.seed + 1, workers=self.workers)  # fmt: skip
        return read_chunks(self.work, **every), identities

    def plan(self, world: World, rendering: float) -> dict[str, int]:
        """Numbers of steps: given, or kept from the first run, or what ``hours`` have room for."""
        path, recipe = self.work / "plan.json", self.recipe
        given = {f"{name}_steps": getattr(recipe, f"{name}_steps") for name in SHARES}
        if all(given.values()):
            return given
        if path.exists():
            kept = json.loads(path.read_text())
            return {name: steps or kept[name] for name, steps in given.items()}
        costs = self._seconds_per_step(world)
        left = max(recipe.hours * 3600 - rendering, 60.0) * 0.96
        for name, share in SHARES.items():
            if not given[f"{name}_steps"]:
                given[f"{name}_steps"] = max(int(left * share / costs[name]) // 50 * 50, 50)
        path.write_text(json.dumps(given) + "\n")
        return given

    def _seconds_per_step(self, world: World) -> dict[str, float]:
        """Timed on copies, so that the real networks begin untouched."""
        recipe, few = self.recipe, 7
        noise = torch.zeros(64, 2 * self.shape.latent_channels, *(self.shape.resolution // 4,) * 2)
        vae, unet = build_vae(self.shape), build_unet(self.shape)
        text = build_text_encoder(self.shape, self.tokenizer)
        some = world.first(64)
        subjects = make_identities(self.work, count=100, views=2, seed=1, workers=self.workers)
        with TemporaryDirectory() as folder:
            scratch = Path(folder)
            crops = train_vae(vae, some, [], steps=10_000, batch=recipe.vae_batch,
                              checkpoint=scratch / "vae")  # fmt: skip
            words = train_text(copy.deepcopy(text), self.tokenizer, some, steps=10_000,
                               batch=recipe.text_batch, checkpoint=scratch / "text",
                               keep=self.goes_on)  # fmt: skip
            base = train_base(unet, text, self.tokenizer, noise, some.captions, scale=1.0,
                              steps=10_000, batch=recipe.base_batch, rate=1e-5,
                              checkpoint=scratch / "base")  # fmt: skip
            judge = train_judge(Judge(), some, subjects, steps=10_000, batch=recipe.judge_batch,
                                checkpoint=scratch / "judge")  # fmt: skip
            # The last quarter sees whole pictures, half as many: twice the pixels of crops.
            vae_step = 1.25 * _typical(crops, few)
            return {
                "vae": vae_step,
                "polish": vae_step,
                "decoder": 0.7 * vae_step,
                "text": _typical(words, few),
                "base": _typical(base, few),
                "judge": _typical(judge, few),
            }

    def train_vae(self, world: World, plan: dict[str, int]) -> None:
        """The autoencoder, on drawings and crops of free photographs; then once more, with more
        photographs and a loss that weighs large errors, which is what PSNR measures."""
        if self.goes_on:
            return
        photos, seed = photographs(self.shape.resolution), self.recipe.seed
        first = train_vae(
            self.vae, world, photos, steps=plan["vae_steps"], batch=self.recipe.vae_batch,
            checkpoint=self.work / "vae.safetensors", seed=seed,
        )  # fmt: skip
        for step, loss in first:
            self.log("vae", step, loss)
        then = train_vae(
            self.vae, world, photos, steps=plan["polish_steps"], batch=self.recipe.vae_batch,
            checkpoint=self.work / "polish.safetensors", seed=seed + 100, rate=1e-3, share=1 / 4,
            squared=10.0,
        )  # fmt: skip
        for step, loss in then:
            self.log("polish", step, loss)
        even_out(self.vae, encode_world(self.vae, world.first(MEASURED)))

    def train_decoder(self, world: World, plan: dict[str, int]) -> None:
        """The decoder alone: latents stay what the U-Net knows, pictures come out sharper."""
        for step, loss in train_vae(
            self.vae, world, photographs(self.shape.resolution), steps=plan["decoder_steps"],
            batch=self.recipe.vae_batch, checkpoint=self.work / "decoder.safetensors", rate=1e-3,
            share=1 / 4, squared=20.0, decoder_only=True, seed=self.recipe.seed + 200,
        ):  # fmt: skip
            self.log("decoder", step, loss)
        self._save(_stored_average(self.work / "base.safetensors"))

    def train_text(self, world: World, plan: dict[str, int]) -> None:
        """Reading lessons: the text encoder learns what captions say, before any picture."""
        for step, loss in train_text(
            self.text, self.tokenizer, world, steps=plan["text_steps"],
            batch=self.recipe.text_batch, checkpoint=self.work / "text.safetensors",
            keep=self.goes_on, seed=self.recipe.seed,
        ):  # fmt: skip
            self.log("text", step, loss)

    def train_base(self, world: World, plan: dict[str, int]) -> None:
        """The U-Net, on latents and captions; a sheet of samples now and then."""
        from safetensors.torch import load_file, save_file

        path, channels = self.work / "latents.safetensors", self.shape.latent_channels
        if not path.exists():
            save_file({"latents": encode_world(self.vae, world)}, path)
        latents = load_file(path)["latents"]
        scale = LATENT_SPREAD / latents[:MEASURED, :channels].float().std().item()
        self.vae.register_to_config(scaling_factor=scale)
        steps, sheets = plan["base_steps"], self.work / "sheets"
        scenes = (scene_of(self.recipe.seed, number)[0] for number in range(len(world)))
        for step, loss, average in train_base(
            self.unet, self.text, self.tokenizer, latents, world.captions, scale=scale,
            steps=steps, batch=self.recipe.base_batch, rate=self.recipe.rate,
            checkpoint=self.work / "base.safetensors", seed=self.recipe.seed,
            weights=look_weights(scenes, latents.shape[-1]), chances=world.chances(OFTEN),
        ):  # fmt: skip
            self.log("base", step, loss)
            if step % self.recipe.sheet_every == 0 or step == steps:
                self._save(average)
                sample_sheet(self.out, sheets / f"step_{step:06}.png", self.recipe.sheet_rows)
        if not (self.out / "model_index.json").exists():  # a finished training, another folder
            self._save(_stored_average(self.work / "base.safetensors"))

    def _save(self, average: dict[str, torch.Tensor]) -> None:
        save_pocket(self.out, self.vae, self.unet, self.text, self.tokenizer, average)

    def train_judge(self, world: World, identities: Any, plan: dict[str, int]) -> dict[str, Any]:
        """The judge, and its measure on scenes and subjects from the held-out corner."""
        for step, loss in train_judge(
            self.judge, world, identities, steps=plan["judge_steps"], batch=self.recipe.judge_batch,
            checkpoint=self.work / "judge.safetensors", seed=self.recipe.seed,
        ):  # fmt: skip
            self.log("judge", step, loss)
        self.judge.save(self.judge_out / "judge.safetensors")
        unseen = {"count": 1_000, "size": self.shape.resolution, "seed": HELD_OUT}
        for _ in render_chunks(self.work, workers=self.workers, **unseen):
            pass
        strangers = make_identities(self.work, count=600, views=2, seed=HELD_OUT, reserved=True,
                                    workers=self.workers)  # fmt: skip
        judge = Judge.load(self.judge_out / "judge.safetensors")
        scores = measure_judge(judge, read_chunks(self.work, **unseen), strangers)
        (self.judge_out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
        return scores


def _stored_average(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    head = "average."
    return {k.removeprefix(head): v for k, v in load_file(path).items() if k.startswith(head)}


def _typical(steps: Iterator[Any], count: int) -> float:
    """Median seconds of a step, the first two left out."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        next(islice(steps, 1))
        times.append(time.perf_counter() - began)
    return float(np.median(times[2:]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/pocket2/pocket"))
    parser.add_argument("--judge-out", type=Path, default=Path("build/pocket2/pocket_judge"))
    parser.add_argument("--work", type=Path, default=Path("build/pocket2"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--go-on-from", type=Path, help="a base to train for longer")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = vars(parser.parse_args())
    paths = {name: given.pop(name) for name in ("out", "judge_out", "work", "go_on_from")}
    threads = given.pop("threads")
    torch.set_num_threads(threads)
    Training(Recipe(**given), **paths, workers=threads).run()


if __name__ == "__main__":
    main()
