"""The base in a packed Python of its own, and the avatars' stubs in the server's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.errors import SetupError
from helpers.hosting.client import decode_output, encode_request
from helpers.hosting.python_env import pack_environment
from helpers.hosting.repository import build_base_repository
from helpers.local.model_server import ModelServer
from helpers.local.triton import SERVING_PYTHON
from tests.conformance.conftest import triton_or_skip

BASE = """
import json, sys
import numpy as np
import triton_python_backend_utils as pb_utils
import only_in_the_archive

class TritonPythonModel:
    def execute(self, requests):
        said = json.dumps([sys.prefix, only_in_the_archive.WORD]).encode()
        tensor = pb_utils.Tensor("generated_image", np.array([[said]], dtype=object))
        return [pb_utils.InferenceResponse([tensor]) for _ in requests]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installed packages: the server's NumPy, which every model needs, and one of our own."""
    triton_or_skip()
    site = tmp_path_factory.mktemp("packages")
    ask = "import numpy, pathlib; print(pathlib.Path(numpy.__file__).parent.parent)"
    said = subprocess.run([SERVING_PYTHON, "-c", ask], capture_output=True, text=True, check=True)
    for name in ("numpy", "numpy.libs"):
        (site / name).symlink_to(Path(said.stdout.strip()) / name)
    (site / "only_in_the_archive.py").write_text("WORD = 'packed'\n")
    about = site / "only_in_the_archive-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: only-in-the-archive\nVersion: 1\n")
    files = [file for name in ("numpy", "numpy.libs") for file in sorted((site / name).rglob("*"))]
    names = [file.relative_to(site).as_posix() for file in files if "tests" not in file.parts]
    record = [*names, "only_in_the_archive.py", "../../../bin/only", "../../outside.py"]
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in record))
    return site


@pytest.fixture(scope="module")
def archive(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Without compression, which is most of the time and Triton's own library undoes either way.
    path = tmp_path_factory.mktemp("environment") / "environment.tar"
    return pack_environment(SERVING_PYTHON, path, packages=["only-in-the-archive"], site=site)


def test_the_packed_python_runs_from_wherever_it_is_unpacked(archive: Path, tmp_path: Path) -> None:
    home = tmp_path / "some where"
    with tarfile.open(archive) as packed:
        names = packed.getnames()
        packed.extractall(home, filter="data")
    assert not [name for name in names if "outside" in name or "__pycache__" in name]
    code = "import json, sys, ssl, sqlite3, numpy, only_in_the_archive as one; " \
        "print(json.dumps([sys.prefix, numpy.__file__, one.WORD]))"  # fmt: skip
    started = f'source "{home}/bin/activate" && exec env LD_LIBRARY_PATH="{home}/lib" python3'
    said = subprocess.run(
        ["bash", "-c", f"{started} -c '{code}'"], capture_output=True, text=True, check=True,
        env={"PATH": os.defpath, "PYTHONHOME": "/nowhere"},
    ).stdout  # fmt: skip
    prefix, numpy, word = json.loads(said)
    assert Path(prefix) == home and Path(numpy).is_relative_to(home) and word == "packed"


def test_only_the_base_runs_in_it(
    archive: Path, avatar: Callable[..., Path], pocket: Path, tmp_path: Path
) -> None:
    repository = build_base_repository(tmp_path / "base", pocket, environment=archive)
    version = repository / "avatar_base" / "1"
    for folder in (version / "base", version / "helpers"):
        shutil.rmtree(folder)
    (version / "model.py").write_text(BASE)
    with triton_or_skip().start(repository, tmp_path / "server", timeout=120) as server:
        url = avatar()
        assert "EXECUTION_ENV_PATH" not in (url / "sd_lora" / "config.pbtxt").read_text()
        assert server.load("m", url, "avatars/one.tar.gz").status == 200
        answer = server.invoke("m", encode_request("a dog"), "avatars/one.tar.gz")
        prefix, word = json.loads(decode_output(answer.body, "generated_image"))
        assert word == "packed" and Path(prefix, "bin", "activate").is_file()
        assert not Path(prefix).is_relative_to(SERVING_PYTHON.parent.parent)
    assert not Path(prefix).exists(), "Triton unpacked it, and removes it"


def test_an_environment_that_is_not_there_is_said_so(
    server: ModelServer, avatar: Callable[..., Path]
) -> None:
    url = avatar("poor")
    with (url / "sd_lora" / "config.pbtxt").open("a") as config:
        config.write('parameters { key: "EXECUTION_ENV_PATH" value: { string_value: "/no.tar" } }')
    answer = server.load("poor", url, "avatars/poor.tar.gz")
    assert answer.status == 400 and "Failed to get the canonical path for /no.tar" in answer.error


def test_a_package_that_is_missing_is_named_before_anything_is_written(
    site: Path, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match="package torch is not in"):
        pack_environment(SERVING_PYTHON, tmp_path / "x.tar", packages=["torch"], site=site)
    with pytest.raises(SetupError, match="does not run"):
        pack_environment(tmp_path / "no-python", tmp_path / "x.tar")
    assert not list(tmp_path.iterdir())
