"""The queue of an asynchronous endpoint: first in, first out, a fixed number at a time.

A request leaves exactly one object, at its output or its failure location, and one message. The
queue belongs to the endpoint, not to its instances: it outlives updates, the notebook's kernel and,
in the journal, the service. What waited then goes on waiting; what ran is run again from the start,
up to ``MOST_BEGINNINGS`` times; what had left its object only says so.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from helpers.local.context import Context, split_s3
from helpers.local.fleet import Instance, log_group
from helpers.local.hosts import Answer, Invocation, InvocationTimeout
from helpers.local.journal import KeptJob
from helpers.local.notify import Notice, compose, send
from helpers.local.store import now

MAX_INPUT_BYTES = 1024**3
_EXPIRED = "The request expired: it waited {:.0f} s in the queue."
DEFAULT_TIMEOUT_S, DEFAULT_TTL_S, DEFAULT_CONCURRENCY = 900, 21_600, 4
MOST_BEGINNINGS = 3
_DELETED = "The endpoint was deleted before it came to this request."
_GIVEN_UP = "The service ended {} times while a container worked on this request."


class _Unusable(Exception):
    """The request failed before a container saw it."""


@dataclass(frozen=True, kw_only=True)
class AsyncRequest:
    """One queued invocation. ``body`` is set when the payload came inline; ``number`` is its own
    in the journal, ``begun`` how often it had been begun when the service ended."""

    endpoint: str
    inference_id: str
    input_location: str
    output_location: str
    failure_location: str
    content_type: str
    accept: str
    custom_attributes: str
    body: bytes | None
    timeout_s: float
    ttl_s: float
    received: datetime = field(default_factory=now)
    number: int = 0
    begun: int = 0
    _born: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """When it came by a clock that nobody sets: the other one may jump while it waits."""
        waited = max((now() - self.received).total_seconds(), 0)
        object.__setattr__(self, "_born", time.monotonic() - waited)

    def plain(self) -> dict[str, Any]:
        """For the journal, which holds body, number and beginnings beside it."""
        kept = {**asdict(self), "received": self.received.isoformat()}
        return {name: kept[name] for name in kept.keys() - {"body", "number", "begun", "_born"}}

    @classmethod
    def of_kept(cls, job: KeptJob) -> AsyncRequest:
        received = datetime.fromisoformat(job.request["received"])
        told = {**job.request, "received": received}
        return cls(**told, body=job.body, number=job.number, begun=job.begun)

    @property
    def waited(self) -> float:
        """Seconds since it came."""
        return time.monotonic() - self._born

    @property
    def expired(self) -> bool:
        return self.waited > self.ttl_s


class AsyncQueue:
    """Requests that wait, and one thread for each that may run at the same time."""

    def __init__(self, context: Context, config: Callable[[], dict[str, Any]]) -> None:
        self._context, self._config, self._journal = context, config, context.journal
        self._waiting: deque[AsyncRequest] = deque()
        self._running: Counter[str] = Counter()  # by instance
        self._changed = threading.Condition()
        self._closed = self._halted = False

    def put(self, request: AsyncRequest) -> None:
        """Take a request, which from then on is not lost. Raises ``sqlite3.Error`` when it cannot
        be written down."""
        number = self._journal.add_job(request.endpoint, request.plain(), request.body)
        with self._changed:
            if not self._closed:
                self._waiting.append(replace(request, number=number))
                return self._changed.notify()
        self._fail(replace(request, number=number), _DELETED)

    def take_up(self, endpoint: str) -> Callable[[], None]:
        """Queue what the service that ended had not ended. What is to be told at once is told by
        the function that comes back, once the service answers."""
        kept = [(AsyncRequest.of_kept(job), job) for job in self._journal.jobs(endpoint)]
        ended = [pair for pair in kept if pair[1].message or pair[0].begun >= MOST_BEGINNINGS]
        with self._changed:
            self._waiting.extend(request for request, job in kept if (request, job) not in ended)
            self._changed.notify_all()

        def tell() -> None:
            for request, job in ended:
                if job.message:
                    self._say(request, job.topic or "", job.message)
                else:
                    self._fail(request, _GIVEN_UP.format(request.begun))

        return tell

    def serve(self, instance: Instance) -> None:
        """Let an instance take requests, as many at a time as the endpoint's config says."""
        limits = self._config().get("ClientConfig", {})
        for number in range(limits.get("MaxConcurrentInvocationsPerInstance", DEFAULT_CONCURRENCY)):
            threading.Thread(
                target=self._work, args=(instance,), name=f"{instance.id} {number}", daemon=True
            ).start()

    def retire(self, instance: Instance, *, wait_s: float = 0) -> None:
        """Give an instance no more requests; those that it works on may end within ``wait_s``."""
        with self._changed:
            instance.retired = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running[instance.id], timeout=wait_s)

    @property
    def backlog(self) -> int:
        """Requests that wait or run: what CloudWatch calls ApproximateBacklogSize."""
        with self._changed:
            return len(self._waiting) + self._running.total()

    def close(self) -> None:
        """Fail every request that still waits: its endpoint is being deleted."""
        with self._changed:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for request in waiting:
            self._fail(request, _DELETED)

    def halt(self) -> None:
        """The service is ending: what becomes of running requests is not to be told."""
        with self._changed:
            self._closed = self._halted = True
            self._changed.notify_all()

    def expire(self) -> None:
        """Fail what waited longer than its TTL, also while there is no instance to take it."""
        with self._changed:
            late = [request for request in self._waiting if request.expired]
            for request in late:
                self._waiting.remove(request)
        for request in late:
            self._fail(request, _EXPIRED.format(request.waited))

    def drained(self, timeout_s: float) -> bool:
        """Wait until nothing runs; ``False`` if something still does."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running.total(), timeout_s)

    def _work(self, instance: Instance) -> None:
        while request := self._take(instance):
            try:
                self._journal.begin_job(request.number)
                self._process(request, instance)
            except Exception as trouble:  # no fault of one request may stop the queue
                print(f"{request.inference_id}: {trouble!r}", flush=True)
                if not isinstance(trouble, sqlite3.Error):  # else it is taken up when there is room
                    self._fail(request, f"InternalServerError: {trouble}")
            finally:
                with self._changed:
                    self._running[instance.id] -= 1
                    self._changed.notify_all()

    def _take(self, instance: Instance) -> AsyncRequest | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed or instance.retired)
            if self._closed or instance.retired:
                return None
            self._running[instance.id] += 1
            return self._waiting.popleft()

    def _process(self, request: AsyncRequest, instance: Instance) -> None:
        try:
            if request.expired:
                raise _Unusable(_EXPIRED.format(request.waited))
            answer = instance.invoke(
                Invocation(
                    body=self._read(request),
                    content_type=request.content_type,
                    accept=request.accept,
                    custom_attributes=request.custom_attributes,
                    inference_id=request.inference_id,
                ),
                request.timeout_s,
            )
        except _Unusable as trouble:
            return self._fail(request, str(trouble))
        except InvocationTimeout:
            return self._fail(
                request,
                f"Your invocation timed out while waiting for a response from container primary: "
                f"no answer within {request.timeout_s:g} seconds. Review the latency metrics for "
                "each container in Amazon CloudWatch, resolve the issue, and try again.",
            )
        if self._halted:
            return
        if answer.ok:
            self._succeed(request, answer)
        else:
            self._fail(request, model_error(request.endpoint, answer))

    def _read(self, request: AsyncRequest) -> bytes:
        if request.body is not None:
            return request.body
        s3 = self._context.client("s3")
        bucket, key = split_s3(request.input_location)
        try:
            found = s3.get_object(Bucket=bucket, Key=key)
            if found["ContentLength"] > MAX_INPUT_BYTES:
                found["Body"].close()
                size = f"{found['ContentLength']:,}"
                raise _Unusable(f"The input has {size} bytes; 1 GB is the limit.")
            return found["Body"].read()
        except (ClientError, BotoCoreError) as trouble:  # refused, slow, or cut in the middle
            why = trouble.response["Error"]["Code"] if isinstance(trouble, ClientError) else trouble
            raise _Unusable(
                f"Failed to download the input {request.input_location}: {why}."
            ) from None

    def _succeed(self, request: AsyncRequest, answer: Answer) -> None:
        try:
            self._write(request.output_location, answer.body, answer.content_type)
        except Exception as trouble:
            return self._fail(request, f"Failed to upload the response: {trouble}")
        self._end(Notice(request=request, answer=answer))

    def _fail(self, request: AsyncRequest, reason: str) -> None:
        try:
            self._write(request.failure_location, reason.encode(), "text/plain")
        except Exception as trouble:
            print(f"{request.inference_id}: no failure object: {trouble}", flush=True)
        self._end(Notice(request=request, failure=f"ClientError: {reason}"))

    def _write(self, location: str, body: bytes, content_type: str) -> None:
        bucket, key = split_s3(location)
        self._context.client("s3").put_object(
            Bucket=bucket, Key=key, Body=body, ContentType=content_type
        )

    def _end(self, notice: Notice) -> None:
        """The object is there; say so. Between the two the service may die: the message is in the
        journal before it is sent, and leaves it in the change that puts it into the queues."""
        config = self._config().get("OutputConfig", {}).get("NotificationConfig", {})
        topic, text = compose(self._context, config, notice)
        if topic:
            self._journal.answer_job(notice.request.number, topic, text)
        self._say(notice.request, topic, text)

    def _say(self, request: AsyncRequest, topic: str, text: str) -> None:
        if topic:
            send(self._context, topic, text)
        self._journal.end_job(request.number)


def model_error(endpoint: str, answer: Answer) -> str:
    """AWS's words for a container that answered with an error."""
    side = "server" if answer.status >= 500 else "client"
    said = answer.body.decode("utf-8", "replace")[:2000]
    return (
        f'Received {side} error ({answer.status}) from primary with message "{said}". '
        f"See {log_group(endpoint)} for more information."
    )
