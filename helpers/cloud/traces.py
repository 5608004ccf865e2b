"""Whose is it? What a file gives away about the avatar that it belongs to.

A trace is a word: ``job:…`` (an inference id), ``photo:…`` (a photo's SHA-256), ``adapter:…`` (the
SHA-256 of weights or of learned words) or ``avatar:…`` (how a TargetModel names its adapter).
Two files that share one belong to the same avatar, wherever they lie and whatever they are called.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from helpers.archives import MIB, read_members
from helpers.cloud.records import FOLDER, PICTURES
from helpers.errors import ArchiveError, GenerationError, PhotoError
from helpers.hosting.identity import adapter_identity
from helpers.tuning.progress import job_name

LARGEST = 1024 * MIB
"""Bytes of the largest file that is looked into, archives counted unpacked."""
_ID = re.compile(r'"inference_?[iI]d": ?"([^"]{1,64})"')
_STAGED = re.compile(r"staging/([a-z0-9._-]+)/adapter\.tar\.gz")
_TARGET = re.compile(r"avatars/[a-z0-9-]+-([0-9a-f]{16})-[0-9a-f]{6}\.tar\.gz")
_SHA256 = re.compile(r'"(?:adapter_|embeddings_)?sha256": ?"([0-9a-f]{64})"')
_HASH = re.compile(r"[0-9a-f]{64}")


def traces_of_key(key: str) -> frozenset[str]:
    """What a key below the learner's prefix says, without the object's content."""
    folder, _, rest = key.partition("/")
    name = rest.partition("/")[0]
    if folder == "staging":
        return frozenset({f"job:{name}"})
    if folder in ("requests", FOLDER):
        stem = name.removesuffix(".tar.gz").removesuffix(".json")
        return frozenset({f"job:{job_name(stem)}"})
    return frozenset(f"avatar:{one}" for one in _TARGET.findall(key))


def traces_in(name: str, data: bytes) -> frozenset[str]:
    """What the content of a file says: an archive, a picture, weights, or any text."""
    if name.endswith((".tar.gz", ".tgz", ".tar")):
        return frozenset(_in_archive(data))
    if name.lower().endswith((*PICTURES, ".webp")):
        return frozenset(_in_picture(name, data))
    return frozenset(_in_other(name, data))


def traces_in_text(text: str) -> frozenset[str]:
    """What a text names: inference ids, places in staging, TargetModels, hashes of adapters."""
    plain = text.replace('\\"', '"')  # JSON in JSON
    return frozenset(
        {f"job:{job_name(one)}" for one in _ID.findall(plain)}
        | {f"job:{one}" for one in _STAGED.findall(plain)}
        | {f"avatar:{one}" for one in _TARGET.findall(plain)}
        | {f"adapter:{one}" for one in _SHA256.findall(plain)}
    )


def _in_archive(data: bytes) -> Iterator[str]:
    try:
        members = read_members(data, limit_bytes=LARGEST, limit_members=50_000)
    except ArchiveError:
        return
    for name, content in members.items():
        if name.lower().endswith(PICTURES):
            yield _photo(content)
        else:
            yield from _in_other(name, content)


def _in_picture(name: str, data: bytes) -> Iterator[str]:
    """The adapters that painted it; a picture that nobody painted is a photo, as it is here and as
    it is sent."""
    from PIL.Image import DecompressionBombError

    from helpers.hosting.picture import Painted
    from helpers.photos.archive import packed_photo
    from helpers.photos.load import load_photo

    try:
        info = Painted.from_bytes(data).info
    except (GenerationError, DecompressionBombError):
        return
    if info:
        painters = [info.get("adapter_sha256"), *info.get("adapters", ())]
        yield from (f"adapter:{one}" for one in painters if one)
        return
    yield _photo(data)
    try:
        yield _photo(packed_photo(load_photo(data, name)))
    except PhotoError:
        return


def _in_other(name: str, data: bytes) -> Iterator[str]:
    if name.endswith(".safetensors"):
        yield f"adapter:{hashlib.sha256(data).hexdigest()}"
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    yield from traces_in_text(text)
    yield from _in_json(text)


def _in_json(text: str) -> Iterator[str]:
    """What only the fields of a manifest or a record say."""
    try:
        known = json.loads(text)
    except ValueError:
        return
    if not isinstance(known, dict):
        return
    if _is_hash(known.get("sha256")):
        manifest: Any = SimpleNamespace(
            sha256=known["sha256"], embeddings_sha256=known.get("embeddings_sha256")
        )
        yield f"avatar:{adapter_identity(manifest)[:16]}"
    for field, kind in (("photos", "photo"), ("adapters", "adapter")):
        named = known.get(field)
        for one in named if isinstance(named, list) else ():
            if _is_hash(one):
                yield f"{kind}:{one}"


def _photo(content: bytes) -> str:
    return f"photo:{hashlib.sha256(content).hexdigest()}"


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))
