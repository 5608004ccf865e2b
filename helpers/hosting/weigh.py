"""What the design of 2023 takes for each avatar: a process with a pipeline of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import ServiceError
from helpers.settings import ROOT

_CODE = """
import json, resource, sys
from pathlib import Path
from helpers.hosting.generate import load_pipeline
pipe = load_pipeline(Path(sys.argv[1]))
pipe("a photo", num_inference_steps=1)
rollup = Path("/proc/self/smaps_rollup")
if rollup.exists():
    lines = rollup.read_text().splitlines()
    size = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = peak if sys.platform == "darwin" else peak * 1024
print(json.dumps(size))
"""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """Seconds from starting the process to its first one-step picture, and its memory."""

    seconds: float
    megabytes: float


def weigh_pipeline(base_folder: Path) -> Weight:
    """Start one such process, let it paint once and end it. Raises ``ServiceError``.

    Memory is its proportional set size where the system tells it, else its peak.
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _CODE, str(base_folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise ServiceError("The pipeline was not loaded", done.stderr.strip().splitlines()[-1])
    return Weight(
        seconds=time.monotonic() - began,
        megabytes=json.loads(done.stdout.splitlines()[-1]) / 1e6,
    )
