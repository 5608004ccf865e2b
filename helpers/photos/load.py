"""Photos from bytes, files and folders: upright, RGB, bounded in size, free of metadata."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from helpers.errors import PhotoError, fit_to_print
from helpers.photos.colour import to_rgb, upright
from helpers.photos.frames import KEY, SIDECAR, with_boxes
from helpers.photos.photo import Image, Photo, PhotoSet, Refused, plain_copy
from helpers.strict_json import parse_object

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"})
MOST_PIXELS = 80_000_000
SHORTEST_SIDE = 32
LONGEST_SIDE = 4096
_ADVICE = "export the photo again as JPEG or PNG"


def load_photo(
    data: bytes | Path, name: str | None = None, *, longest_side: int = LONGEST_SIDE
) -> Photo:
    """One photo, turned upright and converted to RGB, at most ``longest_side`` pixels a side.

    Odd pictures (CMYK, 16 bits, animated, transparent, palette, grey) are converted and say so in
    ``notes``. Raises ``PhotoError`` naming the photo if it is no picture, is truncated, has less
    than 32 pixels on a side, or more than 80 million pixels: that is checked before decoding.
    """
    name = name or (data.name if isinstance(data, Path) else "photo")
    try:
        content = data.read_bytes() if isinstance(data, Path) else data
    except OSError as error:
        raise _unusable(name, error.strerror or "it cannot be read", "") from error
    if not content:
        raise _unusable(name, "the file is empty (0 bytes)", "copy it again from the camera")
    if content[4:8] == b"ftyp":
        raise _unusable(name, "it is a HEIC, AVIF or video file", "export the photo as JPEG")
    image, notes = _decoded(content, name, longest_side)
    if min(image.size) < SHORTEST_SIDE:
        width, height = image.size
        why = f"{width} x {height} pixels are too few"
        raise _unusable(name, why, f"use one with {SHORTEST_SIDE} pixels or more on each side")
    return Photo(name=name, image=image, notes=tuple(notes))


def load_folder(path: Path) -> PhotoSet:
    """Every photo directly in a folder, by name. Files that look like photos and cannot be used
    are listed in ``refused``; files of other kinds (notes, hidden files) are passed over. Boxes
    that guided capture wrote beside them (``capture.json``) come with their photos.

    Raises ``PhotoError`` if there is no folder, no usable photo in it, or the boxes are damaged.
    """
    if not path.is_dir():
        raise PhotoError(f"there is no folder {path}", "", "name the folder that holds the photos")
    photos: list[Photo] = []
    refused: list[Refused] = []
    for file in sorted(path.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.suffix.lower() in SUFFIXES:
            sort_in(file, file.name, photos, refused)
        elif looks_like_photo(file.name):
            refused.append(
                Refused(name=file.name, why=f"{file.suffix} is not supported. {_ADVICE}")
            )
    if not photos:
        raise no_usable_photo(f"the folder {path.name}", refused)
    return PhotoSet(_framed(photos, path / SIDECAR), refused)


def _framed(photos: list[Photo], sidecar: Path) -> list[Photo]:
    if not sidecar.is_file():
        return photos
    try:
        return with_boxes(photos, parse_object(sidecar.read_bytes()).get(KEY, {}))
    except ValueError as error:
        raise PhotoError(
            f"{sidecar.name} in {sidecar.parent.name} cannot be used", str(error),
            "correct it, or delete it: then no box is given",
        ) from None  # fmt: skip


def sort_in(
    data: bytes | Path,
    name: str,
    photos: list[Photo],
    refused: list[Refused],
    longest_side: int = LONGEST_SIDE,
) -> None:
    """Load one photo into ``photos``, or write down in ``refused`` why it cannot be used."""
    try:
        photos.append(load_photo(data, name, longest_side=longest_side))
    except PhotoError as error:
        refused.append(Refused(name=name, why=" ".join(filter(None, (error.why, error.next)))))


def looks_like_photo(name: str) -> bool:
    """Camera formats that we cannot read, so that they are refused aloud."""
    return Path(name).suffix.lower() in {
        ".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw",
    }  # fmt: skip


def no_usable_photo(where: str, refused: list[Refused]) -> PhotoError:
    why = "; ".join(str(item) for item in refused[:5]) or "it holds no .jpg, .jpeg or .png file"
    more = f"; and {len(refused) - 5} more" if len(refused) > 5 else ""
    return PhotoError(
        f"no usable photo in {where}", why + more, "add ten or so JPEG or PNG photos of one subject"
    )


def _decoded(content: bytes, name: str, longest_side: int) -> tuple[Image, list[str]]:
    PillowImage.init()  # until then Pillow knows only some of the formats
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damage is told by the PhotoError
            warnings.simplefilter("error", PillowImage.DecompressionBombWarning)
            image = PillowImage.open(io.BytesIO(content), formats=FORMATS)
            if image.width * image.height > MOST_PIXELS:
                raise PillowImage.DecompressionBombError
            notes = _animation(image)
            sixteen_bit = _holds_sixteen_bits(image)
            image.draft(None, (longest_side, longest_side))  # decodes a huge JPEG at a fraction
            image.load()
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning):
        why = f"it claims more than {MOST_PIXELS // 1_000_000} million pixels"
        raise _unusable(name, why, "make it smaller first") from None
    except UnidentifiedImageError:
        raise _unusable(name, "it is not a picture that we can read", _ADVICE) from None
    except Exception as error:  # decoders answer damaged bytes with nearly any exception
        raise _unusable(name, "it is truncated or damaged", _ADVICE) from error
    mode = image.mode
    try:
        image, converted = _converted(image, (longest_side, longest_side), sixteen_bit)
    except Exception as error:  # profiles and palettes are damaged in as many ways
        why = f"its colour mode {mode} is damaged or not supported"
        raise _unusable(name, why, _ADVICE) from error
    return image, notes + converted


def _animation(image: Image) -> list[str]:
    if not getattr(image, "is_animated", False) or image.format == "MPO":  # MPO: a phone's JPEG
        return []
    image.seek(0)
    several = "several pages" if image.format == "TIFF" else "animated"
    return [f"{several}: only the first picture is used"]


def _converted(image: Image, bounds: tuple[int, int], sixteen_bit: bool) -> tuple[Image, list[str]]:
    if image.mode in ("RGB", "RGBA", "L", "CMYK"):  # less to turn and convert
        image.thumbnail(bounds, PillowImage.Resampling.LANCZOS)
    image, turned = upright(image)
    image, converted = to_rgb(image, sixteen_bit=sixteen_bit)
    image.thumbnail(bounds, PillowImage.Resampling.LANCZOS)
    return plain_copy(image), turned + converted


def _holds_sixteen_bits(image: Image) -> bool:
    """Pillow decodes 16-bit colour to 8 bits: only the raw mode of the tiles still tells."""
    for tile in getattr(image, "tile", ()):
        raw_mode = tile[3] if isinstance(tile[3], str) else (tile[3] or ("",))[0]
        if ";16" in str(raw_mode) and not str(raw_mode).startswith("BGR"):
            return True
    return False


def _unusable(name: str, why: str, advice: str) -> PhotoError:
    return PhotoError(f"the photo {fit_to_print(name, 255)} cannot be used", why, advice)
