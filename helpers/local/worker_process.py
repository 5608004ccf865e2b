"""One Python process of a container: started, asked, killed, started again."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.local.container_log import ContainerLog
from helpers.local.guard import Guard, kill_group
from helpers.local.worker.local_worker.frames import receive, send
from helpers.local.worker.local_worker.loop import Reply

_COMMON = Path(__file__).resolve().parent / "worker"
"""Holds the package ``local_worker``, which the process of every kind of container runs on."""


class WorkerGone(Exception):
    """The Python process ended before it answered; ``code`` is its exit status."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(f"exit status {code}")


class WorkerLate(Exception):
    """The Python process did not answer in time and was killed."""


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """All that starting a worker takes; the same for every worker of a container.

    ``module`` is run with ``--socket`` and ``arguments``; ``engine`` names it in the log.
    """

    engine: str
    module: str
    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    log: ContainerLog
    guard: Guard


class Worker:
    """A child in a process group of its own."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", plan.module,
                 "--socket", str(theirs.fileno()), *plan.arguments],
                cwd=plan.folder,
                env=dict(plan.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        self._connection = ours
        self._killing = threading.Lock()
        plan.guard.watch(self._process.pid)
        assert self._process.stdout
        self._output = plan.log.follow(self._process.stdout)
        plan.log.write(f"[{plan.engine}] started python process {self._process.pid}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, properties: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply:
        """Send one request (``None``: the empty one that loads the model) and wait for its answer.

        After ``WorkerGone`` and ``WorkerLate`` the process is dead and this worker is spent.
        """
        replies: queue.Queue[Reply | None] = queue.Queue()

        def converse() -> None:
            try:
                head = {"properties": dict(properties), "data": body is not None}
                send(self._connection, head, body or b"")
                answer, payload = receive(self._connection)
                replies.put(Reply(body=payload, **answer))
            except (EOFError, OSError):
                replies.put(None)

        threading.Thread(target=converse, name=f"worker {self.pid}", daemon=True).start()
        try:
            reply = replies.get(timeout=timeout_s)
        except queue.Empty:
            self.kill()
            raise WorkerLate from None
        if reply is None:
            self.kill()
            raise WorkerGone(self._process.returncode)
        return reply

    def kill(self) -> None:
        """End the process and everything it started. Only once: its number may be given again."""
        with self._killing:
            if self._process.returncode is None:
                kill_group(self._process.pid)
                self._process.wait()
                self._plan.guard.forget(self._process.pid)
                self._connection.close()
                self._output.join(2)  # its last words, most often a traceback, belong in the log


def container_environment(
    *,
    paths: Sequence[Path],
    home: Path,
    service: Mapping[str, str],
    model: Mapping[str, str],
    threads: int,
) -> dict[str, str]:
    """What a container sees: its own folders, AWS, the model's variables; nothing of ours.

    ``paths`` are where its Python looks for modules: the model's folder, the container's packages.
    """
    inherited = {
        name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ
    }
    return {
        **inherited,
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join(map(str, (*paths, _COMMON))),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        **service,
        **model,
    }
