"""Pinned requirements: what a requirements file asks for, and whether this Python has it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path


def direct_pins(requirements: Path) -> dict[str, str]:
    """Package name to version, from the lines ``name[extra]==version --hash=… ; marker``."""
    pins = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        requirement = line.partition("#")[0].partition(";")[0].strip()
        name, separator, version = requirement.partition("==")
        if separator:
            pins[name.partition("[")[0].strip()] = version.split()[0]
    return pins


def installed(name: str) -> str | None:
    """The version of a package here, without its local part (``+cu130``); ``None`` if missing."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def unmet(pins: Mapping[str, str]) -> dict[str, str | None]:
    """The pins that do not hold here, with the version found instead."""
    found = {name: installed(name) for name in pins}
    return {name: version for name, version in found.items() if version != pins[name]}
