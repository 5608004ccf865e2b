from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from helpers.archives import pack, read_members
from helpers.bases import BaseModel, open_base
from helpers.errors import AdapterError, ArchiveError, ServiceError
from helpers.hosting.publisher import (
    build_avatar_archive,
    build_setup_archive,
    publish_avatar,
    publish_setup,
)
from helpers.local.model_server import SAFE_TARGET
from helpers.settings import ROOT
from helpers.tuning.adapter import pack_adapter, read_adapter
from tests.hosting.conftest import MakeAdapter

BUCKET = "course"
STAGED = f"s3://{BUCKET}/staging/job/adapter.tar.gz"
PREFIX = f"s3://{BUCKET}/avatars-endpoint/"


@pytest.fixture(scope="module")
def base(pocket: Path) -> BaseModel:
    return open_base(pocket)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def keys(s3: Any) -> set[str]:
    found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {one["Key"] for one in found if not one["Key"].startswith("staging/")}


def stage(s3: Any, folder: Path, tmp_path: Path) -> None:
    archive = pack_adapter(folder, tmp_path / "adapter.tar.gz")
    s3.put_object(Bucket=BUCKET, Key="staging/job/adapter.tar.gz", Body=archive.read_bytes())


def test_an_archive_is_one_folder_with_stub_and_adapter(
    make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    folder = make_adapter(3, token="<dog>", words=2)
    members = read_members(build_avatar_archive(folder, tmp_path / "a.tar.gz"))
    assert set(members) == {
        "sd_lora/config.pbtxt",
        "sd_lora/1/model.py",
        "sd_lora/1/adapter/adapter.json",
        "sd_lora/1/adapter/pytorch_lora_weights.safetensors",
        "sd_lora/1/adapter/learned_embeds.safetensors",
    }
    again = build_avatar_archive(shutil.copytree(folder, tmp_path / "copy"), tmp_path / "b.tar.gz")
    assert again.read_bytes() == (tmp_path / "a.tar.gz").read_bytes(), "deterministic"


def test_the_setup_archive_is_one_folder(tmp_path: Path) -> None:
    door = {"model_setup/config.pbtxt", "model_setup/1/model.py"}
    assert set(read_members(build_setup_archive(tmp_path / "model_setup.tar.gz"))) == door
    for name in ("repository/avatar_base/1/model.py", "packages/torch/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    whole = build_setup_archive(
        tmp_path / "model_setup.tar.gz",
        base_repository=tmp_path / "repository",
        packages=tmp_path / "packages",
    )
    base = "model_setup/1/repository/avatar_base/1"
    assert set(read_members(whole)) == {
        *door, f"{base}/model.py", f"{base}/packages/torch/__init__.py"
    }  # fmt: skip


def test_stubs_need_nothing_but_numpy_and_triton() -> None:
    allowed = {"concurrent", "fcntl", "hashlib", "json", "os", "pathlib", "re", "shutil"}
    allowed |= {"tempfile", "threading", "time"}
    for model in ("training_service/sd_lora", "models/model_setup"):
        source = (ROOT / model / "1" / "model.py").read_text()
        imported = set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
        assert imported - allowed <= {"numpy", "triton_python_backend_utils"}
        assert "KIND_CPU" in (ROOT / model / "config.pbtxt").read_text()


def test_publishing_verifies_names_and_uploads(
    s3: Any, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    targets = set()
    for seed in (1, 2):
        folder = make_adapter(seed, text_encoder=seed == 2)
        stage(s3, folder, tmp_path)
        target = publish_avatar(s3, STAGED, PREFIX, base=base, work=tmp_path / "work")
        assert SAFE_TARGET.fullmatch(target)
        assert target.startswith("avatars/dog-")
        assert read_adapter(folder).manifest.sha256[:16] in target
        body = s3.get_object(Bucket=BUCKET, Key=f"avatars-endpoint/{target}")["Body"].read()
        assert body == build_avatar_archive(folder, tmp_path / "same.tar.gz").read_bytes()
        again = publish_avatar(s3, STAGED, PREFIX.rstrip("/"), base=base, work=tmp_path / "work")
        assert again == target
        targets.add(f"avatars-endpoint/{target}")
    assert keys(s3) == targets
    assert not list((tmp_path / "work").iterdir()), "nothing is left on disk"


@pytest.mark.promise(
    "Only a checked adapter gets code and a place to serve",
    fault="another base's, altered weights, a stray program, members that climb, no tar",
    outcome="refused; nothing in the serving prefix",
)
@pytest.mark.parametrize("kind", ["another base", "altered", "stray member", "escaping", "no tar"])
def test_nothing_is_published_that_does_not_fit(
    s3: Any, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path, kind: str
) -> None:
    stage(s3, make_adapter(1), tmp_path)
    archive = tmp_path / "adapter.tar.gz"
    if kind == "another base":
        base = replace(base, hash="0" * 64)
    elif kind == "no tar":
        archive.write_bytes(b"no archive")
    else:
        members: dict[str, Path | bytes] = dict(read_members(archive))
        weights = "pytorch_lora_weights.safetensors"
        if kind == "altered":
            content = members[weights]
            assert isinstance(content, bytes)
            members[weights] = content[:-4] + b"\1\2\3\4"
        elif kind == "stray member":
            members["1/model.py"] = b"import os"
        archive.unlink()
        pack(members, archive)
        if kind == "escaping":
            archive.write_bytes(_escaping())
    s3.put_object(Bucket=BUCKET, Key="staging/job/adapter.tar.gz", Body=archive.read_bytes())
    with pytest.raises((AdapterError, ArchiveError)):
        publish_avatar(s3, STAGED, PREFIX, base=base, work=tmp_path / "work")
    assert keys(s3) == set()
    assert not list((tmp_path / "work").iterdir())


def _escaping() -> bytes:
    import io
    import tarfile

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        member = tarfile.TarInfo("../../adapter.json")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"{}"))
    return raw.getvalue()


def test_the_setup_target_is_published_under_the_originals_name(s3: Any, tmp_path: Path) -> None:
    assert publish_setup(s3, PREFIX, work=tmp_path) == "model_setup.tar.gz"
    assert keys(s3) == {"avatars-endpoint/model_setup.tar.gz"}


@pytest.mark.parametrize("uri", ["/etc/passwd", "https://bucket/key", "s3:///key", ""])
def test_only_s3_addresses_are_read(s3: Any, base: BaseModel, tmp_path: Path, uri: str) -> None:
    with pytest.raises(ServiceError):
        publish_avatar(s3, uri, PREFIX, base=base, work=tmp_path)
