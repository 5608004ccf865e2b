"""Which AWS operations the code calls, read from its source: methods, paginators, waiters, names.

A method counts when its name is an operation of a service that the course uses. Where the client
can be traced to ``client("…")`` that decides between services; where it cannot, a name of two words
or more counts all the same. So does a string that is such a name: code that calls
``getattr(client, operation)`` holds them in tables. Rather too much is found than too little.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from botocore import xform_name
from botocore.loaders import Loader

from helpers.local.wire import service_model
from helpers.settings import ROOT

TRANSFERS = {
    "upload_file": ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload",
                    "AbortMultipartUpload"),
    "download_file": ("HeadObject", "GetObject"),
    "copy": ("HeadObject", "CopyObject", "CreateMultipartUpload", "UploadPartCopy",
             "CompleteMultipartUpload", "AbortMultipartUpload"),
}  # fmt: skip
"""Methods of the S3 client that are no operations, and those they call."""
TRANSFERS |= {
    "upload_fileobj": TRANSFERS["upload_file"],
    "download_fileobj": TRANSFERS["download_file"],
}
CONVENTIONS = {
    "s3", "sns", "sqs", "iam", "sts", "ecr", "logs", "sagemaker", "codebuild", "pricing",
}  # fmt: skip
"""Variables and parameters of these names hold the client of that service."""
RUNTIME = {"runtime", "_runtime"}

Operation = tuple[str, str]


@dataclass(kw_only=True)
class Found:
    """Operations and the places that call them; and places that cannot be read."""

    calls: dict[Operation, set[str]] = field(default_factory=dict)
    unclear: list[str] = field(default_factory=list)

    def add(self, service: str, operation: str, place: str) -> None:
        self.calls.setdefault((service, operation), set()).add(place)


def sources() -> Iterator[tuple[str, str]]:
    """Every program that calls AWS as the learner, or in a container, or on a schedule.

    Left out is ``helpers/local``, which calls the local service alone.
    """
    for room in ("helpers", "training_service", "models", "infrastructure"):
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith("helpers/local/"):
                yield name, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield path.relative_to(ROOT).as_posix(), "\n".join(code)


def scan(texts: Iterator[tuple[str, str]], known: set[Operation]) -> Found:
    """What these sources call; ``known`` decides where a name fits several services."""
    trees = [(name, ast.parse(text)) for name, text in texts]
    services = {service for service, _ in known}
    for _, tree in trees:
        services |= {service for node in ast.walk(tree) if (service := _client_of(node))}
    found = Found()
    for name, tree in trees:
        _Source(name, tree, services, known, found).read()
    return found


@cache
def operations(service: str) -> dict[str, str]:
    """Method name to operation, of one service."""
    return {xform_name(name): name for name in service_model(service).operation_names}


class _Source:
    """One file on its way through the scan."""

    def __init__(
        self, name: str, tree: ast.AST, services: set[str], known: set[Operation], found: Found
    ) -> None:
        self._name, self._tree, self._services = name, tree, services
        self._known, self._found = known, found
        self._clients: dict[str, set[str]] = {}
        self._joined: set[str] = set()

    def read(self) -> None:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Assign):
                self._bind(node.targets[0], node.value)
        called = {node.func for node in ast.walk(self._tree) if isinstance(node, ast.Call)}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                self._call(node)
            if isinstance(node, ast.Attribute) and (node in called or self._of(node.value)):
                self._method(node)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "_" in node.value:
                self._one_of(self._services, node.value, node)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its in zip(target.elts, value.elts, strict=False):
                self._bind(one, its)
        elif isinstance(target, (ast.Name, ast.Attribute)):
            name = target.id if isinstance(target, ast.Name) else target.attr
            if service := _client_of(value):
                self._clients.setdefault(name, set()).add(service)
            if _is_joined(value):
                self._joined.add(name)

    def _of(self, receiver: ast.expr) -> set[str]:
        """The services whose client this expression may be; empty when nothing says so."""
        if service := _client_of(receiver):
            return {service}
        name = getattr(receiver, "id", None) or getattr(receiver, "attr", "")
        if name in RUNTIME:
            return {"sagemaker-runtime"}
        return self._clients.get(name) or ({name} & CONVENTIONS)

    def _call(self, node: ast.Call) -> None:
        method = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
        first = node.args[0] if node.args else None
        if method == "getattr" and len(node.args) == 2:
            name = node.args[1]
            made = isinstance(name, ast.Name) and name.id in self._joined
            if self._of(node.args[0]) and (made or _is_joined(name)):
                self._unclear(node, "write the operation's name as one string, so it can be found")
        if method == "get_waiter" and isinstance(first, ast.Constant):
            assert isinstance(node.func, ast.Attribute)
            for service in self._of(node.func.value) or self._services:
                if operation := _waiters(service).get(str(first.value)):
                    self._add(service, operation, node)

    def _method(self, node: ast.Attribute) -> None:
        services = self._of(node.value)
        if node.attr in TRANSFERS and (services == {"s3"} or (not services and "_" in node.attr)):
            for operation in TRANSFERS[node.attr]:
                self._add("s3", operation, node)
        elif services or "_" in node.attr:
            self._one_of(services or self._services, node.attr, node)

    def _one_of(self, services: set[str], method: str, node: ast.expr) -> None:
        fitting = {(s, operations(s)[method]) for s in services if method in operations(s)}
        if len(fitting) > 1:
            fitting = fitting & self._known or fitting
        if len(fitting) > 1:
            names = " or ".join(sorted(service for service, _ in fitting))
            self._unclear(node, f"{method} may be {names}: name the variable after its service")
        for service, operation in fitting:
            self._add(service, operation, node)

    def _add(self, service: str, operation: str, node: ast.AST) -> None:
        self._found.add(service, operation, f"{self._name}:{getattr(node, 'lineno', 0)}")

    def _unclear(self, node: ast.expr, why: str) -> None:
        self._found.unclear.append(f"{self._name}:{node.lineno}: {why}")


def _client_of(node: ast.AST) -> str | None:
    """``x.client("s3")`` as ``s3``."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "client"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ):
        return str(node.args[0].value)
    return None


def _is_joined(node: ast.expr) -> bool:
    """Whether a string is put together from parts."""
    formatted = isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("format", "join")
    return formatted or isinstance(node, (ast.JoinedStr, ast.BinOp))


@cache
def _waiters(service: str) -> dict[str, str]:
    loader = Loader()
    if service not in loader.list_available_services("waiters-2"):
        return {}
    waiters = loader.load_service_model(service, "waiters-2")["waiters"]
    return {xform_name(name): waiter["operation"] for name, waiter in waiters.items()}
