"""What a container must have before it serves: looked at when it loads, and loud if it is missing.

DJL Serving only logs a failed ``pip install`` and serves on; the first request would then fail with
an error about anything but that. The report names what decides on AWS and nobody sees otherwise:
versions, CUDA, free disk, the size of ``/dev/shm`` (64 MB on an endpoint, by reports).
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import SetupError
from helpers.pins import direct_pins, installed, ranges, unmet

GB = 1_000_000_000
NEEDED_DISK = 1 * GB


@dataclass(frozen=True, kw_only=True)
class StartUp:
    """What was found. ``shared_memory`` and ``free_disk`` in bytes; ``cuda`` is torch's own."""

    packages: dict[str, str]
    torch: str
    cuda: str | None
    gpus: int
    free_disk: int
    shared_memory: int | None

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        shared = "none" if self.shared_memory is None else f"{self.shared_memory / 1e6:.0f} MB"
        return (
            f"start-up check passed: torch {self.torch}, CUDA {self.cuda or 'none'}, "
            f"{self.gpus} GPU; {packages}; {self.free_disk / GB:.1f} GB of disk free; "
            f"/dev/shm {shared}"
        )


def check_start_up(
    requirements: Path,
    *,
    need_disk: int = NEEDED_DISK,
    devices: Path = Path("/dev"),
    scratch: Path | None = None,
) -> StartUp:
    """Look whether this container can do its work; import nothing heavy before it has passed.

    ``requirements`` is the file that the container installed from: its pins and ranges must hold.
    A machine with a GPU in ``devices`` must show it to torch. ``scratch`` (the temporary folder)
    must have ``need_disk`` bytes left. Raises ``SetupError`` that names each package, found and
    wanted.
    """
    pins = direct_pins(requirements) | ranges(requirements)
    if wrong := unmet(pins):
        raise SetupError(
            f"the container's packages are not those of {requirements.name}",
            "found: "
            + "; ".join(
                f"{name} is {version or 'missing'}, wanted {pins[name]}"
                for name, version in sorted(wrong.items())
            ),
            "the pip install failed, and the log above says why: with no way to the internet, "
            "pack the archive with wheels",
        )
    try:
        with _uncollected():
            import torch
    except Exception as trouble:
        raise SetupError(
            "torch cannot be imported in this container",
            f"{type(trouble).__name__}: {trouble}",
            "compare the image's CUDA with InferenceAmiVersion, and keep the image's own torch",
        ) from trouble
    gpus = len([file for file in devices.glob("nvidia*") if file.name[6:].isdigit()])
    if gpus and not torch.cuda.is_available():
        build = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise SetupError(
            "this instance has a GPU that torch does not see",
            f"torch {torch.__version__} was built {build}",
            "keep the image's own torch, and set the InferenceAmiVersion of its CUDA",
        )
    folder = scratch or Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if free < need_disk:
        raise SetupError(
            "the container's disk is nearly full",
            f"{free / GB:.1f} GB are free, {need_disk / GB:.1f} GB are needed",
            "set VolumeSizeInGB of the endpoint's variant, or take an instance with a larger disk",
        )
    return StartUp(
        packages={name: installed(name) or "" for name in pins},
        torch=torch.__version__,
        cuda=torch.version.cuda,
        gpus=gpus,
        free_disk=free,
        shared_memory=_size_of(devices / "shm"),
    )


def hush_libraries() -> None:
    """Keep remarks on optional libraries out, here and in processes that are started from here.

    Before transformers is imported; who has set ``TRANSFORMERS_VERBOSITY`` keeps what they set.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def import_libraries() -> None:
    """Import torch, transformers, diffusers and peft, faster than they are imported by the way.

    They make a million objects that all stay. Looking for garbage among them again and again takes
    Python a quarter of the time.
    """
    with _uncollected():
        import helpers.tuning.networks  # noqa: F401


@contextmanager
def _uncollected() -> Iterator[None]:
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _size_of(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_blocks * found.f_frsize
