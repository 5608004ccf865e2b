"""How fast a painter paints, measured when its container starts, so that what it promises fits.

A real-time call has 60 seconds. Nobody knows beforehand how many pictures, steps and pixels that
is on the machine that happens to serve; a minute's work at the wrong size is a minute wasted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from helpers.hosting.request import GenerationRequest

FEW, MORE = 1, 4
"""Steps of the two pictures that tell what a step costs and what everything around the steps."""
_WORTH_A_REPEAT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds for one step of one pixel, and for everything else about one pixel (text encoder,
    decoding). A picture costs its pixels times (steps times ``step`` plus ``rest``)."""

    step: float
    rest: float

    def seconds(self, pictures: Iterable[GenerationRequest]) -> float:
        """What painting them one after another will take."""
        return sum(
            one.width * one.height * (one.num_inference_steps * self.step + self.rest)
            for one in pictures
        )

    def __str__(self) -> str:
        return (
            f"{1 / self.step:,.0f} pixels x steps in a second, besides {self.rest * 1e6:.2f} µs "
            "for each pixel"
        )


def measure(paint: Callable[[GenerationRequest], object], sides: Iterable[int]) -> Speed:
    """Paint small samples at each side (pixels) with guidance; the slowest side counts.

    The first picture only pays for lazily built kernels and is not counted.
    """
    found = []
    for side in sides:
        paint(_sample(side, FEW))
        few, more = (_best_seconds(paint, _sample(side, steps)) for steps in (FEW, MORE))
        # Noise can make few steps as slow as more: never believe that a step costs nothing.
        step = max((more - few) / (MORE - FEW), more / MORE / 2)
        rest = max(few - FEW * step, 0.0)
        found.append(Speed(step=step / side**2, rest=rest / side**2))
    return Speed(step=max(one.step for one in found), rest=max(one.rest for one in found))


def _best_seconds(paint: Callable[[GenerationRequest], object], sample: GenerationRequest) -> float:
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        paint(sample)
        best = min(best, time.perf_counter() - began)
        if best > _WORTH_A_REPEAT_S:
            break
    return best


def _sample(side: int, steps: int) -> GenerationRequest:
    return GenerationRequest(
        prompt="a photo",
        negative_prompt="blurry",
        seed=0,
        width=side,
        height=side,
        num_inference_steps=steps,
        guidance_scale=7.5,
    )
