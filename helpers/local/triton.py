"""The real Triton Inference Server on this machine, in SageMaker's multi-model mode.

The server comes from the ``nvidia-pytriton`` wheel (Triton 2.51, CPU is enough) in an environment
of its own, ``.venv-serving``: its Python stub needs numpy below 2. It is started as the SageMaker
image starts it, with the shared base as a second model repository.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import ServiceError
from helpers.local.leftovers import sweep_environments
from helpers.local.loopback import listening_addresses, write_preload
from helpers.local.model_server import ModelServer
from helpers.local.standin import StandInServer
from helpers.settings import ROOT

SERVING_PYTHON = ROOT / ".venv-serving" / "bin" / "python"
BASE = "avatar_base"
GONE_S, UNPACKED_S = 4.0, 30.0
"""How long a base that Triton loads may have no process before the server is given up; the longer
while Triton may be unpacking an environment for it."""
_ASK = """
import importlib.metadata as m, importlib.util as u, json, sys
s = u.find_spec("pytriton")
print(json.dumps({"root": s and s.submodule_search_locations[0], "numpy": m.version("numpy"),
    "python": "%d.%d" % sys.version_info[:2], "prefix": sys.base_prefix}))
"""


@dataclass(frozen=True, kw_only=True)
class _Wheel:
    """Where the wheel keeps its parts, and the Python that the stub embeds."""

    interpreter: Path
    server: Path
    backend: Path
    stub: Path
    python_prefix: Path


class TritonServer(ModelServer):
    """Triton from the wheel of ``interpreter``'s environment (``.venv-serving`` by default)."""

    engine_name = "Triton server"

    def __init__(self, *, interpreter: Path | None = None) -> None:
        super().__init__()
        self._interpreter = Path(interpreter or SERVING_PYTHON)
        self.shared_memory = ""
        self._base_takes, self._base_due = math.inf, math.inf
        self._began, self._log_begins = time.time(), 0

    @property
    def engine(self) -> dict[str, str]:
        """From the table the running server prints: ``{"name": "triton", "version": …}``."""
        rows = dict(re.findall(r"^\| server_(id|version)\s*\| (\S+)", self.logs(), re.MULTILINE))
        if {"id", "version"} - rows.keys():
            raise ServiceError("The Triton server has not stated its version", "it is not running")
        return {"name": rows["id"], "version": rows["version"]}

    def check(self) -> None:
        """Can it run here at all? Raises ``ServiceError`` saying what is missing."""
        self._wheel()

    def _command(self, base: Path | None, work: Path, env: dict[str, str]) -> list[str]:
        wheel = self._wheel()
        backends, empty = work / "backends", work / "empty"
        shutil.rmtree(backends, ignore_errors=True)
        (backends / "python").mkdir(parents=True)
        empty.mkdir(exist_ok=True)
        # Links, not copies: the libraries are found relative to the place of the real file.
        for file in (*wheel.backend.glob("*.so"), *wheel.backend.glob("*.py"), wheel.stub):
            (backends / "python" / file.name).symlink_to(file)
        env["PATH"] = f"{wheel.interpreter.parent}:{env.get('PATH', os.defpath)}"
        env["LD_LIBRARY_PATH"] = _library_path(wheel.python_prefix, env)
        env["LD_PRELOAD"] = str(write_preload(work / "loopback.so"))
        self._base_takes = self._base_due = math.inf
        self._began = time.time()
        self._log_begins = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.shared_memory = f"avatar-{secrets.token_hex(4)}-"
        shm = env.get("SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE", str(1 << 20))
        command = [
            str(wheel.server),
            f"--model-repository={empty}",
            "--model-control-mode=explicit",
            "--model-namespacing=true",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-default-byte-size={shm}",
            f"--backend-config=python,shm-region-prefix-name={self.shared_memory}",
            "--disable-auto-complete-config",
            "--allow-sagemaker=true",
            f"--sagemaker-port={self.port}",
            "--allow-http=false",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--exit-timeout-secs=2",
        ]
        if base is not None:
            command.append(f"--model-repository={base}")
        if base is not None and (base / BASE).is_dir():  # else it is laid there later, and loaded
            command.append(f"--load-model={BASE}")
            config = base / BASE / "config.pbtxt"  # without one Triton ends, and says so
            unpacks = config.is_file() and b"EXECUTION_ENV_PATH" in config.read_bytes()
            self._base_takes = UNPACKED_S if unpacks else GONE_S
        return command

    def processes(self) -> set[str]:
        """From the command lines of the stubs: each names its model and instance."""
        found = set()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                group = int(stat.read_text().rpartition(")")[2].split()[2])
                words = stat.with_name("cmdline").read_bytes().decode(errors="replace").split("\0")
            except (OSError, ValueError, IndexError):
                continue
            if self._process is not None and group == self._process.pid:
                found |= {word.removesuffix("_0_0") for word in words if word.endswith("_0_0")}
        return found

    def _hangs(self) -> bool:
        if self._base_takes == math.inf:  # none is loaded
            return False
        # A base that is killed while it loads is waited for without end by Triton 24.10. It may
        # have died before anybody saw its process, but not before Triton said that it starts it.
        now = time.monotonic()
        if BASE in self.processes():
            self._base_due = now + GONE_S
        elif self._base_due == math.inf and f"Initialize: {BASE}_0" in self._said():
            self._base_due = now + self._base_takes
        return now > self._base_due

    def _said(self) -> str:
        """What the log holds of this start."""
        with open(self.log_path, "rb") as log:
            log.seek(self._log_begins)
            return log.read().decode(errors="replace")

    def _started(self) -> None:
        elsewhere = {
            address
            for address in listening_addresses(self.pid)
            if not address.startswith("127.0.0.1:")
        }
        if elsewhere:
            raise ServiceError(
                "The Triton server listens beyond this machine",
                f"on {', '.join(sorted(elsewhere))}",
                "It was stopped; the stand-in serves instead",
            )

    def _swept(self) -> None:
        sweep_environments(self._began)
        if self.shared_memory:
            for file in Path("/dev/shm").glob(f"{self.shared_memory}*"):
                file.unlink(missing_ok=True)
        for left in (self._start["work"] / "tmp").glob("avatar[-_]*[0-9]*"):
            if left.name.startswith("avatar-stubs-"):
                shutil.rmtree(left, ignore_errors=True)
            elif left.suffix == ".lock":
                left.unlink(missing_ok=True)

    def _wheel(self) -> _Wheel:
        def missing(why: str) -> ServiceError:
            return ServiceError(
                "The real Triton server cannot run here", why, "Run `python3 course.py test` once"
            )

        if not sys.platform.startswith("linux"):
            raise missing("its wheel exists for Linux only")
        try:
            said = subprocess.run(
                [self._interpreter, "-I", "-c", _ASK], capture_output=True, check=True, timeout=60
            ).stdout
            facts = json.loads(said)
        except (OSError, subprocess.SubprocessError, ValueError):
            raise missing("the serving environment .venv-serving is not there") from None
        if not facts["root"]:
            raise missing("nvidia-pytriton is not in the serving environment")
        if int(facts["numpy"].split(".")[0]) >= 2:
            raise missing("its Python stub ends with numpy 2 or later")
        root = Path(facts["root"]) / "tritonserver"
        wheel = _Wheel(
            interpreter=self._interpreter,
            server=root / "bin" / "tritonserver",
            backend=root / "backends" / "python",
            stub=root / "python_backend_stubs" / facts["python"] / "triton_python_backend_stub",
            python_prefix=Path(facts["prefix"]),
        )
        if not wheel.stub.exists():
            raise missing(f"it has no stub for Python {facts['python']}")
        # A stub that cannot find a library makes Triton 24.10 wait for it for ever.
        env = {**os.environ, "LD_LIBRARY_PATH": _library_path(wheel.python_prefix, os.environ)}
        for file in (wheel.stub, wheel.server):
            try:
                linked = subprocess.run(
                    ["ldd", str(file)],
                    env=env,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=30,
                ).stdout
            except (OSError, subprocess.SubprocessError):
                raise missing("ldd cannot examine its program") from None
            if lost := re.findall(r"(\S+) => not found", linked):
                raise missing(f"it lacks the library {', '.join(sorted(set(lost)))}")
        return wheel


def choose_server(
    *, interpreter: Path | None = None, environ: Mapping[str, str] | None = None
) -> ModelServer:
    """The real Triton where it can run, else the stand-in; not started yet.

    With ``CI=true`` a Triton that cannot run is an error: a test must not pass on less.
    """
    environ = os.environ if environ is None else environ
    server = TritonServer(interpreter=interpreter)
    try:
        server.check()
    except ServiceError:
        if environ.get("CI", "").lower() == "true":
            raise
        return StandInServer()
    return server


def _library_path(python_prefix: Path, env: Mapping[str, str]) -> str:
    given = env.get("LD_LIBRARY_PATH", "")
    return ":".join(part for part in (str(python_prefix / "lib"), given) if part)
