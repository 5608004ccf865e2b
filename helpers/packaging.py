"""What a container needs for its archive or image: parts of ``helpers``, and a base model."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from helpers.errors import BaseModelError
from helpers.settings import ROOT


def helper_files(*entries: str) -> dict[str, Path]:
    """The files behind ``modules_needed(*entries)``, by their path in the checkout."""
    files = (module_file(module) for module in modules_needed(*entries))
    return {file.relative_to(ROOT).as_posix(): file for file in files if file}


def base_files(folder: Path) -> dict[str, Path]:
    """The files of a base model by their path in its folder: its index, ``base.json`` if it was
    prepared, and the folders that the index names; no card, no recipe.

    Raises ``BaseModelError`` for a folder without any.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise BaseModelError(f"There is no base model in {folder.name}/", f"It has no {index.name}")
    named = json.loads(index.read_text(encoding="utf-8"))
    parts = [name for name in named if not name.startswith("_") and (folder / name).is_dir()]
    files = [
        file for part in parts for file in sorted((folder / part).rglob("*")) if file.is_file()
    ]
    if not files:
        raise BaseModelError(f"The base model in {folder.name}/ is empty")
    manifest = folder / "base.json"
    tops = [index, manifest] if manifest.is_file() else [index]
    return {file.relative_to(folder).as_posix(): file for file in [*tops, *files]}


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
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
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
