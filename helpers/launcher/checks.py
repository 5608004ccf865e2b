"""``course.py test``: style, types and tests, one after the other, with a table at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from helpers.launcher.pip import clean_environment


def run(root: Path, python: Path, selection: Sequence[str]) -> int:
    """Run every check, also after one has failed. With a ``selection`` only pytest, on that.

    Tests that measure time (marked ``alone``) come before the others, which share the cores.
    Returns the first exit code that is not 0. The last line printed is pytest's own summary.
    """
    environ = _environment()
    module = [str(python), "-m"]
    steps = [
        ("ruff check", [*module, "ruff", "check", "."]),
        ("ruff format", [*module, "ruff", "format", "--check", "."]),
        ("pyright", [*module, "pyright", "--pythonpath", str(python)]),
    ]
    rows: list[tuple[str, int, float]] = []
    for name, command in [] if selection else steps:
        print(f"--- {name}", flush=True)
        began = time.monotonic()
        code = subprocess.run(command, cwd=root, env=environ).returncode
        rows.append((name, code, time.monotonic() - began))
    spread = ["-n", str(_workers()), "--no-loadscope-reorder"]
    tests = {
        "pytest alone": ["-m", "alone"],
        "pytest": ["-m", "not alone", *spread],
    }
    summary = ""
    for name, options in ({"pytest": selection} if selection else tests).items():
        print(f"--- {name}", flush=True)
        began = time.monotonic()
        code, summary = _pytest(root, [*module, "pytest", *options], environ)
        rows.append((name, code, time.monotonic() - began))

    print(f"\n{'step':<12} {'seconds':>8}  result")
    for name, result, seconds in rows:
        print(f"{name:<12} {seconds:8.1f}  {'passed' if result == 0 else f'failed ({result})'}")
    print(f"\n{summary}", flush=True)
    return next((abs(result) for _, result, _ in rows if result), 0)


def _workers() -> int:
    """Processes that share the tests. Each may start a local SageMaker and a base: 2 GB."""
    return max(1, min(os.cpu_count() or 1, 4))


def _environment() -> dict[str, str]:
    """Offline, and with few threads: many processes share the cores, and torch's spinning threads
    slow each other ten-fold. What the caller has set stays."""
    return {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2)),
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",  # it would look for a newer version online
        "JUPYTER_PREFER_ENV_PATH": "1",  # notebooks run on this environment's own kernel
        **clean_environment(),
    }


def _pytest(root: Path, command: Sequence[str], environ: dict[str, str]) -> tuple[int, str]:
    """Run pytest and pass on what it prints. Returns its exit code and its last line."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    process = subprocess.Popen(
        [*command, *colour], cwd=root, env=environ, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None
    said = b""
    while True:
        try:
            piece = process.stdout.read(4096)
        except KeyboardInterrupt:  # pytest got it too, and ends with its summary
            continue
        if not piece:
            break
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        said = (said + piece)[-4096:]
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return process.wait(), lines[-1] if lines else ""
