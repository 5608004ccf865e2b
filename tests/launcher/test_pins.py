"""One set of pins, whichever door one comes through, and complete on every system."""

from __future__ import annotations

import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.markers import Environment as MarkerEnvironment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from helpers.launcher.environments import direct_pins, pin_files
from helpers.settings import ROOT

PINS = ROOT / "requirements"
LOCK = PINS / "constraints-course.txt"

SYSTEMS = [
    (python, system, processor)
    for python in ("3.11", "3.12")
    for system, processor in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
]


def canonical(pins: dict[str, str]) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in pins.items()}


def marker_environment(python: str, system: str, processor: str) -> MarkerEnvironment:
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.9",
        "os_name": "posix",
        "platform_machine": processor,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux" if system == "linux" else "Darwin",
        "platform_version": "",
        "python_full_version": f"{python}.9",
        "python_version": python,
        "sys_platform": system,
    }


def needed(direct: list[Requirement], environment: MarkerEnvironment) -> set[str]:
    """Every package that these bring in on that system, by the metadata of those installed here."""
    found: set[str] = set()
    todo = [(requirement, extra) for requirement in direct for extra in ("", *requirement.extras)]
    seen = set()
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        found.add(name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another system; that it is locked is what the test asks
        for line in requires:
            inner = Requirement(line)
            if inner.marker is None or inner.marker.evaluate({**environment, "extra": extra}):
                todo += [(inner, more) for more in ("", *inner.extras)]
    return found


@pytest.mark.parametrize(("python", "system", "processor"), SYSTEMS)
def test_the_lock_is_complete(python: str, system: str, processor: str) -> None:
    direct = [
        Requirement(line.partition("#")[0])
        for line in (PINS / "course.txt").read_text().splitlines()
        if "==" in line.partition("#")[0]
    ]
    environment = marker_environment(python, system, processor)
    # PyTorch's CUDA build pins its own libraries; CPU builds have none.
    missing = {
        name
        for name in needed(direct, environment) - set(canonical(direct_pins(LOCK)))
        if not name.startswith(("nvidia-", "cuda-", "triton"))
    }
    assert missing == set()


def test_the_lock_holds_for_the_first_release_of_each_python() -> None:
    """A patch release can be too old for a package: Debian 12's Python is 3.11.2."""
    refused = {
        (name, version, python)
        for name, version in canonical(direct_pins(LOCK)).items()
        for installed in metadata.distributions(name=name)
        for python in ("3.11.0", "3.12.0")
        if installed.version == version
        and python not in SpecifierSet(installed.metadata.get("Requires-Python", ""))
    }
    assert refused == set()


@pytest.mark.parametrize("name", ["course", "serving"])
def test_every_direct_pin_stands_in_its_lock(name: str) -> None:
    direct, lock = PINS / f"{name}.txt", PINS / f"constraints-{name}.txt"
    assert list(pin_files(direct)) == [direct, lock]
    locked = canonical(direct_pins(lock))
    wanted = canonical(direct_pins(direct))
    assert wanted.items() <= locked.items()


def test_every_line_is_an_exact_pin() -> None:
    for file in PINS.glob("*.txt"):
        for line in file.read_text().splitlines():
            text = line.partition("#")[0].strip()
            if text and not text.startswith("-c "):
                specifiers = [str(specifier) for specifier in Requirement(text).specifier]
                assert len(specifiers) == 1, f"{file.name}: {line}"
                assert specifiers[0].startswith("=="), f"{file.name}: {line}"
                assert Version(specifiers[0][2:]).local is None, f"{file.name}: {line}"


def test_trainer_and_server_run_the_same_models_code() -> None:
    """An adapter must paint the same picture in both; NumPy alone has to differ for Triton."""
    course = canonical(direct_pins(LOCK))
    serving = canonical(direct_pins(PINS / "constraints-serving.txt"))
    different = {name for name in serving if serving[name] != course.get(name, serving[name])}
    assert different == {"numpy"}
    assert serving["numpy"].startswith("1.")


def test_this_environment_is_the_locked_one() -> None:
    for name, version in canonical(direct_pins(PINS / "course.txt")).items():
        assert metadata.version(name).partition("+")[0] == version, name


def test_the_training_container_adds_the_courses_versions() -> None:
    """On top of its own PyTorch."""
    container = canonical(direct_pins(ROOT / "training_service" / "requirements.txt"))
    assert container
    assert container.items() <= canonical(direct_pins(LOCK)).items()


def test_the_conda_door_leads_to_the_same_pins() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [entry for entry in conda["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements/course.txt", "-e ."]
    assert sorted(plain) == ["pip", "python=3.12"]
    assert conda["channels"] == ["conda-forge"]


def test_the_package_admits_what_the_course_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = canonical(direct_pins(PINS / "course.txt"))
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    for line in [*project["dependencies"], *extras]:
        wanted = Requirement(line)
        assert pins[canonicalize_name(wanted.name)] in wanted.specifier, line
    for python in ("3.11", "3.12"):
        assert Requirement(f"x{project['requires-python']}").specifier.contains(python)
