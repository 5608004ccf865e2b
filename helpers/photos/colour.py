"""From whatever a picture file holds to upright 8-bit RGB, saying what had to be changed."""

from __future__ import annotations

import io

import numpy as np
from PIL import ExifTags, ImageCms, ImageOps
from PIL import Image as PillowImage

from helpers.photos.photo import Image

_FULL_SCALES = (255, 4095, 65535)  # 8, 12 and 16 bits


def upright(image: Image) -> tuple[Image, list[str]]:
    """Turn the picture as its EXIF orientation says."""
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
        if not turned:
            return image, []
        return ImageOps.exif_transpose(image), ["rotated upright from EXIF"]
    except Exception:  # EXIF blocks are broken in many ways; the pixels are still good
        return image, ["damaged EXIF ignored: check that the photo is upright"]


def to_rgb(image: Image, *, sixteen_bit: bool = False) -> tuple[Image, list[str]]:
    """An RGB picture and notes in words. ``sixteen_bit``: the file held 16 bits a channel,
    of which the decoder may already have kept the upper 8."""
    notes = ["reduced from 16 to 8 bits a channel"] if sixteen_bit else []
    if image.mode.startswith(("I", "F")):
        notes = ["reduced from 16 bits or more to 8, grey"]
        image = _to_eight_bits(image)
    elif image.mode in ("1", "L", "LA", "La"):
        notes.append("grey picture, without colour")
    elif image.mode == "CMYK":
        notes.append("converted from CMYK")
    elif image.mode in ("P", "PA"):
        notes.append("converted from a palette of at most 256 colours")
    elif image.mode in ("LAB", "YCbCr"):
        notes.append(f"converted from {image.mode}")

    image, profile_notes = _to_srgb(image)
    image, alpha_notes = _on_white(image)
    return image.convert("RGB"), notes + profile_notes + alpha_notes


def _to_eight_bits(image: Image) -> Image:
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    values = values.clip(min=0)
    peak = values.max(initial=0)
    if image.mode.startswith("F") and peak <= 1:
        full = 1.0
    else:
        full = next((scale for scale in _FULL_SCALES if peak <= scale), peak)
    return PillowImage.fromarray((values * (255 / full)).round().astype(np.uint8))


def _to_srgb(image: Image) -> tuple[Image, list[str]]:
    """Dropping a Display P3 or print profile without this would shift every colour."""
    data = image.info.get("icc_profile")
    if not data or image.mode not in ("RGB", "RGBA", "CMYK", "L", "LAB"):
        return image, []
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        title = ImageCms.getProfileDescription(profile).strip()
        if "srgb" in title.lower():
            return image, []
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(
            image, profile, ImageCms.createProfile("sRGB"), outputMode=mode
        )
        assert converted is not None, "only an in-place conversion returns None"
        return converted, []
    except Exception:  # a damaged or foreign profile: the plain conversion is good enough
        return image, ["damaged colour profile ignored: colours may be a little off"]


def _on_white(image: Image) -> tuple[Image, list[str]]:
    if not (image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info):
        return image, []
    layered = image.convert("RGBA")
    lowest, _ = layered.getchannel("A").getextrema()
    if lowest == 255:
        return layered, []
    white = PillowImage.new("RGBA", layered.size, "white")
    return PillowImage.alpha_composite(white, layered), ["transparent parts filled with white"]
