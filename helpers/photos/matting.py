"""Cutting the subject out, and new backgrounds behind it.

A model that sees one living room in every photo learns the living room. OpenCV's grabCut needs no
weights: it separates two colour mixtures from a first guess of where the subject is. It is an
optional extra of the course; without it the backgrounds stay as they are, and the notes say so.
"""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter

from helpers.photos.faces import Box
from helpers.photos.photo import Image

MATTE_SIDE = 192
GRAIN = 2  # grey levels: grabCut takes minutes over perfectly flat colour, a second over grain
ROUNDS = 4
AGREEMENT = 0.85  # intersection over union of the two mattes
ALONG_EDGES = 0.94  # share of the outline that follows edges of the picture
EDGE = 10  # grey levels per pixel
PLAUSIBLE = (0.27, 0.88)  # share of the square that a subject may fill
_BACK, _FRONT, _MAYBE_BACK, _MAYBE_FRONT = range(4)  # grabCut's labels
NOT_INSTALLED = (
    "background kept: OpenCV is not installed (pip install opencv-python-headless adds it)"
)
NOT_SEPARATED = "background kept: the subject could not be told from it"
NO_FACE = "background kept: without a face there is no telling where the person is"
REPLACED = "background replaced"


def vary_background(
    piece: Image, face: Box | None, random: np.random.Generator
) -> tuple[Image, str]:
    """The square picture with its subject in front of a random background, and a note in words.

    ``face`` (in pixels of ``piece``) tells where a head and shoulders are; without it the subject
    is taken to fill the middle.
    """
    try:
        import cv2  # noqa: F401
    except ImportError:
        return piece, NOT_INSTALLED
    matte = find_matte(piece, face)
    if matte is None:
        return piece, NOT_SEPARATED
    return PillowImage.composite(piece, random_background(piece.width, random), matte), REPLACED


def find_matte(piece: Image, face: Box | None) -> Image | None:
    """How much each pixel belongs to the subject, 0 .. 255 (mode L), or ``None`` if the answer is
    not plausible: a tight and a generous first guess must lead to the same subject, and its
    outline must follow edges of the picture.

    The same picture always gives the same matte. Needs OpenCV.
    """
    import cv2

    small = piece.resize((MATTE_SIDE, MATTE_SIDE), PillowImage.Resampling.LANCZOS)
    small_face = face.scaled(MATTE_SIDE / piece.width) if face else None
    tight, wide = (_separated(small, _first_guess(small_face, reach)) for reach in (0.85, 1.15))
    front = np.maximum(tight, wide)
    believed = (
        PLAUSIBLE[0] <= front.mean() <= PLAUSIBLE[1]
        and np.minimum(tight, wide).sum() / front.sum() >= AGREEMENT
        and _along_edges(front, small) >= ALONG_EDGES
    )
    if not believed:
        return None
    front = cv2.erode(front, np.ones((3, 3), np.uint8), iterations=2)  # the rim is half background
    matte = PillowImage.fromarray(front * np.uint8(255)).filter(ImageFilter.GaussianBlur(1.2))
    return matte.resize(piece.size, PillowImage.Resampling.BICUBIC)


