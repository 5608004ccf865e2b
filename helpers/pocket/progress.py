"""What a long training says of itself."""

from __future__ import annotations

import json
import time
from pathlib import Path


class Progress:
    """Prints a line every fifty steps and keeps them in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.start, self.recent = path, time.monotonic(), 0.0

    def __call__(self, stage: str, step: int, loss: float) -> None:
        """Note one step."""
        self.recent = loss if step % 50 == 1 else 0.95 * self.recent + 0.05 * loss
        if step % 50 == 0:
            seconds = time.monotonic() - self.start
            line = {"stage": stage, "step": step, "loss": round(self.recent, 5),
                    "seconds": round(seconds, 1)}  # fmt: skip
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{stage:5} {step:6} loss {self.recent:.4f} {seconds:7.0f} s", flush=True)
