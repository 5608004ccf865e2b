"""Training state in one safetensors file, written so that a kill never leaves half of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def save_state(
    path: Path,
    *,
    step: int,
    modules: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write networks, optimiser and running average to ``path`` (replaced in one move)."""
    tensors = {
        f"module.{name}.{key}": _packed(value)
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    state = optimizer.state_dict()
    for index, slots in state["state"].items():
        for slot, value in slots.items():
            tensors[f"optimizer.{index}.{slot}"] = _packed(torch.as_tensor(value))
    for key, value in (average or {}).items():
        tensors[f"average.{key}"] = _packed(value)
    about = {"step": str(step), "groups": json.dumps(state["param_groups"])}
    temporary = path.with_suffix(".partial")
    save_file(tensors, temporary, metadata=about)
    os.replace(temporary, path)


def _packed(value: torch.Tensor) -> torch.Tensor:
    # Weights in channels-last order are not contiguous, and safetensors wants them to be.
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def load_state(
    path: Path,
    *,
    modules: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer,
    average: dict[str, torch.Tensor] | None = None,
) -> int:
    """Restore what ``save_state`` wrote; the number of steps done, 0 if there is no file."""
    if not path.exists():
        return 0
    slots: dict[int, dict[str, Any]] = {}
    parts: dict[str, dict[str, torch.Tensor]] = {name: {} for name in modules}
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        for name in file.keys():  # noqa: SIM118 (not a dict)
            area, _, rest = name.partition(".")
            value = file.get_tensor(name)
            head, _, key = rest.partition(".")
            if area == "module":
                parts[head][key] = value
            elif area == "optimizer":
                slots.setdefault(int(head), {})[key] = value
            elif average is not None:
                average[rest] = value
    for name, module in modules.items():
        module.load_state_dict(parts[name])
    optimizer.load_state_dict({"state": slots, "param_groups": json.loads(about["groups"])})
    return int(about["step"])
