"""The DJL host: a model's Python workers behind one queue, with DJL Serving's answers.

A handler's exception is its answer (424, 507). A worker that takes longer than ``predict_timeout``
or dies is replaced; its request fails and the next one finds a new worker.
"""

from __future__ import annotations

import json
import queue
import shutil
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from helpers.local.djl_properties import ServingProperties, read_properties
from helpers.local.djl_worker import (
    Worker,
    WorkerGone,
    WorkerLate,
    WorkerPlan,
    container_environment,
)
from helpers.local.hosts import Answer, HostError, Invocation, InvocationTimeout, Placement
from helpers.local.model_data import fetch_model

_Job = tuple[Invocation, "Future[Answer]"]


class DjlHost:
    """One container. ``workers`` threads each own one Python process and serve one queue."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._log = placement.log
        self._stopping = threading.Event()
        self._workers: dict[int, Worker] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        placement = self._placement
        model_dir = fetch_model(placement)
        self._properties = read_properties(model_dir, placement.environment)
        self._jobs: queue.Queue[_Job | None] = queue.Queue(self._properties.job_queue_size)
        if (model_dir / "requirements.txt").is_file():
            self._log.write(
                "[djl] requirements.txt is not installed here: the course's own environment serves"
            )
        home = placement.folder / "home"
        home.mkdir()
        self._plan = WorkerPlan(
            model_dir=model_dir,
            entry_point=self._properties.entry_point,
            handler=self._properties.handler,
            environment=container_environment(
                model_dir=model_dir,
                home=home,
                service=placement.context.container_environment(),
                model=placement.environment,
                threads=max(placement.context.threads // self._properties.workers, 1),
            ),
            log=self._log,
            guard=placement.context.guard,
        )
        for number in range(self._properties.workers):
            self._load(number)
        for number in range(self._properties.workers):
            threading.Thread(
                target=self._serve, args=(number,), name=f"djl {number}", daemon=True
            ).start()

    def invoke(self, invocation: Invocation, timeout_s: float) -> Answer:
        if len(invocation.body) > self._properties.max_request_bytes:
            return _trouble(
                413,
                "RequestEntityTooLarge",
                f"the request has {len(invocation.body):,} bytes, the limit is "
                f"{self._properties.max_request_bytes:,} (SERVING_MAX_REQUEST_SIZE)",
            )
        answer: Future[Answer] = Future()
        try:
            self._jobs.put_nowait((invocation, answer))
        except queue.Full:
            return _trouble(
                503, "ServiceUnavailableException", "the job queue of the model is full"
            )
        try:
            return answer.result(timeout_s)
        except FutureTimeout:
            answer.cancel()  # still in the queue: never begun; begun: goes on, unheard
            raise InvocationTimeout from None

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            worker.kill()
        if hasattr(self, "_jobs"):
            self._fail_waiting()
        shutil.rmtree(self._placement.folder, ignore_errors=True)

    def _load(self, number: int) -> Worker:
        """A new worker whose handler has loaded its model. Raises ``HostError``."""
        worker = Worker(self._plan)
        with self._lock:
            self._workers[number] = worker
        if self._stopping.is_set():
            worker.kill()
        properties = {**self._properties.options, "device_id": "-1"}
        try:
            reply = worker.ask(properties, None, self._properties.model_loading_timeout)
        except WorkerLate:
            limit = self._properties.model_loading_timeout
            raise HostError(f"The model was not loaded within {limit:g} s.") from None
        except WorkerGone as gone:
            raise HostError(
                f"The python process ended while it loaded the model ({gone})."
            ) from None
        if not 200 <= reply.code < 300:
            worker.kill()
            raise HostError(f"The handler failed to load the model: {_error_of(reply.body)}")
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
                answer.set_result(self._ask(worker, invocation, self._properties))
            except WorkerLate:
                worker = None
                limit = self._properties.predict_timeout
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
            self._log.write(f"[djl] {trouble}")
            return None

    def _ask(self, worker: Worker, invocation: Invocation, properties: ServingProperties) -> Answer:
        began = time.monotonic()
        reply = worker.ask(invocation.headers(), invocation.body, properties.predict_timeout)
        self._log.write(f"[djl] {reply.code} {reply.message} in {time.monotonic() - began:.3f} s")
        headers = {name.lower(): value for name, value in reply.properties.items()}
        body = reply.body
        if reply.code == 507 and not body:
            # DJL puts this message into the reason phrase of the HTTP answer alone.
            body = json.dumps({"code": 507, "message": reply.message}).encode()
        return Answer(
            status=reply.code,
            body=body,
            content_type=headers.get("content-type", "application/json"),
        )

    def _settle(self, answer: Future[Answer], message: str) -> None:
        self._log.write(f"[djl] {message}")
        answer.set_result(_trouble(500, "EngineException", message))

    def _fail_waiting(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job and job[1].set_running_or_notify_cancel():
                job[1].set_result(
                    _trouble(503, "ServiceUnavailableException", "the container was stopped")
                )
        for _ in self._workers:
            self._jobs.put_nowait(None)


def _trouble(code: int, kind: str, message: str) -> Answer:
    return Answer(
        status=code, body=json.dumps({"code": code, "type": kind, "message": message}).encode()
    )


def _error_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:500]
