"""In a Jupyter of another environment, ``python3`` leads to the course, and only inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.launcher import kernels

_KERNEL_SAYS = """
import sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3", cwd=sys.argv[1])
try:
    reply = client.execute_interactive(
        "import sys; print(sys.prefix)",
        timeout=60,
        output_hook=lambda message: print(message["content"].get("text", ""), end=""),
    )
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""


@dataclass(frozen=True, kw_only=True)
class Jupyter:
    """A Jupyter in an environment that is not the course's, with a home of its own."""

    prefix: Path
    home: Path
    variables: Mapping[str, str]

    @property
    def command(self) -> str:
        return str(self.prefix / "bin" / "jupyter")

    @property
    def kernel(self) -> Path:
        return self.prefix / "share" / "jupyter" / "kernels" / "python3"

    @property
    def user_kernel(self) -> Path:
        return self.home / ".local" / "share" / "jupyter" / "kernels" / "python3"

    def prefix_in(self, folder: Path) -> str:
        """The environment of the Python that this Jupyter starts for a notebook in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        answer = subprocess.run(
            [self.prefix / "bin" / "python", "-c", _KERNEL_SAYS, folder],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
        )
        return answer.stdout.strip() or answer.stderr


def make_environment(prefix: Path) -> Path:
    """An environment that borrows this one's packages, as a base image has its own."""
    venv.create(prefix, symlinks=True)
    library = next((prefix / "lib").iterdir()) / "site-packages"
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (library / "borrowed.pth").write_text("\n".join(ours) + "\n")
    return prefix


@pytest.fixture(params=["user first", "environment first"])
def jupyter(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Jupyter]:
    prefix = make_environment(tmp_path / "image")
    for name, entry in (
        ("jupyter", "jupyter_core.command:main"),
        ("jupyter-kernelspec", "jupyter_client.kernelspecapp:KernelSpecApp.launch_instance"),
    ):
        script = prefix / "bin" / name
        module, _, function = entry.partition(":")
        script.write_text(
            f"#!{prefix}/bin/python\nimport sys, {module}\nsys.exit({module}.{function}())\n"
        )
        script.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    variables = {
        "HOME": str(home),
        "JUPYTER_PREFER_ENV_PATH": "0" if request.param == "user first" else "1",
        "PATH": f"{prefix}/bin{os.pathsep}{os.environ['PATH']}",
    }
    for name in ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "XDG_DATA_HOME", "JUPYTER_PLATFORM_DIRS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = Jupyter(prefix=prefix, home=home, variables=variables)
    found.kernel.mkdir(parents=True)
    (found.kernel / "kernel.json").write_text(
        json.dumps(
            {
                "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "Python of the image",
                "language": "python",
            }
        )
    )
    return found


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "jupyter/kernels" in path.as_posix()
    }


@pytest.mark.slow
def test_python3_is_the_courses_inside_it_and_the_servers_elsewhere(
    jupyter: Jupyter, tmp_path: Path
) -> None:
    root = tmp_path / "it's a course"
    course = make_environment(root / ".venv")
    record = root / ".course" / "kernels.json"
    before = snapshot(tmp_path / "image"), snapshot(jupyter.home)

    done = kernels.register(root, course / "bin" / "python", jupyter=jupyter.command, record=record)
    assert done.sure
    assert jupyter.prefix_in(root / "notebooks") == str(course)
    assert jupyter.prefix_in(tmp_path / "elsewhere") == str(jupyter.prefix)

    # Registered twice, it still knows what was there first.
    kernels.register(root, course / "bin" / "python", jupyter=jupyter.command, record=record)
    assert jupyter.prefix_in(tmp_path / "elsewhere") == str(jupyter.prefix)

    assert kernels.unregister(root, record) == list(done.folders)
    assert (snapshot(tmp_path / "image"), snapshot(jupyter.home)) == before
    assert kernels.unregister(root, record) == []


