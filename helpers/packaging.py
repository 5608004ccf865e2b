"""What a container needs of ``helpers``, read from the source, for its archive or image."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

from helpers.settings import ROOT

# Python 3.11 counts the depth of all threads' parsing in one place and may find a mismatch.
_PARSING = threading.Lock()


def helper_files(*entries: str) -> dict[str, Path]:
    """The files behind ``modules_needed(*entries)``, by their path in the checkout."""
    files = (module_file(module) for module in modules_needed(*entries))
    return {file.relative_to(ROOT).as_posix(): file for file in files if file}


def modules_needed(*entries: str) -> list[str]:
    """Modules of ``helpers`` that importing ``entries`` reaches, packages included, sorted.

    Read from the source, imports inside functions too, so that an image never lacks a module
    that a rarely taken path needs, nor carries the rest of the course.
    """
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        module = waiting.pop()
        if module in found or module_file(module) is None:
            continue
        found.add(module)
        waiting.extend(_imports(module))
        waiting.extend(module.rpartition(".")[:1] if "." in module else ())
    return sorted(found)


def _imports(module: str) -> set[str]:
    file = module_file(module)
    assert file is not None
    named: set[str] = set()
    with _PARSING:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            named.add(node.module)
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in named if name == "helpers" or name.startswith("helpers.")}


def module_file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            return file
    return None
