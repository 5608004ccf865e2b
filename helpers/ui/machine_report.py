"""What this notebook runs on: versions, processor, memory, disk, GPU, and whose Jupyter it is."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from helpers.launcher.kernels import running_server
from helpers.launcher.machine import GB, free_disk, memory
from helpers.settings import Settings
from helpers.tables import Table

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "boto3", "sagemaker-core", "moto")


def machine_report(settings: Settings) -> Table:
    """One row for each thing, in words."""
    rows = {
        "Python": f"{platform.python_version()} in {sys.prefix}",
        "system": f"{platform.system()} {platform.machine()}",
        "notebook server": running_server() or "none: this is a plain Python",
        "processors": f"{os.cpu_count()}, of which a container may use {settings.threads}",
        "memory": f"{memory() / GB:.1f} GB",
        "free disk": f"{free_disk(Path(settings.outputs)) / GB:.0f} GB",
        "GPU": describe_gpu(),
        **{name: _version(name) for name in LIBRARIES},
    }
    return Table(head=("what", "found"), rows=list(rows.items()))


def describe_gpu() -> str:
    """The CUDA GPU that torch sees, or why there is none."""
    try:
        import torch
    except ImportError:
        return "not known: torch is not installed"
    if not torch.cuda.is_available():
        return "none, and none is needed: the pocket base runs on processors"
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory / 1024**3:.0f} GiB, CUDA {torch.version.cuda}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
