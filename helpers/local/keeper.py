"""moto, and what it holds kept across the ends of the service.

A call is answered once what it changed is on the disk. Kept are buckets, objects, topics,
subscriptions, queues and their messages, scaling policies, alarms and image repositories; not
metrics, CloudWatch's copy of logs, older versions of objects, uploads in parts that never ended.
"""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from helpers.local.journal import Journal
from helpers.local.kept_calls import SCALING, SERVICES, KeptCalls, read_call
from helpers.local.kept_messages import KeptMessages
from helpers.local.kept_objects import KeptObjects
from helpers.local.tagging import answer_create_bucket, creates_bucket
from helpers.local.wire import Refusal, answer_refusal

Environ = dict[str, Any]
_READS = ("Get", "List", "Describe", "Batch", "Check")


class Keeper:
    """A WSGI application: moto behind a journal. ``objects`` is the folder of S3's bodies."""

    def __init__(
        self, journal: Journal, objects: Path, region: str, moto: Callable[..., Iterable[bytes]]
    ) -> None:
        self._journal, self._region, self.moto = journal, region, moto
        self._calls = KeptCalls(journal)
        self._messages = KeptMessages(journal, region)
        self._objects = KeptObjects(journal, objects)

    def scaling_changes(self) -> int:
        """How often a scaling target, a policy or an alarm may have changed: 0 if there is none."""
        return sum(self._calls.told[service] for service in SCALING)

    def put_back(self, url: str, access_key: str) -> None:
        """Fill moto with what the journal kept; to be called before it is asked anything."""
        self._calls.say_again(url, access_key, self._region, self._app)
        self._objects.put_back()
        self._messages.put_back()

    def __call__(
        self, service: str, environ: Environ, start: Callable[..., Any]
    ) -> Iterable[bytes]:
        try:
            if service == "s3" and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                return self._s3(environ)(environ, start)
            if service in SERVICES:
                return self._other(service, environ)(environ, start)
        except (OSError, sqlite3.Error) as trouble:
            return _full(service, trouble)(environ, start)
        return self.moto(environ, start)

    def _s3(self, environ: Environ) -> Response:
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        bucket, _, key = path.removeprefix("/").partition("/")
        body = b"" if key else _body(environ)
        answer = Response.from_app(self._app(environ), environ)
        if answer.status_code < 300:
            if key:
                self._objects.look(bucket, key)
            elif environ["REQUEST_METHOD"] == "POST":
                self._objects.look_at_all(bucket)
            else:
                self._calls.heard_bucket(bucket, environ, body)
        return answer

    def _other(self, service: str, environ: Environ) -> Response:
        body = _body(environ)
        operation, parameters = read_call(environ, body)
        if operation == "ReceiveMessage":  # which may wait for one: others go on meanwhile
            answer = Response.from_app(self.moto, environ)
            self._messages.look()
        elif operation.startswith(_READS) or (service == "monitoring" and "Alarm" not in operation):
            answer = Response.from_app(self.moto, environ)
        else:
            with self._journal.change():
                answer = Response.from_app(self.moto, environ)
                if answer.status_code < 300:
                    self._calls.heard(service, environ, body, answer)
                    if service in ("sns", "sqs"):
                        self._messages.look()
                    if operation == "Publish":
                        self._journal.said(parameters["TopicArn"], parameters["Message"])
        return answer

    def _app(self, environ: Environ) -> Callable[..., Iterable[bytes]]:
        """What answers a call: moto, which passes over the tags of a new bucket, or we for it."""
        scope = environ.get("HTTP_AUTHORIZATION", "")
        if "/s3/" in scope and creates_bucket(environ):
            return lambda given, start: answer_create_bucket(given, self.moto)(given, start)
        return self.moto


def _body(environ: Environ) -> bytes:
    """The body, which stays there to be read."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _full(service: str, trouble: Exception) -> Response:
    """507 in words: the disk is full or cannot be written, and the call is to be made again."""
    said = no_room(trouble)
    if service in ("s3", "sns", "monitoring"):
        fault = f"<Code>InsufficientStorage</Code><Message>{escape(said)}</Message>"
        whole = f"<Error>{fault}</Error>"
        if service != "s3":
            whole = f"<ErrorResponse>{whole}</ErrorResponse>"
        return Response(f'<?xml version="1.0"?>{whole}', 507, content_type="application/xml")
    return answer_refusal(Refusal("InsufficientStorage", said, status=507))


def no_room(trouble: Exception) -> str:
    return f"The local SageMaker cannot write to its disk ({trouble}). Make room and call again."
