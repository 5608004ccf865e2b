"""Every route of the local service, and a program that knocks at each; it needs Python alone.

``python knocks.py`` reads JSON from standard input, ``{"port", "state", "knocks": [{"method",
"path", "headers", "body"}]}``, and answers ``{"user", "readable", "statuses"}``: who it is, whether
it may read the state file, and what each knock was told.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Knock = dict[str, Any]
_DOORS = (
    "/", "/favicon.ico", "/nowhere", "/moto-api/", "/moto-api/data.json", "/moto-api/reset",
    "/moto-api/seed?a=1", "/moto-api/recorder/start-recording",
)  # fmt: skip
"""Of no operation: pages that browsers ask for, and the emulator's own."""


def routes(services: Iterable[str]) -> Iterator[Knock]:
    """A request for each operation of these services, and for each door of the emulator's own."""
    from helpers.local.wire import service_model

    for name in sorted(services):
        model = service_model(name)
        for operation in model.operation_names:
            yield from _routes_of(name, model, operation)
    for path in _DOORS:
        for method in ("GET", "POST", "DELETE"):
            yield _knock(name="", method=method, path=path)


def _routes_of(name: str, model: Any, operation: str) -> Iterator[Knock]:
    protocols = {model.metadata["protocol"], *model.metadata.get("protocols", [])}
    http_of = model.operation_model(operation).http
    if protocols & {"rest-xml", "rest-json"}:
        path = http_of["requestUri"].replace("{Key+}", "photo.jpg")
        for member in ("{Bucket}", "{EndpointName}"):
            path = path.replace(member, "somebody-s")
        yield _knock(name=name, method=http_of["method"], path=path)
    if protocols & {"json", "smithy-rpc-v2-cbor"} and "targetPrefix" in model.metadata:
        target = f"{model.metadata['targetPrefix']}.{operation}"
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        yield _knock(name=name, headers=headers, body="{}")
    if "smithy-rpc-v2-cbor" in protocols:
        path = f"/service/{model.metadata['targetPrefix']}/operation/{operation}"
        yield _knock(name=name, path=path, headers={"smithy-protocol": "rpc-v2-cbor"})
    if "query" in protocols:
        body = f"Action={operation}&Version={model.metadata['apiVersion']}"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        yield _knock(name=name, headers=headers, body=body)


def _knock(
    *, name: str, method: str = "POST", path: str = "/", headers: Any = None, body: str = ""
) -> Knock:
    return {"service": name, "method": method, "path": path, "headers": headers or {}, "body": body}


def ask(port: int, knock: Knock) -> int:
    """The status that a request is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        given = {"Host": f"127.0.0.1:{port}", **knock["headers"]}
        connection.request(knock["method"], knock["path"], knock["body"].encode(), given)
        return connection.getresponse().status
    finally:
        connection.close()


def ask_all(port: int, knocks: list[Knock]) -> list[int]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda knock: ask(port, knock), knocks))


def _readable(path: str) -> bool:
    try:
        with open(path):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    answer = {
        "user": os.getuid(),
        "readable": _readable(asked["state"]),
        "statuses": ask_all(asked["port"], asked["knocks"]),
    }
    json.dump(answer, sys.stdout)
