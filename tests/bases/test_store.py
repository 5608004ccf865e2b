"""Bases in a real bucket of the local SageMaker, and on a container's disk."""

from __future__ import annotations

import io
import json
import shutil
import zlib
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError
from diffusers import StableDiffusionPipeline

from helpers.bases import BaseModel, accept_licence, shipped_base
from helpers.bases.fetch import fetch_base, read_manifest
from helpers.bases.folder import MANIFEST
from helpers.bases.store import copy_base, find_base, upload_base
from helpers.cloud.ledger import Ledger
from helpers.cloud.resources import Resource, exists, remove
from helpers.cloud.session import Cloud
from helpers.errors import BaseModelError
from helpers.s3 import split_uri
from tests.bases.conftest import Register, pins_of

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def mine(cloud: Cloud, tmp_path: Path) -> Cloud:
    """The shared bucket, below a prefix of the test's own."""
    name = f"t{zlib.crc32(str(tmp_path).encode())}"
    return replace(cloud, settings=replace(cloud.settings, learner=name, state=tmp_path / "state"))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture
def stored(mine: Cloud, ledger: Ledger, tiny: BaseModel) -> str:
    return upload_base(mine, ledger, tiny.folder).uri


class Faulty:
    """An S3 client that breaks off: ``on(operation, count)`` may raise or change the answer."""

    def __init__(self, s3: Any, on: Any) -> None:
        self._s3, self._on, self.calls = s3, on, {}

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            return self._on(self.calls[name], name, getattr(self._s3, name), arguments, named)

        return call


def test_a_base_goes_to_the_bucket_and_back(
    mine: Cloud, ledger: Ledger, tiny: BaseModel, tmp_path: Path
) -> None:
    sent: list[str] = []
    stored = upload_base(
        mine, ledger, tiny.folder, on_file=lambda name, new: sent.append(name) if new else None
    )
    assert stored.uri == mine.uri("bases", "pocket", tiny.hash) + "/"
    assert stored.uploaded == len(sent) > 5 and stored.skipped == 0
    assert find_base(mine, "pocket") == stored.uri
    fetched = fetch_base(mine.client("s3"), stored.uri, tmp_path / "container" / "base")
    assert (fetched.id, fetched.hash) == ("pocket", tiny.hash)
    for name in sent:
        assert (fetched.folder / name).read_bytes() == (tiny.folder / name).read_bytes()
    again = upload_base(mine, ledger, tiny.folder)
    assert (again.uploaded, again.skipped) == (0, stored.uploaded)


def test_it_is_in_the_ledger_and_can_be_removed(mine: Cloud, ledger: Ledger, stored: str) -> None:
    assert ("s3-prefix", stored) in {(entry.kind, entry.name) for entry in ledger.open()}
    resource = Resource(kind="s3-prefix", name=stored)
    assert exists(mine, resource)
    remove(mine, resource)
    assert not exists(mine, resource)
    with pytest.raises(BaseModelError, match="not in your bucket"):
        find_base(mine, "pocket")


def test_half_an_upload_is_no_base_and_the_next_one_goes_on(
    mine: Cloud, ledger: Ledger, tiny: BaseModel, tmp_path: Path
) -> None:
    def third_fails(count: int, name: str, do: Any, arguments: Any, named: Any) -> Any:
        if name == "upload_file" and count == 3:
            raise ConnectionError("cut off")
        return do(*arguments, **named)

    cut = replace(mine, _clients={"s3": Faulty(mine.client("s3"), third_fails)})
    with pytest.raises(ConnectionError):
        upload_base(cut, ledger, tiny.folder)
    uri = mine.uri("bases", "pocket", tiny.hash) + "/"
    assert ("s3-prefix", uri) in {(entry.kind, entry.name) for entry in ledger.open()}
    with pytest.raises(BaseModelError, match="not in your bucket"):
        find_base(mine, "pocket")
    with pytest.raises(BaseModelError, match="no whole base"):
        fetch_base(mine.client("s3"), uri, tmp_path / "base")
    assert not (tmp_path / "base").exists()
    assert upload_base(mine, ledger, tiny.folder).skipped == 2


