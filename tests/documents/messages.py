"""Every text that an error of the course can begin with, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from helpers import errors
from helpers.settings import ROOT

KINDS = {name for name, kind in vars(errors).items()
         if isinstance(kind, type) and issubclass(kind, errors.CourseError)}  # fmt: skip
ANYTHING = "\0"


@cache
def raised() -> tuple[tuple[str, str], ...]:
    """Kind of error and text of its first sentence, ``ANYTHING`` where a value is filled in."""
    found: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        found |= set(_in(path))
    return tuple(sorted(found))


def _in(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in KINDS:
            for text in texts(node.args[0]):
                if text.strip(ANYTHING + " "):
                    yield _name(node.func), text


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def texts(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else ANYTHING for part in node.values
        )
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for left in list(texts(node.left)) or [ANYTHING]:
            for right in list(texts(node.right)) or [ANYTHING]:
                yield left + right
    else:
        yield ANYTHING


def matches(said: str, text: str) -> bool:
    """Whether the code's ``text`` can read as ``said``, in which … stands for what varies."""
    pattern = ".+?".join(map(re.escape, said.rstrip(".").split("…")))
    plain = text.replace(ANYTHING, "…")
    return re.fullmatch(pattern, plain, re.IGNORECASE | re.DOTALL) is not None
