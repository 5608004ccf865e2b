"""Adapters in host memory: each as one flat vector and its learned words, read and hashed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from helpers.bases import BaseModel
from helpers.errors import AdapterError
from helpers.hosting.identity import adapter_identity
from helpers.tuning.adapter import EMBEDDINGS, WEIGHTS, Adapter, check_base, read_adapter

ROOM = 512 * 1024**2
"""Bytes of host memory for adapters: 150 of rank 16 for Stable Diffusion 2.1."""
_AGAIN = "Fine-tune again on this base"


@dataclass(frozen=True)
class Layer:
    """One adapted layer: ``part`` is ``unet`` or ``text_encoder``; outputs x inputs weights."""

    part: str
    name: str
    rank: int
    inputs: int
    outputs: int

    @property
    def size(self) -> int:
        """Numbers in its two matrices."""
        return self.rank * (self.inputs + self.outputs)


Layout = tuple[Layer, ...]
"""Layers in the order of the flat vector; adapters of one layout fit into one slot."""


@dataclass(frozen=True, kw_only=True)
class Avatar:
    """An adapter ready to be swapped in.

    ``flat`` holds, layer by layer, A (rank x inputs) and B (outputs x rank); ``words`` the rows
    (count, width) of each learned word.
    """

    identity: str
    sha256: str
    layout: Layout
    flat: torch.Tensor
    words: Mapping[str, torch.Tensor]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        tensors = (self.flat, *self.words.values())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class AvatarShelf:
    """The adapters used last, up to ``room`` bytes; the one not used for longest goes first.

    ``dtype`` is that of the networks they will be added to.
    """

    def __init__(self, base: BaseModel, dtype: torch.dtype, *, room: int = ROOM) -> None:
        self.base, self.dtype, self.room = base, dtype, room
        self._kept: OrderedDict[str, Avatar] = OrderedDict()

    def __iter__(self):
        """Identities, least recently used first."""
        return iter(tuple(self._kept))

    def get(self, folder: Path, expected: str | None = None) -> Avatar:
        """The adapter of ``folder``, which is not looked at if ``expected`` is here already.

        Raises ``AdapterError`` when it is damaged, made for another base, or not ``expected``.
        """
        if expected in self._kept:
            self._kept.move_to_end(expected)
            return self._kept[expected]
        adapter = read_adapter(folder)
        check_base(adapter, self.base)
        identity = adapter_identity(adapter.manifest)
        if expected and expected != identity:
            raise AdapterError(
                "The adapter is not the one its archive announces",
                "its hash differs",
                "Publish the avatar again",
            )
        if identity not in self._kept:
            self._kept[identity] = _read(adapter, identity, self.dtype)
            self._make_room()
        self._kept.move_to_end(identity)
        return self._kept[identity]

    def drop(self, *, keep: str | None = None) -> None:
        """Forget all but ``keep``."""
        self._kept = OrderedDict((name, one) for name, one in self._kept.items() if name == keep)

    def _make_room(self) -> None:
        held = sum(avatar.size for avatar in self._kept.values())
        while held > self.room and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            held -= oldest.size


def _read(adapter: Adapter, identity: str, dtype: torch.dtype) -> Avatar:
    tensors = load_file(adapter.folder / WEIGHTS)
    layout, pieces = [], []
    for key in sorted(key for key in tensors if key.endswith(".lora_A.weight")):
        down, up = tensors[key], tensors[key.replace(".lora_A.", ".lora_B.")]
        part, _, name = key.removesuffix(".lora_A.weight").partition(".")
        layout.append(Layer(part, name, down.shape[0], down.shape[1], up.shape[0]))
        pieces += [down.reshape(-1), up.reshape(-1)]
    words = adapter.folder / EMBEDDINGS
    return Avatar(
        identity=identity,
        sha256=adapter.manifest.sha256,
        layout=tuple(layout),
        flat=torch.cat(pieces).to(dtype),
        words=load_file(words) if words.exists() else {},
    )
