from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from helpers.archives import read_members, unpack
from helpers.bases import BaseModel, open_base
from helpers.errors import BaseModelError, ConfigError
from helpers.local.djl_properties import read_properties
from helpers.settings import ROOT
from helpers.tuning.package import package_training_service

STAGING = "s3://bucket/staging"


@pytest.fixture(scope="module")
def archive(tiny: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "model.tar.gz"
    return package_training_service(
        path, base_folder=tiny.folder, staging_s3_uri=STAGING + "/", timeout_s=900
    )


@pytest.fixture(scope="module")
def model_dir(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    unpack(archive, folder, limit_bytes=1024**3, limit_members=1000)
    return folder


def test_the_properties_are_filled_in(model_dir: Path) -> None:
    assert "@" not in (model_dir / "serving.properties").read_text().replace("@...@", "")
    properties = read_properties(model_dir, {})
    assert properties.options["staging_s3_uri"] == STAGING
    assert properties.options["rolling_batch"] == "disable"
    assert properties.predict_timeout == 900
    assert properties.workers == 1


def test_the_base_travels_whole_and_without_its_card(
    tiny: BaseModel, model_dir: Path, copy_base: Callable[[], Path], tmp_path: Path
) -> None:
    assert open_base(model_dir / "base").hash == tiny.hash
    folder = copy_base()
    (folder / "README.md").write_text("a card")
    again = package_training_service(
        tmp_path / "m.tar.gz", base_folder=folder, staging_s3_uri=STAGING
    )
    names = read_members(again.read_bytes(), limit_bytes=1024**3, limit_members=1000)
    assert "base/model_index.json" in names
    assert "base/README.md" not in names


def test_the_archive_needs_nothing_but_itself(model_dir: Path) -> None:
    """The door imports with only the archive and DJL's package in reach."""
    code = (
        "import sys, model, helpers; "
        "print(helpers.__file__); print(*sorted(n for n in sys.modules if n.startswith('helpers')))"
    )
    shim = ROOT / "helpers" / "local" / "djl"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=model_dir,
        env={"PYTHONPATH": f"{model_dir}:{shim}", "PATH": "", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    where, modules = done.stdout.splitlines()
    assert where.startswith(str(model_dir))
    assert "helpers.tuning.fine_tune" in modules


def test_the_container_gets_the_trainer_and_not_the_course(model_dir: Path) -> None:
    rooms = {path.name for path in (model_dir / "helpers").iterdir()}
    assert {"tuning", "photos", "archives.py", "errors.py"} <= rooms
    assert not rooms & {"local", "cloud", "hosting", "pocket", "ui", "experiments"}


def test_the_same_parts_give_the_same_bytes(tiny: BaseModel, archive: Path, tmp_path: Path) -> None:
    again = package_training_service(
        tmp_path / "model.tar.gz", base_folder=tiny.folder, staging_s3_uri=STAGING, timeout_s=900
    )
    assert again.read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("uri", ["bucket/prefix", "https://bucket/x", "s3://", "s3://b/x\ny=1"])
def test_an_address_that_is_none_is_refused(tiny: BaseModel, tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match="staging_s3_uri"):
        package_training_service(tmp_path / "m", base_folder=tiny.folder, staging_s3_uri=uri)


def test_a_folder_without_a_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError):
        package_training_service(tmp_path / "m", base_folder=tmp_path, staging_s3_uri=STAGING)


def test_the_container_s_packages_are_the_course_s() -> None:
    lines = (ROOT / "training_service" / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins
    assert {name: version(name) for name in pins} == pins


def test_what_only_describes_a_job_does_not_load_torch() -> None:
    modules = ("config", "adapter", "progress", "prompts", "package")
    code = f"import sys, {', '.join(f'helpers.tuning.{name}' for name in modules)}; "
    code += "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
