"""Finding faces offline, with the boosted LBP cascade that scikit-image ships.

The cascade knows upright, frontal faces and is weak on others: turned heads, veils, strong shadow,
dark skin in dim light. So a missed face never costs a photo: there are retries, boxes
given by hand, and the centre crop. And because it also fires on patterns, a face counts only when
it is seen again in a second view of the same picture (mirrored or smoothed).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFilter, ImageOps

from helpers.photos.photo import Image

UPRIGHT_SIDE = 480  # longest side of the copy that is searched
TILTED_SIDE = 320
TILTS = (-15, 15, -30, 30)
SMALLEST_UPRIGHT = 0.12  # of the shorter side; smaller windows fire on buttons and cups
SMALLEST_TILTED = 0.18
SAME_FACE = 0.5  # intersection over union
ENOUGH_VOTES = 12


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in pixels of the upright photo, from its left top corner."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def centre(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def area(self) -> int:
        return self.width * self.height

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 (apart) .. 1 (the same)."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(width, 0) * max(height, 0)
        return shared / (self.area + other.area - shared) if shared else 0.0

    def scaled(self, factor: float) -> Box:
        """The same rectangle in a picture ``factor`` times as large."""
        edges = (self.left, self.top, self.width, self.height)
        left, top, width, height = (round(edge * factor) for edge in edges)
        return Box(left=left, top=top, width=max(width, 1), height=max(height, 1))


class FaceFinder(Protocol):
    """Anything that finds faces: ours, or a better one that a learner plugs in."""

    def __call__(self, image: Image, /) -> Sequence[Box]:
        """The faces of an RGB picture, largest first; empty if there is none."""
        ...


def find_face(image: Image) -> Box | None:
    """The largest face of an RGB picture, in its pixels, or ``None``."""
    return next(iter(find_faces(image)), None)


def find_faces(image: Image) -> list[Box]:
    """The faces of an RGB picture, largest first; the search runs on a reduced copy.

    Upright faces first; only if there is none, the picture is tilted by 15 and 30 degrees.
    """
    copy, scale = _searchable(image, UPRIGHT_SIDE)
    faces = _upright_faces(copy) or _hard_face(copy)
    boxes = [inside(face.scaled(scale), image.size) for face in faces]
    return sorted(boxes, key=lambda box: box.area, reverse=True)


def _searchable(image: Image, side: int) -> tuple[Image, float]:
    """A copy with that longest side (small pictures are enlarged: the cascade needs 24 px), and
    the factor that leads from its pixels back to the picture's."""
    scale = max(image.size) / side
    size = max(round(image.width / scale), 1), max(round(image.height / scale), 1)
    return image.convert("RGB").resize(size, PillowImage.Resampling.LANCZOS, reducing_gap=2), scale


@dataclass(frozen=True)
class _Sighting:
    """A face that may be there; ``votes`` counts the search windows that fired on it."""

    box: Box
    votes: int


def _upright_faces(image: Image) -> list[Box]:
    views = [_fired(image, SMALLEST_UPRIGHT), _fired_mirrored(image, SMALLEST_UPRIGHT)]
    faces = _sightings(views)
    most = max((face.votes for face in faces), default=0)
    return [face.box for face in faces if face.votes * 3 >= most]


