"""From an adapter (data, made by a trainer) to an archive of the multi-model endpoint (code).

Whoever writes an endpoint's model prefix runs code for all of its users. So the trainer only
writes adapters to a staging prefix, and this step, with rights of its own, verifies an adapter
and puts our stub beside it. Keys are made here and never taken from a request.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.archives import pack
from helpers.bases import BaseModel
from helpers.hosting.identity import adapter_identity
from helpers.s3 import split_uri
from helpers.settings import ROOT
from helpers.tuning.adapter import (
    EMBEDDINGS,
    MANIFEST,
    WEIGHTS,
    Adapter,
    check_base,
    read_adapter,
    unpack_adapter,
)

STUB = ROOT / "training_service" / "sd_lora"
SETUP = ROOT / "models" / "model_setup"
SETUP_TARGET = "model_setup.tar.gz"


def build_avatar_archive(adapter_folder: Path, path: Path) -> Path:
    """Write the endpoint's archive of one avatar: ``sd_lora/`` with config, stub and adapter.

    The same adapter and stub give the same bytes. Raises ``AdapterError`` for a damaged adapter.
    """
    read_adapter(adapter_folder)
    return pack(_members(adapter_folder), path, compress=True)


def build_setup_archive(
    path: Path, *, base_repository: Path | None = None, packages: Path | None = None
) -> Path:
    """Write the archive of ``model_setup``, the target that says which base is shared.

    With ``base_repository`` (``helpers.hosting.repository``) it also carries the base and sets it
    up on an endpoint without a serving image; ``packages`` is then a folder of installed packages
    (``helpers.wheels.install_packages``), for a container that has none; a repository built with
    an ``environment`` needs none, and brings its own Python.
    """
    members: dict[str, Path | bytes] = {**_code("model_setup", SETUP)}
    carried = "model_setup/1/repository"
    if base_repository is not None:
        members |= _below(f"{carried}/avatar_base", Path(base_repository) / "avatar_base")
    if base_repository is not None and packages is not None:
        members |= _below(f"{carried}/avatar_base/1/packages", packages)
    return pack(members, path, compress=True)


def target_model(adapter: Adapter) -> str:
    """The avatar's TargetModel: what the subject is, the adapter's hash and the stub's.

    The stub's hash is part of the key because an endpoint never looks again at a key it has
    cached: a corrected stub needs a new one.
    """
    subject = re.sub(r"[^a-z0-9]+", "-", adapter.manifest.class_noun.lower())
    stub = hashlib.sha256(b"".join(data for _, data in sorted(_stub().items()))).hexdigest()
    slug = subject.strip("-")[:24] or "avatar"
    return f"avatars/{slug}-{adapter_identity(adapter.manifest)[:16]}-{stub[:6]}.tar.gz"


def publish_avatar(s3: Any, adapter_uri: str, mme_uri: str, *, base: BaseModel, work: Path) -> str:
    """Verify a staged adapter and publish it; returns its TargetModel.

    ``adapter_uri`` is the archive a fine-tuning job left in staging, ``mme_uri`` the endpoint's
    model prefix, ``work`` a folder for temporary files. Publishing twice changes nothing.

    Raises ``AdapterError`` (damaged, or made for another base), ``ArchiveError`` (unsafe) and
    ``ServiceError`` (no S3 address); nothing is written then.
    """
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="publish-", dir=work))
    try:
        bucket, key = split_uri(adapter_uri)
        staged = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        adapter = unpack_adapter(staged, folder / "adapter")
        check_base(adapter, base)
        target = target_model(adapter)
        archive = build_avatar_archive(adapter.folder, folder / "avatar.tar.gz")
        _put(s3, archive, mme_uri, target, metadata=_origin(key))
        return target
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish_setup(
    s3: Any,
    mme_uri: str,
    *,
    work: Path,
    base_repository: Path | None = None,
    packages: Path | None = None,
) -> str:
    """Publish ``model_setup.tar.gz``, made by ``build_setup_archive``; returns its TargetModel."""
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="publish-", dir=work) as folder:
        archive = build_setup_archive(
            Path(folder) / SETUP_TARGET, base_repository=base_repository, packages=packages
        )
        _put(s3, archive, mme_uri, SETUP_TARGET)
    return SETUP_TARGET


def _origin(staged: str) -> dict[str, str]:
    """Which job it came from, for whoever has to forget the avatar when its staging is gone."""
    job = re.search(r"staging/([a-z0-9._-]+)/adapter\.tar\.gz$", staged)
    return {"job": job[1]} if job else {}


def _put(
    s3: Any, archive: Path, mme_uri: str, target: str, metadata: Mapping[str, str] | None = None
) -> None:
    bucket, prefix = split_uri(mme_uri)
    prefix = prefix.rstrip("/")
    key = f"{prefix}/{target}" if prefix else target
    s3.upload_file(str(archive), bucket, key, ExtraArgs={"Metadata": dict(metadata or {})})


def _below(place: str, folder: Path) -> dict[str, Path]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {f"{place}/{file.relative_to(folder).as_posix()}": file for file in files}


def _members(adapter_folder: Path) -> Mapping[str, Path | bytes]:
    adapter = {
        f"sd_lora/1/adapter/{name}": file
        for name in (WEIGHTS, MANIFEST, EMBEDDINGS)
        if (file := Path(adapter_folder) / name).exists()
    }
    return {**_stub(), **adapter}


def _stub() -> dict[str, bytes]:
    return _code("sd_lora", STUB)


def _code(top: str, folder: Path) -> dict[str, bytes]:
    names = ("config.pbtxt", "1/model.py")
    return {f"{top}/{name}": (folder / name).read_bytes() for name in names}
