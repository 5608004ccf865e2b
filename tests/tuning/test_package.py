from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from helpers.archives import read_members, unpack
from helpers.bases import BaseModel, open_base
from helpers.cloud.images import IMAGES, UNKNOWN
from helpers.errors import BaseModelError, ConfigError, SetupError
from helpers.local.djl_properties import read_properties
from helpers.pins import direct_pins
from helpers.settings import ROOT
from helpers.tuning.package import package_training_service
from helpers.wheels import closure, install_packages, vendor_wheels
from tests.launcher.packages import only_from, wheel

REQUIREMENTS = ROOT / "training_service" / "requirements.txt"
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
    """The door loads its base with only the archive and DJL's package in reach."""
    code = (
        "import sys, model, helpers; assert 'torch' not in sys.modules; "
        "model.load({'model_dir': '.', 'predict_timeout': '9', 'staging_s3_uri': 's3://b/x'}); "
        "print(helpers.__file__); print(*sorted(n for n in sys.modules if n.startswith('helpers')))"
    )
    shim = ROOT / "helpers" / "local" / "djl"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=model_dir,
        env={
            "PYTHONPATH": f"{model_dir}:{shim}", "PATH": "", "HF_HUB_OFFLINE": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    checked, where, modules = done.stdout.splitlines()
    assert checked.startswith("start-up check passed: torch")
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
    pins = direct_pins(REQUIREMENTS)
    assert pins
    assert {name: version(name) for name in pins} == pins


def test_nothing_replaces_the_container_s_torch() -> None:
    """pip takes an installed torch that every requirement allows, and leaves it alone."""
    needed = closure(direct_pins(REQUIREMENTS))
    assert not [name for name in needed if name == "torch" or name.startswith(("nvidia", "triton"))]
    limits = {
        f"{name}: {line}": Requirement(line).specifier
        for name in needed
        for line in requires(name) or []
        if Requirement(line).name in ("torch", "torchvision") and "extra" not in line
    }
    assert any(text.startswith("peft:") for text in limits), "somebody does ask for torch"
    oldest = min(
        (image.carries["torch"] for image in IMAGES.values() if image.carries["torch"] != UNKNOWN),
        key=Version,
    )
    for carried in (oldest, IMAGES["training"].carries["torch"]):
        assert not [text for text, limit in limits.items() if carried not in limit]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ``vendor_wheels`` fetches for two tiny packages, one of which also wants torch."""
    index, here = tmp_path / "index", tmp_path / "here"
    wheel(index, "painter", "1.0", requires=["palette", "torch>=1.13", 'brush; extra == "more"'])
    wheel(index, "palette", "2.0")
    wheel(index, "palette", "3.0")
    for name, value in only_from(index).items():
        monkeypatch.setenv(name, value)
    for name in ("painter-1.0", "palette-2.0"):
        with zipfile.ZipFile(index / f"{name}-py3-none-any.whl") as archive:
            archive.extractall(here)
    monkeypatch.syspath_prepend(str(here))
    (tmp_path / "wanted.txt").write_text("painter==1.0\n")
    return vendor_wheels(tmp_path / "wanted.txt", tmp_path / "wheels").parent


def test_an_archive_with_wheels_installs_without_any_index(
    wheels: Path, tiny: BaseModel, tmp_path: Path
) -> None:
    """In an environment with a torch of its own, as DJL installs: that torch stays."""
    archive = package_training_service(
        tmp_path / "m.tar.gz", base_folder=tiny.folder, staging_s3_uri=STAGING, wheels=wheels
    )
    unpack(archive, tmp_path / "model", limit_bytes=1024**3, limit_members=1000)
    lock = tmp_path / "model" / "requirements.txt"
    assert direct_pins(lock) == {"painter": "1.0", "palette": "2.0"}
    theirs = wheel(tmp_path / "theirs", "torch", "2.6.0")
    python = tmp_path / "venv" / "bin" / "python"
    bare = {"PIP_CONFIG_FILE": "/dev/null", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    run = partial(subprocess.run, check=True, cwd="/", env=bare, timeout=120)
    run([sys.executable, "-m", "venv", str(tmp_path / "venv")])
    run([python, "-m", "pip", "-q", "install", "--no-index", str(theirs)])
    run([python, "-m", "pip", "-q", "install", "-r", str(lock)])
    code = "import painter, palette, torch; print(painter.version, palette.version, torch.version)"
    said = run([python, "-c", code], capture_output=True, text=True).stdout
    assert said.split() == ["1.0", "2.0", "2.6.0"]
    spoiled = next((tmp_path / "model" / "requirements").glob("palette*"))
    spoiled.write_bytes(wheel(tmp_path / "other", "palette", "2.0", requires=["x"]).read_bytes())
    again = [python, "-m", "pip", "-q", "install", "--force-reinstall", "-r", str(lock)]
    refused = subprocess.run(again, cwd="/", env=bare, timeout=120, capture_output=True, text=True)
    assert refused.returncode and "HASHES" in refused.stderr.upper()


def test_a_container_without_packages_gets_a_folder_of_them(wheels: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "index", "torch", "2.6.0")
    folder = install_packages(tmp_path / "wanted.txt", tmp_path / "packages")
    code = "import painter, palette, torch; print(painter.version, palette.version, torch.version)"
    said = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert said.split() == ["1.0", "3.0", "2.6.0"]


def test_wheels_that_are_not_there_are_said_so(
    wheels: Path, tmp_path: Path, tiny: BaseModel
) -> None:
    (tmp_path / "wanted.txt").write_text("nowhere-to-be-found==1.0\n")
    with pytest.raises(SetupError, match="nowhere-to-be-found"):
        vendor_wheels(tmp_path / "wanted.txt", tmp_path / "more")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match="holds no wheels"):
        package_training_service(
            tmp_path / "m",
            base_folder=tiny.folder,
            staging_s3_uri=STAGING,
            wheels=tmp_path / "empty",
        )


def test_what_only_describes_a_job_does_not_load_torch() -> None:
    modules = ("config", "adapter", "progress", "prompts", "package")
    code = f"import sys, {', '.join(f'helpers.tuning.{name}' for name in modules)}; "
    code += "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
