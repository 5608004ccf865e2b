"""A container of Python workers behind one queue: what the DJL and the Hugging Face hosts share.

A worker that takes longer than it may, or dies, is replaced; its request fails and the next one
finds a new worker.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path

from helpers.local.hosts import Answer, HostError, Invocation, InvocationTimeout, Placement
from helpers.local.model_data import fetch_model
from helpers.local.worker.local_worker.loop import Reply
from helpers.local.worker_process import (
    Worker,
    WorkerGone,
    WorkerLate,
    WorkerPlan,
    container_environment,
)

_Job = tuple[Invocation, "Future[Answer]"]


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a container serves its model. Times in seconds, sizes in bytes.

    ``module`` is what a worker runs with ``arguments``, ``paths`` where it finds modules, and
    ``options`` what it is told when it loads the model.
    """

    module: str
    arguments: tuple[str, ...]
    paths: tuple[Path, ...]
    options: Mapping[str, str]
    workers: int
    predict_timeout: float
    load_timeout: float
    queue_size: int
    most_request_bytes: int


class WorkerHost(ABC):
    """One container. ``workers`` threads each own one Python process and serve one queue."""

    engine: str
    """Names the container's server in its log."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._log = placement.log
        self._stopping = threading.Event()
        self._workers: dict[int, Worker] = {}
        self._lock = threading.Lock()

    @abstractmethod
    def _read(self, model_dir: Path) -> Serving:
        """How the model in that folder wants to be served. Raises ``HostError``."""

    @abstractmethod
    def _answer(self, worker: Worker, reply: Reply) -> Answer:
        """What a worker's reply becomes. ``WorkerGone`` if the reply costs the worker its life."""

    @abstractmethod
    def _error_of(self, reply: Reply) -> str:
        """The words of a reply that refuses to load the model."""

    @abstractmethod
    def _too_large(self, size: int) -> Answer:
        """The answer to a request of more than ``most_request_bytes``."""

    @abstractmethod
    def _unavailable(self, why: str) -> Answer:
        """The answer when the queue is full or the container is being stopped."""

    @abstractmethod
    def _lost(self, why: str) -> Answer:
        """The answer to a request whose worker died, was too late, or could not be replaced."""

    def start(self) -> None:
        placement = self._placement
        model_dir = fetch_model(placement)
        self._serving = serving = self._read(model_dir)
        self._jobs: queue.Queue[_Job | None] = queue.Queue(serving.queue_size)
        home = placement.folder / "home"
        home.mkdir()
        self._plan = WorkerPlan(
            engine=self.engine,
            module=serving.module,
            arguments=serving.arguments,
            folder=model_dir,
            environment=container_environment(
                paths=serving.paths,
                home=home,
                service=placement.context.container_environment(),
                model=placement.environment,
                threads=max(placement.context.threads // serving.workers, 1),
            ),
            log=self._log,
            guard=placement.context.guard,
        )
        for number in range(serving.workers):
            self._load(number)
        for number in range(serving.workers):
            threading.Thread(
                target=self._serve, args=(number,), name=f"{self.engine} {number}", daemon=True
            ).start()

    def invoke(self, invocation: Invocation, timeout_s: float) -> Answer:
        if len(invocation.body) > self._serving.most_request_bytes:
            return self._too_large(len(invocation.body))
        answer: Future[Answer] = Future()
        try:
            self._jobs.put_nowait((invocation, answer))
        except queue.Full:
            return self._unavailable("the job queue of the model is full")
        try:
            return answer.result(timeout_s)
        except FutureTimeout:
            answer.cancel()  # still in the queue: never begun; begun: goes on, unheard
            raise InvocationTimeout from None

    def processes(self) -> list[int]:
        """The ids of its Python processes."""
        with self._lock:
            return [worker.pid for worker in self._workers.values()]

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            worker.kill()
        if hasattr(self, "_jobs"):
            self._fail_waiting()
        shutil.rmtree(self._placement.folder, ignore_errors=True)

    def _write(self, line: str) -> None:
        self._log.write(f"[{self.engine}] {line}")

    def _load(self, number: int) -> Worker:
        """A new worker that has loaded its model. Raises ``HostError``."""
        worker = Worker(self._plan)
        with self._lock:
            self._workers[number] = worker
        if self._stopping.is_set():
            worker.kill()
        try:
            reply = worker.ask(self._serving.options, None, self._serving.load_timeout)
        except WorkerLate:
            limit = self._serving.load_timeout
            raise HostError(f"The model was not loaded within {limit:g} s.") from None
        except WorkerGone as gone:
            raise HostError(
                f"The python process ended while it loaded the model ({gone})."
            ) from None
        if not 200 <= reply.code < 300:
            worker.kill()
            raise HostError(f"The handler failed to load the model: {self._error_of(reply)}")
        return worker

    def _serve(self, number: int) -> None:
        worker: Worker | None = self._workers[number]
        while not self._stopping.is_set():
            job = self._jobs.get()
            if job is None:
                return
            invocation, answer = job
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                worker = worker or self._load(number)
                answer.set_result(self._ask(worker, invocation))
            except WorkerLate:
                worker = None
                limit = self._serving.predict_timeout
                self._settle(
                    answer, f"predict timed out after {limit:g} s: the python process was restarted"
                )
            except WorkerGone as gone:
                worker = None
                self._settle(
                    answer, f"the python process was killed or ended while it worked ({gone})"
                )
            except HostError as trouble:
                worker = None
                self._settle(answer, str(trouble))
            if worker is None and not self._stopping.is_set():
                worker = self._reload(number)

    def _reload(self, number: int) -> Worker | None:
        """A worker for the next request, at once; if it cannot load, that request tries again."""
        try:
            return self._load(number)
        except HostError as trouble:
            self._write(str(trouble))
            return None

    def _ask(self, worker: Worker, invocation: Invocation) -> Answer:
        began = time.monotonic()
        reply = worker.ask(invocation.headers(), invocation.body, self._serving.predict_timeout)
        self._write(f"{reply.code} {reply.message} in {time.monotonic() - began:.3f} s")
        return self._answer(worker, reply)

    def _settle(self, answer: Future[Answer], why: str) -> None:
        self._write(why)
        answer.set_result(self._lost(why))

    def _fail_waiting(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job and job[1].set_running_or_notify_cancel():
                job[1].set_result(self._unavailable("the container was stopped"))
        for _ in self._workers:
            self._jobs.put_nowait(None)
