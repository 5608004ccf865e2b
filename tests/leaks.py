"""Looking for photos, prompts and the secret wherever a run of the course puts bytes.

A ``Watch`` looks while the run goes on, for temporary files and buckets are gone at its end: every
new object of every bucket, every new file of state, outputs and the temporary folder.
"""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.session import LocalSession
from helpers.local.statefile import STATE, LocalService, read_state
from helpers.photos.consent import PLACES

SLICE = 48
LARGEST = 64 * 1024**2
EVERY_S = 1.0


def slices_of(content: bytes) -> set[bytes]:
    """Bytes by which a file is known again, as they are and as base64 at any alignment.

    Of its middle: headers and tables at the beginning are alike in many pictures.
    """
    found = set()
    for place in (0.4, 0.6, 0.8):
        piece = content[int(len(content) * place) :][: SLICE + 3]
        if len(piece) == SLICE + 3:
            found.add(piece[:SLICE])
            found |= {base64.b64encode(piece[begin : begin + SLICE]) for begin in range(3)}
    return found


def unpacked(content: bytes) -> Iterator[bytes]:
    """The bytes, and what an archive of them holds."""
    yield content
    with suppress(OSError, EOFError, tarfile.TarError):
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if plain is not content:
            yield plain


def members(archive: bytes) -> Iterator[bytes]:
    with suppress(tarfile.TarError, OSError), tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            if file := packed.extractfile(member):
                yield file.read()


@dataclass
class Watch:
    """``with Watch(folder, ...) as watch: run()``; then ``watch.seen`` and ``watch.left``.

    ``folder`` holds ``state``, ``outputs`` and ``tmp`` of the run. Places read ``state/logs/…`` and
    ``s3/<key>``; each has the kinds of what was found there: ``photo``, ``prompt``, ``secret``.
    """

    folder: Path
    photos: Iterable[Path]
    prompts: Sequence[str]
    seen: dict[str, set[str]] = field(default_factory=dict)
    left: dict[str, set[str]] = field(default_factory=dict)
    objects: int = 0

    def __post_init__(self) -> None:
        self._needles: dict[str, set[bytes]] = {
            "photo": set().union(*(slices_of(path.read_bytes()) for path in self.photos)),
            "prompt": {text.encode() for text in self.prompts},
            "secret": set(),
        }
        self._looked: set[object] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        for place, content in self._files(again=True):
            if kinds := self.kinds_in(content):
                self.left[place] = kinds

    def add(self, kind: str, needles: Iterable[bytes]) -> None:
        self._needles[kind] |= set(needles)

    def kinds_in(self, content: bytes) -> set[str]:
        plain = list(unpacked(content))
        return {
            kind
            for kind, needles in self._needles.items()
            if any(needle in one for one in plain for needle in needles)
        }

    def outside(self, places: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
        """What was seen at places that ``places`` (patterns, by kind) does not allow."""
        wrong = {
            place: {
                kind
                for kind in kinds
                if not any(fnmatch(place, pattern) for pattern in places.get(kind, ()))
            }
            for place, kinds in self.seen.items()
        }
        return {place: kinds for place, kinds in wrong.items() if kinds}

    def _watch(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            with suppress(BotoCoreError, ClientError, OSError):
                self._look()
            self._over.wait(max(0.1, EVERY_S - (time.monotonic() - began)))

    def _look(self) -> None:
        if service := read_state(self.folder / "state"):
            self.add("secret", [service.secret_key.encode()])
            for place, content in self._bucket(_s3(service)):
                if fnmatch(place, "s3/*/requests/*"):  # as they were packed
                    for member in members(content):
                        self.add("photo", slices_of(member))
                self._note(place, content)
        for place, content in self._files():
            self._note(place, content)

    def _note(self, place: str, content: bytes) -> None:
        if kinds := self.kinds_in(content):
            self.seen.setdefault(place, set()).update(kinds)

    def _bucket(self, s3: Any) -> Iterator[tuple[str, bytes]]:
        for bucket in s3.list_buckets()["Buckets"]:
            listed = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"])
            for item in (one for page in listed for one in page.get("Contents", ())):
                known = (item["Key"], item["ETag"])
                if known not in self._looked and item["Size"] <= LARGEST:
                    self._looked.add(known)
                    body = s3.get_object(Bucket=bucket["Name"], Key=item["Key"])["Body"].read()
                    self.objects += 1
                    yield f"s3/{item['Key']}", body

    def _files(self, *, again: bool = False) -> Iterator[tuple[str, bytes]]:
        for top in ("state", "outputs", "tmp"):
            for path in sorted((self.folder / top).rglob("*")):
                with suppress(OSError):
                    facts = path.lstat()
                    known = (path, facts.st_mtime_ns, facts.st_size)
                    if not path.is_file() or path.is_symlink() or facts.st_size > LARGEST:
                        continue
                    if again or known not in self._looked:
                        self._looked.add(known)
                        yield path.relative_to(self.folder).as_posix(), path.read_bytes()


@lru_cache(maxsize=1)
def _s3(service: LocalService) -> Any:
    return LocalSession(service).client("s3")


PASSING = ("state/demo-*", "tmp/local-sagemaker-*", "state/service.objects/*")
"""The demo's working folder, the containers' disks and the local S3's: gone when the run ends."""
CONSENTED: Mapping[str, Sequence[str]] = {
    "photo": tuple(PLACES.keys() - {"outputs/photos/*"}),  # that is notebook 02's
    "prompt": (*PASSING, "outputs/demo/*", "s3/*/requests/*", "s3/*/staging/*", "s3/*/avatars/*"),
    "secret": (f"state/{STATE}",),
}
"""Where photos, prompts and the secret may be while the demo runs."""
