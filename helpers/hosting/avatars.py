"""Adapters in host memory: each as one flat vector and its learned words, read and hashed once."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from helpers.bases import BaseModel
from helpers.errors import AdapterError
from helpers.hosting.identity import adapter_identity
from helpers.tuning.adapter import EMBEDDINGS, WEIGHTS, Adapter, check_base, read_adapter

ROOM = 512 * 1024**2
"""Bytes of host memory for adapters: 80 of rank 16 for Stable Diffusion 2.1."""
_KINDS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


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

    ``flat`` holds, layer by layer, A (rank x inputs) and B (outputs x rank), in the precision
    of the file or of the networks, whichever is less; ``words`` the rows (count, width) of each
    learned word.
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
    layout, flat = _weights(adapter.folder / WEIGHTS)
    words = adapter.folder / EMBEDDINGS
    return Avatar(
        identity=identity,
        sha256=adapter.manifest.sha256,
        layout=layout,
        # Half precision stays as it is: half the memory, and the copy into a slot widens it.
        flat=flat if flat.element_size() <= dtype.itemsize else flat.to(dtype),
        words=load_file(words) if words.exists() else {},
    )


def _weights(path: Path) -> tuple[Layout, torch.Tensor]:
    """Layout and flat vector of a checked weight file, in the file's precision.

    A safetensors file is a header and one run of numbers. Written by the trainer, that run is the
    flat vector already, and 256 tensors need not be made to be joined again.
    """
    data = torch.from_numpy(np.fromfile(path, dtype=np.uint8))
    begin = 8 + int.from_bytes(data[:8].numpy().tobytes(), "little")
    header = json.loads(data[8:begin].numpy().tobytes())
    header.pop("__metadata__", None)
    keys, layout = sorted(header), []
    for a, b in zip(keys[::2], keys[1::2], strict=True):
        (rank, inputs), (outputs, _) = header[a]["shape"], header[b]["shape"]
        part, _, name = a.removesuffix(".lora_A.weight").partition(".")
        layout.append(Layer(part, name, rank, inputs, outputs))
    ends = [0, *(header[key]["data_offsets"][1] for key in keys)]
    kinds = {one["dtype"] for one in header.values()}
    in_order = ends[:-1] == [header[key]["data_offsets"][0] for key in keys]
    if in_order and kinds <= _KINDS.keys() and len(kinds) == 1:
        return tuple(layout), data[begin:].view(_KINDS[kinds.pop()])
    tensors = load_file(path)
    return tuple(layout), torch.cat([tensors[key].reshape(-1) for key in keys])
