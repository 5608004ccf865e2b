"""What issue after issue asks of the pocket base, in numbers, with the pictures to look at.

    python -m helpers.pocket.scores models/pocket --judge models/pocket_judge
    python -m helpers.pocket.scores models/pocket --subject doppler

Without ``--subject``: class, setting, style and colour by the judge on ``--each`` pictures a cell,
near-duplicates, agreement with prompts, distance from the world's own drawings, and the
autoencoder on drawings and photographs that no training saw. With it: the base is fine-tuned on
that subject first, and measured so.
Writes ``scores.json`` and ``sample_sheet.png`` beside the base, or ``<subject>.json`` and ``.jpg``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from helpers.bases.folder import base_hash
from helpers.pocket import likeness
from helpers.pocket.judge import Judge
from helpers.pocket.nearness import nearness
from helpers.pocket.photographs import unseen_photographs
from helpers.pocket.recipe import HELD_OUT
from helpers.pocket.sheets import PROMPTS, contact_sheet, paint, sample_sheet
from helpers.pocket.train_vae import to_tensor
from helpers.pocket.world.captions import OPENING, WHERE
from helpers.pocket.world.dataset import scene_of
from helpers.pocket.world.scene import render
from helpers.pocket.world.traits import COATS, HAIR, KINDS, PAINTS

GOALS = {"kind": 0.95, "place": 0.90, "style": 0.90, "colour": 0.85,
         "vae_drawings_db": 30.0, "vae_photographs_db": 27.0}  # fmt: skip
NEAR_IDENTICAL = 0.03
"""Root mean square difference (of 0..1) below which two 16 x 16 copies count as one picture."""
_LIVELY = ("dog", "cat", "person", "chair")


def cells(each: int) -> dict[str, dict[str, list[str]]]:
    """Prompts of every cell, ``{label: {value: prompts}}``; what is not asked for is varied."""
    places, styles = list(WHERE), list(OPENING)
    where = [WHERE[place][0] for place in places]
    openings = [OPENING[style][0] for style in styles]
    kinds = {kind: [f"a photo of a {kind} {where[i % 8]}" for i in range(each)] for kind in KINDS}
    settings = {place: [f"a photo of a {_LIVELY[i % 4]} {WHERE[place][0]}" for i in range(each)]
                for place in places}  # fmt: skip
    manners = {style: [f"{openings[n]} a {_LIVELY[i % 4]} {where[i // 4 % 8]}" for i in range(each)]
               for n, style in enumerate(styles)}  # fmt: skip
    colours: dict[str, list[str]] = {}
    for nouns, names, form in ((("dog", "cat"), COATS, "{name} {noun}"),
                               (("chair", "car"), PAINTS, "{name} {noun}"),
                               (("man", "woman"), HAIR, "{noun} with {name} hair")):  # fmt: skip
        for name in names:
            said = [form.format(name=name, noun=nouns[i % 2]) for i in range(each)]
            colours.setdefault(name, []).extend(
                f"a photo of {'an' if words[0] in 'aeiou' else 'a'} {words} {where[i % 8]}"
                for i, words in enumerate(said)
            )
    return {"kind": kinds, "place": settings, "style": manners, "colour": colours}


def right(pipe: Any, judge: Judge, each: int, steps: int) -> dict[str, dict[str, float]]:
    """Share of pictures in which the judge reads what was asked for, cell by cell."""
    shares: dict[str, dict[str, float]] = {}
    for number, (label, asked) in enumerate(cells(each).items()):
        shares[label] = {}
        for place, (value, prompts) in enumerate(asked.items()):
            pictures = paint(pipe, prompts, 100_000 * (number + 1) + 1_000 * place, steps)
            read = judge.read(pictures)[label]
            shares[label][value] = round(float(np.mean([said == value for said in read])), 4)
        shares[label]["mean"] = round(float(np.mean(list(shares[label].values()))), 4)
    return shares


def closest_pair(pictures: Sequence[Image.Image]) -> float:
    """Smallest root mean square difference of any two, as 16 x 16 copies with values 0..1."""
    copies = [p.convert("RGB").resize((16, 16), Image.Resampling.BOX) for p in pictures]
    small = np.stack([np.asarray(copy, np.float32).reshape(-1) for copy in copies]) / 255
    square = (small**2).sum(1)
    gaps = np.maximum(square[:, None] + square[None] - 2 * small @ small.T, 0) / small.shape[1]
    np.fill_diagonal(gaps, np.inf)
    return float(np.sqrt(gaps.min()))


@torch.no_grad()
def psnr(vae: Any, pictures: Sequence[Image.Image]) -> float:
    """Mean PSNR in dB of pictures after the autoencoder: 10 log10(1 / MSE)."""
    real = to_tensor(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))
    made = vae.decode(vae.encode(real).latent_dist.mean).sample.clamp(-1, 1)
    errors = ((made - real) / 2).pow(2).mean((1, 2, 3))
    return float((-10 * errors.log10()).mean())


def measure(folder: Path, judge: Judge, each: int, steps: int) -> dict[str, Any]:
    """All numbers of the base in ``folder``; its sample sheet is written beside it."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    side = pipe.vae.config.sample_size
    drawings = [render(scene_of(HELD_OUT, i)[0], side).image for i in range(96)]
    many = paint(pipe, ["a photo of a dog on the beach"] * 64, 7, steps)
    cosines = judge.agree(paint(pipe, PROMPTS, 77, steps), PROMPTS).numpy()
    found: dict[str, Any] = {
        "base_hash": base_hash(folder),
        "vae_drawings_db": round(psnr(pipe.vae, drawings), 2),
        "vae_photographs_db": round(psnr(pipe.vae, unseen_photographs(side)), 2),
        "closest_of_64": round(closest_pair(many), 4),
        "own_prompt_first": round(float((cosines.argmax(1) == np.arange(len(PROMPTS))).mean()), 4),
        "from_drawings": nearness(pipe, judge, HELD_OUT, steps),
        "right": right(pipe, judge, each, steps),
        "pictures_each": each, "steps": steps,
    }  # fmt: skip
    found["holds"] = {
        **{label: found["right"][label]["mean"] >= GOALS[label]
           for label in ("kind", "place", "style", "colour")},
        **{name: found[name] >= GOALS[name] for name in ("vae_drawings_db", "vae_photographs_db")},
        "no_two_near_identical": found["closest_of_64"] > NEAR_IDENTICAL,
    }  # fmt: skip
    sample_sheet(folder, folder / "sample_sheet.png", steps=steps)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge", type=Path, default=Path("models/pocket_judge"))
    parser.add_argument("--each", type=int, default=64)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--subject", help="a folder of data/subjects to fine-tune on first")
    parser.add_argument("--tuning-steps", type=int, help="in place of the subject's own number")
    options = parser.parse_args()
    judge = Judge.load(options.judge / "judge.safetensors")
    name, out = "scores", options.folder
    if options.subject:
        name = options.subject
        changes = {"n_steps": options.tuning_steps} if options.tuning_steps else {}
        found, pictures = likeness.measure_subject(
            options.folder, judge, options.subject, options.steps, **changes
        )
        contact_sheet(pictures, 16).save(out / f"{name}.jpg", quality=88)
    else:
        found = measure(options.folder, judge, options.each, options.steps)
    (out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
