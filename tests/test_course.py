"""The launcher as a learner meets it: a fresh machine, one command, and a second time."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.launcher import checks
from helpers.launcher.machine import no_triton_because
from helpers.settings import ROOT
from tests.launcher.packages import only_from, wheel

DEMO = """
import sys
print("demo", sys.prefix, *sys.argv[1:])
sys.exit(7)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A course of the launcher alone, whose pins are tiny packages."""
    root = tmp_path / "course"
    (root / "helpers").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "jsonl.py", "pins.py", "settings.py", "launcher"):
        copy = shutil.copytree if (ROOT / "helpers" / name).is_dir() else shutil.copy
        copy(ROOT / "helpers" / name, root / "helpers" / name)
    for room, names in (("cloud", ["ledger.py"]), ("local", ["launch.py", "statefile.py"])):
        (root / "helpers" / room).mkdir()
        for name in names:
            shutil.copy(ROOT / "helpers" / room / name, root / "helpers" / room)
    shutil.copy(ROOT / "course.py", root)
    (root / "helpers" / "demo.py").write_text(DEMO)
    pins = root / "requirements"
    pins.mkdir()
    for name, text in (
        ("course.txt", "-c constraints-course.txt\ntorch==0.1\n"),
        ("constraints-course.txt", "torch==0.1\n"),
        ("serving.txt", "torch==0.1\n"),
        ("triton.txt", "server==3.0\n"),
    ):
        (pins / name).write_text(text)
    wheel(tmp_path / "packages", "torch", "0.1")
    wheel(tmp_path / "packages", "server", "3.0")
    return root


def course(
    root: Path, *arguments: str, python: str = sys.executable, **variables: str
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **only_from(root.parent / "packages"), **variables}
    return subprocess.run(
        [python, root / "course.py", *arguments],
        cwd=root.parent,
        env=environ,
        capture_output=True,
        text=True,
    )


@pytest.mark.promise(
    "Two first runs install once",
    fault="two launchers at the same moment",
    outcome="one waits for the other; both run",
)
@pytest.mark.slow
def test_two_first_runs_at_once_install_once_and_later_ones_start_at_once(
    checkout: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(course, checkout, "demo", "--photos", "photos") for _ in range(2)]
        answers = [run.result() for run in runs]
    environment = checkout / ".venv"
    for answer in answers:
        assert answer.returncode == 7, answer.stderr
        assert f"demo {environment} --photos {tmp_path / 'photos'}" in answer.stdout
    both = "".join(answer.stdout for answer in answers)
    assert both.count(".venv is ready") == 1
    assert "waiting for it" in both
    if no_triton_because() is None:
        assert both.count(".venv-serving is ready") == 1
        served = [checkout / ".venv-serving" / "bin" / "python", "-c", "import server, torch"]
        subprocess.run(served, check=True)

    began = time.monotonic()
    again = course(checkout, "demo")
    assert again.returncode == 7
    assert "ready" not in again.stdout
    assert time.monotonic() - began < 5


def test_a_photo_folder_that_is_not_there_is_said_before_anything_is_made(checkout: Path) -> None:
    answer = course(checkout, "demo", "--photos", "nowhere")
    assert answer.returncode == 1
    assert "nowhere is not a folder" in answer.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("arguments", [(), ("dance",), ("demo", "photos"), ("clean", "--al")])
def test_what_it_does_not_know_it_refuses(checkout: Path, arguments: tuple[str, ...]) -> None:
    answer = course(checkout, *arguments)
    assert answer.returncode == 2
    assert "usage: course.py" in answer.stderr
    assert not (checkout / ".venv").exists()


# Another Python, played by this one.
_AS_ANOTHER = """
import sys
sys.version_info = (3, 9, 1, "final", 0)
sys.path.insert(0, {root!r})
import course
sys.exit(course.main(["--help"]))
"""


def as_another_python(root: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _AS_ANOTHER.format(root=str(root))],
        env={**os.environ, "PATH": str(path)},
        capture_output=True,
        text=True,
    )


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_under_an_old_python_it_finds_one_that_works(checkout: Path, tmp_path: Path) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    missing = as_another_python(checkout, path)
    assert missing.returncode == 1
    assert "needs Python 3.11 or 3.12. This is Python 3.9" in missing.stdout

    # A version manager's door that leads nowhere, and a Python that is another than it says.
    for name, text in (("python3.12", "#!/bin/sh\nexit 127\n"), ("python3.11", "#!/bin/sh\n")):
        executable(path / name, text)
    assert as_another_python(checkout, path).returncode == 1

    here = path / f"python{sysconfig.get_python_version()}"
    executable(here, f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    found = as_another_python(checkout, path)
    assert found.returncode == 0, found.stdout
    assert "usage: course.py" in found.stdout


def test_old_pythons_can_read_it_far_enough_to_be_told() -> None:
    ast.parse((ROOT / "course.py").read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("module", ["helpers", "helpers.launcher.commands"])
def test_it_loads_nothing_heavy(module: str) -> None:
    code = (
        "import sys, time; began = time.perf_counter()\n"
        f"import {module}\n"
        "print(time.perf_counter() - began, *sys.modules)"
    )
    fastest = 9.0
    for _ in range(3):
        answer = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        seconds, *modules = answer.stdout.split()
        heavy = {"torch", "numpy", "PIL", "boto3", "botocore", "moto", "diffusers", "matplotlib"}
        assert heavy.isdisjoint(modules)
        fastest = min(fastest, float(seconds))
    assert fastest < 0.3


_CLEANS_UP = """
import time
try:
    print("running", flush=True)
    time.sleep(30)
