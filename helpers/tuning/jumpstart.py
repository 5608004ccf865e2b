"""JumpStart's way to fine-tune: its data format, its hyperparameters, and what they mean here.

A folder, or an S3 prefix that ends with a slash:

    one.jpg, two.png, …      the instance images: .png, .jpg, .jpeg
    dataset_info.json        {"instance_prompt": "…", "class_prompt": "…"}
    class_data_dir/          class images, if there are any

Hyperparameters are texts, as SageMaker hands them to every container: "True", "None", "400".
Names, meanings and defaults are those that AWS documents for its text-to-image models; its training
code is closed, so what stands behind each name is ours (``HYPERPARAMETERS`` says where it differs).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import ConfigError, PhotoError, fit_to_print
from helpers.photos.load import load_photo
from helpers.strict_json import parse_object
from helpers.tables import Table
from helpers.tuning.config import FineTuneConfig

INFO, CLASS_IMAGES = "dataset_info.json", "class_data_dir"
SUFFIXES = (".png", ".jpg", ".jpeg")
SCHEDULERS = {
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_restarts": "cosine",
    "polynomial": "linear",
    "constant": "constant",
    "constant_with_warmup": "constant",
}
"""JumpStart's names and ours. With the defaults of diffusers' schedules, which nothing changes, one
cycle of restarts is a cosine and a polynomial of power 1 a line."""
WARMUP = 0.05
"""Share of the steps over which ``constant_with_warmup`` rises."""
LARGEST_INFO = 1024**2
_MOST = 2**32 - 1
_CORRECT = "Correct it, or leave it out"


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """One of them: its name, default, what kind of value it takes, and what it means."""

    name: str
    default: Any
    kind: str
    meaning: str
    ours: bool = False

    @property
    def text(self) -> str:
        """The default as JumpStart writes it."""
        return written(self.default)


def _one(name: str, default: Any, kind: str, meaning: str, *, ours: bool = False) -> Hyperparameter:
    return Hyperparameter(name=name, default=default, kind=kind, meaning=meaning, ours=ours)


HYPERPARAMETERS = {
    one.name: one
    for one in (
        _one("with_prior_preservation", False, "switch",
             "also train on class images, so that the class stays what it was"),
        _one("num_class_images", 100, "number",
             "how many of them at least: what class_data_dir/ lacks is painted by the base"),
        _one("epochs", 20, "number", "passes over the images, where max_steps does not say"),
        _one("max_steps", None, "number or None", "steps in all; overrides epochs"),
        _one("batch_size", 1, "number", "images (and as many class images) in a step"),
        _one("learning_rate", 2e-6, "decimal", "how far a step moves the weights"),
        _one("prior_loss_weight", 1.0, "decimal", "weight of the loss on class images"),
        _one("center_crop", False, "switch",
             "cut the centre of each image; else a few squares at random places"),
        _one("lr_scheduler", "constant", "|".join(SCHEDULERS),
             "how the rate changes; here what falls ends at a tenth of it"),
        _one("adam_weight_decay", 1e-2, "decimal", "pull of all weights towards zero"),
        _one("adam_beta1", 0.9, "decimal", "memory of the gradient's mean"),
        _one("adam_beta2", 0.999, "decimal", "memory of its square"),
        _one("adam_epsilon", 1e-8, "decimal", "keeps a division by zero away"),
        _one("gradient_accumulation_steps", 1, "number", "batches gathered for one step"),
        _one("max_grad_norm", 1.0, "decimal", "length to which a gradient is cut"),
        _one("seed", 0, "number", "same seed, same model"),
        _one("heldout_images", 0, "number",
             "images put aside to measure on, a fifth of all at most", ours=True),
        _one("heldout_every", 50, "number", "steps between two measurements", ours=True),
    )
}  # fmt: skip
"""In AWS's order; the last two are the course's own, for a score on images that were put aside."""
NOT_OURS = {
    "compute_fid": "FID compares distributions, and a handful of images is none: this job measures "
    "the loss on heldout_images instead",
}


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What a folder in JumpStart's format holds."""

    images: tuple[Image.Image, ...]
    class_images: tuple[Image.Image, ...]
    instance_prompt: str
    class_prompt: str


