"""Anything at all through each door: served, or refused in words that help. Nothing else happens.

What is good is damaged a little (random bytes alone seldom get past a parser's first line), and
values of the wrong kinds are put where JSON, safetensors and tables name what they hold.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

from helpers.hosting.real_time_request import USUAL
from helpers.settings import Settings
from helpers.tuning.adapter import MANIFEST
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.jumpstart import HYPERPARAMETERS
from tests.hostile.cases import SECRET
from tests.hostile.doors import DOORS
from tests.hostile.forge import adapter, base, picture, tar, tensors, weights
from tests.hostile.test_cases import knocked

EXAMPLES = {"photo": 60, "photos": 25, "base": 25, "base to prepare": 25, "stored base": 40}
USUALLY = 50

_EDIT = st.tuples(
    st.sampled_from(["over", "in", "cut", "again"]),
    st.floats(0, 1),
    st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from(
        [bytes(4), b"\xff" * 8, b"NaN", b"1e999", b"[" * 3000, b'"', b"}", b"../", b"-1"]
    )),
)  # fmt: skip


def _edited(content: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, place, new in edits:
        at = int(place * len(content))
        before, after = content[:at], content[at:]
        match kind:
            case "over":
                content = before + new + after[len(new) :]
            case "in":
                content = before + new + after
            case "cut":
                content = before + after[len(new) ** 2 :]
            case _:
                content = before + after[: 8 * len(new)] + after
    return content


def damaged(*good: bytes) -> st.SearchStrategy[bytes]:
    """One of these with up to five edits, or bytes that never were any."""
    edits = st.lists(_EDIT, min_size=1, max_size=5)
    return st.one_of(st.builds(_edited, st.sampled_from(good), edits), st.binary(max_size=200))


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from([SECRET, "x" * 5000, "\u202e", "\ud800", "../..", 10**400, -1, 0, 2**63]),
)  # fmt: skip
ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def odd_object(usual: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The usual object with some of its values, or names, replaced by anything."""
    names = st.one_of(st.sampled_from(list(usual)), st.text(max_size=10))
    return st.dictionaries(names, ANYTHING, min_size=1, max_size=3).map(
        lambda odd: {**usual, **odd}
    )


def odd_json(usual: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    text = st.one_of(odd_object(usual), ANYTHING).map(lambda value: json.dumps(value).encode())
    return st.one_of(text, damaged(json.dumps(usual).encode()))


def odd_files(
    good: Mapping[str, bytes], **odd: st.SearchStrategy[bytes]
) -> st.SearchStrategy[dict[str, bytes]]:
    """The good files, one of them damaged, left out, or replaced by what is said for it."""

    def one(name: str) -> st.SearchStrategy[dict[str, bytes]]:
        rest = {other: content for other, content in good.items() if other != name}
        contents = odd.get(name, damaged(good[name]))
        return st.one_of(contents.map(lambda content: {**rest, name: content}), st.just(rest))

    return st.one_of(*map(one, good))


def _kinds_of_picture() -> list[bytes]:
    grey = Image.linear_gradient("L").resize((40, 40))
    profile = grey.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        picture("JPEG", (40, 40), progressive=True), picture("PNG", (40, 40)),
        picture("JPEG", (40, 40), exif=exif, icc_profile=b"\0" * 128),
        *(_encoded(image, kind) for image, kind in [
            (grey.convert("P"), "PNG"), (grey.convert("LA"), "PNG"), (grey.convert("I;16"), "PNG"),
            (profile.convert("CMYK"), "JPEG"), (grey.convert("1"), "PNG"),
        ]),
    ]  # fmt: skip


def _encoded(image: Image.Image, kind: str) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _unzipped(data: bytes) -> st.SearchStrategy[bytes]:
    """A tar damaged under its gzip's checksum, or the gzip itself."""
    return st.one_of(damaged(gzip.decompress(data)).map(lambda raw: gzip.compress(raw, 1)),
                     damaged(data, gzip.decompress(data)))  # fmt: skip


def _members(names: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(names, st.binary(max_size=40)), min_size=1, max_size=4).map(
        lambda rows: tar(*((name.replace("\0", "") or "a", content) for name, content in rows))
    )


_WRITABLE = st.characters(codec="utf-8")
_NAMES = st.one_of(
    st.text(_WRITABLE, max_size=20),
    st.sampled_from(
        ["a.jpg", "config.json", "../a.jpg", "/a", "A.JPG", "a/", "a/b", "a", "..", "."]
    ),
)
_HEADER = st.dictionaries(
    st.one_of(st.sampled_from([*weights(), "__metadata__"]), st.text(max_size=10)),
    st.one_of(ANYTHING, st.fixed_dictionaries({
        "dtype": st.one_of(st.sampled_from(["F16", "F32", "BF16", "I8", "F64", "BOOL"]), ANYTHING),
        "shape": st.one_of(st.lists(st.integers(-1, 9), max_size=3), ANYTHING),
        "data_offsets": st.one_of(
            st.tuples(st.integers(0, 64), st.integers(0, 64)).map(list), ANYTHING),
    })),
    max_size=3,
)  # fmt: skip
_TENSORS = st.one_of(
    damaged(save(weights())),
    st.builds(tensors, _HEADER, st.binary(max_size=64)),
    st.builds(tensors, _HEADER, st.binary(max_size=64), length=st.integers(0, 2**64 - 1)),
)
_WORDS = {"<x>": np.ones((2, 8), np.float32)}


