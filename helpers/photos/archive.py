"""The request archive: photos at its root and an optional ``config.json``, as .tar.gz."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image as PillowImage

from helpers.archives import MIB, pack, read_members
from helpers.errors import ConfigError, PhotoError
from helpers.photos.frames import KEY as BOXES
from helpers.photos.frames import to_shares, with_boxes
from helpers.photos.load import SUFFIXES, looks_like_photo, no_usable_photo, sort_in
from helpers.photos.photo import Photo, PhotoSet, Refused, plain_copy
from helpers.strict_json import parse

CONFIG = "config.json"
MOST_PHOTOS = 100
LARGEST_REQUEST = 64 * MIB  # what the DJL container accepts unless it is told otherwise
LARGEST_CONFIG = MIB
LONGEST_SIDE, QUALITY = 1024, 92
READ_SIDE = 2048  # hostile pictures must not fill the container's memory


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a fine-tuning call brings. ``photos.refused`` lists files that cannot be used."""

    photos: PhotoSet
    config: dict[str, Any]

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each file of the archive that was not used."""
        return tuple(f"not used: {item}" for item in self.photos.refused)


def pack_request(
    photos: Sequence[Photo],
    path: Path,
    config: Mapping[str, Any] | None = None,
    *,
    longest_side: int = LONGEST_SIDE,
    quality: int = QUALITY,
) -> Path:
    """Write photos and configuration as one .tar.gz.

    Photos become JPEG with at most ``longest_side`` pixels a side, without EXIF, place or comment,
    under names that any server accepts; their boxes go into the configuration, as ``boxes``.
    Raises ``PhotoError`` for no photo, for more than 100, or for more bytes than the container
    takes; ``ConfigError`` if ``config`` is no JSON object.
    """
    if not photos:
        raise PhotoError("there is no photo to send", "", "add ten or so photos of one subject")
    if len(photos) > MOST_PHOTOS:
        raise PhotoError(f"{len(photos)} photos are too many", f"the limit is {MOST_PHOTOS}")
    names = server_names([photo.name for photo in photos])
    members: dict[str, Path | bytes] = {
        name: packed_photo(photo, longest_side, quality)
        for name, photo in zip(names, photos, strict=True)
    }
    boxes = {
        name: to_shares(photo.box, photo.image.size)
        for name, photo in zip(names, photos, strict=True)
        if photo.box is not None
    }
    if boxes or config is not None:
        members[CONFIG] = _config_bytes(config or {}, boxes)
    size = sum(len(content) for content in members.values() if isinstance(content, bytes))
    if size > LARGEST_REQUEST:
        raise PhotoError(
            f"the photos take {size / MIB:.0f} MiB",
            f"the container accepts {LARGEST_REQUEST // MIB}",
            "send fewer photos or lower longest_side",
        )
    return pack(members, path)


def packed_photo(photo: Photo, longest_side: int = LONGEST_SIDE, quality: int = QUALITY) -> bytes:
    """The photo as it is sent: a JPEG without anything but its pixels, the same bytes each time."""
    image = plain_copy(photo.image)
    image.thumbnail((longest_side, longest_side), PillowImage.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality, subsampling=0, optimize=True)
    return content.getvalue()


def read_request(data: bytes) -> Request:
    """Photos and configuration from the bytes of a .tar or .tar.gz, in memory.

    Unreadable pictures and files of other kinds end up in ``photos.refused``; hidden files (macOS
    adds some) are passed over; ``boxes`` of the configuration come with their photos. Raises
    ``ArchiveError`` for a damaged, empty or unsafe archive, ``PhotoError`` if no photo is usable,
    ``ConfigError`` for a bad ``config.json``.
    """
    members = read_members(data, limit_bytes=4 * LARGEST_REQUEST, limit_members=3 * MOST_PHOTOS)
    config = _read_config(members.pop(CONFIG)) if CONFIG in members else {}
    visible = {name: content for name, content in members.items() if not _hidden(name)}
    photos: list[Photo] = []
    refused: list[Refused] = []
    for name in sorted(visible):
        if why := _no_photo(name):
            refused.append(Refused(name=name, why=why))
        elif len(photos) == MOST_PHOTOS:
            why = f"the limit is {MOST_PHOTOS}"
            raise PhotoError("the request has too many photos", why, "send the best of them")
        else:
            sort_in(visible[name], name, photos, refused, READ_SIDE)
    if not photos:
        raise no_usable_photo("the request", refused)
    try:
        photos = with_boxes(photos, config.pop(BOXES, {}))
    except ValueError as error:
        raise ConfigError(f"{CONFIG} is not usable", str(error), "frame the photo again") from None
    return Request(photos=PhotoSet(photos, refused), config=config)


def server_names(names: Sequence[str]) -> list[str]:
    """One ``.jpg`` name of ``[a-z0-9_-]`` for each photo, all different, still recognisable."""
    given: list[str] = []
    for place, name in enumerate(names, start=1):
        plain = unicodedata.normalize("NFKD", Path(name).stem).encode("ascii", "ignore").decode()
        stem = re.sub(r"[^a-z0-9_]+", "-", plain.lower()).strip("-_")[:60] or f"photo-{place:02}"
        unique, copy = stem, 2
        while f"{unique}.jpg" in given:
            unique, copy = f"{stem}-{copy}", copy + 1
        given.append(f"{unique}.jpg")
    return given


def _no_photo(name: str) -> str:
    """Why a member is no photo by its name and place, or nothing."""
    if "/" in name:
        return "it lies in a folder: pack photos at the root of the archive"
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUFFIXES:
        return ""
    if looks_like_photo(name):
        return f"{suffix} is not supported: export the photo as JPEG or PNG"
    if suffix == ".json":
        plain = "" if name.isascii() else ", in plain letters"  # a look-alike reads the same
        return f"the configuration must be called {CONFIG}{plain}"
    return "it is no .jpg, .jpeg or .png file"


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _config_bytes(config: Mapping[str, Any], boxes: Mapping[str, Any]) -> bytes:
    framed = {BOXES: boxes} if boxes else {}
    try:
        text = json.dumps({**framed, **dict(config)}, indent=2, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError("the configuration cannot be written as JSON", str(error)) from error
    return text.encode()


def _read_config(content: bytes) -> dict[str, Any]:
    """The object in ``config.json``; a key that is there twice would hide one of its values."""
    advice = "write one JSON object, such as {" + '"n_steps": 400}'
    try:
        config = parse(content, at_most=LARGEST_CONFIG)
    except json.JSONDecodeError as error:
        why = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{CONFIG} is not JSON", why, advice) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{CONFIG} is not JSON", "it is not UTF-8 text", advice) from None
    except ValueError as error:
        raise ConfigError(f"{CONFIG} is not usable", str(error), advice) from None
    if not isinstance(config, dict):
        raise ConfigError(f"{CONFIG} is not an object", f"it holds a {_kind(config)}", advice)
    return config


def _kind(value: object) -> str:
    names = {list: "list", str: "text", bool: "switch", int: "number", float: "number"}
    return names.get(type(value), "null")
