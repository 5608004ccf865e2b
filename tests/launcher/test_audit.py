"""An audit of what the course runs on, without a network: licences, pins, imports, loaders.

Licences are read from the metadata of the packages installed here, imports from the source.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.launcher.environments import direct_pins
from helpers.settings import ROOT

ACCEPTED = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "HPND", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0",
    "Unlicense", "Zlib",
}  # fmt: skip
"""Licences under which a package may be used and shipped with its notice: none asks for more of
what is built with it. (MPL-2.0 asks for changes to its own files.)"""
EXCEPTIONS = {
    "paramiko": ("LGPL-2.1", "moto's, for key pairs of EC2, which the course does not use; it is "
                             "imported, never changed nor shipped"),
}  # fmt: skip
IN_WORDS = {
    r"mit( license)?": "MIT",
    r"isc license.*": "ISC",
    r"(new |modified |3-clause )?bsd([- ]3-clause)?( license)?": "BSD-3-Clause",
    r"bsd 2-clause license": "BSD-2-Clause",
    r"apache( software)?( license)?,?[- ]?(version )?(2\.0)?( license)?": "Apache-2.0",
    r"mozilla public license 2\.0.*": "MPL-2.0",
    r"python software foundation license|psfl": "PSF-2.0",
    r"the unlicense.*": "Unlicense",
}
"""How packages without an SPDX expression call their licence."""
ENVIRONMENTS = {
    "course": ROOT / ".venv",
    "serving": ROOT / ".venv-serving",
}
NOTHING_TO_INSTALL = {"models/realtime/code/requirements.txt"}
"""Lists of what an image has to bring; pip finds nothing to install there."""
CONTAINERS = {
    "djl_python": "DJL Serving's own, and ours in its place",
    "local_worker": "ours, in the local containers",
    "stub_watch": "ours, beside the model",
    "triton_python_backend_utils": "Triton's own",
    "bitsandbytes": "optional, on a GPU: asked for by use_8bit_adam, and its absence is told",
    "pyarrow": "optional: what reads tables without it is beside it",
}
"""Modules that no pin brings, and who does."""


def accepts(expression: str) -> bool:
    """Whether an SPDX expression leaves a licence that is accepted: each part of an AND, one of an
    OR."""
    words = re.findall(r"\(|\)|[\w.+:-]+", re.sub(r" WITH [\w.-]+", "", expression))
    python = " ".join(
        {"AND": "and", "OR": "or", "(": "(", ")": ")"}.get(word, str(word in ACCEPTED))
        for word in words
    )
    tree = ast.parse(python, mode="eval").body

    def holds(node: ast.expr) -> bool:
        if isinstance(node, ast.BoolOp):
            parts = [holds(part) for part in node.values]
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        return isinstance(node, ast.Constant) and node.value is True

    return holds(tree)


def licence_of(package: metadata.PackageMetadata) -> str:
    """The SPDX expression, or what its classifiers and its words come to; else its words."""
    if expression := _said(package, "License-Expression"):
        return expression
    lines = package.get_all("Classifier") or []
    named = [line.rpartition(" :: ")[2] for line in lines if line.startswith("License :: ")]
    named = [name for name in named if not name.endswith(("Approved", "approved"))]
    if named:
        return " OR ".join(_in_spdx(name) for name in named)
    words = (_said(package, "License") or "nothing").splitlines()[0][:80]
    return words if " AND " in words else _in_spdx(words)


def _said(package: metadata.PackageMetadata, field: str) -> str:
    return "".join((package.get_all(field) or [""])[:1])


def _in_spdx(words: str) -> str:
    for pattern, identifier in IN_WORDS.items():
        if re.fullmatch(pattern, words.strip().lower()):
            return identifier
    return f"unknown:{re.sub(r'[^A-Za-z0-9.-]+', '-', words)}"


def installed(environment: Path) -> dict[str, metadata.Distribution]:
    folders = [str(folder) for folder in environment.glob("lib/python*/site-packages")]
    found = metadata.distributions(path=folders or [])
    return {canonicalize_name(one.name): one for one in found}


def locked(name: str) -> dict[str, str]:
    pins = direct_pins(ROOT / "requirements" / f"constraints-{name}.txt")
    return {canonicalize_name(package): version for package, version in pins.items()}


@pytest.mark.promise(
    "Every package has a licence that is accepted",
    fault="an audit of both environments by the packages' own metadata",
    outcome="each in a list of 18 licences, but one, named with its reason",
)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_pinned_package_has_an_accepted_licence(name: str) -> None:
    packages = installed(ENVIRONMENTS[name])
    if name == "course":
        packages |= installed(Path(sys.prefix))
        assert len(packages.keys() & locked(name).keys()) > 100
    found = {one: licence_of(packages[one].metadata) for one in locked(name) if one in packages}
    strange = {one: licence for one, licence in found.items() if not accepts(licence)}
    assert {one: (licence,) for one, licence in strange.items()} == {
        one: EXCEPTIONS[one][:1] for one in EXCEPTIONS if one in found
    }


@pytest.mark.promise(
    "What is installed is what is pinned, to the last package",
    fault="a comparison of both environments with their locks",
    outcome="the same versions",
)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_is_installed_is_what_is_locked(name: str) -> None:
    packages, wanted = installed(ENVIRONMENTS[name]), locked(name)
    other = {
        one: (packages[one].version, version)
        for one, version in wanted.items()
        if one in packages and packages[one].version.partition("+")[0] != version
    }
    assert other == {}


def test_every_list_of_packages_in_the_repository_is_exact() -> None:
    lists = {name for name in _tracked() if re.search(r"(requirements|constraints).*\.txt$", name)}
    assert len(lists) >= 8 and lists > NOTHING_TO_INSTALL
    for name in lists - NOTHING_TO_INSTALL:
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            text = line.partition("#")[0].strip()
            if text and not text.startswith("-"):
                specifiers = [str(one) for one in Requirement(text).specifier]
                assert len(specifiers) == 1 and specifiers[0].startswith("=="), f"{name}: {line}"


@pytest.mark.promise(
    "Nothing is imported that is not pinned",
    fault="a reading of every program, test and notebook",
    outcome="each module is Python's, ours, of a locked package, or named with who brings it",
)
def test_no_import_is_unpinned() -> None:
    known = locked("course").keys() | locked("serving").keys()
    brings = _brings()
    stray: dict[str, set[str]] = {}
    for place, tree in _programs():
        for module in _imported(tree) - sys.stdlib_module_names:
            ours = (ROOT / module).exists() or (ROOT / f"{module}.py").exists()
            if not ours and module not in CONTAINERS and not brings.get(module, set()) & known:
                stray.setdefault(module, set()).add(place)
    assert stray == {}


UNSAFE = {
    "pickle": "runs code of whoever wrote the file", "cPickle": "", "dill": "", "joblib": "",
    "shelve": "", "marshal": "", "cloudpickle": "",
}  # fmt: skip


@pytest.mark.promise(
    "No data can run as a program",
    fault="a reading of all that is shipped for loaders of pickles, `eval`, `exec` and shells",
    outcome="none; `torch.load` and `numpy.load` are used in their safe forms or not at all",
)
def test_nothing_that_is_shipped_loads_a_pickle_or_evaluates_text() -> None:
    found = []
    for place, tree in _programs():
        if place.startswith(("tests/", "conftest.py")):
            continue
        found += [f"{place}: {module}" for module in _imported(tree) if module in UNSAFE]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (fault := _unsafe(node)):
                found.append(f"{place}:{node.lineno}: {fault}")
    assert found == []


def _unsafe(call: ast.Call) -> str:
    name = ast.unparse(call.func)
    named = {one.arg: ast.unparse(one.value) for one in call.keywords}
    if name in ("eval", "exec", "os.system", "os.popen", "yaml.load"):
        return name
    if name == "torch.load" and named.get("weights_only") != "True":
        return name
    if named.get("allow_pickle", "False") != "False":
        return f"{name} with allow_pickle"
    if named.get("use_safetensors", "True") != "True":
        return f"{name} without safetensors"
    if named.get("trust_remote_code", "False") != "False":
        return f"{name} with trust_remote_code"
    return f"{name} through a shell" if named.get("shell", "False") != "False" else ""


def _brings() -> dict[str, set[str]]:
    """Packages by the modules that they bring."""
    found: dict[str, set[str]] = {}
    for one in metadata.distributions():
        files = one.read_text("top_level.txt") or one.read_text("RECORD") or ""
        name = canonicalize_name(one.name)
        for top in {re.split(r"[/,.]", line.strip())[0] for line in files.splitlines()}:
            found.setdefault(top, set()).add(name)
    return found


@cache
def _tracked() -> tuple[str, ...]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(name for name in done.stdout.splitlines() if (ROOT / name).is_file())


@cache
def _programs() -> tuple[tuple[str, ast.Module], ...]:
    return tuple(_read())


def _read() -> Iterator[tuple[str, ast.Module]]:
    for name in _tracked():
        path = ROOT / name
        if path.suffix == ".py":
            yield name, ast.parse(path.read_text(encoding="utf-8"))
        elif path.suffix == ".ipynb":
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            lines = [line for line in "\n".join(code).splitlines() if line[:1] not in "%!"]
            yield name, ast.parse("\n".join(lines))


def _imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("MIT", True), ("GPL-3.0-only", False), ("GPL-2.0 OR MIT", True),
        ("MIT AND GPL-2.0", False),
        ("Apache-2.0 WITH LLVM-exception", True), ("(GPL-3.0 OR BSD-3-Clause) AND MIT", True),
        ("unknown:Proprietary", False),
    ],
)  # fmt: skip
def test_a_licence_that_is_not_accepted_is_found(expression: str, accepted: bool) -> None:
    assert accepts(expression) is accepted


def test_an_unsafe_call_is_found() -> None:
    for line in (
        "eval(x)", "torch.load(p)", "numpy.load(p, allow_pickle=True)",
        "subprocess.run(x, shell=True)", "X.from_pretrained(p, trust_remote_code=True)",
    ):  # fmt: skip
        (call,) = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
        assert _unsafe(call), line
    (safe,) = [n for n in ast.walk(ast.parse("torch.load(p, weights_only=True)"))
               if isinstance(n, ast.Call)]  # fmt: skip
    assert not _unsafe(safe)
