"""What the real-time container does; ``models/realtime/code/inference.py`` is its thin door.

Two limits of SageMaker stand before everything: a call has 60 s, and an answer 6,291,456 bytes.
Who passes them gets an error without words, so they are kept here, with words: a request that
cannot be painted in time is refused before a brush is lifted, and painting stops when the answer
would grow too large.
"""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from helpers.errors import GenerationError
from helpers.hosting.base import error_text
from helpers.hosting.generate import AvatarPainter
from helpers.hosting.real_time_request import RealTimeRequest
from helpers.hosting.safety import open_checker
from helpers.hosting.speed import measure

PROMISE_S = 45.0
"""Work that a request may ask for, by the measured speed: the call's 60 s less a reserve for a
busier machine, for another caller who is served first, and for the way."""

DEADLINE_S = 55.0
"""When painting stops, whatever was promised."""

MOST_BYTES = 6_291_456
_ROOM_BYTES = 2_000  # the answer's names, numbers and brackets


class RealTimePainter:
    """Answers requests with pictures. Starting it paints a few, to measure the machine's speed.

    ``safety`` names its checker (``helpers.hosting.safety``).
    """

    def __init__(
        self,
        base_folder: Path,
        *,
        promise_s: float = PROMISE_S,
        deadline_s: float = DEADLINE_S,
        most_bytes: int = MOST_BYTES,
        safety: str = "",
    ) -> None:
        self.painter = AvatarPainter(base_folder, checker=open_checker(safety, base_folder))
        limits = self.painter.limits
        self.speed = measure(self.painter.render, (limits.side, limits.longest_side))
        self._promise_s, self._deadline_s, self._most_bytes = promise_s, deadline_s, most_bytes

    def answer(self, asked: object) -> dict[str, Any]:
        """The JSON of the answer to the JSON of a request (``RealTimeRequest.from_json``).

        ``generated_images``  base64 of one JPEG for each picture, prompt by prompt
        ``seeds``             of the same pictures
        ``num_images_per_prompt``
        ``unread``            for each prompt, the words that the text encoder did not read
        ``seconds``           that painting took

        Raises ``RuntimeError`` with text that may leave the container: the kind of error and our
        own words (``helpers.hosting.base.error_text``).
        """
        try:
            return self._paint(RealTimeRequest.from_json(asked, limits=self.painter.limits))
        except Exception as error:
            raise RuntimeError(error_text(error)) from error

    def describe(self) -> str:
        """Which base this is and how fast: a line for the log."""
        base, most = self.painter.base, self._promise_s / self.speed.step
        return (
            f"painting with {base.id} {base.hash[:12]}: {self.speed}; "
            f"a call may ask for about {most:,.0f} pictures x steps x pixels"
        )

    def _paint(self, request: RealTimeRequest) -> dict[str, Any]:
        self._require_time(request)
        began, size = time.monotonic(), _ROOM_BYTES
        images: list[str] = []
        unread: list[Any] = []
        for number, one in enumerate(request.pictures):
            ahead = self.speed.seconds([one])
            if images and time.monotonic() - began + ahead > self._deadline_s:
                raise _too_slow(number, len(request.pictures), time.monotonic() - began)
            painted = self.painter.render(one)
            images.append(base64.b64encode(painted.to_jpeg()).decode("ascii"))
            size += len(images[-1]) + 3
            if number % request.per_prompt == 0:
                unread.append(painted.unread)
                size += len(json.dumps(painted.unread, ensure_ascii=False).encode())
            if size > self._most_bytes:
                raise _too_large(number, self._most_bytes)
        return {
            "generated_images": images,
            "seeds": [one.seed for one in request.pictures],
            "num_images_per_prompt": request.per_prompt,
            "unread": unread,
            "seconds": round(time.monotonic() - began, 3),
        }

    def _require_time(self, request: RealTimeRequest) -> None:
        pictures = request.pictures
        needed = self.speed.seconds(pictures)
        if needed <= self._promise_s:
            return
        one = pictures[0]
        fitting = int(self._promise_s / self.speed.seconds([one]))
        raise GenerationError(
            f"The request would take about {needed:.0f} s here: {len(pictures)} pictures of "
            f"{one.width} x {one.height} pixels in {one.num_inference_steps} steps",
            f"a real-time call has 60 s, of which {self._promise_s:.0f} s may be promised; "
            f"{fitting} such pictures fit",
            "Lower num_images_per_prompt, num_inference_steps, width or height, send fewer prompts "
            "at a time, or paint behind an asynchronous endpoint",
        )


def _too_slow(painted: int, wanted: int, seconds: float) -> GenerationError:
    return GenerationError(
        f"Time ran out after {painted} of {wanted} pictures and {seconds:.0f} s",
        "this container is slower now than when it started: it may serve others at the same time",
        "Ask for fewer pictures or steps, or ask again later",
    )


def _too_large(fitting: int, limit: int) -> GenerationError:
    return GenerationError(
        f"The answer would be larger than {limit:,} bytes",
        f"that is SageMaker's limit for a real-time call, and {fitting} of these pictures fill it",
        "Lower num_images_per_prompt, width or height, or send fewer prompts at a time",
    )
