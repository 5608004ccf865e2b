"""From photos to training pictures: one square per photo, and words about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image as PillowImage

from helpers.errors import PhotoError
from helpers.photos.crop import Square, around_box, around_face, at_centre, cut, reaches_beyond
from helpers.photos.faces import Box, FaceFinder, find_faces, inside
from helpers.photos.matting import MATTE_SIDE, NO_FACE, vary_background
from helpers.photos.missed import place_missed
from helpers.photos.photo import Image, Photo, Refused
from helpers.photos.quality import Quality, measure, twins

How = Literal["face", "given", "mask", "set", "centre"]
Background = Literal["keep", "random"]
CUT_BY = {
    "face": "by its face",
    "given": "by a given box",
    "mask": "by the person's outline",
    "set": "as in the other photos",
    "centre": "from the centre",
}
IN_FACES = ("face", "mask", "set")
"""Ways whose box is a face, not a given frame."""
_MISSED = {
    "mask": "no face found: the head is where the person's outline ends",
    "set": "no face found: the head is taken to be where it is in the other photos",
    "centre": "no face found: the centre is used, give a box if the face is elsewhere",
}


@dataclass(frozen=True, kw_only=True)
class PreparedPhoto:
    """One training picture.

    ``image`` is RGB, size x size. ``box`` is the face (found, or where it must be) or the given box
    in pixels of the photo, ``square`` what was cut around it, and ``how`` the reason for that cut.
    """

    name: str
    image: Image
    box: Box | None
    square: Square
    how: How
    notes: tuple[str, ...]
    quality: Quality


def prepare(
    photos: Sequence[Photo],
    *,
    size: int,
    face: bool = True,
    boxes: Mapping[str, Box] | None = None,
    background: Background = "keep",
    seed: int = 0,
    finder: FaceFinder = find_faces,
) -> list[PreparedPhoto]:
    """Cut every photo to ``size`` x ``size`` pixels (32 .. 2048); none is ever dropped.

    A box given for a photo's name wins, then the photo's own, then the largest face
    (``face=False``: the subject is no person), then where the head must be by the rest of the set
    (``missed.place_missed``), then the centre. ``background="random"`` puts the subject before soft
    random colours, the same ones for the same ``seed``.

    Raises ``PhotoError`` for no photo, and for a box that fits no photo or lies outside its own.
    """
    boxes = boxes or {}
    _check(photos, size, boxes, background)
    same = twins([photo.image for photo in photos], [photo.name for photo in photos])
    choices = _choose(photos, boxes, finder if face else None)
    return [
        _prepare_one(
            photo,
            size=size,
            choice=choice,
            twin=twin,
            random=np.random.default_rng([seed, place]) if background == "random" else None,
        )
        for place, (photo, choice, twin) in enumerate(zip(photos, choices, same, strict=True))
    ]


@dataclass(frozen=True, kw_only=True)
class _Choice:
    how: How
    square: Square
    box: Box | None = None
    notes: tuple[str, ...] = ()
    missed: bool = False  # a face was looked for in vain


def _choose(
    photos: Sequence[Photo], boxes: Mapping[str, Box], finder: FaceFinder | None
) -> list[_Choice]:
    choices = [_own_choice(photo, boxes.get(photo.name) or photo.box, finder) for photo in photos]
    if not any(choice.missed for choice in choices):
        return choices
    searched = [place for place, choice in enumerate(choices) if choice.how != "given"]
    likely = place_missed(
        [photos[place].image for place in searched], [choices[place].box for place in searched]
    )
    for place, told in zip(searched, likely, strict=True):
        if told is not None:
            (box, how), size = told, photos[place].image.size
            choices[place] = _Choice(
                how=how, square=around_face(box, size), box=inside(box, size), notes=(_MISSED[how],)
            )
    return choices


def _own_choice(photo: Photo, given: Box | None, finder: FaceFinder | None) -> _Choice:
    size = photo.image.size
    if given is not None:
        box = _clipped(given, photo)
        return _Choice(how="given", square=around_box(box, size), box=box)
    if finder is None:
        return _Choice(how="centre", square=at_centre(size))
    faces = sorted(finder(photo.image), key=lambda face: face.area, reverse=True)
    if not faces:
        centre = at_centre(size)
        return _Choice(how="centre", square=centre, notes=(_MISSED["centre"],), missed=True)
    notes = (f"{len(faces)} faces found: the largest is used",) if len(faces) > 1 else ()
    return _Choice(how="face", square=around_face(faces[0], size), box=faces[0], notes=notes)


def _prepare_one(
    photo: Photo,
    *,
    size: int,
    choice: _Choice,
    twin: str | None,
    random: np.random.Generator | None,
) -> PreparedPhoto:
    square, notes = choice.square, [*photo.notes, *choice.notes]
    if reaches_beyond(square, photo.image.size):
        notes.append("the square reaches beyond the photo: its edges are mirrored and blurred")
    # Tiny training pictures get their matte while they are still large enough to have edges.
    image = cut(photo.image, square, size if random is None else max(size, MATTE_SIDE))
    if random is not None and choice.missed:
        notes.append(NO_FACE)
    elif random is not None:
        face = _in_square(choice.box, square, image.width) if choice.how in IN_FACES else None
        image, note = vary_background(image, face, random)
        notes.append(note)
    if image.width != size:
        image = image.resize((size, size), PillowImage.Resampling.LANCZOS)
    quality = measure(
        cut(photo.image, square, min(square.side, 512)),
        enlargement=size / square.side,
        twin=twin,
    )
    return PreparedPhoto(
        name=photo.name,
        image=image,
        box=choice.box,
        square=square,
        how=choice.how,
        notes=(*notes, *quality.remarks),
        quality=quality,
    )


def report(prepared: Sequence[PreparedPhoto], refused: Sequence[Refused] = ()) -> str:
    """A plain text table: how each photo was cut, its numbers, and what to know about it."""
    counts = Counter(item.how for item in prepared)
    ways = ", ".join(f"{counts[how]} {words}" for how, words in CUT_BY.items() if counts[how])
    sizes = {item.image.size for item in prepared}
    at = " at {} x {} pixels".format(*min(sizes)) if len(sizes) == 1 else ""
    lines = [f"{_plural(len(prepared), 'photo')} prepared{at}" + (f": {ways}." if ways else ".")]
    if prepared:
        lines += ["", *_table(prepared)]
    if refused:
        lines += ["", f"{_plural(len(refused), 'file')} not used:"]
        lines += [f"  {item}" for item in refused]
    return "\n".join(lines)


def _table(prepared: Sequence[PreparedPhoto]) -> list[str]:
    head = ("photo", "cut", "from px", "sharpness", "light", "notes")
    rows = [
        (
            item.name if len(item.name) <= 32 else f"{item.name[:29]}...",
            CUT_BY[item.how],
            str(item.square.side),
            f"{item.quality.sharpness:.2f}",
            f"{item.quality.brightness:.2f}",
            "; ".join(item.notes) or "good",
        )
        for item in prepared
    ]
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _check(photos: Sequence[Photo], size: int, boxes: Mapping[str, Box], background: str) -> None:
    if not photos:
        raise PhotoError("there is no photo to prepare", "", "add ten or so photos of one subject")
    if not 32 <= size <= 2048:
        raise PhotoError(f"photos cannot be cut to {size} pixels", "the range is 32 .. 2048")
    if background not in ("keep", "random"):
        raise PhotoError(f"unknown background {background!r}", "it can be keep or random")
    if unknown := sorted(boxes.keys() - {photo.name for photo in photos}):
        raise PhotoError(
            f"a box is given for {unknown[0]}",
            "no photo has that name",
            f"the photos are: {', '.join(photo.name for photo in photos)}",
        )


def _clipped(given: Box, photo: Photo) -> Box:
    width, height = photo.image.size
    left, top = max(given.left, 0), max(given.top, 0)
    if min(given.right, width) - left < 8 or min(given.bottom, height) - top < 8:
        raise PhotoError(
            f"the box given for {photo.name} holds less than 8 x 8 of its pixels",
            f"the upright photo is {width} x {height}",
            "give left, top, width and height in those pixels",
        )
    return inside(given, photo.image.size)


def _in_square(box: Box | None, square: Square, size: int) -> Box | None:
    if box is None:
        return None
    moved = Box(
        left=box.left - square.left, top=box.top - square.top, width=box.width, height=box.height
    )
    return moved.scaled(size / square.side)
