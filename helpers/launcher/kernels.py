"""The course's kernel in somebody else's Jupyter: SageMaker Studio, or any running server.

The notebooks ask for the kernel ``python3``. In a server that runs in another environment that
name leads to the server's own Python, so we put a kernel of that name before it. It is a door:
notebooks inside the course's folder get the course's Python, all others the kernel they had.

Where Jupyter looks for ``python3``: in ``JUPYTER_PATH``, in the user's folder, in the server's
environment. A server in a virtual or conda environment asks that environment before the user's
folder, and ``JUPYTER_PREFER_ENV_PATH`` makes any server do so. Hence we write to the user's
folder, ask the server's own ``jupyter`` what it finds now, and if need be write there too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.errors import SetupError
from helpers.launcher.pip import clean_environment

STUDIO_METADATA = Path("/opt/ml/metadata/resource-metadata.json")

_SERVER_VARIABLES = (
    "JPY_PARENT_PID",  # a cell's `!command`
    "JPY_SESSION_NAME",
    "JUPYTER_SERVER_ROOT",  # a terminal of JupyterLab
    "JUPYTER_SERVER_URL",
    "JUPYTERHUB_API_URL",
)
# Not every SAGEMAKER_ variable: people keep a role or a bucket in one on their own machines.
_STUDIO_VARIABLES = ("SAGEMAKER_APP_TYPE", "SAGEMAKER_SPACE_NAME", "SAGEMAKER_INTERNAL_IMAGE_URI")

MARK = "avatar_course"
"""Key in a kernel's metadata by which we know our own."""

_DOOR = """\
#!/bin/sh
# A notebook inside the avatar course runs in the course's environment, any other as it did before.
# `python3 course.py lab --unregister` in the course's folder puts back what was here.
course={root}
python={python}
case "$(pwd -P)/" in
"$course"/*)
    if [ -x "$python" ]; then
        unset PYTHONHOME PYTHONPATH
{settings}        PATH="$(dirname "$python"):$PATH"
        export PATH
        exec "$python" -m ipykernel_launcher -f "$1"
    fi
    ;;
esac
{before}
"""

_UNKNOWN_BEFORE = """\
if python3 -c 'import ipykernel_launcher' 2>/dev/null; then
    exec python3 -m ipykernel_launcher -f "$1"
fi
exec "$python" -m ipykernel_launcher -f "$1\""""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """``folders``: the kernel folders written. ``sure``: the server was asked and finds ours."""

    folders: tuple[Path, ...]
    sure: bool


def running_server(environ: Mapping[str, str] | None = None) -> str | None:
    """The Jupyter this process was started from, in words; ``None`` outside of one."""
    environ = os.environ if environ is None else environ
    if STUDIO_METADATA.exists() or any(name in environ for name in _STUDIO_VARIABLES):
        return "SageMaker Studio"
    if any(name in environ for name in _SERVER_VARIABLES):
        return "a running Jupyter server"
    return None


def server_jupyter(course_python: Path) -> str | None:
    """The ``jupyter`` command of the server: the one on PATH, unless that is the course's own."""
    found = shutil.which("jupyter")
    own = course_python.parent.resolve()
    return found if found and Path(found).parent.resolve() != own else None


def register(root: Path, python: Path, *, jupyter: str | None, record: Path) -> Registration:
    """Make ``python3`` lead to ``python`` for notebooks under ``root``.

    They also get the ``AVATAR_*`` settings of this process, where the server has none of that name:
    nobody can give a server that runs already new variables.
    ``jupyter`` is the server's command, if known; ``record`` is where the folders written are
    noted for ``unregister``. Raises ``SetupError``.
    """
    before = _python3_of(jupyter)
    user = _data_folder(jupyter or str(python.parent / "jupyter")) / "kernels" / "python3"
    folders = [user]
    _write_door(user, root, python, before)
    _note(record, folders)
    if jupyter is None:
        return Registration(folders=(user,), sure=False)
    found = _python3_of(jupyter)
    if found and not _is_ours(Path(found["resource_dir"]), root):
        winner = Path(found["resource_dir"])
        if not os.access(winner.parent, os.W_OK):
            return Registration(folders=(user,), sure=False)
        folders.append(winner)
        _write_door(winner, root, python, found)
        _note(record, folders)
        found = _python3_of(jupyter)
    sure = bool(found and _is_ours(Path(found["resource_dir"]), root))
    return Registration(folders=tuple(folders), sure=sure)


def unregister(root: Path, record: Path) -> list[Path]:
    """Undo ``register``: remove our kernels, put back what they replaced. Returns the folders."""
    undone = []
    for folder in _noted(record):
        if not _is_ours(folder, root):
            continue  # replaced since by somebody else, or by another copy of the course
        shutil.rmtree(folder)
        if _backup(folder).exists():
            shutil.move(_backup(folder), folder)
        undone.append(folder)
    record.unlink(missing_ok=True)
    return undone


