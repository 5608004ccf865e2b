"""Virtual environments made from pins, each made once and used again while its pins stand.

An environment carries a stamp: a hash of its pins, its place and its Python version, written when
everything is installed. No stamp, another hash or a Python that no longer runs make it stale.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import SetupError
from helpers.launcher import pip
from helpers.pins import direct_pins, unmet

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One environment to be.

    ``folder``         where it lives
    ``purpose``        what it is for, in words for the learner
    ``requirements``   a pip requirements file; it names its constraints itself (``-c``)
    ``bare``           a requirements file whose packages come without what they depend on
    ``import_root``    a folder from which the environment can import, besides its own packages
    """

    folder: Path
    purpose: str
    requirements: Path
    bare: Path | None = None
    import_root: Path | None = None

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.folder / "course-stamp.json"

    @property
    def unfinished(self) -> Path:
        return self.folder / "course-unfinished"


def pin_files(path: Path) -> Iterator[Path]:
    """``path`` and the files it refers to with ``-c`` and ``-r``."""
    yield path
    for line in path.read_text().splitlines():
        option, _, name = line.strip().partition(" ")
        if option in ("-c", "-r"):
            yield from pin_files(path.parent / name.strip())


def fingerprint(environment: Environment) -> str:
    """Changes with every pin, and with the place: a moved environment's scripts do not run."""
    files = [*pin_files(environment.requirements)]
    if environment.bare:
        files += pin_files(environment.bare)
    parts = [str(environment.folder), str(environment.import_root)]
    parts += [file.read_text() for file in files]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def python_version(python: Path) -> str | None:
    """Such as ``"3.11"``, as the interpreter itself says; ``None`` if it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def why_stale(environment: Environment) -> str | None:
    """Why the environment has to be made, or made again; ``None`` while it stands."""
    if not environment.folder.exists():
        return "it is not there yet"
    if environment.unfinished.exists():
        return "its last installation did not finish"
    try:
        stamp = json.loads(environment.stamp.read_text())
    except (OSError, ValueError):
        return "it was not made by this launcher"
    if not isinstance(stamp, dict) or stamp.get("fingerprint") != fingerprint(environment):
        return "its pins have changed"
    if python_version(environment.python) != stamp.get("python"):
        return "its Python is gone or has changed"
    return None


def ensure(
    environment: Environment,
    *,
    log: Path,
    lock: Path,
    say: Say,
    before_install: Callable[[Environment], None] = lambda environment: None,
    supported: tuple[str, ...] = ("3.11", "3.12"),
) -> None:
    """Make the environment, or do nothing while it stands.

    ``before_install`` is called when a new environment has its pip and nothing else, and may
    raise. Two callers at once: the second waits, then uses what the first made. Raises
    ``SetupError``; an environment left half-made counts as stale.
    """
    if why_stale(environment) is None:
        return
    with locked(lock, say):
        reason = why_stale(environment)
        if reason is None:
            return
        say(f"{environment.folder.name} ({environment.purpose}): {reason}")
        if _make(environment, supported, say):
            before_install(environment)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        if environment.bare:  # first: it is small, and the likeliest to be missing for a system
            pip.install(environment.python, ["--no-deps", "-r", environment.bare], log=log, say=say)
        pip.install(environment.python, ["-r", environment.requirements], log=log, say=say)
        if environment.import_root:
            _make_importable(environment)
        _write_stamp(environment)
        say(f"{environment.folder.name} is ready")


def _make(environment: Environment, supported: tuple[str, ...], say: Say) -> bool:
    """See to an environment that has a pip, marked unfinished; whether it is a new one.

    A whole one whose pins moved is kept and brought up to date. One that an interruption left in
    an unknown state is made anew.
    """
    usable = (
        environment.folder.exists()
        and not environment.unfinished.exists()
        and python_version(environment.python) in supported
        and pip.works(environment.python)
    )
    if environment.folder.exists() and not usable:
        say(f"removing the old {environment.folder.name}")
        shutil.rmtree(environment.folder)
    environment.folder.mkdir(parents=True, exist_ok=True)
    environment.unfinished.touch()
    environment.stamp.unlink(missing_ok=True)
    if usable:
        say(f"bringing {environment.folder.name} up to date")
        return False
    say(f"making {environment.folder.name} with Python {sys.version.split()[0]}")
    # The base interpreter: this one may live in the very environment that was just removed.
    python = getattr(sys, "_base_executable", sys.executable)
    made = subprocess.run(
        [python, "-m", "venv", environment.folder], capture_output=True, text=True
    )
    if made.returncode:
        minor = sysconfig.get_python_version()
        raise SetupError(
            "Python could not make a virtual environment",
            (made.stderr or made.stdout).strip(),
            f"on Debian or Ubuntu: sudo apt-get install python{minor}-venv",
        )
    return True


def _make_importable(environment: Environment) -> None:
    version = python_version(environment.python)
    packages = environment.folder / "lib" / f"python{version}" / "site-packages"
    (packages / "avatar_course.pth").write_text(f"{environment.import_root}\n")


def _write_stamp(environment: Environment) -> None:
    stamp = {
        "fingerprint": fingerprint(environment),
        "python": python_version(environment.python),
    }
    environment.stamp.write_text(json.dumps(stamp, indent=2) + "\n")
    environment.unfinished.unlink()


def holds_pins(requirements: Path) -> bool:
    """Whether the Python that runs this has every direct pin of the file installed.

    It tells a conda environment made from ``environment.yml`` from any other Python.
    """
    return not unmet(direct_pins(requirements))


@contextmanager
def locked(path: Path, say: Say) -> Iterator[None]:
    """Hold the lock file; wait for another process that does. The system frees it at any end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another course.py is at work on the environments; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
