"""docs/api.md says what the docstrings say, of everything that a notebook imports."""

from __future__ import annotations

import ast
import re

import pytest

from helpers.api_page import PAGE, page, source_of, used_names

WRITTEN = PAGE.read_text(encoding="utf-8")


def test_the_page_is_fresh() -> None:
    assert page() == WRITTEN, "write it again: .venv/bin/python -m helpers.api_page"


def test_every_name_that_a_notebook_imports_is_on_it() -> None:
    missing = [
        f"{module}.{name}"
        for module, names in used_names().items()
        for name, notebooks in names.items()
        if name != "*" and f"#### `{name}` · {', '.join(notebooks)}\n" not in WRITTEN
    ]
    assert missing == []


def test_every_function_and_class_on_it_is_described() -> None:
    entries = re.split(r"^#### ", WRITTEN, flags=re.MULTILINE)[1:]
    silent = [
        entry.split("\n", 1)[0]
        for entry in entries
        if re.search(r"```python\n\w+\(", entry)
        and not re.search(r"```\n\n\S", re.sub(r"```python\n.*?```", "```", entry, flags=re.DOTALL))
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("module", "name", "shown"),
    [("helpers.photos.load", "load_folder", "load_folder("),
     ("helpers.photos.faces", "Box", "Box(left: int, top: int, width: int, height: int)")],
)  # fmt: skip
def test_a_signature_is_the_one_of_the_code(module: str, name: str, shown: str) -> None:
    path = source_of(module)
    assert path and any(
        isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
        for node in ast.parse(path.read_text()).body
    )
    assert re.search(rf"^#### `{name}` .*\n\n```python\n{re.escape(shown)}", WRITTEN, re.MULTILINE)


def test_code_blocks_are_closed_and_no_marks_of_another_markup_are_left() -> None:
    assert WRITTEN.count("```") % 2 == 0
    prose = re.sub(r"```.*?```", "", WRITTEN, flags=re.DOTALL)
    assert "``" not in prose