def _write_door(folder: Path, root: Path, python: Path, before: dict[str, Any] | None) -> None:
    replaced = _mark_of(folder) or {}
    if folder.exists() and not replaced:
        backup = _backup(folder)
        if backup.exists():
            shutil.rmtree(backup)
        backup.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, backup)
    original = _original_command(before, folder) or replaced.get("before")
    folder.mkdir(parents=True, exist_ok=True)
    door = folder / "start-kernel.sh"
    door.write_text(
        _DOOR.format(
            root=_quoted(str(root.resolve())),
            python=_quoted(str(python)),
            settings="".join(_kept_settings()),
            before=_as_shell(original) if original else _UNKNOWN_BEFORE,
        )
    )
    earlier = before["spec"] if before else {}
    spec = {
        "argv": ["/bin/sh", str(door), "{connection_file}"],
        # Jupyter saves this name in every notebook it writes, so it stays what it was.
        "display_name": earlier.get("display_name", "Python 3 (ipykernel)"),
        "language": "python",
        "env": earlier.get("env", {}),
        "metadata": {
            "debugger": True,
            MARK: {"root": str(root.resolve()), "python": str(python), "before": original},
        },
    }
    (folder / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n")


def _original_command(found: dict[str, Any] | None, folder: Path) -> list[str] | None:
    """The command of the kernel that ours stands before, with its files where they will be."""
    if not found:
        return None
    spec = found["spec"]
    mark = spec.get("metadata", {}).get(MARK)
    if mark:
        return mark.get("before")
    argv = [str(word) for word in spec["argv"]]
    if argv and re.fullmatch(r"python(3(\.\d+)?)?", argv[0]):  # Jupyter's own interpreter
        argv[0] = found.get("python") or shutil.which(argv[0]) or argv[0]
    place = Path(found["resource_dir"])
    place = _backup(folder) if place == folder else place
    return [word.replace("{resource_dir}", str(place)) for word in argv]


def _backup(folder: Path) -> Path:
    """Beside ``kernels``, since everything inside that folder is listed as a kernel."""
    return folder.parent.parent / "avatar-course-backup" / folder.name


def _mark_of(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / "kernel.json").read_text())["metadata"][MARK]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_ours(folder: Path, root: Path) -> bool:
    mark = _mark_of(folder)
    return bool(mark) and mark.get("root") == str(root.resolve())


def _as_shell(command: list[str]) -> str:
    words = [_quoted(word).replace("{connection_file}", "'\"$1\"'") for word in command]
    return "exec " + " ".join(words)


def _kept_settings() -> Iterator[str]:
    for name, value in sorted(os.environ.items()):
        if re.fullmatch("AVATAR_[A-Z_]+", name):
            yield f"        {name}=${{{name}:-{_quoted(value)}}}; export {name}\n"


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _note(record: Path, folders: list[Path]) -> None:
    known = [*dict.fromkeys([*_noted(record), *folders])]
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps([str(folder) for folder in known], indent=1) + "\n")


def _noted(record: Path) -> list[Path]:
    try:
        return [Path(name) for name in json.loads(record.read_text())]
    except (OSError, ValueError):
        return []


def _python3_of(jupyter: str | None) -> dict[str, Any] | None:
    """What this ``jupyter`` starts for ``python3``: ``resource_dir``, ``spec``, its ``python``."""
    if jupyter is None:
        return None
    answer = _run(jupyter, "kernelspec", "list", "--json")
    found = json.loads(answer)["kernelspecs"].get("python3") if answer else None
    return {**found, "python": _interpreter_of(jupyter)} if found else None


def _interpreter_of(script: str) -> str | None:
    """The Python that a script's first line names."""
    with open(script, "rb") as file:
        words = file.readline().decode(errors="replace").strip()
    named = words.removeprefix("#!").strip()
    return named if words.startswith("#!") and Path(named).exists() else None


def _data_folder(jupyter: str) -> Path:
    """The user's folder for Jupyter's data, as this ``jupyter`` sees it."""
    answer = _run(jupyter, "--data-dir")
    if not answer:
        raise SetupError(
            "Jupyter does not say where it keeps kernels",
            f"{jupyter} --data-dir failed",
            "choose the course's .venv/bin/python as the notebooks' kernel by hand",
        )
    return Path(answer.strip())


def _run(*command: str) -> str:
    try:
        answer = subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if answer.returncode:
        print(answer.stderr.strip(), file=sys.stderr)
    return answer.stdout if answer.returncode == 0 else ""
