from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.bases import open_base
from helpers.errors import BaseModelError
from helpers.hosting.repository import build_base_repository, kept_base_repository
from helpers.packaging import modules_needed
from helpers.pins import direct_pins, installed


def test_the_image_holds_what_serving_needs_and_no_more(pocket: Path, tmp_path: Path) -> None:
    repository = build_base_repository(tmp_path / "repository", pocket)
    assert [entry.name for entry in repository.iterdir()] == ["avatar_base"]
    version = repository / "avatar_base" / "1"
    names = {entry.name for entry in version.iterdir()}
    assert names == {"base", "helpers", "model.py", "requirements.txt"}
    pins = direct_pins(version / "requirements.txt")
    assert pins["diffusers"] == installed("diffusers") and "numpy" not in pins
    copied = {file.relative_to(version).as_posix() for file in version.glob("helpers/**/*.py")}
    assert {"helpers/hosting/base.py", "helpers/tuning/adapter.py"} <= copied
    assert not {file for file in copied if file.split("/")[1] in ("cloud", "local", "photos")}
    assert build_base_repository(tmp_path / "repository", pocket) == repository, "replaces"


def test_a_folder_without_a_base_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError):
        build_base_repository(tmp_path / "repository", tmp_path)
    assert not (tmp_path / "repository").exists()


def test_imports_inside_functions_count() -> None:
    assert "helpers.archives" in modules_needed("helpers.tuning.adapter")
    assert "helpers.hosting" in modules_needed("helpers.hosting.base")
    assert modules_needed("helpers.nobody") == []


def test_the_copy_imports_by_itself(pocket: Path, tmp_path: Path) -> None:
    version = build_base_repository(tmp_path / "repository", pocket) / "avatar_base" / "1"
    said = subprocess.run(
        [sys.executable, "-c", "import helpers.hosting.base, helpers; print(helpers.__file__)"],
        cwd=version,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(version), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == str(version / "helpers" / "__init__.py")


def test_a_kept_repository_is_named_by_its_content_and_built_once(
    pocket: Path, tmp_path: Path
) -> None:
    base = open_base(pocket)
    with ThreadPoolExecutor(3) as pool:
        folders = set(pool.map(lambda _: kept_base_repository(tmp_path, base), range(3)))
    (kept,) = folders
    assert list(tmp_path.iterdir()) == [kept]
    assert (kept / "avatar_base" / "1" / "base" / "model_index.json").exists()
    other = kept_base_repository(tmp_path, replace(base, hash="0" * 64))
    assert other != kept and kept.exists()
