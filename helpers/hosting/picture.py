"""The answer of the painter: a picture, what is known about it, and both in one file.

The endpoint has one output, a picture. What the caller should know as well (the seed, the adapter,
words that the text encoder did not read) travels in the file itself, where it also stays as its
provenance: the standard IPTC mark of AI-generated media, and ours. PNG is lossless and carries all
of it; JPEG is what the real-time endpoint answers.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image, ImageDraw, ImageFont, PngImagePlugin

from helpers.errors import GenerationError
from helpers.strict_json import parse

CHUNK = "avatar"
_ASK_AGAIN = "Ask again, and check which endpoint and target model you invoke"
LABEL = "AI generated"
LONGEST_IN_JPEG = 2_000
"""Characters of a prompt that a JPEG keeps, whose comment holds 64 KB; far more than is read."""

_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
AI_GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{AI_GENERATED}"/></rdf:RDF></x:xmpmeta>'
)


@dataclass(frozen=True, kw_only=True)
class Painted:
    """A picture and its ``info``: prompt, negative_prompt, seed, steps, guidance, size, base,
    base_hash, adapter_sha256 (``None`` for the base itself) and ``unread``: for each prompt the
    words past the text encoder's window. Empty for a picture made by another service."""

    image: Image.Image
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unread(self) -> Mapping[str, list[str]]:
        """Words that the text encoder did not read, by prompt; empty lists when all were."""
        return self.info.get("unread", {})

    @property
    def withheld(self) -> str | None:
        """Why this is a card and not what was painted (``helpers.hosting.safety``); ``None`` for
        every other picture."""
        return self.info.get("withheld")

    def to_png(self) -> bytes:
        """Lossless PNG with provenance. The same picture and info give the same bytes."""
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("Description", "AI generated")
        chunks.add_itxt(CHUNK, json.dumps(self.info, sort_keys=True, ensure_ascii=False))
        chunks.add_itxt("XML:com.adobe.xmp", _XMP)
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG", pnginfo=chunks)
        return buffer.getvalue()

    def to_jpeg(self, quality: int = 95) -> bytes:
        """JPEG with provenance: a fraction of the bytes, and the pixels no longer exact.

        ``quality`` as Pillow counts it, 1 to 95. ``unread`` and very long prompts' ends stay out.
        """
        info = {name: value for name, value in self.info.items() if name != "unread"}
        for name in ("prompt", "negative_prompt"):
            if name in info:
                info[name] = str(info[name])[:LONGEST_IN_JPEG]
        xmp = _XMP_MARK + _XMP.encode()
        buffer = io.BytesIO()
        self.image.save(
            buffer,
            "JPEG",
            quality=quality,
            subsampling=0,  # half the colours of a small picture would be gone
            comment=json.dumps(info, sort_keys=True).encode(),
            extra=b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp,
        )
        return buffer.getvalue()

    def to_webp(self) -> bytes:
        """Lossless WebP with provenance: about two thirds of the PNG's bytes."""
        exif = Image.Exif()
        exif[ExifTags.Base.ImageDescription] = json.dumps(self.info, sort_keys=True)
        buffer = io.BytesIO()
        self.image.save(buffer, "WEBP", lossless=True, exif=exif, xmp=_XMP.encode())
        return buffer.getvalue()

    def to_bytes(self, format: str = "png") -> bytes:
        """The file in a format of ``helpers.hosting.request.FORMATS``."""
        return {"png": self.to_png, "webp": self.to_webp, "jpeg": self.to_jpeg}[format]()

    def to_base64(self, format: str = "png") -> str:
        """Base64 of the file in a format of ``helpers.hosting.request.FORMATS``."""
        return base64.b64encode(self.to_bytes(format)).decode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Painted:
        """Read a PNG, WebP or JPEG of ours, or any of another service (then ``info`` is empty).

        Raises ``GenerationError`` if the bytes are no picture.
        """
        try:
            image = Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "JPEG"))
            image.load()
            plain = image.convert("RGB")
        except Exception:  # decoders answer damaged bytes, and bombs, with nearly any exception
            raise GenerationError(
                "The answer holds no picture",
                "its bytes are neither PNG, WebP nor JPEG",
                _ASK_AGAIN,
            ) from None
        try:
            told = image.info.get(CHUNK) or image.info.get("comment")
            told = told or image.getexif().get(ExifTags.Base.ImageDescription)
            info = parse(told or "{}")
        except Exception:  # so do readers of EXIF
            info = {}
        return cls(image=plain, info=info if isinstance(info, dict) else {})

    @classmethod
    def from_base64(cls, text: str) -> Painted:
        try:
            return cls.from_bytes(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError, TypeError):
            why = "it is not base64"
            raise GenerationError("The answer holds no picture", why, _ASK_AGAIN) from None


def labelled(image: Image.Image) -> Image.Image:
    """A copy with "AI generated" to be seen in a band at its foot, an eighth of its height."""
    marked = image.copy()
    width, height = image.size
    band = max(8, height // 8)
    draw = ImageDraw.Draw(marked)
    draw.rectangle((0, height - band, width, height), fill=(0, 0, 0))
    size = min(band * 0.8, width / 7)
    where = (width / 2, height - band / 2)
    draw.text(where, LABEL, (255, 255, 255), ImageFont.load_default(size), anchor="mm")
    return marked
