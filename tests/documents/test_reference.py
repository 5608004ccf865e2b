"""The glossary, and the notes on licences beside what the packages themselves say."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distributions, metadata

import pytest

from helpers.bases.licences import MIT_0
from helpers.bases.registry import REGISTRY
from helpers.settings import ROOT

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
LICENCES = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^\*\*(.+)\*\*<br>\n\S", GLOSSARY, re.MULTILINE)
THE_COURSES_WORDS = {
    "instance images", "class images", "prior preservation", "subject", "class noun",
    "identifier token", "adapter", "rank", "alpha", "base model", "prediction type",
    "asynchronous endpoint", "multi-model endpoint (MME)", "target model", "training job", "quota",
    "avatar", "PRES", "DIV", "subject fidelity (DINO)", "prompt fidelity (CLIP-T)",
    "language drift", "forgetting",
}  # fmt: skip
KNOWN_AS = {
    "Apache-2.0": r"apache", "BSD-3-Clause": r"bsd", "MIT": r"\bmit\b", "MIT-0": r"mit-0",
    "MIT-CMU": r"mit-cmu", "MPL-2.0": r"mpl|mozilla", "its own": r"matplotlib",
}  # fmt: skip


def test_the_glossary_has_the_course_s_words_in_order() -> None:
    assert set(ENTRIES) >= THE_COURSES_WORDS
    assert sorted(ENTRIES, key=str.lower) == ENTRIES
    assert len(set(ENTRIES)) == len(ENTRIES)


def test_every_word_of_it_is_used_where_learners_read() -> None:
    rooms = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    read = " ".join(
        " ".join(
            path.read_text(encoding="utf-8").replace("\\n", " ").replace("_", " ").split()
        ).lower()
        for path in rooms
        if path.name != "glossary.md"
    )
    stray = [
        entry
        for entry in set(ENTRIES) - THE_COURSES_WORDS
        if not re.search(re.escape(re.sub(r" \(.*\)", "", entry.lower()).rstrip("s")), read)
    ]
    assert stray == []


def rows() -> dict[str, str]:
    """Packages and the licence that the page gives each."""
    table = LICENCES.partition("## What is installed")[2]
    found = {}
    for names, licence in re.findall(r"^\| ([a-z][\w, -]+) \| (.+) \|$", table, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), licence)
    found.pop("package")
    return found


def pinned() -> set[str]:
    return {
        name
        for path in (ROOT / "requirements").glob("*.txt")
        if not path.name.startswith("constraints")
        for name in re.findall(r"^([\w-]+)(?:\[.*\])?==", path.read_text(), re.MULTILINE)
    }


def test_every_pinned_package_has_its_licence_on_the_page() -> None:
    assert set(rows()) == pinned()


def stated(package: str, longest: int = 10**6) -> str:
    """All that a package's metadata says of its licence, in lower case, piece by piece."""
    about = metadata(package)
    classified = about.get_all("Classifier") or []
    words = [about.get("License-Expression"), about.get("License"), *classified]
    return " ".join(word for word in words if word and len(word) <= longest).lower()


@pytest.mark.parametrize("package", sorted(pinned()))
def test_the_licence_is_the_one_that_the_package_states(package: str) -> None:
    licence = re.split(r"[;,]| and ", rows()[package])[0]
    try:
        assert re.search(KNOWN_AS[licence], stated(package))
    except PackageNotFoundError:
        assert package == "nvidia-pytriton"  # lives in the serving environment


def test_every_copyleft_among_what_is_installed_is_named() -> None:
    under = {
        str(one.metadata["Name"]).lower()
        for one in distributions()
        # Whole texts of licences, up to those of parts inside, are no statement of its own.
        if re.search(r"gpl|mpl-|mozilla", stated(one.metadata["Name"], longest=80))
    }
    note = " ".join(LICENCES.split()).partition("With a copyleft")[2].partition("**")[0]
    assert {name for name in under if name not in note} == set()


def test_licences_of_bases_are_those_of_the_registry() -> None:
    for base in REGISTRY.values():
        if base.licence != MIT_0:
            assert base.licence.name.partition(",")[0] in LICENCES
