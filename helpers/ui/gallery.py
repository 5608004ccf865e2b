"""The poster: the photos a model learned from, and what it paints with and without the adapter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from helpers.hosting.picture import Painted
from helpers.hosting.provenance import save_picture
from helpers.ui.alt import described
from helpers.ui.sheets import INK, PAPER, SOFT, fitted, font_of, wrapped

TILE, GAP, MARGIN, LABEL = 160, 8, 36, 210


def gallery(
    *,
    photos: Sequence[Image.Image],
    prompts: Sequence[str],
    with_adapter: Sequence[Sequence[Image.Image]],
    without_adapter: Sequence[Sequence[Image.Image]],
    title: str = "From ten photos to avatars",
) -> Image.Image:
    """One row of photos, then a row for each prompt: the avatar, and the base with the same seeds.

    ``with_adapter`` and ``without_adapter`` hold a list of pictures, one for each seed, for each
    prompt. Pictures of any size are brought to 160 px smoothly, photos to what fits one row.
    """
    seeds = len(with_adapter[0])
    half = seeds * (TILE + GAP) - GAP
    width = 2 * MARGIN + LABEL + 2 * half + 3 * GAP
    small = min(TILE, (width - 2 * MARGIN + GAP) // len(photos) - GAP)
    top = MARGIN + 62 + 34
    rows = top + small + 66
    height = rows + len(prompts) * (TILE + GAP) + MARGIN
    poster = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(poster)
    draw.text((MARGIN, MARGIN - 8), title, INK, font_of(34, bold=True))
    draw.text((MARGIN, top - 30), "the photos it learned from", SOFT, font_of(17))
    for place, photo in enumerate(photos):
        poster.paste(fitted(photo, small), (MARGIN + place * (small + GAP), top))
    left = MARGIN + LABEL
    right = left + half + 3 * GAP
    draw.text((left, rows - 30), "with the adapter", INK, font_of(17, bold=True))
    beside = wrapped("same prompts and seeds without it", font_of(17), half, most=1)[0]
    draw.text((right, rows - 30), beside, SOFT, font_of(17))
    for row, prompt in enumerate(prompts):
        y = rows + row * (TILE + GAP)
        words = "\n".join(wrapped(prompt, font_of(17), LABEL - 20, most=6))
        draw.multiline_text((MARGIN, y + 12), words, INK, font_of(17), spacing=6)
        for x, pictures in ((left, with_adapter[row]), (right, without_adapter[row])):
            for place, picture in enumerate(pictures):
                poster.paste(fitted(picture, TILE), (x + place * (TILE + GAP), y))
    told = (
        f"{title}: the {len(photos)} photos, and for each prompt {seeds} pictures with the adapter"
    )
    return described(poster, f"{told} beside as many without", *prompts)


def save_poster(poster: Image.Image, path: Path, *, adapters: Iterable[str | None]) -> Path:
    """Write the poster, and a note beside it, which say, as each picture in it does, that it is AI
    generated and by which ``adapters`` (``info["adapter_sha256"]`` of its pictures)."""
    info = {"source": "AI generated", "adapters": sorted({one for one in adapters if one})}
    return save_picture(Painted(image=poster, info=info), path)
