"""Adapters in host memory: each as one flat vector and its learned words, read and hashed once.

An adapter is checked when its avatar paints for the first time. Those that had to leave come back
without that, as long as their files are the same: nothing but the numbers is read again.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from helpers.bases import BaseModel
from helpers.errors import AdapterError
from helpers.hosting.identity import adapter_identity
from helpers.tuning.adapter import EMBEDDINGS, MANIFEST, WEIGHTS, check_base, read_adapter

ROOM = 512 * 1024**2
"""Bytes of host memory for adapters: 80 of rank 16 for Stable Diffusion 2.1."""
MOST_CHECKED = 4096
"""Folders of adapters whose checks are remembered, each in a kilobyte."""
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


class Layout:
    """Layers in the order of the flat vector; adapters of one layout fit into one slot.

    There is one object for each (``layout_of``), so that comparing two looks at no layer.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self.layers = layers
        self.size = sum(layer.size for layer in layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


@lru_cache(maxsize=64)
def layout_of(layers: tuple[Layer, ...]) -> Layout:
    """The layout of these layers: the same object for the same layers."""
    return Layout(layers)


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


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """What checking an adapter's folder found. ``files`` tells whether it still holds: what the
    system knows of each file, of which the time of change cannot be set by who writes one."""

    files: tuple[object, ...]
    folder: Path
    identity: str
    sha256: str
    words: bool
    place: _Place | None


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the flat vector lies in a weight file: ``count`` numbers of ``kind`` from byte
    ``begin``."""

    layout: Layout
    begin: int
    count: int
    kind: torch.dtype


class AvatarShelf:
    """The adapters used last, up to ``room`` bytes; the one not used for longest goes first.

    ``dtype`` is that of the networks they will be added to.
    """

    def __init__(self, base: BaseModel, dtype: torch.dtype, *, room: int = ROOM) -> None:
        self.base, self.dtype, self.room = base, dtype, room
        self._kept: OrderedDict[str, Avatar] = OrderedDict()
        self._checked: OrderedDict[Path, _Checked] = OrderedDict()

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
        found = self._check(Path(folder))
        identity = found.identity
        if expected and expected != identity:
            raise AdapterError(
                "The adapter is not the one its archive announces",
                "its hash differs",
                "Publish the avatar again",
            )
        if identity not in self._kept:
            self._kept[identity] = _read(found, self.dtype)
            self._make_room()
        self._kept.move_to_end(identity)
        return self._kept[identity]

    def drop(self, *, keep: str | None = None) -> None:
        """Forget all but ``keep``."""
        self._kept = OrderedDict((name, one) for name, one in self._kept.items() if name == keep)

    def _check(self, folder: Path) -> _Checked:
        files = _files(folder)
        known = self._checked.get(folder)
        if known is None or known.files != files:
            adapter = read_adapter(folder)
            check_base(adapter, self.base)
            known = _Checked(
                files=files,
                folder=folder,
                identity=adapter_identity(adapter.manifest),
                sha256=adapter.manifest.sha256,
                words=adapter.manifest.embeddings_sha256 is not None,
                place=_find(folder / WEIGHTS),
            )
            self._checked[folder] = known
            while len(self._checked) > MOST_CHECKED:
                self._checked.popitem(last=False)
        return known

    def _make_room(self) -> None:
        held = sum(avatar.size for avatar in self._kept.values())
        while held > self.room and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            held -= oldest.size


def _files(folder: Path) -> tuple[object, ...]:
    found: list[object] = []
    for name in (MANIFEST, WEIGHTS, EMBEDDINGS):
        try:
            about = os.lstat(folder / name)
        except OSError:
            found.append(None)
        else:
            found.append((about.st_dev, about.st_ino, about.st_mode, about.st_size,
                          about.st_mtime_ns, about.st_ctime_ns))  # fmt: skip
    return tuple(found)


def _read(found: _Checked, dtype: torch.dtype) -> Avatar:
    layout, flat = _weights(found.folder / WEIGHTS, found.place)
    return Avatar(
        identity=found.identity,
        sha256=found.sha256,
        layout=layout,
        # Half precision stays as it is: half the memory, and the copy into a slot widens it.
        flat=flat if flat.element_size() <= dtype.itemsize else flat.to(dtype),
        words=load_file(found.folder / EMBEDDINGS) if found.words else {},
    )


def _weights(path: Path, place: _Place | None) -> tuple[Layout, torch.Tensor]:
    """Layout and flat vector of a checked weight file, in the file's precision."""
    if place is not None:
        flat = np.empty(place.count * place.kind.itemsize, np.uint8)
        with open(path, "rb", buffering=0) as file:
            file.seek(place.begin)
            got = file.readinto(flat.data)
        if got == len(flat):
            return place.layout, torch.from_numpy(flat).view(place.kind)
        raise AdapterError(
            "The adapter is damaged", "its weights became shorter", "Publish it again"
        )
    tensors = load_file(path)
    keys = sorted(tensors)
    layout = _layout(keys, {key: list(one.shape) for key, one in tensors.items()})
    return layout, torch.cat([tensors[key].reshape(-1) for key in keys])


def _find(path: Path) -> _Place | None:
    """Where in a checked weight file the flat vector lies, if it lies there in one run.

    A safetensors file is a header and one run of numbers. Written by the trainer, that run is the
    flat vector already, and 256 tensors need not be made to be joined again.
    """
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    keys = sorted(header)
    ends = [0, *(header[key]["data_offsets"][1] for key in keys)]
    kinds = {one["dtype"] for one in header.values()}
    in_order = ends[:-1] == [header[key]["data_offsets"][0] for key in keys]
    if not (in_order and kinds <= _KINDS.keys() and len(kinds) == 1):
        return None
    layout = _layout(keys, {key: header[key]["shape"] for key in keys})
    return _Place(layout=layout, begin=8 + size, count=layout.size, kind=_KINDS[kinds.pop()])


def _layout(keys: Sequence[str], shapes: Mapping[str, Sequence[int]]) -> Layout:
    layers = []
    for a, b in zip(keys[::2], keys[1::2], strict=True):
        (rank, inputs), (outputs, _) = shapes[a], shapes[b]
        part, _, name = a.removesuffix(".lora_A.weight").partition(".")
        layers.append(Layer(part, name, rank, inputs, outputs))
    return layout_of(tuple(layers))
