"""The values that travel through this room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image as PillowImage

from helpers.errors import fit_to_print

if TYPE_CHECKING:
    from helpers.photos.faces import Box

Image = PillowImage.Image


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One usable photo: upright, RGB, free of metadata.

    ``notes`` are the named warnings in words, such as "rotated upright from EXIF". ``box``: what
    somebody framed in it by hand, in its pixels; it travels with the photo.
    """

    name: str
    image: Image
    notes: tuple[str, ...] = ()
    box: Box | None = None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A file that could not be used, and why."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{fit_to_print(self.name, 255)}: {self.why}"


class PhotoSet(list[Photo]):
    """The usable photos of a folder or archive in order of name, and what was ``refused``."""

    def __init__(self, photos: Iterable[Photo] = (), refused: Iterable[Refused] = ()) -> None:
        super().__init__(photos)
        self.refused = tuple(refused)


def plain_copy(image: Image) -> Image:
    """The pixels alone as RGB: no EXIF, place, comment or colour profile comes along."""
    rgb = image.convert("RGB")
    return PillowImage.frombytes("RGB", rgb.size, rgb.tobytes())