def write_dataset(
    folder: Path,
    images: Sequence[Path],
    *,
    instance_prompt: str,
    class_prompt: str,
    class_images: Sequence[Path] = (),
) -> Path:
    """Lay ``images`` out in ``folder`` as JumpStart wants them; what stood there goes.

    Raises ``PhotoError`` for an image of another kind, or two of one name.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for into, files in ((folder, images), (folder / CLASS_IMAGES, class_images)):
        for file in files:
            if file.suffix.lower() not in SUFFIXES or (into / file.name).exists():
                raise PhotoError(
                    f"{file.name} cannot be laid out",
                    f"JumpStart reads {', '.join(SUFFIXES)}, each name once",
                    "convert or rename it",
                )
            into.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, into / file.name)
    info = {"instance_prompt": instance_prompt, "class_prompt": class_prompt}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INFO).write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n")
    return folder


def read_dataset(folder: Path) -> DataSet:
    """Read a folder in JumpStart's format.

    Raises ``PhotoError`` where there is no image or one is damaged, ``ConfigError`` for a
    ``dataset_info.json`` that is missing or does not name the prompts.
    """
    images = _images(folder)
    if not images:
        inside = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        deeper = [path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES]
        raise PhotoError(
            "there is no instance image in the data set",
            f"it holds {', '.join(inside[:5]) or 'nothing'}"
            + ("; its images lie one folder deeper" if deeper else ""),
            "name the prefix that holds the images, with the slash at its end" if deeper
            else f"put {', '.join(SUFFIXES)} files at its root",
        )  # fmt: skip
    info = _info(folder / INFO)
    return DataSet(
        images=images,
        class_images=_images(folder / CLASS_IMAGES),
        instance_prompt=info["instance_prompt"],
        class_prompt=info["class_prompt"],
    )


def default_hyperparameters() -> dict[str, str]:
    """JumpStart's defaults in its own spelling, ours left out."""
    return {one.name: one.text for one in HYPERPARAMETERS.values() if not one.ours}


def written(value: Any) -> str:
    """A value as JumpStart writes it: ``True``, ``None``, ``400``, ``2e-06``."""
    return str(value)


def read_hyperparameters(given: Mapping[str, str]) -> dict[str, Any]:
    """Values by name, the defaults included, from JumpStart's spelling.

    Raises ``ConfigError`` that names the hyperparameter.
    """
    values = {one.name: one.default for one in HYPERPARAMETERS.values()}
    for name, text in given.items():
        if name in NOT_OURS:
            if str(text).lower() == "false":
                continue
            raise ConfigError(f"{name} is not offered", NOT_OURS[name], 'Set it to "False"')
        if name not in HYPERPARAMETERS:
            near = get_close_matches(name[:60], HYPERPARAMETERS, n=1)
            raise ConfigError(
                f"Unknown hyperparameter '{fit_to_print(name)}'",
                "",
                f"Did you mean {near[0]}?" if near else f"Known: {', '.join(HYPERPARAMETERS)}",
            )
        values[name] = _parsed(HYPERPARAMETERS[name], text)
    return values


