"""Packages for a container that cannot reach the internet: wheels, each with its hash.

A container in a VPC without a way out cannot ``pip install``. So the wheels travel in the archive,
and its requirements file says ``--no-index`` and names every file's SHA-256. What the container's
image carries itself, torch first of all, stays the image's: it is neither shipped nor replaced.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path

from helpers.errors import SetupError
from helpers.pins import direct_pins

KEPT = frozenset({"torch"})
"""Packages that every image of the course brings in a build of its own."""
FOLDER = "requirements"
"""The folder beside ``requirements.txt`` that holds the wheels; DJL Serving looks there too."""
PYTHON = "3.12"
_GLIBC = 34  # Amazon Linux 2023; the Ubuntu images are newer
_LIMIT_S = 1800


def closure(pins: Mapping[str, str], *, keep: Collection[str] = KEPT) -> dict[str, str]:
    """All that ``pins`` bring along in a container, at the versions of this environment.

    ``keep`` names packages of the image: they are left out, with what only they would bring.
    Raises ``SetupError`` when something is not installed here, so that no version is known for it.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting = [str(canonicalize_name(name)) for name in pins]
    while waiting:
        name = waiting.pop()
        if name in found or name in keep:
            continue
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise SetupError(
                f"no version is known for the package {name}",
                "the wheels take the versions of this environment, and it is not installed here",
                "run in the course's own environment",
            ) from None
        waiting.extend(canonicalize_name(need) for need in _needs(name))
    return dict(sorted(found.items()))


def vendor_wheels(
    requirements: Path, folder: Path, *, python: str = PYTHON, keep: Collection[str] = KEPT
) -> Path:
    """Download the wheels of everything that ``requirements`` needs into ``folder``.

    They fit Linux on x86-64 with the given Python, whatever machine this is, and replace wheels
    that lie there. Returns the lock, ``folder/requirements.txt``; see ``locked``.
    Raises ``SetupError`` when a version is unknown or pip cannot find a wheel.
    """
    pins = closure(direct_pins(requirements), keep=keep)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    wanted = [f"{name}=={version}" for name, version in pins.items()]
    _pip("download", "--no-deps", f"--dest={folder}", *wanted, python=python)
    lock = folder / "requirements.txt"
    lock.write_text(locked(folder), encoding="utf-8")
    return lock


def install_packages(requirements: Path, folder: Path, *, python: str = PYTHON) -> Path:
    """Install everything that ``requirements`` needs into ``folder``, torch too; returns it.

    For a container whose image brings none of it: the folder goes on its ``sys.path``. The
    packages fit Linux on x86-64 with the given Python. Raises ``SetupError``.
    """
    _pip("install", f"--target={folder}", f"--requirement={requirements}", python=python)
    return folder


def locked(folder: Path) -> str:
    """The requirements file for the wheels in ``folder``: no index, every file by its hash.

    Raises ``SetupError`` when there is none.
    """
    from packaging.utils import parse_wheel_filename

    lines = []
    for wheel in sorted(folder.glob("*.whl")):
        name, version, *_ = parse_wheel_filename(wheel.name)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name}=={version} --hash=sha256:{digest}")
    if not lines:
        raise SetupError(f"{folder.name}/ holds no wheels", "", "fill it with vendor_wheels")
    return "\n".join(["--no-index", f"--find-links {FOLDER}", *lines, ""])


def _pip(verb: str, *arguments: str, python: str) -> None:
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)]
    command = [sys.executable, "-m", "pip", verb, "--quiet", "--only-binary=:all:",
               "--implementation=cp", f"--python-version={python}",
               *(f"--platform={platform}" for platform in (*platforms, "manylinux2014_x86_64")),
               *arguments]  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    if done.returncode:
        raise SetupError(
            "the packages of the container could not be fetched",
            (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1],
            "run where pip reaches a package index",
        )


def _needs(name: str) -> list[str]:
    """Names of what a package requires in a container, without extras."""
    from packaging.requirements import Requirement

    container = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
                 "platform_machine": "x86_64", "python_version": PYTHON,
                 "python_full_version": f"{PYTHON}.0", "extra": ""}  # fmt: skip
    wanted = [Requirement(line) for line in metadata.requires(name) or []]
    return [one.name for one in wanted if one.marker is None or one.marker.evaluate(container)]
