"""Does fine-tuning on a subject bring its likeness, and does the world stay? For every subject."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from helpers.experiments.similarity import Embedder, subject_fidelity
from helpers.pocket.judge import Judge
from helpers.pocket.sheets import paint
from helpers.settings import ROOT

SUBJECTS = ROOT / "data" / "subjects"
OTHERS = 20
GOALS = {"share": 0.5, "kept": 0.75, "ranks_first": 0.7}
"""Of the way to the real pictures, of settings and styles, and of the astronaut's pictures."""
PHOTOGRAPH = {"method": "full", "learning_rate": 2e-4, "n_steps": 1200}
"""How the astronaut is taught. A real face is so far from a drawn one that an adapter of the usual
400 steps brings hair and suit, and a face of the world: on an earlier base 6% ranked first. Of
trainings in full, 1,000 steps at 1e-4 brought 62%, these 94%."""


def halfway(
    judge: Embedder,
    base: Sequence[Image.Image],
    tuned: Sequence[Image.Image],
    instance: Sequence[Image.Image],
    heldout: Sequence[Image.Image],
) -> dict[str, float]:
    """How far of the way from the base to the real pictures the fine-tuned ones have come.

    ``share`` is (tuned - base) / (real - base), each the mean cosine with the held-out pictures;
    the rule asks for 0.5. "Real" are the instance pictures, measured against the held-out ones.
    """
    scores = {
        "base": subject_fidelity(judge, base, heldout),
        "tuned": subject_fidelity(judge, tuned, heldout),
        "real": subject_fidelity(judge, instance, heldout),
    }
    gap = scores["real"] - scores["base"]
    scores["share"] = (scores["tuned"] - scores["base"]) / gap if gap > 1e-6 else float("nan")
    return {name: round(score, 4) for name, score in scores.items()}


def other_faces(count: int = OTHERS) -> np.ndarray:
    """Grey photographs (count, 25, 25), 0..1, of other people: scikit-image's part of LFW."""
    from skimage import data

    return np.asarray(data.lfw_subset()[:100:5][:count], np.float32)


def _small_face(picture: Image.Image) -> np.ndarray:
    """A face as LFW's subset has it: cropped to the features, grey, 25 x 25, 0..1."""
    from helpers.photos.faces import find_face

    rgb = picture.convert("RGB")
    large = rgb.resize((256, 256), Image.Resampling.BICUBIC) if min(rgb.size) < 256 else rgb
    box = find_face(large)  # type: ignore[arg-type]
    if box is None:
        edge = large.width * 0.28
        left, top, right, low = edge, edge, large.width - edge, large.height - edge
    else:
        trim = 0.12 * box.width
        left, top = box.left + trim, box.top + trim
        right, low = box.right - trim, box.bottom - trim
    grey = large.crop((round(left), round(top), round(right), round(low))).convert("L")
    return np.asarray(grey.resize((25, 25), Image.Resampling.BOX), np.float32) / 255


def ranks_first(
    generated: Sequence[Image.Image], heldout: Sequence[Image.Image], others: np.ndarray
) -> float:
    """Share of generated faces nearer to the best held-out crop than to any of ``others``.

    Compared where all are alike: grey, 25 x 25, brightness and contrast taken out, by correlation.
    A base that knows nothing of the subject has ``len(heldout)`` chances in
    ``len(heldout) + len(others)``.
    """

    def normal(face: np.ndarray) -> np.ndarray:
        flat = face.reshape(-1) - face.mean()
        return flat / (np.linalg.norm(flat) + 1e-6)

    known = np.stack([normal(_small_face(picture)) for picture in heldout])
    strangers = np.stack([normal(face) for face in others])
    made = np.stack([normal(_small_face(picture)) for picture in generated])
    return float(((made @ known.T).max(1) > (made @ strangers.T).max(1)).mean())


def pictures_in(folder: Path, side: int) -> list[Image.Image]:
    """The pictures of a folder, scaled to ``side``."""
    found = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))]
    return [picture.resize((side, side), Image.Resampling.LANCZOS) for picture in found]


def measure_subject(
    folder: Path, judge: Judge, name: str, steps: int, each: int = 32, **changes: Any
) -> tuple[dict[str, Any], list[Image.Image]]:
    """Fine-tune the base in ``folder`` on a shipped subject and measure likeness and what is kept.

    People have prior preservation, the astronaut is taught as ``PHOTOGRAPH`` says, and ``changes``
    go over both. The second result are pictures for a sheet: instance, base, fine-tuned, "on the
    beach", "pencil sketch", 16 of each.
    """
    from diffusers import StableDiffusionPipeline

    from helpers.bases import open_base
    from helpers.tuning.adapter import load_adapter
    from helpers.tuning.config import FineTuneConfig
    from helpers.tuning.fine_tune import fine_tune, fine_tune_model

    home, base = SUBJECTS / name, open_base(folder, base_id="pocket")
    info = json.loads((home / "dataset_info.json").read_text())
    side, photograph = base.resolution, name == "astronaut"
    settings = {
        "concept_prompt": info["instance_prompt"], "class_prompt": info["class_prompt"],
        "with_prior_preservation": info["class_prompt"].endswith("person") and not photograph,
        **(PHOTOGRAPH if photograph else {}), **changes,
    }  # fmt: skip
    config = FineTuneConfig.for_base(base, **settings)
    instance = pictures_in(home / "instance", side)
    heldout = pictures_in(home / "heldout", side)
    prompt = info["instance_prompt"]
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    before = paint(pipe, [info["class_prompt"]] * each, 500, steps)
    began, cpu = time.monotonic(), time.process_time()
    with TemporaryDirectory() as scratch:
        teach = fine_tune_model if config.method == "full" else fine_tune
        tuned = teach(instance, config, base, Path(scratch) / "tuned")
        seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu
        if config.method == "full":
            pipe = StableDiffusionPipeline.from_pretrained(tuned.folder)
        else:
            load_adapter(pipe, tuned.folder)
    after = paint(pipe, [prompt] * each, 500, steps)
    beach = paint(pipe, [f"{prompt} on the beach"] * each, 600, steps)
    sketch = paint(pipe, [prompt.replace("a photo of", "a pencil sketch of")] * each, 700, steps)
    kept = {
        "beach": float(np.mean([s == "beach" for s in judge.read(beach)["place"]])),
        "pencil sketch": float(
            np.mean([s == "pencil sketch" for s in judge.read(sketch)["style"]])
        ),
    }
    found: dict[str, Any] = {
        "subject": name, "base_hash": base.hash, "method": config.method,
        "tuning_steps": config.n_steps, "prior_preservation": config.with_prior_preservation,
        "seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1),
        "threads": torch.get_num_threads(),
        "identity": halfway(judge, before, after, instance, heldout),
        "kept": {what: round(share, 4) for what, share in kept.items()},
    }  # fmt: skip
    if photograph:
        found["ranks_first"] = {"base": ranks_first(before, heldout, other_faces()),
                                "tuned": ranks_first(after, heldout, other_faces())}  # fmt: skip
        found["holds"] = {"ranks_first": found["ranks_first"]["tuned"] >= GOALS["ranks_first"]}
    else:
        found["holds"] = {"share": found["identity"]["share"] >= GOALS["share"],
                          "kept": min(kept.values()) >= GOALS["kept"]}  # fmt: skip
    shown = [(instance * 16)[:16], before[:16], after[:16], beach[:16], sketch[:16]]
    return found, [picture for row in shown for picture in row]
