"""Environments are made once, again when something they rest on changes, and never half."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

from helpers.errors import SetupError
from helpers.launcher import pip
from helpers.launcher.environments import (
    Environment,
    ensure,
    fingerprint,
    holds_pins,
    locked,
    pin_files,
    python_version,
    why_stale,
)
from helpers.pins import direct_pins
from tests.launcher.packages import only_from, wheel

HERE = sysconfig.get_python_version()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packages"
    wheel(folder, "pinned", "1.0", requires=["locked"])
    wheel(folder, "pinned", "2.0", requires=["locked"])
    for version in ("1.0", "1.1"):
        wheel(folder, "locked", version)
    wheel(folder, "server", "3.0", requires=["not-to-be-had"])
    for name, value in only_from(folder).items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    pins = tmp_path / "requirements"
    pins.mkdir()
    (pins / "course.txt").write_text("-c lock.txt\npinned==1.0  # the one we ask for\n")
    (pins / "lock.txt").write_text("pinned==1.0\nlocked==1.0\n")
    (pins / "bare.txt").write_text("server==3.0\n")
    return Environment(
        folder=tmp_path / ".venv",
        purpose="a test",
        requirements=pins / "course.txt",
        bare=pins / "bare.txt",
        import_root=tmp_path,
    )


def make(environment: Environment, **options) -> list[str]:
    said: list[str] = []
    private = environment.folder.parent / ".course"
    ensure(environment, log=private / "log", lock=private / "lock", say=said.append, **options)
    return said


def versions(environment: Environment) -> str:
    code = "import pinned, locked, server; print(pinned.version, locked.version, server.version)"
    answer = subprocess.run([environment.python, "-c", code], capture_output=True, text=True)
    return answer.stdout.strip() or answer.stderr


def pretend(environment: Environment, *, python: str = HERE) -> None:
    """A folder that looks like an environment that was made by us."""
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    stamp = {"fingerprint": fingerprint(environment), "python": python}
    environment.stamp.write_text(json.dumps(stamp))


def test_made_reused_and_brought_up_to_date(environment: Environment, packages: Path) -> None:
    said = make(environment)
    assert versions(environment) == "1.0 1.0 3.0"
    assert any("is not there yet" in line for line in said)
    assert why_stale(environment) is None
    assert make(environment) == []

    # A transitive pin moves: only that package is exchanged, what else is there stays.
    kept = environment.folder / "kept"
    kept.touch()
    (environment.requirements.parent / "lock.txt").write_text("pinned==1.0\nlocked==1.1\n")
    assert why_stale(environment) == "its pins have changed"
    make(environment)
    assert versions(environment) == "1.0 1.1 3.0"
    assert kept.exists()

    # What lies at the import root can be imported from anywhere.
    (environment.folder.parent / "ours.py").write_text("here = True\n")
    subprocess.run([environment.python, "-c", "import ours; assert ours.here"], cwd="/", check=True)


def test_an_interrupted_installation_is_made_anew(environment: Environment, packages: Path) -> None:
    def interrupt(_: Environment) -> None:
        (environment.folder / "half-made").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(environment, before_install=interrupt)
    assert environment.python.exists()
    assert not environment.stamp.exists()
    assert why_stale(environment) == "its last installation did not finish"

    make(environment)
    assert versions(environment) == "1.0 1.0 3.0"
    assert not (environment.folder / "half-made").exists()


def test_an_installation_that_fails_leaves_no_stamp_and_a_log(
    environment: Environment, packages: Path
) -> None:
    environment.requirements.write_text("pinned==9.9\n")
    with pytest.raises(SetupError) as caught:
        make(environment)
    assert "pinned==9.9" in caught.value.why
    log = environment.folder.parent / ".course" / "log"
    assert str(log) in caught.value.next
    assert "pip config list" in caught.value.next
    assert "No matching distribution" in log.read_text()
    assert why_stale(environment) == "its last installation did not finish"


def test_a_stamp_falls_with_whatever_it_rests_on(environment: Environment, tmp_path: Path) -> None:
    pretend(environment)
    assert why_stale(environment) is None

    for name in ("course.txt", "lock.txt", "bare.txt"):
        file = environment.requirements.parent / name
        before = file.read_text()
        file.write_text(before + "another==1.0\n")
        assert why_stale(environment) == "its pins have changed", name
        file.write_text(before)
        assert why_stale(environment) is None

    environment.unfinished.touch()
    assert why_stale(environment) == "its last installation did not finish"
    environment.unfinished.unlink()

    environment.stamp.write_text("[]")
    assert why_stale(environment) == "its pins have changed"
    environment.stamp.write_text("{")
    assert why_stale(environment) == "it was not made by this launcher"
    environment.stamp.unlink()
    assert why_stale(environment) == "it was not made by this launcher"


def test_an_environment_that_was_moved_is_stale(environment: Environment, tmp_path: Path) -> None:
    pretend(environment)
    moved = Environment(
        folder=environment.folder.rename(tmp_path / "moved"),
        purpose="a test",
        requirements=environment.requirements,
        bare=environment.bare,
        import_root=environment.import_root,
    )
    assert why_stale(moved) == "its pins have changed"


def test_another_python_makes_it_stale(environment: Environment) -> None:
    pretend(environment, python="3.8")
    assert why_stale(environment) == "its Python is gone or has changed"


def test_a_python_that_is_gone_makes_it_stale(environment: Environment, tmp_path: Path) -> None:
    pretend(environment)
    environment.python.unlink()
    environment.python.symlink_to(tmp_path / "removed")
    assert python_version(environment.python) is None
    assert why_stale(environment) == "its Python is gone or has changed"


def test_the_second_of_two_waits_for_the_first(tmp_path: Path) -> None:
    lock, said, done = tmp_path / "lock", [], threading.Event()

    def second() -> None:
        with locked(lock, said.append):
            done.set()

    with locked(lock, said.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert not done.wait(0.3)
        assert said == ["another course.py is at work on the environments; waiting for it"]
    assert done.wait(5)
    thread.join()


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from helpers.launcher.environments import locked\n"
        "with locked(Path(sys.argv[1]), print): print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout and holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    said: list[str] = []
    with locked(tmp_path / "lock", said.append):
        assert said == []


def test_pins_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "pins.txt"
    file.write_text("-c lock.txt\n# note\none==1.0\ntwo[extra]==2 ; python_version > '3'  # why\n")
    (tmp_path / "lock.txt").write_text("one==1.0\n")
    assert direct_pins(file) == {"one": "1.0", "two": "2"}
    assert [path.name for path in pin_files(file)] == ["pins.txt", "lock.txt"]


def test_this_python_is_known_by_what_it_has(tmp_path: Path) -> None:
    file = tmp_path / "pins.txt"
    file.write_text(f"pytest=={pytest.__version__}\n")
    assert holds_pins(file)
    file.write_text("pytest==0.1\n")
    assert not holds_pins(file)
    file.write_text("no-such-package==1.0\n")
    assert not holds_pins(file)


def test_pip_tells_a_cuda_build_before_it_is_fetched(packages: Path) -> None:
    wheel(packages, "torch", "1.0", requires=["nvidia-cudnn-cu13==9.2; platform_system != 'x'"])
    wheel(packages, "torch", "2.0", requires=["filelock", "cuda-bindings; extra == 'cuda'"])
    assert pip.brings_cuda(Path(sys.executable), "torch==1.0") is True
    assert pip.brings_cuda(Path(sys.executable), "torch==2.0") is False
    assert pip.brings_cuda(Path(sys.executable), "torch==3.0") is None


@pytest.mark.parametrize(
    ("line", "words", "shown"),
    [
        (
            "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (594.3 MB)",
            "downloading torch 2.13.0 (594 MB)",
            True,
        ),
        (
            "  Downloading file-server/simple/opencv_python_headless-5.0.0.93-abi3.whl (61.2 MB)",
            "downloading opencv-python-headless 5.0.0.93 (61 MB)",
            True,
        ),
        ("  Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)", "downloading six", False),
        ("Collecting moto==5.2.5 (from -r x.txt)", "looking at moto", False),
        ("Installing collected packages: a, b, c", "installing 3 packages", True),
        ("Looking in links: somewhere", "", False),
    ],
)
def test_pips_words_become_ours(line: str, words: str, shown: bool) -> None:
    said, worth_saying = pip.translate(line)
    assert said.startswith(words)
    assert worth_saying is shown
