"""The life of a Python process in a container: one request after another, over one socket.

It ends with the host: a thread reads the socket, and when the host is gone the whole process group
goes, also in the middle of a training.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .frames import receive, send


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What goes back to the host: a status and its phrase, HTTP headers, the body."""

    code: int
    message: str
    properties: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Respond = Callable[[dict[str, str], bytes | None], Reply]
"""Answers one request: its properties, and its body, which is ``None`` in the first request, the
one that asks for the model to be loaded. What it raises ends the process."""


def run(number: int, respond: Respond) -> None:
    """Answer every request that arrives on the socket of that number; returns never."""
    connection = socket.socket(fileno=number)
    requests: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue()

    def read() -> None:
        try:
            while True:
                requests.put(receive(connection))
        except EOFError:
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=read, name="requests", daemon=True).start()
    while True:
        head, body = requests.get()
        reply = respond(head["properties"], body if head["data"] else None)
        sys.stdout.flush()
        sys.stderr.flush()
        said = {"code": reply.code, "message": reply.message, "properties": reply.properties}
        send(connection, said, reply.body)


def hide_the_course() -> None:
    """Take the course's checkout from the import path, where its environment puts it.

    A container has no checkout: what its archive forgot must be missing here too.
    """
    checkout = Path(__file__).resolve().parents[4]
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != checkout]
