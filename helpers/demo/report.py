"""What the demo tells while it runs, and what it writes down."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass
class Report:
    """What ``report.json`` holds, filled stage by stage: a failure leaves what was known."""

    stages: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, told: str) -> Iterator[Line]:
        """Tell what begins, time it, and tell how long it took."""
        line = Line(told)
        began = time.monotonic()
        try:
            yield line
        finally:
            seconds = time.monotonic() - began
            self.stages.append({"name": name, "seconds": round(seconds, 2)})
            line.end(seconds)

    def write(self, path: Path) -> None:
        """Write what is known so far."""
        about = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": platform.platform(),
            "seconds": round(sum(stage["seconds"] for stage in self.stages), 1),
        }
        path.write_text(json.dumps({**about, "stages": self.stages, **self.facts}, indent=1) + "\n")


class Line:
    """One line of the terminal that fills while a stage runs."""

    def __init__(self, told: str) -> None:
        self._told, self._live, self._shown = told, sys.stdout.isatty(), ""
        print(f"  {told:<46}", end="", flush=True)

    def progress(self, text: str) -> None:
        """Replace the end of the line; says nothing where the output is a file."""
        if self._live and text != self._shown:
            print(f"\r  {self._told:<46}{text:<30}", end="", flush=True)
            self._shown = text

    def end(self, seconds: float) -> None:
        """Close the line."""
        lead = f"\r  {self._told:<46}" if self._live else ""
        print(f"{lead}{seconds:7.1f} s{'':<22}", flush=True)
