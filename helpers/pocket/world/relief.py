"""Figures in relief: solid shapes seen from the front, kept as a depth for every pixel.

The camera looks along -z without perspective: x runs to the right, y down, z towards us, and the
picture is the unit square. Every shape has a closed form for its front, so drawing one costs a few
array operations on the pixels it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Colour = tuple[float, float, float]
Point = tuple[float, float, float]
Window = tuple[slice, slice]

FAR = np.float32(-9.0)
"""Depth of a pixel with nothing in it."""


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Array:
    """Radians. ``yaw`` > 0 turns a front to the picture's right, ``pitch`` > 0 lowers it."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return around_z @ around_y @ around_x


@dataclass(frozen=True)
class Frame:
    """A figure's own coordinates in the picture: turned, scaled, moved."""

    turn: Array
    scale: float
    at: Array

    def point(self, place: Sequence[float]) -> Array:
        """A point of the figure in the picture's coordinates."""
        return self.at + self.scale * (self.turn @ np.asarray(place, float))

    def inside(
        self, place: Sequence[float], turn: Array | None = None, scale: float = 1.0
    ) -> Frame:
        """A frame at ``place`` of this one; ``turn`` is relative to this one."""
        turned = self.turn if turn is None else self.turn @ turn
        return Frame(turned, self.scale * scale, self.point(place))

    def facing(self, place: Sequence[float], turn: Array, scale: float = 1.0) -> Frame:
        """A frame at ``place`` of this one, turned by ``turn`` in the picture itself."""
        return Frame(turn, self.scale * scale, self.point(place))


