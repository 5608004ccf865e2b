"""Pictures that say in words what they show, for those who do not see them.

A picture carries its words in ``info["alt"]``. Pillow's own display drops them, so ``install``
teaches the notebook to show such a picture as HTML with them.
"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

from PIL import Image as PillowImage

Image = PillowImage.Image

LONGEST = 400


def described(picture: Image, *words: str) -> Image:
    """The same picture with ``words``, joined to one text, as its description."""
    text = "; ".join(" ".join(word.split()) for word in words if word.strip())
    picture.info["alt"] = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return picture


def as_html(picture: Image) -> str | None:
    """The picture with its description as HTML; ``None`` where nothing describes it."""
    text = picture.info.get("alt")
    if not text:
        return None
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return tag(buffer.getvalue(), text)


def tag(png: bytes, alt: str, more: str = "") -> str:
    """A PNG in HTML, described; ``more`` attributes as HTML."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(alt)}" {more}src="data:image/png;base64,{data}">'


def install() -> bool:
    """Show described pictures with their words from now on; whether this is a notebook at all."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        return False
    shell.display_formatter.formatters["text/html"].for_type(PillowImage.Image, as_html)
    return True
