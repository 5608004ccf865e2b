from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.hosting import speed
from helpers.hosting.request import GenerationRequest
from helpers.hosting.speed import Speed, measure


class Machine:
    """Paints in a time of its own making: so much a step of a pixel, so much beside."""

    def __init__(self, step: float, rest: float, first: float = 0.0, slope: float = 0.0) -> None:
        self.step, self.rest, self.first, self.slope = step, rest, first, slope
        self.now, self.painted = 0.0, 0

    def cost(self, one: GenerationRequest) -> float:
        pixels = one.width * one.height
        step = self.step * (1 + self.slope * pixels)
        return pixels * (one.num_inference_steps * step + self.rest)

    def paint(self, one: GenerationRequest) -> None:
        self.now += self.cost(one) + (0 if self.painted else self.first)
        self.painted += 1

    def measured(self, monkeypatch: pytest.MonkeyPatch) -> Speed:
        monkeypatch.setattr(speed.time, "perf_counter", lambda: self.now)
        return measure(self.paint, (64, 128))


def picture(side: int = 64, steps: int = 50) -> GenerationRequest:
    return GenerationRequest(
        prompt="x", seed=0, width=side, height=side, num_inference_steps=steps, guidance_scale=7.5
    )


COSTS = st.floats(1e-9, 1e-3)


@given(COSTS, st.floats(0, 1e-5), st.integers(1, 100), st.sampled_from([64, 96, 128]))
def test_an_even_machine_is_foretold(step: float, rest: float, steps: int, side: int) -> None:
    machine = Machine(step, min(rest, step * 2), first=3.0)
    with pytest.MonkeyPatch.context() as patch:
        found = machine.measured(patch)
    one = picture(side, steps)
    assert found.seconds([one]) == pytest.approx(machine.cost(one), rel=1e-3)


def test_the_first_picture_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Machine(1e-6, 0, first=60).measured(monkeypatch).step == pytest.approx(1e-6)


def test_the_slowest_size_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention costs more than its share at larger sizes: a promise must hold there too."""
    machine = Machine(1e-6, 1e-6, slope=1e-4)
    found = machine.measured(monkeypatch)
    for side in (64, 96, 128):
        assert found.seconds([picture(side)]) >= machine.cost(picture(side)) * 0.999


def test_noise_never_makes_steps_free(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(1e-6, 1e-2)  # the steps drown in what is around them
    assert machine.measured(monkeypatch).step > 1e-6


def test_a_slow_machine_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = Machine(1e-2, 0), Machine(1e-8, 0)
    slow.measured(monkeypatch)
    fast.measured(monkeypatch)
    assert slow.painted < fast.painted


def test_pictures_add_up() -> None:
    found = Speed(step=2e-6, rest=1e-6)
    assert found.seconds([picture(64, 10)] * 3) == pytest.approx(3 * 4096 * 21e-6)
    assert "500,000 pixels x steps" in str(found)
