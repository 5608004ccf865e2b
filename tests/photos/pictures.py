"""Pictures for the tests of this room, drawn here or shipped inside scikit-image."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

Picture = Image.Image


def astronaut() -> Picture:
    """512 x 512, one face around (222, 115), some 100 pixels wide. Public domain (NASA)."""
    return Image.fromarray(data.astronaut())


def cat() -> Picture:
    return Image.fromarray(data.chelsea())


def coffee() -> Picture:
    return Image.fromarray(data.coffee())


def arrows(width: int = 96, height: int = 64) -> Picture:
    """A picture whose corners tell which way up it is: red, green, blue, white."""
    image = Image.new("RGB", (width, height), "grey")
    draw = ImageDraw.Draw(image)
    third = (width // 3, height // 3)
    for colour, x, y in (("red", 0, 0), ("green", 2, 0), ("blue", 0, 2), ("white", 2, 2)):
        corner = x * third[0], y * third[1]
        draw.rectangle((*corner, corner[0] + third[0], corner[1] + third[1]), colour)
    return image


def encoded(image: Picture, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_16_bit(values: np.ndarray) -> bytes:
    """A 16-bit PNG, grey (h, w) or colour (h, w, 3): Pillow itself cannot write the second."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if values.ndim == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def with_secrets() -> bytes:
    """A JPEG that a phone might write: turned by EXIF, with place, owner and comment."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to show it
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)
    return encoded(arrows(), "JPEG", quality=95, exif=exif, comment=b"SecretComment")