def _separated(image: Image, labels: np.ndarray) -> np.ndarray:
    """1 where grabCut sees the subject, one connected shape without holes: (192, 192)."""
    import cv2

    sure = labels == _FRONT
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    pixels = np.asarray(image, np.float32)
    pixels = pixels + np.random.default_rng(0).normal(0, GRAIN, pixels.shape)
    bgr = np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8)[..., ::-1])
    try:
        cv2.grabCut(bgr, labels, (0, 0, 1, 1), *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # one flat colour leaves nothing to model
        return np.zeros(labels.shape, np.uint8)
    front = np.isin(labels, (_FRONT, _MAYBE_FRONT)).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    front = cv2.morphologyEx(cv2.morphologyEx(front, cv2.MORPH_CLOSE, disc), cv2.MORPH_OPEN, disc)
    return _filled(_largest_piece(front, sure))


def _along_edges(front: np.ndarray, image: Image) -> float:
    """Share of the subject's outline with an edge of the picture within two pixels, 0 .. 1."""
    import cv2

    grown = np.pad(front, 1, mode="edge")
    outline = (front > 0) & (cv2.erode(grown, np.ones((3, 3), np.uint8))[1:-1, 1:-1] == 0)
    pixels = np.asarray(image, np.float32)
    slopes = np.hypot(cv2.Sobel(pixels, cv2.CV_32F, 1, 0), cv2.Sobel(pixels, cv2.CV_32F, 0, 1)) / 4
    near = cv2.dilate(slopes.max(axis=2), np.ones((5, 5), np.uint8))
    return float((near[outline] > EDGE).mean()) if outline.any() else 0.0


def random_background(size: int, random: np.random.Generator) -> Image:
    """A soft, out-of-focus wall of two or three muted colours, RGB, ``size`` x ``size``."""
    cells = int(random.integers(2, 5))
    light = random.uniform(60, 205) + random.normal(0, 22, (cells, cells, 1))
    tint = random.normal(0, 18, 3) + random.normal(0, 8, (cells, cells, 3))
    colours = light + tint - tint.mean(axis=2, keepdims=True)
    coarse = PillowImage.fromarray(colours.clip(20, 240).astype(np.uint8))
    wall = coarse.resize((size, size), PillowImage.Resampling.BICUBIC)
    return wall.filter(ImageFilter.GaussianBlur(size / 16))


def _first_guess(face: Box | None, reach: float) -> np.ndarray:
    """grabCut's labels before it starts, (192, 192): the edges are background, the middle is
    subject; ``reach`` scales the part that may be subject."""
    side = MATTE_SIDE
    guess = PillowImage.new("L", (side, side), _MAYBE_BACK)
    draw = ImageDraw.Draw(guess)

    def ellipse(x: float, y: float, rx: float, ry: float, label: int) -> None:
        draw.ellipse((x - rx, y - ry, x + rx, y + ry), label)

    if face is None:
        draw.rectangle((0, 0, side - 1, side - 1), outline=_BACK, width=side // 24)
        ellipse(side / 2, side / 2, 0.33 * reach * side, 0.33 * reach * side, _MAYBE_FRONT)
        ellipse(side / 2, side / 2, 0.1 * side, 0.1 * side, _FRONT)
        return np.array(guess)

    x, y, unit = *face.centre, face.width
    rim = side // 32
    draw.rectangle((0, 0, side, rim), _BACK)
    for edge in (0, side - rim):
        draw.rectangle((edge, 0, edge + rim, max(y, 0)), _BACK)
    wide, shoulders = 1.1 * reach * unit, y + 1.0 * unit
    neck = y + 0.4 * unit
    draw.polygon(
        [(x - 0.3 * unit, neck), (x + 0.3 * unit, neck), (x + wide, shoulders), (x + wide, side),
         (x - wide, side), (x - wide, shoulders)],
        _MAYBE_FRONT,
    )  # fmt: skip
    ellipse(x, y - 0.1 * unit, 0.62 * reach * unit, 0.85 * reach * unit, _MAYBE_FRONT)
    ellipse(x, y, 0.36 * unit, 0.48 * unit, _FRONT)
    if (chest := y + 0.95 * unit) < side:
        draw.rectangle((x - 0.15 * unit, chest, x + 0.15 * unit, side), _FRONT)
    return np.array(guess)


def _largest_piece(front: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Only what hangs together with the part that is surely the subject."""
    import cv2

    _, pieces = cv2.connectedComponents(front)
    kept = np.unique(pieces[sure & (front > 0)])
    return np.isin(pieces, kept[kept > 0]).astype(np.uint8)


def _filled(front: np.ndarray) -> np.ndarray:
    """Close holes that no path joins to the picture's upper corners."""
    import cv2

    padded = np.pad(front, ((1, 0), (1, 1)))
    _, outside = cv2.connectedComponents((padded == 0).astype(np.uint8))
    return (outside[1:, 1:-1] != outside[0, 0]).astype(np.uint8)