@pytest.mark.parametrize("jupyter", ["user first"], indirect=True)
def test_settings_of_the_command_reach_the_course_s_notebooks_alone(
    jupyter: Jupyter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that runs already was started without them, and cannot be told."""
    root, python = tmp_path / "course", tmp_path / "course" / "python"
    root.mkdir()
    python.write_text('#!/bin/sh\necho "$AVATAR_LEARNER|$AVATAR_BUCKET|$AVATAR_OUTPUTS"\n')
    python.chmod(0o755)
    monkeypatch.setenv("AVATAR_LEARNER", "ada")
    monkeypatch.setenv("AVATAR_BUCKET", "of the server")
    monkeypatch.setenv("AVATAR_OUTPUTS", "/ada's {own} $(echo no)")
    kernels.register(root, python, jupyter=jupyter.command, record=tmp_path / "kernels.json")
    door = str(jupyter.user_kernel / "start-kernel.sh")

    def says(**server: str) -> str:
        variables = {"PATH": os.environ["PATH"], **server}
        done = subprocess.run(
            ["/bin/sh", door, "f"], cwd=root, env=variables, capture_output=True, text=True
        )
        return done.stdout.strip() or done.stderr

    assert says() == "ada|of the server|/ada's {own} $(echo no)"
    told = {"AVATAR_LEARNER": "bob", "AVATAR_BUCKET": "", "AVATAR_OUTPUTS": "/a b"}
    assert says(**told) == "bob|of the server|/a b"
    for name in ("AVATAR_LEARNER", "AVATAR_BUCKET", "AVATAR_OUTPUTS"):
        monkeypatch.delenv(name)
    kernels.register(root, python, jupyter=jupyter.command, record=tmp_path / "kernels.json")
    assert says() == "||"


@pytest.mark.parametrize("jupyter", ["user first"], indirect=True)
def test_an_earlier_kernel_of_the_user_comes_back(jupyter: Jupyter, tmp_path: Path) -> None:
    earlier = {"argv": ["/my/own/python", "{connection_file}"], "display_name": "Mine"}
    jupyter.user_kernel.mkdir(parents=True)
    (jupyter.user_kernel / "kernel.json").write_text(json.dumps(earlier))
    record = tmp_path / "kernels.json"
    root = tmp_path / "course"
    root.mkdir()
    for _ in range(2):
        kernels.register(root, Path(sys.executable), jupyter=jupyter.command, record=record)
        spec = json.loads((jupyter.user_kernel / "kernel.json").read_text())
        assert spec["display_name"] == "Mine"
        door = (jupyter.user_kernel / "start-kernel.sh").read_text()
        assert "exec '/my/own/python' '" in door
    # Nothing but the kernel itself lies where Jupyter would list it as another one.
    assert [path.name for path in jupyter.user_kernel.parent.iterdir()] == ["python3"]

    kernels.unregister(root, record)
    assert json.loads((jupyter.user_kernel / "kernel.json").read_text()) == earlier


@pytest.mark.parametrize("jupyter", ["user first"], indirect=True)
def test_a_kernel_that_somebody_else_put_there_since_is_left_alone(
    jupyter: Jupyter, tmp_path: Path
) -> None:
    record = tmp_path / "kernels.json"
    kernels.register(tmp_path, Path(sys.executable), jupyter=jupyter.command, record=record)
    (jupyter.user_kernel / "kernel.json").write_text('{"argv": ["theirs"]}')
    assert kernels.unregister(tmp_path, record) == []
    assert jupyter.user_kernel.exists()


@pytest.mark.parametrize("jupyter", ["user first"], indirect=True)
def test_a_server_whose_jupyter_is_unknown_gets_it_without_a_promise(
    jupyter: Jupyter, tmp_path: Path
) -> None:
    done = kernels.register(
        tmp_path, Path(sys.executable), jupyter=None, record=tmp_path / "kernels.json"
    )
    assert done.folders == (jupyter.user_kernel,)
    assert not done.sure


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"SAGEMAKER_ROLE_ARN": "arn:aws:iam::123456789012:role/mine"}, None),
        ({"JUPYTER_PREFER_ENV_PATH": "1"}, None),
        ({"SAGEMAKER_APP_TYPE": "JupyterLab"}, "SageMaker Studio"),
        ({"JUPYTER_SERVER_URL": "http://localhost:8888/"}, "a running Jupyter server"),
        ({"JPY_PARENT_PID": "17"}, "a running Jupyter server"),
    ],
)
def test_a_jupyter_is_known_by_what_it_gives_its_children(
    environ: dict[str, str],
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(kernels, "STUDIO_METADATA", tmp_path / "absent.json")
    assert kernels.running_server(environ) == expected


def test_studio_is_known_by_its_metadata_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "resource-metadata.json").write_text("{}")
    monkeypatch.setattr(kernels, "STUDIO_METADATA", tmp_path / "resource-metadata.json")
    assert kernels.running_server({}) == "SageMaker Studio"