class Sheet:
    """Some shapes that belong together: depth (N, N), albedo (N, N, 3) linear, gloss (N, N)."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.depth = np.full((side, side), FAR, np.float32)
        self.albedo = np.zeros((side, side, 3), np.float32)
        self.gloss = np.zeros((side, side), np.float32)
        self._middle = (np.arange(side, dtype=np.float32) + 0.5) / side
        self._low, self._high = [side, side], [0, 0]

    # -- shapes -----------------------------------------------------------------------------

    def ball(
        self,
        frame: Frame,
        at: Point,
        radii: Point,
        colour: Colour,
        *,
        soft: float = 0.0,
        turn: Array | None = None,
        gloss: float = 0.1,
    ) -> None:
        """An ellipsoid; it melts into what is there over ``soft`` (units of ``frame``)."""
        axes = frame.turn if turn is None else frame.turn @ turn
        size = np.asarray(radii, float) * frame.scale
        spread = (axes * size**2) @ axes.T
        # Plain floats from here on: NumPy's own would make every array double precision.
        (xx, xy, xz), (_, yy, yz), (_, _, zz) = ((axes / size**2) @ axes.T).tolist()
        x0, y0, z0 = frame.point(at).tolist()
        window = self._window(x0, y0, float(spread[0, 0]) ** 0.5, float(spread[1, 1]) ** 0.5)
        if window is None:
            return
        dx, dy = self._offsets(window, x0, y0)
        b = xz * dx + yz * dy
        under = b * b - zz * (xx * dx * dx + (yy * dy * dy - 1) + (2 * xy * dx) * dy)
        hit = under > 0
        z = z0 + (np.sqrt(np.maximum(under, 0)) - b) / zz
        self._merge(window, z, hit, colour, soft * frame.scale, gloss)

    def limb(
        self,
        frame: Frame,
        start: Point,
        end: Point,
        thick: tuple[float, float],
        colour: Colour,
        *,
        soft: float = 0.0,
        gloss: float = 0.1,
    ) -> None:
        """A round bar from ``start`` to ``end`` whose radius goes from ``thick[0]`` to ``[1]``."""
        a, b = frame.point(start), frame.point(end)
        ra, rb = thick[0] * frame.scale, thick[1] * frame.scale
        low = np.minimum(a[:2] - ra, b[:2] - rb)
        high = np.maximum(a[:2] + ra, b[:2] + rb)
        (mx, my), (hx, hy) = ((low + high) / 2).tolist(), ((high - low) / 2).tolist()
        a, b = a.tolist(), b.tolist()
        window = self._window(mx, my, hx, hy)
        if window is None:
            return
        dx, dy = self._offsets(window, a[0], a[1])
        way = [end_ - start_ for start_, end_ in zip(a, b, strict=True)]
        length = way[0] ** 2 + way[1] ** 2
        along = np.clip((dx * way[0] + dy * way[1]) / max(length, 1e-9), 0, 1)
        if length < max(ra, rb) ** 2 * 0.02:
            along = np.full_like(along, 1.0 if b[2] > a[2] else 0.0)
        radius = ra + (rb - ra) * along
        under = radius**2 - (dx - along * way[0]) ** 2 - (dy - along * way[1]) ** 2
        hit = under > 0
        z = a[2] + along * way[2] + np.sqrt(np.maximum(under, 0))
        self._merge(window, z, hit, colour, soft * frame.scale, gloss)

    def tube(
        self,
        frame: Frame,
        points: Sequence[Point],
        thick: Sequence[float],
        colour: Colour,
        *,
        soft: float = 0.0,
        gloss: float = 0.1,
    ) -> None:
        """Limbs from point to point."""
        for index in range(len(points) - 1):
            self.limb(
                frame,
                points[index],
                points[index + 1],
                (thick[index], thick[index + 1]),
                colour,
                soft=soft,
                gloss=gloss,
            )

    def solid(
        self,
        frame: Frame,
        planes: Sequence[tuple[Point, float]],
        reach: float,
        colour: Colour,
        *,
        at: Point = (0, 0, 0),
        turn: Array | None = None,
        soft: float = 0.0,
        rounded: float = 0.0,
        gloss: float = 0.1,
    ) -> None:
        """A convex solid, all points q with n·q <= d for each ``(n, d)``; within ``reach``."""
        axes = frame.turn if turn is None else frame.turn @ turn
        x0, y0, z0 = frame.point(at).tolist()
        window = self._window(x0, y0, reach * frame.scale, reach * frame.scale)
        if window is None:
            return
        dx, dy = self._offsets(window, x0, y0)
        front = np.full((dx + dy).shape, 9.0, np.float32)
        back = np.full_like(front, -9.0)
        hit = np.ones(front.shape, bool)
        edge = rounded * frame.scale
        for normal, distance in planes:
            n = (axes @ np.asarray(normal, float)).tolist()
            room = distance * frame.scale - n[0] * dx - n[1] * dy
            if n[2] > 1e-3:
                z = room / n[2]
                if edge:
                    h = np.clip(0.5 + 0.5 * (z - front) / edge, 0, 1)
                    front = z + (front - z) * h - edge * h * (1 - h)
                else:
                    front = np.minimum(front, z)
            elif n[2] < -1e-3:
                back = np.maximum(back, room / n[2])
            else:
                hit &= room > 0
        hit &= front > back
        self._merge(window, z0 + front, hit, colour, soft * frame.scale, gloss)

    def slab(
        self,
        frame: Frame,
        at: Point,
        half: Point,
        colour: Colour,
        *,
        turn: Array | None = None,
        rounded: float = 0.0,
        soft: float = 0.0,
        gloss: float = 0.1,
    ) -> None:
        """A box with half sizes ``half``."""
        planes: list[tuple[Point, float]] = []
        for axis in range(3):
            for sign in (1.0, -1.0):
                normal = [0.0, 0.0, 0.0]
                normal[axis] = sign
                planes.append(((normal[0], normal[1], normal[2]), half[axis]))
        self.solid(
            frame,
            planes,
            float(np.linalg.norm(half)),
            colour,
            at=at,
            turn=turn,
            rounded=rounded,
            soft=soft,
            gloss=gloss,
        )

    # -- painting ---------------------------------------------------------------------------

    @property
    def window(self) -> Window | None:
        """The rows and columns that hold anything, or ``None``."""
        if self._high[0] <= self._low[0]:
            return None
        return slice(self._low[0], self._high[0]), slice(self._low[1], self._high[1])

    def local(self, frame: Frame, window: Window) -> tuple[Array, Array, Array]:
        """What is seen in ``window``, in the coordinates of ``frame``: x, y and z arrays."""
        dx, dy = self._offsets(window, frame.at[0], frame.at[1])
        dz = self.depth[window] - float(frame.at[2])
        turn = (frame.turn / frame.scale).astype(np.float32)
        return (
            turn[0, 0] * dx + turn[1, 0] * dy + turn[2, 0] * dz,
            turn[0, 1] * dx + turn[1, 1] * dy + turn[2, 1] * dz,
            turn[0, 2] * dx + turn[1, 2] * dy + turn[2, 2] * dz,
        )

    def plane(self, frame: Frame, depth: float) -> tuple[Array, Array, Array]:
        """Where each pixel's sight line meets the plane z = ``depth`` of ``frame``: x, y there,
        and the depth of that point in the picture."""
        origin = frame.point((0, 0, depth))
        whole = (slice(0, self.side), slice(0, self.side))
        dx, dy = self._offsets(whole, origin[0], origin[1])
        flat = np.linalg.inv(frame.turn[:2, :2] * frame.scale).astype(np.float32)
        x, y = flat[0, 0] * dx + flat[0, 1] * dy, flat[1, 0] * dx + flat[1, 1] * dy
        lean_x, lean_y = (frame.turn[2, :2] * frame.scale).tolist()
        return x, y, float(origin[2]) + lean_x * x + lean_y * y

    def lay(self, other: Sheet, lift: float = 0.0) -> Array:
        """Put ``other`` with this sheet: whatever is nearer shows. Where ``other`` won."""
        result = np.zeros((self.side, self.side), bool)
        window = other.window
        if window is None:
            return result
        theirs, ours = other.depth[window], self.depth[window]
        won = (theirs + lift > ours) & (theirs > FAR / 2)
        result[window] = won
        np.copyto(ours, theirs, where=won)
        np.copyto(self.gloss[window], other.gloss[window], where=won)
        np.copyto(self.albedo[window], other.albedo[window], where=won[..., None])
        for axis in (0, 1):
            self._low[axis] = min(self._low[axis], other._low[axis])
            self._high[axis] = max(self._high[axis], other._high[axis])
        return result

    def around(self, frame: Frame, low: Point, high: Point) -> Window:
        """The rows and columns in which a box of ``frame``'s coordinates can be seen."""
        corners = [
            frame.point((x, y, z))[:2]
            for x in (low[0], high[0])
            for y in (low[1], high[1])
            for z in (low[2], high[2])
        ]
        places = np.array(corners) * self.side
        top_left, bottom_right = places.min(0).astype(int), places.max(0).astype(int) + 2
        left, top = (max(0, min(int(v), self.side)) for v in top_left)
        right, bottom = (max(0, min(int(v), self.side)) for v in bottom_right)
        return slice(top, max(top, bottom)), slice(left, max(left, right))

    @property
    def covered(self) -> Array:
        """Where there is anything, (N, N) bool."""
        return self.depth > FAR / 2

    # -- inside -----------------------------------------------------------------------------

    def _window(self, x: float, y: float, half_x: float, half_y: float) -> Window | None:
        n = self.side
        left, right = max(0, int((x - half_x) * n)), min(n, int((x + half_x) * n) + 2)
        top, bottom = max(0, int((y - half_y) * n)), min(n, int((y + half_y) * n) + 2)
        if right - left < 1 or bottom - top < 1:
            return None
        self._low = [min(self._low[0], top), min(self._low[1], left)]
        self._high = [max(self._high[0], bottom), max(self._high[1], right)]
        return slice(top, bottom), slice(left, right)

    def _offsets(self, window: Window, x: float, y: float) -> tuple[Array, Array]:
        return (self._middle[window[1]] - np.float32(x))[None, :], (
            self._middle[window[0]] - np.float32(y)
        )[:, None]

    def _merge(
        self, window: Window, z: Array, hit: Array, colour: Colour, soft: float, gloss: float
    ) -> None:
        old, paint = self.depth[window], np.asarray(colour, np.float32)
        if soft <= 0:
            won = hit & (z > old)
            old[won] = z[won]
            self.albedo[window][won] = paint
            self.gloss[window][won] = gloss
            return
        # A smooth maximum (Quilez): within ``soft`` the two surfaces melt into one.
        share = np.clip(0.5 + 0.5 * (z - old) / soft, 0, 1) * hit
        blended = old + (z - old) * share + soft * share * (1 - share) * (old > FAR / 2)
        self.depth[window] = np.where(hit, blended, old)
        self.albedo[window] += (paint - self.albedo[window]) * share[..., None]
        self.gloss[window] += (np.float32(gloss) - self.gloss[window]) * share
