"""What the shared base does inside Triton; ``models/avatar_base/1/model.py`` is its thin door."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import diffusers
import torch

from helpers.errors import AdapterError, CourseError
from helpers.hosting.generate import AvatarPainter, Order
from helpers.hosting.request import OUT_OF_MEMORY_WORDS, GenerationRequest


class AvatarBase:
    """One base pipeline behind the tensors of ``avatar_base/config.pbtxt``.

    ``adapter_root`` is the folder under which the endpoint keeps its models: no request can
    name an adapter anywhere else.
    """

    def __init__(self, base_folder: Path, *, adapter_root: Path) -> None:
        self.painter = AvatarPainter(base_folder)
        self.adapter_root = Path(adapter_root).resolve()
        # The first picture pays for lazily built kernels: pay before the server says "ready".
        first = {"num_inference_steps": 1, "seed": 0}
        self.painter.paint(
            GenerationRequest.from_json("a photo", None, first, limits=self.painter.limits)
        )

    def answer(self, **asked: str) -> str:
        """One picture; see ``answer_all``. Raises ``CourseError``."""
        (said,) = self.answer_all([asked])
        if isinstance(said, Exception):
            raise said
        return said

    def answer_all(self, asked: Sequence[Mapping[str, str]]) -> list[str | CourseError]:
        """For each request the base64 of its file (``helpers.hosting.picture``), or its error.

        A request has a ``prompt`` and may have a ``negative_prompt``, ``gen_args``, and the
        ``adapter_path`` and ``adapter_identity`` of an avatar.
        """
        orders: dict[int, Order] = {}
        said: dict[int, str | CourseError] = {}
        for place, one in enumerate(asked):
            try:
                orders[place] = self._order(one)
            except CourseError as error:
                said[place] = error
        for place, done in zip(orders, self.painter.render_all([*orders.values()]), strict=True):
            if isinstance(done, CourseError):
                said[place] = done
            else:
                said[place] = done.to_base64(orders[place].request.format)
        return [said[place] for place in range(len(asked))]

    def _order(self, one: Mapping[str, str]) -> Order:
        request = GenerationRequest.from_json(
            one["prompt"], one.get("negative_prompt"), one.get("gen_args"),
            limits=self.painter.limits,
        )  # fmt: skip
        path = one.get("adapter_path")
        folder = self._inside(path) if path else None
        return Order(request=request, folder=folder, identity=one.get("adapter_identity"))

    def describe(self) -> str:
        """JSON: which base this is, how large it paints, what is attached, on which libraries."""
        return json.dumps(
            {
                "base": self.painter.base.id,
                "base_hash": self.painter.base.hash,
                "side": self.painter.limits.side,
                "longest_side": self.painter.limits.longest_side,
                "adapters": list(self.painter.attached),
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