except KeyboardInterrupt:
    time.sleep(0.6)
    print("cleaned up", flush=True)
    raise SystemExit(5)
"""


@pytest.mark.promise(
    "Ctrl-C leaves time to clean up",
    fault="SIGINT to the launcher's group",
    outcome="the command ends in its own way, with its own status",
)
def test_ctrl_c_leaves_a_command_the_time_to_clean_up() -> None:
    code = (
        "import sys; from helpers.launcher.prepare import Launcher\n"
        f"sys.exit(Launcher().run(sys.executable, '-c', {_CLEANS_UP!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, the shell has told their children to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout and process.stdout.readline() == "running\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "cleaned up\n"
    assert process.returncode == 5


@pytest.mark.slow
def test_the_tests_own_summary_is_the_last_word(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "test_two.py").write_text(
        "import os\ndef test_offline(): assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "def test_wrong(): assert False\n"
    )
    assert checks.run(tmp_path, Path(sys.executable), ["test_two.py", "-k", "offline"]) == 0
    assert checks.run(tmp_path, Path(sys.executable), ["test_two.py"]) == 1
    lines = capfdbinary.readouterr().out.decode().strip().splitlines()
    assert "1 failed, 1 passed in" in lines[-1]
    (table,) = [line for line in lines if line.startswith("pytest") and "failed (1)" in line]
    assert float(table.split()[1]) > 0
    assert any("1 passed, 1 deselected in" in line for line in lines)


@pytest.mark.slow
def test_every_check_runs_even_when_an_earlier_one_fails(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.pyright]\ninclude = ['typed.py']\n"
        "[tool.pytest.ini_options]\nmarkers = ['alone: with nothing beside it']\n"
    )
    (tmp_path / "typed.py").write_text("import os\nx: int = 'no'\n")
    (tmp_path / "test_one.py").write_text(
        "import pytest\n"
        "def test_one(request): assert hasattr(request.config, 'workerinput')\n"
        "@pytest.mark.alone\n"
        "def test_alone(request): assert hasattr(request.config, 'workerinput')\n"
    )
    assert checks.run(tmp_path, Path(sys.executable), []) == 1
    lines = capfdbinary.readouterr().out.decode().strip().splitlines()
    table = {line[:12].strip(): line[12:].split(maxsplit=1)[1] for line in lines[-7:-2]}
    assert table == {
        "ruff check": "failed (1)",
        "ruff format": "failed (1)",
        "pyright": "failed (1)",
        "pytest alone": "failed (1)",
        "pytest": "passed",
    }
