"""The queue of an asynchronous endpoint: first in, first out, a fixed number at a time.

A request leaves exactly one object, at its output or its failure location, and one message. The
queue belongs to the endpoint, not to its instances: it outlives updates, and the notebook's kernel.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from helpers.local.context import Context, split_s3
from helpers.local.fleet import Instance, log_group
from helpers.local.hosts import Answer, Invocation, InvocationTimeout
from helpers.local.notify import Notice, publish
from helpers.local.store import now

MAX_INPUT_BYTES = 1024**3
_EXPIRED = "The request expired: it waited {:.0f} s in the queue."
DEFAULT_TIMEOUT_S, DEFAULT_TTL_S, DEFAULT_CONCURRENCY = 900, 21_600, 4


class _Unusable(Exception):
    """The request failed before a container saw it."""


@dataclass(frozen=True, kw_only=True)
class AsyncRequest:
    """One queued invocation. ``body`` is set when the payload came inline."""

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

    @property
    def waited(self) -> float:
        """Seconds since it came."""
        return (now() - self.received).total_seconds()

    @property
    def expired(self) -> bool:
        return self.waited > self.ttl_s


class AsyncQueue:
    """Requests that wait, and one thread for each that may run at the same time."""

    def __init__(self, context: Context, config: Callable[[], dict[str, Any]]) -> None:
        self._context, self._config = context, config
        self._waiting: deque[AsyncRequest] = deque()
        self._running: Counter[str] = Counter()  # by instance
        self._changed = threading.Condition()
        self._closed = False

    def put(self, request: AsyncRequest) -> None:
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()

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
            self._fail(request, "The endpoint was deleted before it came to this request.")

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
                self._process(request, instance)
            except Exception as trouble:  # a queue that stops is worse than a lost object
                print(f"{request.inference_id}: {trouble!r}", flush=True)
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
        except s3.exceptions.ClientError as trouble:
            why = trouble.response["Error"]["Code"]
            raise _Unusable(
                f"Failed to download the input {request.input_location}: {why}."
            ) from None
        if found["ContentLength"] > MAX_INPUT_BYTES:
            found["Body"].close()
            raise _Unusable(f"The input has {found['ContentLength']:,} bytes; 1 GB is the limit.")
        return found["Body"].read()

    def _succeed(self, request: AsyncRequest, answer: Answer) -> None:
        try:
            self._write(request.output_location, answer.body, answer.content_type)
        except Exception as trouble:
            return self._fail(request, f"Failed to upload the response: {trouble}")
        self._tell(Notice(request=request, answer=answer))

    def _fail(self, request: AsyncRequest, reason: str) -> None:
        try:
            self._write(request.failure_location, reason.encode(), "text/plain")
        except Exception as trouble:
            print(f"{request.inference_id}: no failure object: {trouble}", flush=True)
        self._tell(Notice(request=request, failure=f"ClientError: {reason}"))

    def _write(self, location: str, body: bytes, content_type: str) -> None:
        bucket, key = split_s3(location)
        self._context.client("s3").put_object(
            Bucket=bucket, Key=key, Body=body, ContentType=content_type
        )

    def _tell(self, notice: Notice) -> None:
        publish(self._context, self._config()["OutputConfig"].get("NotificationConfig", {}), notice)


def model_error(endpoint: str, answer: Answer) -> str:
    """AWS's words for a container that answered with an error."""
    side = "server" if answer.status >= 500 else "client"
    said = answer.body.decode("utf-8", "replace")[:2000]
    return (
        f'Received {side} error ({answer.status}) from primary with message "{said}". '
        f"See {log_group(endpoint)} for more information."
    )
