"""A model server in SageMaker's multi-model mode, as this machine runs it: process and HTTP.

``TritonServer`` (the real one) and ``StandInServer`` differ in how the process is started; this
class holds the rest: a process group of its own, a log, timeouts on every call, and the checks
that keep a load from hanging for ever.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from helpers.errors import ServiceError
from helpers.local.guard import kill_group

TARGET_HEADER = "X-Amzn-SageMaker-Target-Model"
PORTS = 3
"""Ports that a start tries."""
SAFE_TARGET = re.compile(r"(?!/)(?!.*\.\.)[a-z0-9/_.-]{1,200}")
"""A TargetModel that a server may see: Triton 24.10 hands it to a shell."""


class ServerGone(ServiceError):
    """The server's process ended, or it cut the connection."""


class ServerTimeout(ServiceError):
    """The server did not answer in time."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: bytes = b""
    content_type: str = "application/json"

    @property
    def error(self) -> str:
        """The text of an error answer, or ''."""
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return ""

    @classmethod
    def refusal(cls, text: str) -> Answer:
        return cls(status=400, body=json.dumps({"error": text}).encode())


class ModelServer(ABC):
    """One server process. Start it once; ``restart`` starts it again after a crash."""

    engine_name = "model server"

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._start: dict[str, Any] = {}
        self.port = 0
        self.generation = 0
        """How often this server came up: tells a request whether it met the same process."""

    @property
    @abstractmethod
    def engine(self) -> dict[str, str]:
        """Name and version as the running server states them."""

    @abstractmethod
    def _command(self, base: Path | None, work: Path, env: dict[str, str]) -> list[str]:
        """Prepare ``work``, complete ``env`` and return the command line."""

    def processes(self) -> set[str] | None:
        """Models that have a live process, or ``None`` if this server gives them none."""
        return None

    def _hangs(self) -> bool:
        """Whether a start waits for something that will not come."""
        return False

    def _started(self) -> None:  # noqa: B027 - optional
        """Called when the server answers for the first time; may raise ``ServiceError``."""

    def _swept(self) -> None:  # noqa: B027 - optional
        """Called after the processes are gone."""

    def start(
        self,
        base_repository: Path | None,
        work: Path,
        env: Mapping[str, str] | None = None,
        *,
        timeout: float = 180,
        log: Path | None = None,
    ) -> Self:
        """Start with the shared base of ``base_repository`` and wait until it is ready.

        ``work`` becomes the server's own folder: adapters are only read from below it. ``env``
        adds to a minimal environment (``OMP_NUM_THREADS`` is 1 unless given). ``log`` is the
        file the server writes to, ``work/server.log`` by default.

        Raises ``ServiceError`` with the end of the log when the server does not come up.
        """
        work = Path(work).resolve()
        self._start = {
            "base_repository": base_repository,
            "work": work,
            "env": dict(env or {}),
            "timeout": timeout,
            "log": log,
        }
        for folder in (work, work / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        self.log_path = log or work / "server.log"
        self._end_leftover(work)
        base = Path(base_repository).resolve() if base_repository else None
        for tries_left in reversed(range(PORTS)):
            self.port = _free_port()
            try:
                self._launch(base, _minimal_environment(work) | dict(env or {}))
                self._wait_until_ready(timeout)
                self._started()
                break
            except ServiceError:
                self.stop(patience=0)
                # Between choosing a port and listening on it somebody else may take it.
                if not (tries_left and _is_taken(self.port)):
                    raise
        self.generation += 1
        return self

    def _launch(self, base: Path | None, env: dict[str, str]) -> None:
        work = self._start["work"]
        command = self._command(base, work, env)
        with open(self.log_path, "ab") as file:
            self._process = subprocess.Popen(
                command, env=env, cwd=work, stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        (work / "server.pid").write_text(str(self._process.pid))

    def restart(self) -> Self:
        """Stop what is left and start with the same arguments; nothing is loaded then."""
        self.stop(patience=0)
        return self.start(**self._start)

    def stop(self, *, patience: float = 10) -> None:
        """End the server and everything it started, politely for ``patience`` seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None and patience > 0:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        kill_group(process.pid)  # stubs outlive a killed server
        process.wait()
        (self._start["work"] / "server.pid").unlink(missing_ok=True)
        self._swept()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the server, also id of its process group. Raises ``ServerGone``."""
        if self._process is None:
            raise ServerGone("The model server is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ping(self, *, timeout: float = 5) -> bool:
        try:
            return self.request("GET", "/ping", timeout=timeout).status == 200
        except ServiceError:
            return False

    def load(
        self, model_name: str, url: Path, target: str | None = None, *, timeout: float = 120
    ) -> Answer:
        """Load the model in ``url`` under an opaque name; ``target`` is its TargetModel.

        200 loaded, 409 loaded already, 400 refused, 507 no memory. What Triton would hang on for
        ever (no ``model.py``) or hand to a shell (odd characters) is answered 400 here.
        """
        if why := unloadable(Path(url), target):
            return Answer.refusal(why)
        body = json.dumps({"model_name": model_name, "url": str(url)}).encode()
        return self.request("POST", "/models", body, target=target, timeout=timeout)

    def invoke(
        self,
        model_name: str,
        body: bytes,
        target: str | None = None,
        *,
        content_type: str = "application/json",
        timeout: float = 60,
    ) -> Answer:
        return self.request(
            "POST", f"/models/{model_name}/invoke", body,
            target=target, content_type=content_type, timeout=timeout,
        )  # fmt: skip

    def unload(self, model_name: str, target: str | None = None, *, timeout: float = 60) -> Answer:
        """``target`` must be the one the model was loaded with, or Triton waits 350 s."""
        return self.request("DELETE", f"/models/{model_name}", target=target, timeout=timeout)

    def models(self) -> list[dict[str, str]]:
        """The server's own list. Triton shows a model that was loaded with a target as ``{}``."""
        return json.loads(self.request("GET", "/models").body)["models"]

    def model(self, model_name: str) -> Answer:
        return self.request("GET", f"/models/{model_name}")

    def logs(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        target: str | None = None,
        content_type: str = "application/json",
        timeout: float = 30,
    ) -> Answer:
        """One HTTP exchange. Raises ``ServerGone`` and ``ServerTimeout``."""
        headers = {} if body is None else {"Content-Type": content_type}
        if target is not None:
            headers[TARGET_HEADER] = target
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            kind = answer.headers.get("Content-Type", "")
            return Answer(status=answer.status, body=answer.read(), content_type=kind)
        except TimeoutError as error:
            raise ServerTimeout(
                "The model server did not answer", f"it had {timeout:.0f} seconds"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ServerGone(
                "The model server is gone", "", f"Its log says why: {self.log_path}"
            ) from error
        finally:
            connection.close()

    def _wait_until_ready(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while not self.ping(timeout=2):
            if not self.running or self._hangs() or time.monotonic() > end:
                waited = timeout - (end - time.monotonic())
                why = f"it was not ready after {waited:.0f} seconds"
                raise ServiceError(
                    f"The {self.engine_name} did not start",
                    why if self.running else "its process ended",
                    f"{self._complaint()} The end of its log: {self.logs()[-2000:]}".strip(),
                )
            time.sleep(0.05)

    def _complaint(self) -> str:
        """The last error that the log names: Triton writes pages of settings after it."""
        named = re.findall(r"\b[A-Z]\w*Error: .+", self.logs())
        return f"It said: {named[-1]}" if named else ""

    def _end_leftover(self, work: Path) -> None:
        """A server whose owner was killed still sits on this folder: end it first."""
        try:
            pid = int((work / "server.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return
        if str(work).encode() in command:
            kill_group(pid)


def unloadable(url: Path, target: str | None) -> str:
    """Why a model folder must not be shown to the server, or ''."""
    if target is not None and not SAFE_TARGET.fullmatch(target):
        return "the target's key may hold a-z, 0-9 and / _ . - only"
    if not url.is_dir():
        return "the model folder does not exist"
    configs = [path.parent for path in sorted(url.glob("*/config.pbtxt"))]
    if (url / "config.pbtxt").exists():
        configs = [url]
    elif len([path for path in url.iterdir() if path.is_dir()]) != 1 or not configs:
        return "the archive must hold exactly one top-level folder with a config.pbtxt"
    if not (configs[0] / "1" / "model.py").is_file():
        return "the model has no 1/model.py"
    return ""


def _minimal_environment(work: Path) -> dict[str, str]:
    kept = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPTION_ADAPTER_ROOT": str(work),
        "PYTHONUNBUFFERED": "1",
        "SAGEMAKER_MULTI_MODEL": "true",
        "SAGEMAKER_TRITON_PING_MODE": "live",
        "TMPDIR": str(work / "tmp"),
        "TOKENIZERS_PARALLELISM": "false",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
