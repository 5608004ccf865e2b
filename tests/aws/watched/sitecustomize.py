"""Python imports this at its start: nothing of this process may reach beyond this machine."""

import os
import sys

_LOOPBACK = ("127.0.0.1", "::1", "localhost", "", None, b"127.0.0.1", b"localhost")
_LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname")
_SENDS = ("socket.connect", "socket.sendto")


def _refuse(event, arguments):
    if event in _LOOKUPS:
        host = arguments[0]
    elif event in _SENDS and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in _LOOPBACK:
        with open(os.environ["REHEARSAL_ESCAPES"], "a", encoding="utf-8") as file:
            file.write(f"{event} {host}\n")
        raise PermissionError(f"a rehearsal reaches no further than this machine: {host}")


sys.addaudithook(_refuse)
