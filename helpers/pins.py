"""What a requirements file asks for, and whether this Python has it: pins, and ranges."""

from __future__ import annotations

import re
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


def ranges(requirements: Path) -> dict[str, str]:
    """Package name to ``>=low,<high``, from the lines that name a range and not a version.

    Such a file is for a container that brings its packages: pip leaves them as they are.
    """
    lines = requirements.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)(>=[\d.]+,<[\d.]+)\s*(?:#|$)", line) for line in lines)
    return {one[1]: one[2] for one in found if one}


def installed(name: str) -> str | None:
    """The version of a package here, without its local part (``+cu130``); ``None`` if missing."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def unmet(wanted: Mapping[str, str]) -> dict[str, str | None]:
    """The versions and ranges that do not hold here, with the version found instead."""
    found = {name: installed(name) for name in wanted}
    return {name: version for name, version in found.items() if not _holds(version, wanted[name])}


def _holds(version: str | None, wanted: str) -> bool:
    if version is None or not wanted.startswith(">="):
        return version == wanted
    low, high = wanted.removeprefix(">=").split(",<")
    return _order(low) <= _order(version) < _order(high)


def _order(version: str) -> tuple[int, ...]:
    """The numbers of a version; what follows them (``rc1``, ``.post2``) decides nothing here."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in numbers[0].split(".")) if numbers else ()
