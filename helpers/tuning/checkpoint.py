"""Going on after a kill: weights, optimizer and history of a job in one file.

The file appears by a rename, so whoever reads it finds a whole one, the last or the one before. A
training that goes on from it ends in the same bytes as one that was never stopped. Only tensors
and JSON are in it. On managed Spot instances the folder is the one that SageMaker keeps
(``/opt/ml/checkpoints``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.durable import write_whole
from helpers.tuning.heldout import Best
from helpers.tuning.subjects import Subject

NAME = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where a job keeps its state, and how often: every so many steps.

    The caller chooses ``folder``, never a request; it belongs to one job.
    """

    folder: Path
    every: int = 50


@dataclass(kw_only=True)
class State:
    """What a training is made of beside its configuration: all that a checkpoint holds.

    ``history`` are the steps so far, as JSON can hold them.
    """

    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: Any
    best: Best
    history: list[dict[str, Any]] = field(default_factory=list)


def save_state(state: State, checkpoints: Checkpoints, job: str) -> None:
    """Write the state of ``job`` (``job_identity``); the one before is replaced."""
    tensors, facts = {}, {"job": job, "history": state.history, "scaler": state.scaler.state_dict()}
    facts["best"] = {"loss": state.best.loss, "step": state.best.step} if state.best.step else None
    for place, parameter in enumerate(state.parameters):
        tensors[f"parameter.{place}"] = parameter.detach()
    for place, kept in enumerate(state.best.weights):
        tensors[f"best.{place}"] = kept
    plain: dict[str, Any] = {}
    for place, values in state.optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{place}.{name}"] = value
            else:
                plain[f"optimizer.{place}.{name}"] = value
    facts["optimizer"] = plain
    whole = {name: value.to("cpu").contiguous() for name, value in tensors.items()}
    write_whole(checkpoints.folder / NAME, whole, {"state": json.dumps(facts)})


@torch.no_grad()
def restore_state(state: State, checkpoints: Checkpoints, job: str) -> None:
    """Bring ``state`` to where the checkpoint left it; without one, leave it at the beginning.

    Raises ``TrainingError`` when the folder holds another job's checkpoint, or a damaged one.
    """
    path = checkpoints.folder / NAME
    if not path.exists():
        return
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(
            "The checkpoint cannot be read",
            f"{NAME} is damaged ({type(error).__name__})",
            "Delete it to begin anew",
        ) from error
    if facts["job"] != job:
        raise TrainingError(
            "The checkpoint belongs to another job",
            "Its photos, configuration, base or versions are not these",
            "Give each job a checkpoint folder of its own",
        )
    for place, parameter in enumerate(state.parameters):
        parameter.copy_(tensors[f"parameter.{place}"])
    kept: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *facts["optimizer"].items()]:
        if name.startswith("optimizer."):
            _, place, key = name.split(".", 2)
            kept.setdefault(int(place), {})[key] = value
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": kept})
    state.scaler.load_state_dict(facts["scaler"])
    state.history[:] = facts["history"]
    if facts["best"]:
        weights = [tensors[f"best.{place}"] for place in range(len(state.parameters))]
        state.best = Best(**facts["best"], weights=weights)


def job_identity(config: FineTuneConfig, base_hash: str, subjects: Sequence[Subject]) -> str:
    """SHA-256 (hex) of all that the result of a job depends on."""
    digest = hashlib.sha256()
    facts = [config.to_mapping(), base_hash, str(torch.__version__)]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for subject in subjects:
        digest.update(f"{subject.concept_prompt}\0{subject.class_prompt}\0".encode())
        for image in (*subject.images, *subject.class_images):
            digest.update(f"{image.mode} {image.size}".encode() + image.tobytes())
    return digest.hexdigest()
