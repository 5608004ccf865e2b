"""A job with network isolation finds no network: Python imports this before anything else.

There are no containers here, so it binds Python's sockets alone; sockets within the machine's own
processes (torch's workers) still open.
"""

import errno
import socket

_connect = socket.socket.connect


def _isolated(self: socket.socket, address: object) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")
    _connect(self, address)  # type: ignore[arg-type]


socket.socket.connect = _isolated  # type: ignore[method-assign]