def test_an_object_that_is_not_the_file_is_sent_again(
    mine: Cloud, ledger: Ledger, tiny: BaseModel, stored: str
) -> None:
    bucket, key = split_uri(stored + UNET)
    size = (tiny.folder / UNET).stat().st_size
    mine.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x" * size)
    assert upload_base(mine, ledger, tiny.folder).uploaded == 1


def test_a_licence_that_was_not_accepted_sends_nothing(
    mine: Cloud, ledger: Ledger, tiny: BaseModel, register: Register
) -> None:
    entry = register(weights={"fp16": pins_of(tiny)})
    with pytest.raises(BaseModelError, match=entry.licence.address):
        upload_base(mine, ledger, tiny.folder, base_id=entry.id)
    assert ledger.open() == []
    accept_licence(entry.id, settings=mine.settings)
    stored = upload_base(mine, ledger, tiny.folder, base_id=entry.id)
    manifest = read_manifest(mine.client("s3"), stored.uri)
    assert manifest["licence"]["licence"] == entry.licence.spdx
    assert manifest["licence"]["accepted"][:2] == "20"
    assert shipped_base(entry.id, settings=mine.settings).folder == tiny.folder.resolve()


def test_a_base_that_had_to_be_changed_is_used_as_it_was_uploaded(
    mine: Cloud, ledger: Ledger, tiny: BaseModel, copy_base: Callable[[], Path], register: Register
) -> None:
    """Half precision alone, as a hub serves it: on this machine it is opened through links."""
    entry, folder = register(weights={"fp16": pins_of(tiny)}), copy_base()
    accept_licence(entry.id, settings=mine.settings)
    for path in list(folder.rglob("*.safetensors")):
        path.rename(path.with_suffix(".fp16.safetensors"))
    for _ in range(2):
        stored = upload_base(mine, ledger, folder, base_id=entry.id)
    base = shipped_base(entry.id, settings=mine.settings)
    assert base.hash == stored.hash == tiny.hash
    assert base.folder != folder
    StableDiffusionPipeline.from_pretrained(base.folder)
    assert sum(path.stat(follow_symlinks=False).st_size for path in base.folder.rglob("*.*")) < 9999


def test_an_altered_object_is_never_fetched(mine: Cloud, stored: str, tmp_path: Path) -> None:
    bucket, key = split_uri(stored + UNET)
    s3 = mine.client("s3")
    data = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    s3.put_object(Bucket=bucket, Key=key, Body=bytes(data))
    with pytest.raises(BaseModelError, match=f"{UNET} of the base model could not be fetched"):
        fetch_base(s3, stored, tmp_path / "base")
    assert not (tmp_path / "base").exists()


