"""A task for the lanes that does what it is told: ``python -m tests.bench.task FOLDER``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from helpers.bench.lanes import serve


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    if given.get("fails"):
        print("it fell over")
        sys.exit(3)
    time.sleep(given.get("seconds", 0))
    return {
        "began": began,
        "ended": time.monotonic(),
        "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        "given": given["cores"],
        "threads": os.environ["OMP_NUM_THREADS"],
        "gpu_hidden": os.environ.get("CUDA_VISIBLE_DEVICES") == "",
    }


if __name__ == "__main__":
    serve(run)
