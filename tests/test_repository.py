"""What every file of the repository promises: notebooks stripped, nothing private, links alive."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from helpers.launcher.commands import _parser
from helpers.settings import ROOT

# AWS's documentation accounts, and the account from which AWS hands out its public images.
PUBLIC_ACCOUNTS = {"123456789012", "111122223333", "444455556666", "763104351884"}
PROSE_AND_CODE = {".cfg", ".ipynb", ".json", ".md", ".pbtxt", ".properties", ".py", ".sh", ".toml",
                  ".txt", ".yaml", ".yml", ""}  # fmt: skip
LARGEST = 16 * 1024 * 1024


@cache
def files() -> tuple[Path, ...]:
    """Every file that is tracked, or would be with the next ``git add``."""
    if not (ROOT / ".git").exists():  # unpacked from an archive
        made = {"build", "outputs"}
        found = [path for room in ROOT.iterdir() if room.name[0] != "." and room.name not in made
                 for path in (room.rglob("*") if room.is_dir() else [room])]  # fmt: skip
        return tuple(path for path in found if path.is_file() and "__pycache__" not in path.parts)
    listed = git("ls-files", "-co", "--exclude-standard")
    return tuple(path for name in listed if (path := ROOT / name).is_file())


def git(*arguments: str) -> list[str]:
    """What git answers, line by line; nothing where the course lies in no repository."""
    if not (ROOT / ".git").exists():
        return []
    command = ["git", "-c", f"safe.directory={ROOT}", "-c", "core.quotePath=false", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def texts() -> list[tuple[str, str]]:
    """Names and contents of what people write; weights, pictures and word lists are not."""
    found = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in PROSE_AND_CODE and not name.startswith("models/pocket/"):
            found.append((name, path.read_text(encoding="utf-8")))
    return found


def notebooks() -> list[Path]:
    return [path for path in files() if path.suffix == ".ipynb"]


def read(notebook: Path) -> dict[str, Any]:
    return json.loads(notebook.read_text(encoding="utf-8"))


def test_notebooks_are_stripped() -> None:
    """`.venv/bin/nbstripout notebooks/*.ipynb` strips them; learners' faces are in outputs."""
    dirty = []
    for notebook in notebooks():
        content = read(notebook)
        if "widgets" in content["metadata"]:
            dirty.append(f"{notebook.name}: widget state")
        for cell in content["cells"]:
            if cell.get("outputs") or cell.get("execution_count"):
                dirty.append(f"{notebook.name}: outputs in cell {cell.get('id')}")
            if cell.get("attachments"):
                dirty.append(f"{notebook.name}: an attachment in cell {cell.get('id')}")
    assert dirty == []


def test_notebooks_ask_for_the_kernel_that_every_jupyter_has() -> None:
    """Without a kernelspec JupyterLab opens a dialog that blocks everything."""
    asked = {path.name: read(path)["metadata"].get("kernelspec", {}) for path in notebooks()}
    assert {spec.get("name") for spec in asked.values()} <= {"python3"}
    assert {name for name, spec in asked.items() if not spec.get("display_name")} == set()


def test_notebook_cells_have_ids_of_their_own() -> None:
    for notebook in notebooks():
        content = read(notebook)
        assert (content["nbformat"], content["nbformat_minor"]) >= (4, 5), notebook.name
        ids = [cell["id"] for cell in content["cells"]]
        assert len(ids) == len(set(ids)), notebook.name


def test_no_account_but_public_ones() -> None:
    found = {
        (name, number)
        for name, text in texts()
        for number in re.findall(r"(?<![\w.-])\d{12}(?![\w.-])|(?<=:)\d{12}(?=:)", text)
    }
    assert {(name, number) for name, number in found if number not in PUBLIC_ACCOUNTS} == set()


def test_no_bucket_of_somebody_s() -> None:
    """One plain word stands for a bucket; a longer name could be one that is really there."""
    written = re.compile(
        r"(?:s3://|arn:aws[a-z-]*:s3:::|[Bb]ucket[\"']?\s*[=:]\s*[\"'])([a-z0-9][a-z0-9.-]{2,62})(?=[/\"'`\s*]|$)"
        r"|//([a-z0-9][a-z0-9.-]{2,62})\.s3[.-]",
        re.MULTILINE,
    )
    found = {
        (name, bucket)
        for name, text in texts()
        for match in written.finditer(text)
        if not (bucket := match[1] or match[2]).isalpha()
        and not any(account in bucket for account in PUBLIC_ACCOUNTS)
    }
    assert found == set()


def test_no_person() -> None:
    """No e-mail address but made-up ones, and no full name or address of whoever committed."""
    address = re.compile(r"[\w.%+-]+@([\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,})")
    made_up = re.compile(r"(?:.*\.)?example(?:\.(?:com|org|net))?")
    found = {
        (name, match[0])
        for name, text in texts()
        for match in address.finditer(text)
        if not made_up.fullmatch(match[1])
    }
    assert found == set()
    committers = set(git("log", "--format=%an%n%ae%n%cn%n%ce"))
    committers = {words for words in committers if " " in words or "@" in words}
    named = {
        (name, committer) for name, text in texts() for committer in committers if committer in text
    }
    assert named == set()


def test_no_path_and_no_address_of_somebodys_machine() -> None:
    private = re.compile(
        r"/work/(?:main|shared)|/root/\.|/home/(?!sagemaker-user)[a-z]\w+/|/Users/[a-z]\w*/|"
        r"\bpypi\.(?:org|python)|files\.python" + "hosted|download\\.py" + "torch"
    )
    found = [(name, match[0]) for name, text in texts() for match in private.finditer(text)]
    assert found == []


def test_nothing_is_left_to_do() -> None:
    unfinished = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    assert [name for name, text in texts() if unfinished.search(text)] == []


def test_only_models_are_large() -> None:
    large = {
        path.relative_to(ROOT).as_posix()
        for path in files()
        if path.stat().st_size > LARGEST and ROOT / "models" not in path.parents
    }
    assert large == set()


def test_the_licence_is_the_one_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    licence = (ROOT / "LICENSE").read_text()
    assert project["license"] == "MIT-0"
    assert licence.startswith("MIT No Attribution\n")
    assert "MIT-0" in (ROOT / "README.md").read_text()


def documents() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    dead = [target for target in local if target and not (document.parent / target).exists()]
    assert dead == []


def test_documents_name_commands_that_exist() -> None:
    known = set(next(a for a in _parser()._actions if a.dest == "command").choices or ())
    for document in documents():
        text = document.read_text(encoding="utf-8")
        named = set(re.findall(r"python3? course\.py (?!\{)([a-z]+)", text))
        assert named <= known, document.name


def test_ci_runs_the_launcher() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    assert re.search(r"^exec .*course\.py test$", script.read_text(), re.MULTILINE)