class _Broken(io.BytesIO):
    """A body that breaks off half-way."""

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        data = self.getvalue()
        yield data[: len(data) // 2]
        raise ResponseStreamingError(error="cut off")


def test_a_fetch_that_was_cut_off_goes_on_where_it_stopped(
    mine: Cloud, tiny: BaseModel, stored: str, tmp_path: Path
) -> None:
    ranges: list[str] = []

    def breaks(count: int, name: str, do: Any, arguments: Any, named: Any) -> Any:
        answer = do(*arguments, **named)
        if named["Key"].endswith(UNET):
            ranges.append(named.get("Range", ""))
            if "Range" not in named:
                answer["Body"] = _Broken(answer["Body"].read())
        return answer

    s3 = mine.client("s3")
    assert fetch_base(Faulty(s3, breaks), stored, tmp_path / "base").hash == tiny.hash
    assert ranges == ["", f"bytes={(tiny.folder / UNET).stat().st_size // 2}-"]
    # A killed process leaves the same: whole files and a piece of one.
    shutil.rmtree(tmp_path / "base")
    left = tmp_path / ".base.fetching"
    shutil.copytree(tiny.folder / "vae", left / "vae")
    (left / "unet").mkdir()
    (left / f"{UNET}.part").write_bytes((tiny.folder / UNET).read_bytes()[:1000])
    (left / "vae" / "stray.bin").touch()
    asked: list[tuple[str, str]] = []

    def listens(count: int, name: str, do: Any, arguments: Any, named: Any) -> Any:
        asked.append((named["Key"].removeprefix(split_uri(stored)[1]), named.get("Range", "")))
        return do(*arguments, **named)

    assert fetch_base(Faulty(s3, listens), stored, tmp_path / "base").hash == tiny.hash
    assert (UNET, "bytes=1000-") in asked
    assert not [name for name, _ in asked if name.startswith("vae/")]
    assert not (tmp_path / "base" / "vae" / "stray.bin").exists()


def test_a_base_that_is_there_is_not_fetched_again_and_a_damaged_one_is(
    mine: Cloud, tiny: BaseModel, stored: str, tmp_path: Path
) -> None:
    s3 = Faulty(mine.client("s3"), lambda count, name, do, args, named: do(*args, **named))
    fetch_base(s3, stored, tmp_path / "base")
    before = s3.calls["get_object"]
    assert fetch_base(s3, stored, tmp_path / "base").hash == tiny.hash
    assert s3.calls["get_object"] == before + 1, "the manifest alone"
    data = bytearray((tmp_path / "base" / UNET).read_bytes())
    data[-1] ^= 1
    (tmp_path / "base" / UNET).write_bytes(data)
    assert fetch_base(s3, stored, tmp_path / "base").hash == tiny.hash


def test_processes_of_one_container_fetch_once(
    mine: Cloud, tiny: BaseModel, stored: str, tmp_path: Path
) -> None:
    s3 = Faulty(mine.client("s3"), lambda count, name, do, args, named: do(*args, **named))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: fetch_base(s3, stored, tmp_path / "base"), range(3)))
    assert {base.hash for base in found} == {tiny.hash}
    files = len(read_manifest(mine.client("s3"), stored)["files"])
    assert s3.calls["get_object"] == files + 3


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    mine: Cloud, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 10**6)
    monkeypatch.setattr("helpers.bases.fetch.shutil.disk_usage", lambda path: usage)
    s3 = Faulty(mine.client("s3"), lambda count, name, do, args, named: do(*args, **named))
    with pytest.raises(BaseModelError, match=r"disk is too small.*VolumeSizeInGB"):
        fetch_base(s3, stored, tmp_path / "base")
    assert s3.calls == {"get_object": 1}


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../b", MANIFEST])
def test_a_manifest_cannot_write_elsewhere(
    mine: Cloud, stored: str, tmp_path: Path, name: str
) -> None:
    s3, (bucket, key) = mine.client("s3"), split_uri(stored + MANIFEST)
    manifest = read_manifest(s3, stored)
    manifest["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(manifest).encode())
    with pytest.raises(BaseModelError, match="manifest of the base model"):
        fetch_base(s3, stored, tmp_path / "base")


def test_a_base_is_copied_inside_s3(
    mine: Cloud, tiny: BaseModel, stored: str, tmp_path: Path
) -> None:
    s3 = Faulty(mine.client("s3"), lambda count, name, do, args, named: do(*args, **named))
    for _ in range(2):
        copy_base(s3, stored, mine.uri("models", "x", "base"))
    files = len(read_manifest(mine.client("s3"), stored)["files"])
    assert s3.calls["copy"] == files + 2, "what is there is not copied again"
    fetched = fetch_base(mine.client("s3"), mine.uri("models", "x", "base"), tmp_path / "base")
    assert fetched.hash == tiny.hash


def test_an_address_that_does_not_exist_is_said(mine: Cloud, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="no whole base"):
        fetch_base(mine.client("s3"), "s3://nowhere/x", tmp_path / "base")
    with pytest.raises(ClientError):
        mine.client("s3").head_bucket(Bucket="nowhere")
