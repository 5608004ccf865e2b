"""Sheets of pictures with readable labels: contact sheets, grids, and photos with their crops.

Everything here returns an ordinary picture, to be shown in a cell or saved as PNG. Small pictures
are enlarged smoothly, never cropped or stretched.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from helpers.photos.photo import Image, Photo
from helpers.photos.prepare import CUT_BY, PreparedPhoto
from helpers.ui.alt import described

GAP, MARGIN = 10, 24
PAPER, INK, SOFT, WELL = (252, 251, 248), (32, 34, 40), (96, 100, 110), (240, 238, 232)
FACE, CROP = (0, 114, 178), (230, 159, 0)  # told apart in every kind of colour vision


def contact_sheet(
    images: Sequence[Image],
    captions: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    tile: int = 192,
) -> Image:
    """Pictures in rows, each ``tile`` pixels wide and high, with a caption of up to three lines.

    Without ``columns`` the sheet is about half again as wide as high. Raises ``ValueError`` for no
    picture, or when captions and pictures differ in number.
    """
    if not images or (captions is not None and len(captions) != len(images)):
        raise ValueError("a contact sheet needs pictures, and one caption for each of them")
    columns = min(columns or _balanced(len(images)), len(images))
    if columns < 1:
        raise ValueError("a contact sheet needs a column")
    font = font_of(_text_size(tile))
    lines = [wrapped(text, font, tile, most=3) for text in captions or [""] * len(images)]
    rows = [range(start, min(start + columns, len(images)))
            for start in range(0, len(images), columns)]  # fmt: skip
    heights = [tile + _text_height(font, max(len(lines[k]) for k in row)) for row in rows]
    sheet = _paper(
        2 * MARGIN + columns * (tile + GAP) - GAP, 2 * MARGIN + sum(heights) + GAP * (len(rows) - 1)
    )
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for place, k in enumerate(row):
            x = MARGIN + place * (tile + GAP)
            sheet.paste(fitted(images[k], tile), (x, y))
            _write(draw, lines[k], (x, y + tile + 5), font)
        y += height + GAP
    count = f"{len(images)} pictures" if len(images) > 1 else "a picture"
    return described(sheet, count, *(captions or ()))


def grid(
    rows: Sequence[Sequence[Image | None]],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    *,
    tile: int = 160,
) -> Image:
    """A table of pictures: what was varied downwards, seeds or prompts across.

    ``None`` leaves a cell empty; short rows are filled up with empty cells. Labels wrap to four
    lines. Raises ``ValueError`` for no picture or the wrong number of labels.
    """
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        raise ValueError("a grid needs at least one picture")
    for labels, count in ((row_labels, len(rows)), (column_labels, columns)):
        if labels is not None and len(labels) != count:
            raise ValueError(f"{len(labels)} labels were given for {count} rows or columns")
    font = font_of(_text_size(tile))
    beside = [wrapped(text, font, max(tile, 150), most=4) for text in row_labels or ()]
    above = [wrapped(text, font, tile, most=4) for text in column_labels or ()]
    widths = [font.getlength(line) for lines in beside for line in lines]
    left = MARGIN + (round(max(widths)) + 16 if widths else 0)
    top = MARGIN + _text_height(font, max(map(len, above), default=0))
    sheet = _paper(
        left + columns * (tile + GAP) - GAP + MARGIN, top + len(rows) * (tile + GAP) - GAP + MARGIN
    )
    draw = ImageDraw.Draw(sheet)
    for place, lines in enumerate(above):
        _write(draw, lines, (left + place * (tile + GAP), MARGIN), font)
    for row, pictures in enumerate(rows):
        y = top + row * (tile + GAP)
        if beside:
            middle = y + (tile - _text_height(font, len(beside[row]))) / 2
            _write(draw, beside[row], (MARGIN, middle), font)
        for place in range(columns):
            picture = pictures[place] if place < len(pictures) else None
            sheet.paste(fitted(picture, tile), (left + place * (tile + GAP), y))
    downwards = f"downwards: {', '.join(row_labels)}" if row_labels else ""
    across = f"across: {', '.join(column_labels)}" if column_labels else ""
    return described(sheet, f"{len(rows)} rows of {columns} pictures", downwards, across)


def photo_sheet(
    photos: Sequence[Photo],
    prepared: Sequence[PreparedPhoto],
    *,
    columns: int | None = None,
    tile: int = 176,
) -> Image:
    """Each photo with its face or given box (blue) and its crop (orange), beside the training
    picture that it became. Raises ``ValueError`` if the two lists do not belong together."""
    if [photo.name for photo in photos] != [item.name for item in prepared]:
        raise ValueError("the prepared photos must be those of the photos, in the same order")
    pairs = []
    for photo, item in zip(photos, prepared, strict=True):
        pair = _paper(2 * tile + 4, tile)
        pair.paste(outlined(photo.image, item, tile), (0, 0))
        pair.paste(fitted(item.image, tile), (tile + 4, 0))
        pairs.append(pair)
    captions = [f"{item.name}: {CUT_BY[item.how]}" for item in prepared]
    columns = columns or (3 if len(pairs) > 4 else min(len(pairs), 2))
    return _pair_sheet(pairs, captions, columns, tile)


def outlined(image: Image, prepared: PreparedPhoto, tile: int) -> Image:
    """A photo within ``tile`` x ``tile`` pixels, with its box and its crop drawn on it."""
    sheet = fitted(image, tile)
    scale = tile / max(image.size)
    x, y = ((tile - round(length * scale)) // 2 for length in image.size)
    draw = ImageDraw.Draw(sheet)
    square, box = prepared.square, prepared.box
    marks = [(square.left, square.top, square.side, square.side, CROP)]
    if box is not None:
        marks.append((box.left, box.top, box.width, box.height, FACE))
    for left, top, width, height, colour in marks:
        corners = (x + left * scale, y + top * scale,
                   x + (left + width) * scale, y + (top + height) * scale)  # fmt: skip
        kept = [min(max(edge, 2), tile - 3) for edge in corners]
        draw.rectangle([kept[0] - 1, kept[1] - 1, kept[2] + 1, kept[3] + 1], None, PAPER, 4)
        draw.rectangle(kept, None, colour, 2)
    return sheet


def fitted(image: Image | None, tile: int) -> Image:
    """The whole picture, as large as a ``tile`` x ``tile`` well allows; an empty well for None."""
    well = PillowImage.new("RGB", (tile, tile), WELL)
    if image is None:
        return well
    scale = tile / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    smooth = PillowImage.Resampling.LANCZOS if scale < 1 else PillowImage.Resampling.BICUBIC
    picture = image.convert("RGB").resize(size, smooth, reducing_gap=3 if scale < 1 else None)
    well.paste(picture, ((tile - size[0]) // 2, (tile - size[1]) // 2))
    return well


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, *, most: int) -> list[str]:
    """``text`` in at most ``most`` lines of that width in pixels; an ellipsis ends what is cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    cut = len(lines) > most
    lines = lines[:most]
    for place, line in enumerate(lines):
        last = cut and place == most - 1
        if font.getlength(line + "…" * last) > width or last:
            while line and font.getlength(f"{line}…") > width:
                line = line[:-1]
            lines[place] = f"{line.rstrip()}…"
    return lines


