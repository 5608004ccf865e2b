"""A stranger's safetensors file, looked at before anything loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import AdapterError, fit_to_print

_KINDS: Mapping[str, tuple[str, int]] = {
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
"""Precisions of an adapter: as what unsigned number to read one, and the bits that are all set in
NaN and infinity and in no finite number."""


@dataclass(frozen=True, kw_only=True)
class TensorFile:
    """What is wrong is told in an ``AdapterError`` that begins with ``what`` and ends with
    ``next``."""

    path: Path
    what: str = "The adapter is damaged"
    next: str = ""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor, by name.

        Raises ``AdapterError`` where the file is none that safetensors reads, or a tensor is empty,
        not of 16 or 32 bit floating point, or holds a number that is not finite.
        """
        from safetensors import SafetensorError, safe_open

        name = self.path.name
        try:
            with safe_open(self.path, "np") as file:  # compares every offset with the file's size
                file.keys()
        except (OSError, SafetensorError, ValueError):
            raise self.trouble(f"{name} cannot be read") from None
        shapes = {}
        data = np.memmap(self.path, np.uint8, "r")
        begin = 8 + int.from_bytes(data[:8].tobytes(), "little")
        for key, entry in _entries(data[8:begin].tobytes()).items():
            shown = fit_to_print(key, 120)
            if entry["dtype"] not in _KINDS:
                kind = fit_to_print(entry["dtype"])
                raise self.trouble(f"{name}: {shown} is of type {kind}, not {', '.join(_KINDS)}")
            kind, special = _KINDS[entry["dtype"]]
            start, end = entry["data_offsets"]
            numbers = data[begin + start : begin + end].view(kind)
            if not numbers.size:
                raise self.trouble(f"{name}: {shown} holds no numbers")
            if np.any((numbers & special) == special):
                raise self.trouble(f"{name}: {shown} holds numbers that are not finite")
            shapes[key] = tuple(entry["shape"])
        return shapes

    def trouble(self, why: str) -> AdapterError:
        return AdapterError(self.what, why, self.next)


def _entries(header: bytes) -> dict[str, Any]:
    entries = json.loads(header)
    entries.pop("__metadata__", None)
    return entries
