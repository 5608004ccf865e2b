"""A whole model: what full fine-tuning hands over, an ordinary diffusers folder.

model_index.json, unet/, vae/, …   plain ``StableDiffusionPipeline.from_pretrained`` reads it
tuned.json                         the manifest
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from helpers.bases import BaseModel, base_hash
from helpers.bases.keys import prefixed
from helpers.bases.shape import INDEX
from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.durable import fresh_folder
from helpers.tuning.networks import Networks

MANIFEST = "tuned.json"
FORMAT = 1
_CODE = ("*.bin", "*.ckpt", "*.pt", "*.pth", "*.msgpack", "*.onnx", ".*")
"""Weights in formats that can hold code, and hidden files: never taken over."""


@dataclass(frozen=True, kw_only=True)
class TunedManifest:
    """What a tuned model is and how it was made. ``hash`` is over its own weights, as a base's."""

    format: int
    base_model: str
    base_hash: str
    hash: str
    prediction_type: str
    resolution: int
    prompt: str
    token: str
    class_noun: str
    subjects: list[dict[str, str]]
    configuration: dict[str, Any]
    seed: int
    versions: dict[str, str]
    metrics: dict[str, Any]
    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class TunedModel:
    """A tuned model on disk."""

    folder: Path
    manifest: TunedManifest

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def write_model(
    networks: Networks,
    config: FineTuneConfig,
    out: Path,
    *,
    base: BaseModel,
    facts: Mapping[str, Any],
) -> TunedModel:
    """Write the trained ``networks`` to the folder ``out``; what stood there before is replaced.

    Tokenizer, schedule and whatever was not trained are the base's own files. ``facts`` are the
    manifest's other fields. The folder appears complete or not at all. Raises ``TrainingError``
    for weights that are not finite.
    """
    weights = {"unet": ("diffusion_pytorch_model.safetensors", _numbers(networks.unet))}
    if config.train_text_encoder:
        named = _numbers(networks.text_encoder)
        named = {prefixed(key): value for key, value in named.items()}
        weights["text_encoder"] = ("model.safetensors", named)
    with fresh_folder(out) as fresh:
        shutil.copytree(base.folder, fresh, ignore=_stale(base.folder, set(weights)))
        for part, (name, tensors) in weights.items():
            save_file(tensors, fresh / part / name, metadata={"format": "pt"})
        manifest = TunedManifest(
            format=FORMAT,
            base_model=base.id,
            base_hash=base.hash,
            hash=base_hash(fresh),
            prediction_type=base.prediction_type,
            resolution=config.resolution,
            **facts,
        )
        text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False, allow_nan=False)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return TunedModel(folder=Path(out), manifest=manifest)


def _numbers(network: Any) -> dict[str, Any]:
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    if broken := [key for key, value in state.items() if not value.isfinite().all()]:
        raise TrainingError(
            "The model cannot be written", f"{len(broken)} of its tensors are not finite"
        )
    return state


def _stale(folder: Path, trained: set[str]) -> Any:
    """For ``copytree``: what is not taken over from the base, the trained weights first of all.

    Only the pipeline's parts and a licence are: a card or scores would speak of another model.
    """
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    code = shutil.ignore_patterns(*_CODE)
    weights = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json")

    def ignored(inside: str, names: list[str]) -> set[str]:
        place = Path(inside).relative_to(folder).as_posix()
        left_out = set(code(inside, names))
        if place == ".":
            kept = {INDEX, *index}
            left_out |= {one for one in names if one not in kept and "licen" not in one.lower()}
        return left_out | (set(weights(inside, names)) if place in trained else set())

    return ignored
