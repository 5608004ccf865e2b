"""Who comes when: a day that swings, jobs of different length, owners who come back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from helpers.bench.scale_facts import Fact

DAY = 86400.0
QUIET_HOUR = 4
"""The hour with the least to do; time 0 of every simulation."""


def arrivals(rate: float, days: float, swing: float, random: np.random.Generator) -> np.ndarray:
    """Seconds at which somebody comes: a Poisson process of ``rate`` a day on average, from the
    quiet hour on. ``swing``: 0 is an even day, 1 one with an hour in which nobody comes."""
    times = np.linspace(0.0, days * DAY, max(2, round(days * 1440) + 1))
    turn = 2 * np.pi / DAY
    mass = times - swing / turn * np.sin(turn * times)
    people = random.poisson(rate * mass[-1] / DAY)
    return np.interp(np.sort(random.random(people)), mass / mass[-1], times)


def job_seconds(jobs: int, facts: Mapping[str, Fact], random: np.random.Generator) -> np.ndarray:
    """How long each job takes: 8 to 12 photos, of which steps follow; some paint class images."""
    photos = random.integers(8, 13, jobs) / 10
    other = facts["job.other"].value
    warm, cold = (facts[key].value - other for key in ("job.warm", "job.cold"))
    rare = random.random(jobs) < facts["job.cold-share"].value
    return other + warm * photos + rare * (cold - warm)


def pictures(
    made: float, days: float, facts: Mapping[str, Fact], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """When pictures are asked for, and of which avatar, where ``made`` are new every day.

    One sitting in ``habit.sessions`` is the first with a new avatar; the others belong to any that
    was made in the last 30 days.
    """
    sittings, each = (int(facts[key].value) for key in ("habit.sessions", "habit.pictures"))
    begins = arrivals(made * sittings, days, facts["habit.swing"].value, random)
    living = max(round(30 * made), 1)
    fresh = random.random(len(begins)) < 1 / sittings
    whose = np.where(
        fresh, living + np.arange(len(begins)), random.integers(0, living, len(begins))
    )
    pauses = random.exponential(facts["habit.pause"].value, (len(begins), each))
    pauses[:, 0] = 0.0
    times = (begins[:, None] + np.cumsum(pauses, axis=1)).ravel()
    order = np.argsort(times, kind="stable")
    return times[order], np.repeat(whose, each)[order]
