"""Every link, command, import and path that learners read leads somewhere."""

from __future__ import annotations

import ast
import builtins
import re
import shlex

import pytest

from helpers.api_page import source_of
from helpers.bench.registry import bench
from helpers.launcher.commands import _parser
from helpers.settings import ROOT
from tests.documents.prose import (
    GENERATED,
    Text,
    all_texts,
    anchors,
    code_of,
    names_in,
    there,
)

TEXTS = [pytest.param(text, id=text.name) for text in all_texts()]
NOTEBOOKS = [one for one in TEXTS if one.id and one.id.endswith(".ipynb")]
COMMAND = re.compile(r"python3? course\.py ?(.*)")
LEARNERS_OWN = re.compile(r"^(?:outputs|build|my_photos)/")
ROOMS = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")


@pytest.mark.parametrize("text", TEXTS)
def test_links_lead_to_files_and_headings(text: Text) -> None:
    dead = []
    for link in text.links:
        place, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(?:/\S*)?", link):
                dead.append(link)
            continue
        target = (text.path.parent / place).resolve() if place else text.path
        heading = not anchor or target.suffix != ".md" or anchor in anchors(target)
        if not target.exists() or not target.is_relative_to(ROOT) or not heading:
            dead.append(link)
    assert dead == []


def commands(text: Text) -> list[str]:
    found = []
    for line in text.quoted:
        for match in COMMAND.finditer(line.split("  #")[0]):
            said = re.split(r"[|;&]|\$\(|…|\.\.\.", match[1])[0]
            found.append(said.strip())
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_commands_are_taken_as_they_stand(text: Text) -> None:
    parser = _parser()
    for said in commands(text):
        words = shlex.split(said, comments=True)
        if not words:
            continue
        try:
            given, rest = parser.parse_known_args(words)
        except SystemExit:
            pytest.fail(f"course.py does not take: {said}")
        assert not rest or given.command in ("test", "lab"), said
        if given.command == "bench" and given.name:
            bench(given.name)


@pytest.mark.parametrize("text", TEXTS)
def test_modules_that_are_run_are_there(text: Text) -> None:
    run = re.findall(r"-m ((?:helpers|tests)[\w.]*)", "\n".join(text.quoted))
    assert [module for module in run if not source_of(module)] == []


@pytest.mark.parametrize("text", TEXTS)
def test_imports_and_dotted_names_lead_to_code(text: Text) -> None:
    if text.name in GENERATED:
        return
    quoted = "\n".join(text.quoted)
    dead = [
        f"{module}: {name}"
        for module, names in re.findall(r"from (helpers[\w.]*) import ([\w, ]+)", quoted)
        for name in re.split(r"\s*,\s*", names.strip())
        if name not in names_in(module) and not source_of(f"{module}.{name}")
    ]
    dotted = re.findall(r"(?<![\w/.])(helpers(?:\.[A-Za-z_]\w*)+)", quoted)
    dead += [name for name in dotted if not there(name)]
    assert dead == []


@pytest.mark.parametrize("text", TEXTS)
def test_paths_that_are_named_are_there(text: Text) -> None:
    """A path from the root, or from where the document lies; a pattern has to match something."""
    if text.name in GENERATED:
        return
    dead = []
    for span in text.quoted:
        path = span.rstrip("/")
        if not re.fullmatch(r"[\w.*-]+(?:/[\w.*-]+)+", path) or LEARNERS_OWN.match(path):
            continue
        if path.split("/")[0] in ROOMS and not any(
            list(place.glob(path)) for place in (ROOT, text.path.parent)
        ):
            dead.append(span)
    assert dead == []


@pytest.mark.parametrize("text", TEXTS)
def test_notebooks_that_are_named_are_there(text: Text) -> None:
    known = {path.stem for path in ROOT.glob("notebooks/*.ipynb")}
    named = set(re.findall(r"\b(\d\d_[a-z]\w+)", "\n".join(text.quoted)))
    assert named <= known


@pytest.mark.parametrize("text", NOTEBOOKS)
def test_what_a_notebook_s_prose_calls_its_cells_know(text: Text) -> None:
    """Hints are to be pasted: each function in one comes from a cell, the hint, or Python."""
    known = set(dir(builtins))
    for node in ast.walk(code_of(text.path)):
        known |= _made_by(node)
    spans = [ast.parse(span) for span in text.quoted if _is_python(span)]
    for node in [node for span in spans for node in ast.walk(span)]:
        known |= _made_by(node)
    called = {
        node.func.id
        for span in spans
        for node in ast.walk(span)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    said = re.findall(r"`(\w+)\b[^`]*`\s+(?:is\s+)?from\s+`helpers\.", text.prose)
    stray = called - known - set(said)
    assert stray == set()


def _made_by(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ImportFrom | ast.Import):
        return {one.asname or one.name for one in node.names}
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    return set()


def _is_python(span: str) -> bool:
    try:
        ast.parse(span)
    except SyntaxError:
        return False
    return True


def test_the_readme_leads_to_every_document_and_notebook() -> None:
    readme = next(text for text in all_texts() if text.name == "README.md").prose
    documents = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert {name for name in documents if f"docs/{name}" not in readme} == set()
    numbers = [path.stem[:2] for path in ROOT.glob("notebooks/*.ipynb")]
    assert [number for number in numbers if f"\n| {number} " not in readme] == []
