"""The benches by name. Adding one is adding one entry, and a module with ``run``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers.bench.report import Report, Row
from helpers.errors import SettingsError
from helpers.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One bench: what it measures in a line, the module whose ``run`` does it, and the one whose
    ``write_page`` puts a report into the documentation (``PAGE``).

    ``run(settings, quick=..., say=...)`` returns the rows. ``quick`` walks the same code with very
    few steps: its numbers mean nothing, and its report goes to a file of another name.
    """

    about: str
    module: str
    page: str = "helpers.bench.page"

    def run(self, settings: Settings, *, quick: bool, say: Callable[[str], None]) -> list[Row]:
        """Measure. Raises ``CourseError`` when something that is measured does not work."""
        return importlib.import_module(self.module).run(settings, quick=quick, say=say)

    def publish(self, report: Report) -> Path:
        """Write the report into its page, which is returned."""
        page = importlib.import_module(self.page)
        page.write_page(report)
        return page.PAGE


BENCHES: Mapping[str, Bench] = {
    "fine-tune": Bench(
        about="the trainer beside the recipe of 2023: time, memory, bytes, likeness, FLOPs",
        module="helpers.bench.fine_tune",
    ),
    "hosting": Bench(
        about="many avatars on one base beside the design of 2023: swaps, rates, memory, kills",
        module="helpers.bench.hosting",
    ),
    "chaos": Bench(
        about="200 random kills over the whole course: jobs lost, told twice, things left behind",
        module="helpers.bench.chaos",
    ),
    "experiments": Bench(
        about="steps, prior preservation, subjects in sequence: published shapes with intervals",
        module="helpers.bench.experiments",
        page="helpers.bench.experiments_page",
    ),
    "ideas": Bench(
        about="prior distillation, a mask, min-SNR, a moving average: what each is worth",
        module="helpers.bench.ideas",
        page="helpers.bench.ideas_page",
    ),
    "notebooks": Bench(
        about="how long each notebook takes on this machine, beside what its first cell says",
        module="helpers.bench.notebooks",
        page="helpers.bench.notebooks_page",
    ),
    "scale": Bench(
        about="10, 1,000 and 1,000,000 avatars a day, simulated: waits, instances, money, limits",
        module="helpers.bench.scale",
        page="helpers.bench.scale_page",
    ),
}


def bench(name: str) -> Bench:
    """The bench of that name. Raises ``SettingsError`` that lists them all."""
    if name in BENCHES:
        return BENCHES[name]
    raise SettingsError(
        f"there is no bench {name!r}", next=f"choose one of: {', '.join(sorted(BENCHES))}"
    )
