"""docs/api.md, written from docstrings: ``python -m helpers.api_page``.

Reads the source alone and imports nothing of it, so it takes a second and needs no library. A name
is on the page when a notebook imports it.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers.settings import ROOT

PAGE = ROOT / "docs" / "api.md"
WIDTH = 100
_INTRODUCTION = """\
# API reference

What the notebooks call, room by room, in the words of the code's own docstrings. Behind each name
stand the notebooks that use it. Everything else in `helpers` is documented in the same way, in its
source. Errors are those of [`helpers.errors`](troubleshooting.md).

This page is written by `.venv/bin/python -m helpers.api_page`; a test compares the two.
"""


def used_names(notebooks: Iterable[Path] | None = None) -> dict[str, dict[str, list[str]]]:
    """What notebooks import of ``helpers``: module, then name, then the notebooks' numbers."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(notebooks or ROOT.glob("notebooks/*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                for module, name in _imports("".join(cell["source"])):
                    numbers = found[module][name]
                    numbers += [path.stem[:2]] if path.stem[:2] not in numbers else []
    return {module: dict(sorted(names.items())) for module, names in sorted(found.items())}


def _imports(code: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "*") if source_of(inner) else (str(node.module), alias.name)


def source_of(module: str) -> Path | None:
    """The file of a dotted name, if it is a module."""
    path = ROOT.joinpath(*module.split("."))
    for one in (path.with_suffix(".py"), path / "__init__.py"):
        if one.is_file():
            return one
    return None


def page() -> str:
    """The whole page."""
    parts, room = [_INTRODUCTION], ""
    for module, names in used_names().items():
        if module.split(".")[1] != room:
            room = module.split(".")[1]
            parts.append(f"## {room}\n")
        parts.append(_module(module, names))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _module(module: str, names: dict[str, list[str]]) -> str:
    path = source_of(module)
    if path is None:
        raise LookupError(f"a notebook imports from {module}, which is no module")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    link = f"../{path.relative_to(ROOT).as_posix()}"
    about = inspect.cleandoc(ast.get_docstring(tree) or "").split("\n\n")[0]
    parts = [f"### [{module}]({link})\n\n{_prose(about)}\n"]
    entries = _definitions(tree)
    wanted = dict.fromkeys(entries, names["*"]) if "*" in names else names
    for name, notebooks in wanted.items():
        entry = entries.get(name) or _brought(tree, name)
        if entry:
            parts.append(f"#### `{name}` · {', '.join(notebooks)}\n\n{entry}\n")
    return "\n".join(parts)


def _definitions(tree: ast.Module) -> dict[str, str]:
    """Public functions, classes and constants of a module, ready for the page."""
    found = {}
    for place, node in enumerate(tree.body):
        if isinstance(node, ast.FunctionDef):
            found[node.name] = _entry(_signature(node), ast.get_docstring(node))
        elif isinstance(node, ast.ClassDef):
            found[node.name] = _class(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            following = tree.body[place + 1 : place + 2]
            found[node.targets[0].id] = _entry(
                _cut(ast.unparse(node)), _text(following[0]) if following else None
            )
    return {name: entry for name, entry in found.items() if not name.startswith("_")}


def _brought(tree: ast.Module, name: str) -> str | None:
    """A name that the module took from elsewhere and hands on."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            path = source_of(str(node.module))
            if path:
                return _definitions(ast.parse(path.read_text(encoding="utf-8"))).get(name)
    return None


def _text(node: ast.stmt) -> str | None:
    """A string that stands below a constant and speaks of it."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(str(node.value.value))
    return None


def _class(node: ast.ClassDef) -> str:
    parts = [_entry(_constructor(node), ast.get_docstring(node))]
    for member in node.body:
        if not isinstance(member, ast.FunctionDef) or member.name.startswith("_"):
            continue
        doc = ast.get_docstring(member)
        if doc:
            kinds = {ast.unparse(one) for one in member.decorator_list}
            name = member.name if kinds & {"property", "cached_property"} else _signature(member)
            parts.append(_entry(f"{'@classmethod ' * ('classmethod' in kinds)}{name}", doc))
    return "\n".join(parts)


def _constructor(node: ast.ClassDef) -> str:
    """A class as one calls it: its ``__init__``, or the fields of a dataclass."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _signature(member, name=node.name).partition(" -> ")[0]
    fields = [
        ast.unparse(one).replace("\n", " ")
        for one in node.body
        if isinstance(one, ast.AnnAssign) and not ast.unparse(one.target).startswith("_")
    ]
    bases = ", ".join(ast.unparse(one) for one in node.bases)
    return _call(node.name, fields) if fields else f"class {node.name}({bases})"


def _signature(node: ast.FunctionDef, name: str = "") -> str:
    args = ast.unparse(node.args)
    given = [
        re.sub(r"^(\w+: .+?)=(?!=)", r"\1 = ", one)
        for one in _split(args)
        if one not in ("self", "cls")
    ]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return _call(name or node.name, given, returns)


def _split(arguments: str) -> list[str]:
    """Arguments at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for sign in arguments:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def _call(name: str, arguments: list[str], returns: str = "") -> str:
    short = f"{name}({', '.join(arguments)}){returns}"
    if len(short) <= WIDTH:
        return short
    return "\n".join([f"{name}(", *(f"    {_cut(one)}," for one in arguments), f"){returns}"])


def _cut(text: str, most: int = 2 * WIDTH) -> str:
    text = text.split("\n", 1)[0]
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _entry(signature: str, doc: str | None) -> str:
    shown = f"```python\n{signature}\n```\n"
    return f"{shown}\n{_prose(doc)}\n" if doc else shown


def _prose(doc: str) -> str:
    """A docstring as Markdown: ``code`` in its quotes, and columns kept as they stand."""
    return "\n\n".join(map(_paragraph, doc.split("\n\n")))


def _paragraph(text: str) -> str:
    if re.search(r"^\s|\S {3,}\S", text, re.MULTILINE):
        lines = text.strip("\n")
        return f"```text\n{lines}\n```"
    pieces = re.split(r"``(.+?)``", text, flags=re.DOTALL)
    plain = [piece.replace("<", "&lt;") for piece in pieces[::2]]
    code = [f"`{piece}`" for piece in pieces[1::2]]
    return "".join(one + other for one, other in zip(plain, [*code, ""], strict=True))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
