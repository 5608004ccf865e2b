"""Messages between the host and its Python process: one JSON head and one body, on a socket."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_SIZES = struct.Struct(">IQ")


def send(connection: socket.socket, head: dict[str, Any], body: bytes = b"") -> None:
    text = json.dumps(head).encode()
    connection.sendall(_SIZES.pack(len(text), len(body)) + text)
    connection.sendall(body)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises ``EOFError`` when the other side is gone."""
    head_size, body_size = _SIZES.unpack(_exactly(connection, _SIZES.size))
    head = json.loads(_exactly(connection, head_size))
    return head, _exactly(connection, body_size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            part = connection.recv(min(size - len(data), 1 << 20))
        except ConnectionError:
            part = b""
        if not part:
            raise EOFError("the other side is gone")
        data += part
    return bytes(data)
