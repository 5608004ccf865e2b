"""pip as a child process: its own configuration, our words for its progress, its errors kept.

Where packages come from is pip's business: its configuration files and ``PIP_*`` variables apply.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from helpers.errors import SetupError

QUIET_S = 20.0
"""Seconds without a word from pip after which we say that it is still at work."""

WORTH_A_LINE_MB = 20.0
"""Smaller downloads pass in silence."""

_DOWNLOAD = re.compile(
    r"^\s*Downloading (?:\S*/)?([^\s/]+?)-(\d\S*?)-\S+ \((\d+(?:\.\d+)?) (kB|MB|GB)\)"
)
_COLLECT = re.compile(r"^(?:Collecting|Requirement already satisfied:) ([\w.-]+)")
_UNIT_MB = {"kB": 1e-3, "MB": 1.0, "GB": 1e3}


class Say(Protocol):
    def __call__(self, text: str, /) -> None: ...


def clean_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's variables less those that lead Python to another environment's packages."""
    environ = os.environ if environ is None else environ
    return {k: v for k, v in environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}


def works(python: Path) -> bool:
    """Whether this interpreter has a pip."""
    answer = subprocess.run(
        [python, "-m", "pip", "--version"], env=clean_environment(), capture_output=True
    )
    return answer.returncode == 0


def brings_cuda(python: Path, pin: str) -> bool | None:
    """Whether pip, as configured, would install a CUDA build for this pin of PyTorch.

    ``None`` if pip cannot tell. It reads the package's metadata; a registry that does not serve
    metadata alone makes pip fetch the package, which then lies in pip's cache.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [python, "-m", "pip", "install", "--no-input", "--quiet", "--dry-run",
                   "--no-deps", "--ignore-installed", "--report", report, pin]  # fmt: skip
        if subprocess.run(command, env=clean_environment(), capture_output=True).returncode:
            return None
        package = json.loads(report.read_text())["install"][0]["metadata"]
    needs = package.get("requires_dist", [])
    return any(re.match(r"(nvidia|cuda)\b", need) and "extra ==" not in need for need in needs)


def install(python: Path, arguments: Sequence[str | Path], *, log: Path, say: Say) -> None:
    """``pip install`` with everything it prints in ``log``. Raises ``SetupError``."""
    command = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
               "--progress-bar", "off", "--no-user", *arguments]  # fmt: skip
    with open(log, "a") as file:
        file.write("$ " + " ".join(map(str, command)) + "\n")
        process = subprocess.Popen(
            command,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            tail = _follow(process, file, say)
        except BaseException:  # Ctrl-C included: never leave a pip behind
            process.terminate()
            process.wait()
            raise
    if process.wait():
        raise SetupError("pip could not install the packages", _explain(tail), _advise(tail, log))


def _follow(process: subprocess.Popen[str], log: IO[str], say: Say) -> list[str]:
    """Copy pip's output to the log and tell the learner what it means. Returns the last lines."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    tail: list[str] = []
    doing = "resolving what is needed"
    while True:
        try:
            line = lines.get(timeout=QUIET_S)
        except queue.Empty:
            say(f"still {doing}")
            continue
        if line is None:
            return tail
        log.write(line)
        log.flush()
        tail = [*tail[-39:], line.rstrip()]
        words, worth_saying = translate(line)
        if words:
            doing = words
        if words and worth_saying:
            say(words)


def translate(line: str) -> tuple[str, bool]:
    """What a line of pip's output means, in words, and whether to show it at once."""
    if found := _DOWNLOAD.match(line):
        size = float(found[3]) * _UNIT_MB[found[4]]
        name = found[1].replace("_", "-")
        return f"downloading {name} {found[2]} ({size:,.0f} MB)", size >= WORTH_A_LINE_MB
    if found := _COLLECT.match(line):
        return f"looking at {found[1]} and what it needs", False
    if line.startswith("Installing collected packages:"):
        count = line.count(",") + 1
        return f"installing {count} package{'s' if count > 1 else ''}", True
    return "", False


def _explain(tail: Sequence[str]) -> str:
    """pip's own error lines, or failing those its last lines."""
    said = [line for line in tail if line and not line.startswith("WARNING")]
    errors = [line for line in said if line.startswith(("ERROR", "error:"))]
    return "pip says:\n  " + "\n  ".join((errors or said)[-8:]) + "\n"


def _advise(tail: Sequence[str], log: Path) -> str:
    text = "\n".join(tail)
    if "No space left on device" in text:
        return (
            "make room on that disk (pip unpacks in the folder that TMPDIR names) "
            f"and run the same command; the whole log is {log}"
        )
    if "No matching distribution" in text or "Could not find a version" in text:
        return (
            "check that this machine reaches a package registry that has this version, and that "
            f"pip's configuration leads there (pip config list); the whole log is {log}"
        )
    return f"the whole log is {log}; run the same command to try again"
