"""The doors through which files and texts of strangers come in, each with something good."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.archives import unpack
from helpers.bases.fetch import read_manifest
from helpers.bases.folder import open_base
from helpers.bases.prepare import prepare_base
from helpers.cloud.prices import read_price_file
from helpers.hosting.client import decode_response
from helpers.hosting.real_time_client import decode_answer
from helpers.hosting.real_time_request import RealTimeRequest
from helpers.hosting.request import Limits, several_from_json
from helpers.photos import load_folder, load_photo, read_request
from helpers.settings import Settings
from helpers.strict_json import parse
from helpers.tuning.adapter import read_adapter, unpack_adapter
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.jumpstart import read_dataset, read_hyperparameters
from tests.hostile.forge import adapter, base, picture, tar, written

LIMITS = Limits(side=64, longest_side=128)
GOOD = picture()


@dataclass(frozen=True, kw_only=True)
class Door:
    """``knock`` hands material to a parser, which may use an empty folder; ``good`` is served.

    ``silent``: what is refused here leaves Triton, so nothing of it may be repeated.
    """

    name: str
    what: str
    knock: Callable[[Any, Path], object]
    good: Any
    silent: bool = False


def _configured(content: bytes, _: Path) -> FineTuneConfig:
    request = read_request(tar(("a.jpg", GOOD), ("config.json", content)))
    return FineTuneConfig.from_mapping(request.config)


def _photo(given: tuple[str, bytes], _: Path) -> object:
    return load_photo(given[1], given[0])


def _files(read: Callable[[Path], object]) -> Callable[[Mapping[str, bytes], Path], object]:
    return lambda files, room: read(written(files, room))


def _linked(read: Callable[[Path], object]) -> Callable[[Any, Path], object]:
    """Files, or a function that lays them out in the room itself."""

    def knock(given: Any, room: Path) -> object:
        if callable(given):
            given(room)
            return read(room)
        return read(written(given, room))

    return knock


class _Bucket:
    """Just enough of an S3 client to hold one object."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.content)}


def _prepared(room: Path) -> object:
    return prepare_base(room / "base", settings=Settings(state=room / "state"))


def _prices(content: bytes, room: Path) -> object:
    return read_price_file(written({"prices.json": content}, room) / "prices.json")


def _v2(name: str, *texts: str) -> bytes:
    tensor = {"name": name, "shape": [1, len(texts)], "datatype": "BYTES", "data": texts}
    return json.dumps({"outputs": [tensor]}).encode()


_IMAGE = base64.b64encode(picture("PNG")).decode()
_MANIFEST = {"files": {"unet/config.json": {"bytes": 2, "sha256": "a" * 64}}}
_INFO = b'{"instance_prompt": "a photo of a x dog", "class_prompt": "a photo of a dog"}'

DOORS = {
    door.name: door
    for door in (
        Door(name="request", what="the request archive (`helpers.photos.read_request`)",
             knock=lambda data, _: read_request(data), good=tar(("a.jpg", GOOD))),
        Door(name="unpack", what="an archive unpacked to disk (`helpers.archives.unpack`)",
             knock=lambda data, room: unpack(data, room / "out", limit_bytes=4 * 1024**2),
             good=tar(("a.txt", b"good"))),
        Door(name="photo", what="one photo (`helpers.photos.load_photo`)",
             knock=_photo, good=("a.jpg", GOOD)),
        Door(name="photos", what="a folder of photos (`helpers.photos.load_folder`)",
             knock=_files(load_folder), good={"a.jpg": GOOD}),
        Door(name="config.json", what="`config.json` of a request, and what it configures",
             knock=_configured, good=b'{"n_steps": 300}'),
        Door(name="hyperparameters", what="a training job's hyperparameters",
             knock=lambda given, _: read_hyperparameters(given), good={"max_steps": "10"}),
        Door(name="data set", what="a training job's data (`helpers.tuning.jumpstart`)",
             knock=_files(read_dataset), good={"a.jpg": GOOD, "dataset_info.json": _INFO}),
        Door(name="V2 JSON", what="the three inputs of the multi-model endpoint", silent=True,
             knock=lambda given, _: several_from_json(*given, limits=LIMITS),
             good=("a dog", None, '{"seed": 3}')),
        Door(name="real-time JSON", what="the body of the real-time endpoint", silent=True,
             knock=lambda given, _: RealTimeRequest.from_json(parse(given, finite=False),
                                                              limits=LIMITS),
             good='{"prompt": "a dog"}'),
        Door(name="V2 answer", what="what a multi-model endpoint answers",
             knock=lambda body, _: decode_response(body), good=_v2("generated_image", _IMAGE)),
        Door(name="real-time answer", what="what a real-time endpoint answers",
             knock=lambda body, _: decode_answer(body),
             good=json.dumps({"generated_images": [_IMAGE]}).encode()),
        Door(name="adapter", what="an adapter's folder (`helpers.tuning.adapter.read_adapter`)",
             knock=_linked(read_adapter), good=adapter()),
        Door(name="adapter archive", what="a staged adapter, before it is published",
             knock=lambda data, room: unpack_adapter(data, room / "adapter"),
             good=tar(*adapter().items())),
        Door(name="base", what="a base's folder (`helpers.bases.open_base`)",
             knock=_files(open_base), good=base()),
        Door(name="base to prepare", what="a downloaded base (`helpers.bases.prepare`)",
             knock=lambda files, room: _prepared(written(files, room / "base").parent),
             good=base()),
        Door(name="stored base", what="`base.json` of a base in the bucket",
             knock=lambda content, _: read_manifest(_Bucket(content), "s3://course/base/"),
             good=json.dumps(_MANIFEST).encode()),
        Door(name="settings", what="the `AVATAR_*` variables",
             knock=lambda given, _: Settings.from_environment(given), good={"AVATAR_FAST": "1"}),
        Door(name="prices", what="a file of one's own prices",
             knock=_prices,
             good=b'{"date": "2026-12-01", "prices": {"us-east-1": {"ml.g5.xlarge": 1.4}}}'),
    )
}  # fmt: skip
