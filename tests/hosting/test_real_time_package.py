"""The archive of the real-time container, looked at as its container would."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from helpers.archives import pack, read_members, unpack
from helpers.bases import base_hash
from helpers.cloud.images import IMAGES
from helpers.errors import BaseModelError
from helpers.hosting.picture import Painted
from helpers.hosting.real_time_package import DOOR, package_real_time
from helpers.pins import direct_pins, ranges, unmet
from helpers.settings import ROOT


@pytest.fixture(scope="module")
def archive(small_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "model.tar.gz"
    return package_real_time(path, base_folder=small_base)


@pytest.fixture(scope="module")
def model_dir(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    unpack(archive, folder, limit_bytes=1024**3, limit_members=1000)
    return folder


def in_container(code: str, model_dir: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run Python as the container does: ``code/`` on its path, and nothing of the course."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=model_dir,
        env={"PYTHONPATH": f"{model_dir}/code", "PATH": "", "HF_HUB_OFFLINE": "1",
             "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip


def test_the_pipeline_lies_at_the_root(model_dir: Path, small_base: Path) -> None:
    tops = {path.name for path in model_dir.iterdir()}
    assert {"model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler"} <= tops
    assert tops - {"code", "base.json"} <= {path.name for path in small_base.iterdir()}
    assert base_hash(model_dir) == base_hash(small_base)


def test_code_holds_the_door_and_what_it_needs(model_dir: Path) -> None:
    code = model_dir / "code"
    assert {path.name for path in code.iterdir()} == {"inference.py", "requirements.txt", "helpers"}
    rooms = {path.name for path in (code / "helpers").iterdir()}
    assert {"hosting", "bases", "errors.py", "startup.py"} <= rooms
    assert not rooms & {"local", "cloud", "photos", "pocket", "ui", "experiments", "demo"}


@pytest.mark.slow
def test_the_archive_paints_with_nothing_but_itself(model_dir: Path) -> None:
    code = """
import json, sys
import inference
model = inference.model_fn(".")
answer = inference.predict_fn({"prompt": "a dog", "num_inference_steps": 2, "seed": 1}, model)
ours = [m.__file__ for name, m in sys.modules.items() if name.partition(".")[0] == "helpers"]
print(json.dumps({"ours": ours, "answer": answer}))
"""
    done = in_container(code, model_dir)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said["ours"]) > 5 and all(file.startswith(str(model_dir)) for file in said["ours"])
    painted = Painted.from_base64(said["answer"]["generated_images"][0])
    assert (painted.info["seed"], painted.image.size) == (1, (64, 64))
    assert "start-up check passed" in done.stdout and "painting with pocket" in done.stdout


def test_a_container_without_a_library_says_so_before_anything_else(
    archive: Path, tmp_path: Path
) -> None:
    members: dict[str, Path | bytes] = dict(read_members(archive, limit_bytes=1024**3))
    members["code/requirements.txt"] = b"diffusers>=0.1,<0.2\nno-such-package>=1,<2\n"
    unpack(pack(members, tmp_path / "old.tar.gz"), tmp_path / "model")
    done = in_container("import inference; inference.model_fn('.')", tmp_path / "model")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "SetupError" in last
    assert f"diffusers is {version('diffusers')}, wanted >=0.1,<0.2" in last
    assert "no-such-package is missing" in last


def test_the_same_parts_give_the_same_bytes(
    archive: Path, small_base: Path, tmp_path: Path
) -> None:
    again = package_real_time(tmp_path / "model.tar.gz", base_folder=small_base)
    assert again.read_bytes() == archive.read_bytes()


def test_a_folder_without_a_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError):
        package_real_time(tmp_path / "m", base_folder=tmp_path)


def test_the_requirements_hold_in_the_container_and_here() -> None:
    """Nothing to install in either: the ranges reach from the image's versions to the course's."""
    requirements = DOOR / "requirements.txt"
    wanted = ranges(requirements)
    lines = [line for line in requirements.read_text().splitlines() if line[0] != "#"]
    assert len(wanted) == len(lines) and not direct_pins(requirements)
    assert unmet(wanted) == {}
    carried = IMAGES["real-time"].carries
    for name, limits in wanted.items():
        low = limits.removeprefix(">=").split(",")[0]
        assert f"{carried[name]}.".startswith(f"{low}."), f"{name} {carried[name]}"


def test_the_door_is_thin() -> None:
    code = [line for line in (DOOR / "inference.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 20
    assert not (ROOT / "models" / "realtime" / "code" / "helpers").exists(), "packed, never copied"
