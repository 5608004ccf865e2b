"""Every message that the page explains is one that somebody says, word for word."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from helpers import errors
from helpers.settings import ROOT
from tests.documents.messages import ANYTHING, KINDS, matches, raised, texts

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)
MENTIONED = re.findall(r"`((?:[A-Z]\w*Error): [^`]+)`", PAGE)
OTHERS = {
    "ModuleNotFoundError: No module named 'helpers'",  # Python
    "is not authorized to perform",  # every service of AWS, about IAM
}


@cache
def said_elsewhere() -> str:
    """What the launcher and the local SageMaker can say, a line each."""
    files = [ROOT / "course.py", *sorted((ROOT / "helpers" / "local").rglob("*.py"))]
    return "\n".join(
        text.replace(ANYTHING, "…")
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr)
        for text in texts(node)
    )


@pytest.mark.parametrize("quoted", sorted(set(QUOTED + MENTIONED)))
def test_somebody_says_it(quoted: str) -> None:
    kind, _, sentence = quoted.partition(": ")
    if kind in KINDS:
        same = [text for name, text in raised() if name == kind and matches(sentence, text)]
        assert same, f"no {kind} begins so; those that are near: {_near(kind, sentence)}"
    elif quoted not in OTHERS:
        pattern = ".+?".join(map(re.escape, quoted.split("…")))
        assert re.search(pattern, said_elsewhere())


def _near(kind: str, sentence: str) -> list[str]:
    from difflib import get_close_matches

    known = [text.replace(ANYTHING, "…") for name, text in raised() if name == kind]
    return get_close_matches(sentence, known, n=3, cutoff=0.3)


def test_a_message_that_nobody_says_is_noticed() -> None:
    known = [text for name, text in raised() if name == "PhotoError"]
    assert any(matches("there is no folder …", text) for text in known)
    assert any(matches("There is no folder …", text) for text in known)
    assert not any(matches("there is no photo folder …", text) for text in known)
    assert not any(matches("there is no folder", text) for text in known)


def test_every_kind_of_error_is_in_the_table_in_its_own_words() -> None:
    rows = dict(re.findall(r"^\| `(\w+Error)` \| (.+) \|$", PAGE, re.MULTILINE))
    wanted = {
        name: str(getattr(errors, name).__doc__).split("\n")[0].rstrip(".")
        for name in KINDS - {"CourseError"}
    }
    assert {name: text.replace("`", "").lower() for name, text in rows.items()} == {
        name: text.lower() for name, text in wanted.items()
    }


def test_each_heading_is_answered() -> None:
    sections = re.split(r"^### .+$", PAGE, flags=re.MULTILINE)[1:]
    assert all(len(section.split("\n## ")[0].split()) >= 10 for section in sections)
    assert len(QUOTED) == len(set(QUOTED)) >= 30