def _pair_sheet(pairs: Sequence[Image], captions: Sequence[str], columns: int, tile: int) -> Image:
    font, wide = font_of(_text_size(tile)), 2 * tile + 4
    legend = _text_height(font, 1) + 8
    height = tile + _text_height(font, 1) + GAP
    rows = -(-len(pairs) // columns)
    sheet = _paper(
        2 * MARGIN + columns * (wide + 2 * GAP) - 2 * GAP, 2 * MARGIN + legend + rows * height - GAP
    )
    draw = ImageDraw.Draw(sheet)
    x = float(MARGIN)
    for colour, words in ((FACE, "face or given box"), (CROP, "what is cut out")):
        draw.rectangle([x, MARGIN + 2, x + 16, MARGIN + 14], None, colour, 3)
        draw.text((x + 24, MARGIN), words, SOFT, font)
        x += 24 + font.getlength(words) + 24
    for k, (pair, caption) in enumerate(zip(pairs, captions, strict=True)):
        left = MARGIN + k % columns * (wide + 2 * GAP)
        top = MARGIN + legend + k // columns * height
        sheet.paste(pair, (left, top))
        _write(draw, wrapped(caption, font, wide, most=1), (left, top + tile + 5), font)
    return described(sheet, "photos, each beside what is cut out of it", *captions)


@cache
def font_of(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib carries, so that every machine draws the same sheet."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def _text_size(tile: int) -> int:
    return min(max(tile // 12, 12), 18)


def _text_height(font: ImageFont.FreeTypeFont, lines: int) -> int:
    return lines * _line(font) + 9 if lines else 0


def _line(font: ImageFont.FreeTypeFont) -> int:
    ascent, descent = font.getmetrics()
    return ascent + descent + 1


def _write(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[str],
    at: tuple[float, float],
    font: ImageFont.FreeTypeFont,
) -> None:
    for place, line in enumerate(lines):
        draw.text((at[0], at[1] + place * _line(font)), line, INK, font)


def _paper(width: int, height: int) -> Image:
    return PillowImage.new("RGB", (width, height), PAPER)


def _balanced(count: int) -> int:
    return max(round((1.5 * count) ** 0.5), 1)
