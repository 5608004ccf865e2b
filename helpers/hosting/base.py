"""What the shared base does inside Triton; ``models/avatar_base/1/model.py`` is its thin door."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import diffusers
import torch

from helpers.errors import AdapterError, CourseError, GenerationError
from helpers.hosting.generate import AvatarPainter, Order
from helpers.hosting.request import OUT_OF_MEMORY_WORDS, several_from_json
from helpers.hosting.safety import open_checker
from helpers.hosting.speed import measure

PROMISE_S = 30.0
"""Work that one call may ask for, by the measured speed. A call has 60 s, of which it may wait 25
in the queue (``models/avatar_base/config.pbtxt``)."""
MOST_CHARACTERS = 5_500_000
"""Base64 of one answer, which may have 6,291,456 bytes."""


class AvatarBase:
    """One base pipeline behind the tensors of ``avatar_base/config.pbtxt``.

    ``adapter_root`` is the folder under which the endpoint keeps its models: no request can
    name an adapter anywhere else. ``safety`` names its checker (``helpers.hosting.safety``).
    """

    def __init__(self, base_folder: Path, *, adapter_root: Path, safety: str = "") -> None:
        self.painter = AvatarPainter(base_folder, checker=open_checker(safety, base_folder))
        self.adapter_root = Path(adapter_root).resolve()
        # Lazily built kernels are paid for here too, before the server says "ready".
        limits = self.painter.limits
        self.speed = measure(self.painter.render, (limits.side, limits.longest_side))

    def answer(self, **asked: str) -> list[str]:
        """The pictures of one request; see ``answer_all``. Raises ``CourseError``."""
        (said,) = self.answer_all([asked])
        if isinstance(said, Exception):
            raise said
        return said

    def answer_all(self, asked: Sequence[Mapping[str, str]]) -> list[list[str] | CourseError]:
        """For each request the base64 of its files (``helpers.hosting.picture``), or its error.

        A request has a ``prompt`` and may have a ``negative_prompt``, ``gen_args``, and the
        ``adapter_path`` and ``adapter_identity`` of an avatar.
        """
        said: dict[int, list[str] | CourseError] = {}
        orders: list[Order] = []
        places: list[int] = []
        for place, one in enumerate(asked):
            try:
                wanted = self._orders(one)
            except CourseError as error:
                said[place] = error
            else:
                orders += wanted
                places += [place] * len(wanted)
        done = self.painter.render_all(orders)
        for place, order, one in zip(places, orders, done, strict=True):
            before = said.get(place, [])
            if isinstance(before, CourseError):
                continue
            if isinstance(one, CourseError):
                said[place] = one
            else:
                said[place] = [*before, one.to_base64(order.request.format)]
        return [_fitting(said[place]) for place in range(len(asked))]

    def _orders(self, one: Mapping[str, str]) -> list[Order]:
        requests = several_from_json(
            one["prompt"], one.get("negative_prompt"), one.get("gen_args"),
            limits=self.painter.limits,
        )  # fmt: skip
        needed = self.speed.seconds(requests)
        if needed > PROMISE_S:
            raise GenerationError(
                f"The request would take about {needed:.0f} s here",
                f"a call may ask for {PROMISE_S:.0f} s of painting",
                "Lower num_images_per_prompt, num_inference_steps, width or height",
            )
        path = one.get("adapter_path")
        folder = self._inside(path) if path else None
        identity = one.get("adapter_identity")
        return [Order(request=request, folder=folder, identity=identity) for request in requests]

    def describe(self) -> str:
        """JSON: which base this is, how large it paints, what is attached, on which libraries."""
        return json.dumps(
            {
                "base": self.painter.base.id,
                "base_hash": self.painter.base.hash,
                "side": self.painter.limits.side,
                "longest_side": self.painter.limits.longest_side,
                "adapters": list(self.painter.attached),
                "safety": self.painter.checker.name if self.painter.checker else "off",
                "seconds_per_step_and_pixel": self.speed.step,
                "threads": torch.get_num_threads(),
                "versions": {
                    "python": platform.python_version(),
                    "torch": torch.__version__,
                    "diffusers": diffusers.__version__,
                },
            }
        )

    def _inside(self, adapter_path: str) -> Path:
        folder = Path(adapter_path).resolve()
        if not folder.is_relative_to(self.adapter_root):
            raise AdapterError(
                "The adapter lies outside the endpoint's model folder",
                "",
                "Publish the avatar and invoke it by its TargetModel",
            )
        return folder


def _fitting(said: list[str] | CourseError) -> list[str] | CourseError:
    if isinstance(said, CourseError) or sum(map(len, said)) <= MOST_CHARACTERS:
        return said
    return GenerationError(
        "The answer would be larger than SageMaker passes on",
        "a call may answer 6,291,456 bytes",
        "Ask for fewer or smaller pictures, or for the format jpeg",
    )


def error_text(error: BaseException) -> str:
    """The text that may leave Triton: the error's kind and our own words.

    Errors that we did not write may quote the caller, so only their kind leaves; the rest goes to
    the container's log.
    """
    if isinstance(error, CourseError) and not any(
        words in str(error) for words in OUT_OF_MEMORY_WORDS
    ):
        return f"{type(error).__name__}: {error}"
    logging.getLogger(__name__).error("the base failed", exc_info=error)
    kind = type(error).__name__ if isinstance(error, CourseError) else "GenerationError"
    return f"{kind}: The picture could not be painted. The container's log says why."
