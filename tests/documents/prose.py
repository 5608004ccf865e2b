"""What people read: documents and the prose of notebooks, with the code that is quoted in them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from helpers.api_page import source_of
from helpers.settings import ROOT
from tests.test_repository import files

GENERATED = ("docs/api.md",)  # from docstrings, which have tests of their own


@dataclass(frozen=True, kw_only=True)
class Text:
    """A document, or a notebook's Markdown as one. ``name`` counts from the root."""

    name: str
    path: Path
    prose: str

    @property
    def quoted(self) -> list[str]:
        """Everything between backticks, blocks line by line."""
        found = []
        for block in re.findall(r"^```.*?$(.*?)^```", self.prose, re.DOTALL | re.MULTILINE):
            found += [line.strip() for line in block.replace("\\\n", " ").splitlines()]
        rest = re.sub(r"^```.*?^```", "", self.prose, flags=re.DOTALL | re.MULTILINE)
        found += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest)]
        return [line for line in found if line]

    @property
    def links(self) -> list[str]:
        plain = re.sub(r"^```.*?^```|`[^`]*`", "", self.prose, flags=re.DOTALL | re.MULTILINE)
        return re.findall(r"\]\(([^)\s]+)\)", plain) + re.findall(r"\bhttps?://[^\s)>\"'`]+", plain)


@cache
def all_texts() -> tuple[Text, ...]:
    found = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".md":
            found.append(Text(name=name, path=path, prose=path.read_text(encoding="utf-8")))
        elif path.suffix == ".ipynb":
            found.append(Text(name=name, path=path, prose="\n\n".join(_cells(path, "markdown"))))
    return tuple(found)


def _cells(notebook: Path, kind: str) -> Iterator[str]:
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == kind:
            yield "".join(cell["source"])


def code_of(notebook: Path) -> ast.Module:
    return ast.parse("\n".join(_cells(notebook, "code")))


@cache
def anchors(path: Path) -> frozenset[str]:
    """The headings of a document as GitHub and JupyterLab name them in links."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return frozenset(
        re.sub(r"[^\w\- ]", "", re.sub(r"\[(.+?)\]\(.+?\)", r"\1", title).lower()).replace(" ", "-")
        for title in titles
    )


@cache
def names_in(module: str) -> frozenset[str]:
    """Everything that can be taken from a module of this repository; empty if there is none."""
    path = source_of(module)
    if path is None:
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(one.asname or one.name).partition(".")[0] for one in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return frozenset(names)


def there(dotted: str) -> bool:
    """Whether ``helpers.a.b`` is a module, or ``helpers.a.b.name.member`` something in one."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        module, rest = ".".join(parts[:cut]), parts[cut:]
        if source_of(module) or ROOT.joinpath(*parts[:cut]).is_dir():
            return all(one in names_in(module) for one in rest)
    return False
