"""Before any command: see what the machine has, then make or reuse the course's environments."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from helpers.errors import SetupError
from helpers.launcher import machine, pip
from helpers.launcher.environments import Environment, ensure, holds_pins, why_stale
from helpers.pins import direct_pins
from helpers.settings import ROOT

# On disk and to download. Measured with PyTorch's CPU build on Linux, x86-64; what CUDA adds is
# the sum of its packages' sizes, and an estimate of what they unpack to.
COURSE_GB, COURSE_DOWNLOAD_GB = 2.4, 0.6
SERVING_GB, SERVING_DOWNLOAD_GB = 1.5, 0.4
CUDA_GB, CUDA_DOWNLOAD_GB = 5.0, 2.5

_CUDA_NOTE = """\
pip is going to take PyTorch with CUDA libraries: about 3 GB to download, 5 GB more on disk for
each environment. A machine without an NVIDIA GPU does not need them. To take the CPU build, stop
now (Ctrl-C), point pip to PyTorch's own CPU packages (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL or
PIP_FIND_LINKS; pytorch.org says where they are), and run the same command."""


class Launcher:
    """One run of ``course.py``: where the course lies, and a clock for its progress lines."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.private = root / ".course"
        self.started = time.monotonic()
        pins = root / "requirements"
        self.course = Environment(
            folder=root / ".venv",
            purpose="notebooks, trainer, local SageMaker",
            requirements=pins / "course.txt",
            import_root=root,
        )
        self.serving = Environment(
            folder=root / ".venv-serving",
            purpose="the real Triton Inference Server",
            requirements=pins / "serving.txt",
            bare=pins / "triton.txt",
        )

    def say(self, text: str, /) -> None:
        print(f"[{time.monotonic() - self.started:5.0f} s] {text}", flush=True)

    def prepare(self) -> Path:
        """Check the machine, make what is missing. Returns the Python that runs the course.

        Raises ``SetupError``. Without the serving environment the course goes on with Triton's
        stand-in, except under CI.
        """
        if warning := machine.check_memory(machine.memory()):
            self.say(warning)
        python = self.course_python()
        if reason := machine.no_triton_because():
            self.say(f"the real Triton does not run here ({reason}); its stand-in will")
            return python
        try:
            self._ensure(self.serving, SERVING_GB, SERVING_DOWNLOAD_GB)
        except SetupError as error:
            if os.environ.get("CI") == "true":
                raise
            self.say(f"without the real Triton, its stand-in serves instead: {error}")
        if missing := machine.missing_libpython():
            self.say(
                f"Triton needs {missing}, which is not on this system; until it is, the stand-in "
                f"serves (Debian, Ubuntu: sudo apt-get install {missing.removesuffix('.so.1.0')})"
            )
        return python

    def course_python(self) -> Path:
        """The Python of the course's own environment, made if it is missing or stale."""
        if Path(sys.prefix) != self.course.folder and holds_pins(self.course.requirements):
            self.say(f"this Python ({sys.prefix}) holds every pin of the course, so it is used")
            return Path(sys.executable)
        self._ensure(self.course, COURSE_GB, COURSE_DOWNLOAD_GB)
        return self.course.python

    def python_at_hand(self) -> Path | None:
        """The course's Python if there is one already; makes nothing."""
        if self.course.python.exists():
            return self.course.python
        return Path(sys.executable) if holds_pins(self.course.requirements) else None

    def _ensure(self, environment: Environment, disk: float, download: float) -> None:
        if why_stale(environment) is None:
            return
        if not environment.folder.exists():  # before anything is begun
            machine.check_disk(environment.folder, disk * machine.GB, environment.folder.name)
        ensure(
            environment,
            log=self.private / f"install{environment.folder.name.replace('.', '-')}.log",
            lock=self.private / "lock",
            say=self.say,
            before_install=lambda environment: self._announce(environment, disk, download),
        )

    def _announce(self, environment: Environment, disk: float, download: float) -> None:
        """Say what is coming, and see that it fits, now that pip can tell which PyTorch it is."""
        torch = f"torch=={direct_pins(environment.requirements)['torch']}"
        self.say(f"asking pip which {torch} it is going to take")
        if pip.brings_cuda(environment.python, torch):
            print(_CUDA_NOTE, flush=True)
            download, disk = download + CUDA_DOWNLOAD_GB, disk + CUDA_GB
        needed = (disk + download) * machine.GB  # pip unpacks while it still keeps the download
        machine.check_disk(environment.folder, needed, environment.folder.name)
        self.say(
            f"to download: about {download:.1f} GB, PyTorch first of all, less what pip has in its "
            f"cache; on disk: about {disk:.1f} GB"
        )

    def run(self, *command: str | Path, **variables: str) -> int:
        """Run a command in the course's folder; its exit code.

        ``variables`` are set for it where the caller has not set them. Ctrl-C is the command's to
        answer (JupyterLab asks back, the demo cleans up); we wait for how it ends.
        """
        environ = {**variables, **pip.clean_environment()}
        process = subprocess.Popen([str(word) for word in command], cwd=self.root, env=environ)
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                continue
            return code if code >= 0 else 128 - code
