"""What a bench ran on: numbers without their machine mean nothing."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from helpers.launcher.machine import GB, memory
from helpers.settings import Settings


def describe_machine(settings: Settings) -> dict[str, Any]:
    """Processor, cores, threads, memory, versions, and the GPU if there is one.

    Loads torch, which alone knows whether it can use a GPU.
    """
    import torch

    gpu = "none"
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        gpu = f"{found.name}, {found.total_memory / GB:.0f} GB, CUDA {torch.version.cuda}"
    return {
        "processor": processor(),
        "cores": len(cores()),
        "threads": settings.threads,
        "memory_gb": round(memory() / GB, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "gpu": gpu,
    }


def cores() -> list[int]:
    """The cores that this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as the system gives it."""
    try:
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory(status: Path = Path("/proc/self/status")) -> int:
    """Bytes of memory that this process held at most so far.

    Linux's own count is read where it is: what ``getrusage`` gives includes the peak of the
    process that started this one.
    """
    try:
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