def to_config(values: Mapping[str, Any], data: DataSet, base: BaseModel) -> FineTuneConfig:
    """The job that these hyperparameters ask for: full fine-tuning of the U-Net, as JumpStart does.

    Raises ``ConfigError`` for a value out of range.
    """
    prior = values["with_prior_preservation"]
    return FineTuneConfig.for_base(
        base,
        method="full",
        concept_prompt=data.instance_prompt,
        class_prompt=data.class_prompt,
        n_steps=steps_of(values, len(data.images), len(data.class_images)),
        batch_size=values["batch_size"],
        gradient_accumulation=values["gradient_accumulation_steps"],
        learning_rate=values["learning_rate"],
        lr_scheduler=SCHEDULERS[values["lr_scheduler"]],
        lr_warmup=WARMUP if values["lr_scheduler"] == "constant_with_warmup" else 0.0,
        with_prior_preservation=prior,
        prior_loss_weight=values["prior_loss_weight"],
        num_class_images=values["num_class_images"],
        crops=1 if values["center_crop"] else 4,
        adam_beta1=values["adam_beta1"],
        adam_beta2=values["adam_beta2"],
        adam_weight_decay=values["adam_weight_decay"],
        adam_epsilon=values["adam_epsilon"],
        max_grad_norm=values["max_grad_norm"],
        seed=values["seed"],
        heldout_images=values["heldout_images"],
        heldout_every=values["heldout_every"],
        patience=0,
        gradient_checkpointing=base.registered.gpu_gib is not None,
    )


def steps_of(values: Mapping[str, Any], images: int, class_images: int) -> int:
    """``max_steps``, or as many as ``epochs`` take. An epoch sees every image once, class images
    too where there are more of them, as in diffusers' DreamBooth script."""
    if values["max_steps"] is not None:
        return values["max_steps"]
    rows = images
    if values["with_prior_preservation"]:
        rows = max(rows, class_images, values["num_class_images"])
    batches = math.ceil(rows / values["batch_size"])
    return values["epochs"] * math.ceil(batches / values["gradient_accumulation_steps"])


def hyperparameter_table() -> Table:
    """The table for reading, from the code that reads them."""
    known = HYPERPARAMETERS.values()
    return Table(
        head=("hyperparameter", "default", "meaning"),
        rows=[(one.name, one.text, ("(ours) " if one.ours else "") + one.meaning) for one in known],
        notes=["Every value is a text: True, None, 400."],
    )


def _parsed(one: Hyperparameter, text: Any) -> Any:
    text = str(text).strip()
    given = f"{one.name} is '{fit_to_print(text)}'"
    if one.kind == "switch":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ConfigError(given, "It is a switch", "Use True or False")
    if one.kind.endswith("None") and text == "None":
        return None
    if one.name == "lr_scheduler":
        if text in SCHEDULERS:
            return text
        raise ConfigError(given, "", f"Choose from: {'; '.join(SCHEDULERS)}")
    number = one.kind.startswith("number")
    try:
        value: Any = int(text) if number else float(text)
    except ValueError:
        what = "a whole number" if number else "a number"
        raise ConfigError(given, f"It must be {what}", _CORRECT) from None
    least = 1 if number and one.name not in ("seed", "heldout_images") else 0
    if not least <= value <= _MOST:  # so written, NaN fails too
        why = f"It must be at least {least}, and at most {_MOST}"
        raise ConfigError(given, why, _CORRECT)
    return value


def _info(file: Path) -> dict[str, str]:
    try:
        found = parse_object(file.read_bytes(), at_most=LARGEST_INFO)
        info = {key: found[key] for key in ("instance_prompt", "class_prompt")}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{INFO} is missing or does not name the prompts",
            "a training needs to know what its images show",
            'Write {"instance_prompt": "a photo of a <<TOK>> dog", '
            '"class_prompt": "a photo of a dog"} beside the images',
        ) from None
    if not all(isinstance(text, str) and text.strip() for text in info.values()):
        raise ConfigError(f"a prompt in {INFO} is empty or no text", "", "Write a sentence")
    return info


def _images(folder: Path) -> tuple[Image.Image, ...]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    wanted = [
        file for file in files
        if file.is_file() and not file.name.startswith(".") and file.suffix.lower() in SUFFIXES
    ]  # fmt: skip
    return tuple(load_photo(file).image for file in wanted)