def _odd_adapter() -> st.SearchStrategy[dict[str, bytes]]:
    """An adapter whose manifest vouches for whatever its other files hold."""
    manifest = json.loads(adapter()[MANIFEST])
    return st.one_of(
        _TENSORS.map(lambda content: adapter(content)),
        st.one_of(damaged(save(_WORDS)), _TENSORS).map(lambda content: adapter(words=content)),
        odd_json(manifest).map(lambda content: {**adapter(), MANIFEST: content}),
        odd_files(adapter(words=save(_WORDS))),
    )


def _odd_base() -> st.SearchStrategy[dict[str, bytes]]:
    files = base()
    texts = {name: odd_json(json.loads(content)) for name, content in files.items()
             if name.endswith(".json") and json.loads(content)}  # fmt: skip
    return odd_files(files, **texts, **{"text_encoder/model.safetensors": _TENSORS})


_CONFIG = {name: value for name, value in vars(FineTuneConfig()).items()
           if isinstance(value, (int, float, str, bool))}  # fmt: skip
_VARIABLES = sorted({f"AVATAR_{name.upper()}" for name in vars(Settings())})
_GEN_ARGS = {"seed": 3, "guidance_scale": 4.0, "num_inference_steps": 2, "width": 64, "height": 64,
             "num_images_per_prompt": 1, "label": False, "scheduler": "ddim"}  # fmt: skip
_TENSOR = {"name": "generated_image", "shape": [1, 1], "datatype": "BYTES", "data": ["x"]}
_INFO = json.loads(DOORS["data set"].good["dataset_info.json"])
_PROMPTS = st.one_of(st.text(max_size=30), ANYTHING)

MATERIAL: dict[str, st.SearchStrategy[Any]] = {
    "request": st.one_of(_unzipped(DOORS["request"].good), _members(_NAMES)),
    "unpack": st.one_of(_unzipped(DOORS["unpack"].good), _members(_NAMES)),
    "photo": st.tuples(_NAMES, damaged(*_kinds_of_picture())),
    "photos": odd_files({"a.jpg": picture(), "b.PNG": picture("PNG"), "c.txt": b"x"}),
    "config.json": odd_json(_CONFIG),
    "hyperparameters": st.dictionaries(
        st.one_of(st.sampled_from(list(HYPERPARAMETERS)), st.text(max_size=10)),
        st.one_of(_LEAVES.map(str), st.text(max_size=10)), max_size=4),
    "data set": odd_files(DOORS["data set"].good, **{"dataset_info.json": odd_json(_INFO)}),
    "V2 JSON": st.tuples(
        _PROMPTS, _PROMPTS,
        st.one_of(odd_json(_GEN_ARGS).map(lambda raw: raw.decode("latin-1")), ANYTHING)),
    "real-time JSON": st.one_of(odd_object({"prompt": "a dog", **USUAL}), ANYTHING).map(json.dumps),
    "V2 answer": st.one_of(
        odd_json({"outputs": [_TENSOR]}),
        odd_object(_TENSOR).map(lambda tensor: json.dumps({"outputs": [tensor]}).encode()),
        damaged(DOORS["V2 answer"].good)),
    "real-time answer": st.one_of(
        odd_json({"generated_images": ["x"], "unread": [{}], "num_images_per_prompt": 1}),
        damaged(DOORS["real-time answer"].good)),
    "adapter": _odd_adapter(),
    "adapter archive": st.one_of(
        _unzipped(DOORS["adapter archive"].good),
        _odd_adapter().map(lambda files: tar(*files.items()))),
    "base": _odd_base(),
    "base to prepare": _odd_base(),
    "stored base": odd_json(json.loads(DOORS["stored base"].good)),
    "settings": st.dictionaries(
        st.one_of(st.sampled_from(_VARIABLES), st.text(max_size=10).map("AVATAR_".__add__)),
        st.one_of(_LEAVES.map(str), st.text(max_size=10)), max_size=3),
    "prices": odd_json(json.loads(DOORS["prices"].good)),
}  # fmt: skip


_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def test_every_door_is_tried() -> None:
    assert MATERIAL.keys() == DOORS.keys()


@pytest.mark.promise(
    "Nothing that comes makes a parser fall over",
    fault="fuzzing: good input damaged, wrong kinds of values, random bytes",
    outcome="served or refused in words; the next good request is served",
)
@pytest.mark.parametrize("name", DOORS)
def test_whatever_comes_is_served_or_refused_in_words(name: str) -> None:
    door = DOORS[name]

    @settings(
        max_examples=EXAMPLES.get(name, USUALLY), deadline=None, database=None,
        suppress_health_check=_SLOW,
    )  # fmt: skip
    @given(MATERIAL[name])
    def knock(material: Any) -> None:
        with tempfile.TemporaryDirectory() as room:
            knocked(door, material, Path(room))

    knock()
    with tempfile.TemporaryDirectory() as room:
        assert door.knock(door.good, Path(room) / "served")