def _hard_face(image: Image) -> list[Box]:
    """The one face of a picture that is too crisp or too tilted for the first look.

    When another strong sighting lies elsewhere or has another size, none is believed.
    """
    smooth = image.filter(ImageFilter.GaussianBlur(max(image.size) / 200))
    seen = _sightings(
        [
            view(copy, SMALLEST_UPRIGHT)
            for copy in (image, smooth)
            for view in (_fired, _fired_mirrored)
        ]
    )
    seen = [_Sighting(face.box, face.votes // 2) for face in seen]  # four views, not two
    small, scale = _searchable(image, TILTED_SIDE)
    for angle in TILTS:
        tilted = small.rotate(angle, PillowImage.Resampling.BILINEAR, fillcolor=_mean(small))
        views = [_fired(tilted, SMALLEST_TILTED), _fired_mirrored(tilted, SMALLEST_TILTED)]
        for face in _sightings(views):
            box = _turned_back(face.box, angle, small.size).scaled(scale)
            seen.append(_Sighting(box, face.votes))
    if not seen:
        return []
    best = max(seen, key=lambda face: face.votes)
    doubts = [face for face in seen if best.box.overlap(face.box) < SAME_FACE / 2]
    return [] if any(face.votes * 2 > best.votes for face in doubts) else [best.box]


def _turned_back(face: Box, angle: float, size: tuple[int, int]) -> Box:
    """The upright box around the same centre, in the picture before ``rotate(angle)``."""
    turn = math.radians(angle)
    middle_x, middle_y = size[0] / 2, size[1] / 2
    x, y = face.centre[0] - middle_x, face.centre[1] - middle_y
    x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    left, top = middle_x + x - face.width / 2, middle_y + y - face.height / 2
    return Box(left=round(left), top=round(top), width=face.width, height=face.height)


def _sightings(views: Sequence[np.ndarray]) -> list[_Sighting]:
    """Faces with enough votes from at least two views, each once."""
    windows = np.concatenate(list(views))
    origin = np.repeat(np.arange(len(views)), [len(view) for view in views])
    found = []
    while len(windows) >= ENOUGH_VOTES:
        overlaps = _overlaps(windows) >= SAME_FACE
        same = overlaps[overlaps.sum(axis=1).argmax()]
        if same.sum() < ENOUGH_VOTES:
            break
        if len(set(origin[same])) > 1:
            left, top, side = (int(edge) for edge in windows[same].mean(axis=0).round())
            box = Box(left=left, top=top, width=side, height=side)
            found.append(_Sighting(box, int(same.sum())))
        windows, origin = windows[~same], origin[~same]
    return found


def _overlaps(windows: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of squares (left, top, side): (n, n)."""
    start, side = windows[:, :2], windows[:, 2]
    end = start + side[:, None]
    shared = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    area = shared.clip(min=0).prod(axis=2)
    return area / (side[:, None] ** 2 + side**2 - area)


def _fired_mirrored(image: Image, smallest: float) -> np.ndarray:
    windows = _fired(ImageOps.mirror(image), smallest)
    windows[:, 0] = image.width - windows[:, 0] - windows[:, 2]
    return windows


def _fired(image: Image, smallest: float) -> np.ndarray:
    """The search windows (left, top, side) in which the cascade sees a face, unmerged: (n, 3)."""
    shorter = min(image.size)
    least = max(24, round(shorter * smallest))
    if shorter < least:
        return np.zeros((0, 3))
    hits = _cascade().detect_multi_scale(
        np.array(image),
        scale_factor=1.1,
        step_ratio=1.0,
        min_size=(least, least),
        max_size=(shorter, shorter),
        min_neighbor_number=1,
        intersection_score_threshold=1.01,  # nothing overlaps that much: windows stay apart
    )
    return np.array([(hit["c"], hit["r"], hit["width"]) for hit in hits], float).reshape(-1, 3)


@functools.cache
def _cascade() -> Any:
    from skimage import data, feature

    return feature.Cascade(data.lbp_frontal_face_cascade_filename())


def _mean(image: Image) -> tuple[int, ...]:
    """Corners of a tilted picture in its mean colour: a black edge reads as a feature."""
    return tuple(int(value) for value in np.asarray(image).reshape(-1, 3).mean(axis=0))


def inside(face: Box, size: tuple[int, int]) -> Box:
    """The part of a box that lies in a picture of that size, a pixel wide at least."""
    left, top = max(face.left, 0), max(face.top, 0)
    right, bottom = min(face.right, size[0]), min(face.bottom, size[1])
    return Box(left=left, top=top, width=max(right - left, 1), height=max(bottom - top, 1))
