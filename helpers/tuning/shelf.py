"""Bases that stay in memory between jobs: loading one costs more than many steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from helpers.bases import BaseModel
from helpers.tuning.networks import Networks, load_networks
from helpers.tuning.trainable import restore_base

_Key = tuple[str, str, torch.dtype]


class BaseShelf:
    """Lends a base's networks to one job at a time and keeps up to ``most`` that are not in use.

    A job that fails gives nothing back: its networks could be in any state.
    """

    def __init__(self, most: int = 1) -> None:
        self._most, self._lock = most, threading.Lock()
        self._idle: list[tuple[_Key, Networks]] = []

    @contextmanager
    def lend(
        self, base: BaseModel, *, device: torch.device, dtype: torch.dtype
    ) -> Iterator[Networks]:
        """The base's networks, kept or loaded. Raises ``BaseModelError`` as ``load_networks``."""
        key = (base.hash, str(device), dtype)
        networks = self._take(key) or load_networks(base, device=device, dtype=dtype)
        yield networks
        if restore_base(networks):
            with self._lock:
                self._idle = [(key, networks), *self._idle][: self._most]

    def _take(self, key: _Key) -> Networks | None:
        with self._lock:
            for place, (known, networks) in enumerate(self._idle):
                if known == key:
                    del self._idle[place]
                    return networks
        return None
