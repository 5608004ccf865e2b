"""What this machine has: disk, memory, and what the real Triton needs of it."""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from helpers.errors import SetupError

GB = 1000**3

MEMORY_NEEDED = 3.5 * GB
MEMORY_ADVISED = 7.5 * GB


def free_disk(folder: Path) -> int:
    """Bytes that can still be written under ``folder``, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def memory() -> int:
    """Bytes of memory this process may use: the machine's, or its container's if that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return total


def check_memory(found: int) -> str | None:
    """A word of warning, or nothing. Raises ``SetupError`` where the course cannot run."""
    if found < MEMORY_NEEDED:
        raise SetupError(
            f"this machine has {found / GB:.1f} GB of memory",
            f"the base model, its trainer and the server need {MEMORY_NEEDED / GB:.1f} GB",
            "use a larger machine, or give this container or virtual machine more memory",
        )
    if found < MEMORY_ADVISED:
        return (
            f"{found / GB:.1f} GB of memory is little: close what you can, "
            f"{MEMORY_ADVISED / GB:.0f} GB is comfortable"
        )
    return None


def check_disk(folder: Path, needed: float, what: str) -> None:
    """Raise ``SetupError`` that says how much is missing where ``what`` will not fit."""
    free = free_disk(folder)
    if free < needed:
        raise SetupError(
            f"{what} needs {needed / GB:.1f} GB of disk and {free / GB:.1f} GB are free, "
            f"{(needed - free) / GB:.1f} GB too few",
            next=f"make room on the disk that holds {folder.parent}, then run the same command",
        )


def no_triton_because() -> str | None:
    """Why the real Triton cannot be installed on this machine; None where it can."""
    if sys.platform != "linux":
        return "its wheel is made for Linux"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"its wheel is not made for {platform.machine()} processors"
    library, version = platform.libc_ver()
    if library != "glibc":
        return "its wheel needs the GNU C library"
    if tuple(int(part) for part in version.split(".")[:2]) < (2, 35):
        return f"its wheel needs the GNU C library 2.35 and this system has {version}"
    return None


def missing_libpython() -> str | None:
    """The name of the shared library of this Python, where it is not to be found on the system.

    Triton's Python backend links to it. Debian and Ubuntu keep it in a package of its own.
    """
    name = f"libpython{sysconfig.get_python_version()}.so.1.0"
    places = [Path(sys.base_prefix) / "lib", sysconfig.get_config_var("LIBDIR")]
    if any(place and (Path(place) / name).exists() for place in places):
        return None
    if ctypes.util.find_library(f"python{sysconfig.get_python_version()}"):
        return None
    return name


def chromium() -> str | None:
    """The path of a Chromium or Chrome of this system, for the tests that drive JupyterLab."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)
