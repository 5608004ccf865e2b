"""Slots: where adapters meet the networks, so that changing the avatar is one copy of memory.

All adapters of one layout (the same layers at the same ranks) share a slot. Its weights are views
into one flat buffer, and its layers add ``(x A') B' * scale`` to what the base's layers answer, the
very operations of peft in the same order. The base's own weights are never written to.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

from helpers.errors import AdapterError
from helpers.hosting.avatars import Avatar, Layout

LAYOUTS = 4
"""Layouts with a slot at a time. Installing another takes milliseconds, so few are enough."""


class Slots:
    """The slots of a pipeline's networks, given by the names of their parts.

    ``use`` says which avatar belongs to which picture of the next batch; all must have one layout.
    """

    def __init__(self, networks: Mapping[str, torch.nn.Module], *, most: int = LAYOUTS) -> None:
        self._networks, self._most = networks, most
        self._slots: OrderedDict[Layout, _Slot] = OrderedDict()

    def use(self, avatars: Sequence[Avatar | None], scales: Sequence[float]) -> None:
        """Picture ``i`` is painted with ``avatars[i]`` at ``scales[i]``; ``None``: by the base.

        Raises ``AdapterError`` when an avatar does not fit the networks, or two have different
        layouts.
        """
        layouts = {avatar.layout for avatar in avatars if avatar}
        if len(layouts) > 1:
            raise AdapterError("Avatars of different layouts cannot share a batch")
        for slot in self._slots.values():
            slot.pictures = ()
        for layout in layouts:
            self._slot(layout).fill(avatars, scales)

    def _slot(self, layout: Layout) -> _Slot:
        if layout not in self._slots:
            while len(self._slots) >= self._most:
                self._slots.popitem(last=False)[1].remove()
            self._slots[layout] = _Slot(layout, self._networks)
        self._slots.move_to_end(layout)
        return self._slots[layout]


class _Slot:
    """The buffer of one layout, one row for each avatar of a batch, and its hooks."""

    def __init__(self, layout: Layout, networks: Mapping[str, torch.nn.Module]) -> None:
        layers = [_find(networks, layer) for layer in layout]
        weight = layers[0].weight
        self.rows = torch.zeros(1, layout.size, dtype=weight.dtype, device=weight.device)
        self.layout, self.pictures = layout, ()
        self._held: list[str | None] = [None]
        self._views()
        self._hooks = [
            layer.register_forward_hook(partial(self._add, place))
            for place, layer in enumerate(layers)
        ]

    def fill(self, avatars: Sequence[Avatar | None], scales: Sequence[float]) -> None:
        """Copy in the avatars that are not here yet; ``pictures`` names a row for each picture."""
        wanted = {avatar.identity: avatar for avatar in avatars if avatar}
        if len(wanted) > len(self.rows):
            self.rows = self.rows.new_zeros(len(wanted), self.rows.shape[1])
            self._held = [None] * len(wanted)
            self._views()
        free = [row for row, name in enumerate(self._held) if name not in wanted]
        for name, avatar in wanted.items():
            if name not in self._held:
                row = free.pop()
                self.rows[row].copy_(avatar.flat)
                self._held[row] = name
        self.pictures = tuple(
            (self._held.index(avatar.identity), scale) if avatar else (0, 0.0)
            for avatar, scale in zip(avatars, scales, strict=True)
        )

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _views(self) -> None:
        self._matrices, start, count = [], 0, len(self.rows)
        for layer in self.layout:
            middle, end = start + layer.rank * layer.inputs, start + layer.size
            self._matrices.append(
                (
                    self.rows[:, start:middle].view(count, layer.rank, layer.inputs),
                    self.rows[:, middle:end].view(count, layer.outputs, layer.rank),
                )
            )
            start = end

    def _add(self, place: int, module: Any, inputs: Any, answer: torch.Tensor) -> Any:
        if not self.pictures:
            return None
        down, up = self._matrices[place]
        given = inputs[0]
        if len(set(self.pictures)) == 1:
            row, scale = self.pictures[0]
            return answer + linear(linear(given, down[row]), up[row]) * scale
        # With guidance each picture is there twice: first all without their prompt, then with.
        pictures = self.pictures * (len(given) // len(self.pictures))
        rows = torch.tensor([row for row, _ in pictures], device=given.device)
        scale = given.new_tensor([scale for _, scale in pictures]).view(-1, 1, 1)
        # (pictures, places, features): every adapted layer of these networks sees sequences.
        low = torch.bmm(given, down[rows].transpose(1, 2))
        return answer + torch.bmm(low, up[rows].transpose(1, 2)) * scale


def _find(networks: Mapping[str, torch.nn.Module], layer: Any) -> torch.nn.Linear:
    network = networks.get(layer.part)
    for name in (layer.name, layer.name.removeprefix("text_model.")):
        try:
            found = network.get_submodule(name) if network else None
        except AttributeError:
            continue
        shape = (layer.outputs, layer.inputs)
        if isinstance(found, torch.nn.Linear) and tuple(found.weight.shape) == shape:
            return found
    raise AdapterError(
        "The adapter does not fit this base",
        "one of its tensors has no layer here",
        "Fine-tune again on this base",
    )
