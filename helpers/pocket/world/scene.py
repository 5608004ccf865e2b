"""A scene: who, where, how, and by which light; and the picture of it with its ground truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from helpers.pocket.world.animals import POSES, Stance, animal_sheets, head_place
from helpers.pocket.world.face import Mood, head_sheet
from helpers.pocket.world.hair import glasses_sheet, glaze, hair_sheets
from helpers.pocket.world.light import shade
from helpers.pocket.world.places import PLACES, draw_place
from helpers.pocket.world.relief import Array, Frame, Sheet, rotation
from helpers.pocket.world.styles import STYLE, STYLES, Layers, halve
from helpers.pocket.world.things import SHEETS, seat_height
from helpers.pocket.world.torso import CUTS, Clothes, torso_sheet
from helpers.pocket.world.traits import (
    KINDS,
    PAINTS,
    Animal,
    Identity,
    Person,
    Random,
    Thing,
    draw_identity,
    draw_thing,
    pick,
)

SHOTS = ("close-up", "half", "whole")
_KIND_SHARES = (0.15, 0.13, 0.37, 0.08, 0.08, 0.07, 0.06, 0.06)
_STYLE_SHARES = (0.62, 0.13, 0.13, 0.12)
_SITTERS = ("cat", "dog", "bird", "cup")


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How the picture is framed and exposed. Lengths in picture sides, angles in radians."""

    shot: str  # close-up, half (people only) or whole
    size: float  # of a head's height (people) or of the subject's own unit
    x: float
    y: float
    yaw: float  # of a thing or an animal's body; 0: its front looks at us
    pitch: float  # how far we look down
    blur: float  # of the setting, in picture sides
    exposure: float  # stops
    warmth: float  # -1 blue to 1 warm
    grain: float
    vignette: float
    contrast: float
    saturation: float
    softness: float  # of the lens, in picture sides


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that decides a picture, so that the same scene always gives the same pixels."""

    subject: Identity
    place: str
    style: str
    camera: Camera
    mood: Mood
    stance: Stance
    clothes: Clothes
    seat: Thing | None  # the chair that the subject sits on, if it does
    seed: int  # of the setting's details and the grain

    @property
    def truth(self) -> dict[str, Any]:
        """Every parameter as plain data, nested."""
        return asdict(self)

    @property
    def facing(self) -> str:
        """Where a person looks, as the viewer sees it: left, front or right."""
        if abs(self.mood.yaw) < 0.26:
            return "front"
        return "right" if self.mood.yaw > 0 else "left"

    @property
    def expression(self) -> str:
        """smile, frown or neutral."""
        if abs(self.mood.smile) < 0.4:
            return "neutral"
        return "smile" if self.mood.smile > 0 else "frown"


@dataclass(frozen=True)
class Drawing:
    """A finished picture, the mask of its subject (L, 0..255) and the scene: its ground truth."""

    image: Image.Image
    mask: Image.Image
    scene: Scene


def draw_clothes(rng: Random) -> Clothes:
    """Something to wear."""
    name, colour = pick(rng, PAINTS)
    other = str(rng.choice([paint for paint in PAINTS if paint != name]))
    return Clothes(
        name=name,
        colour=colour,
        second=PAINTS[other],
        cut=str(rng.choice(CUTS)),
        pattern="striped" if rng.random() < 0.25 else "plain",
    )


def draw_scene(
    rng: Random,
    *,
    subject: Identity | None = None,
    kind: str | None = None,
    place: str | None = None,
    style: str | None = None,
    shot: str | None = None,
    seated: bool | None = None,
) -> Scene:
    """A random scene; whatever is given stays as given. ``seated`` puts it on a chair."""
    if subject is None:
        subject = draw_identity(rng, kind or str(rng.choice(KINDS, p=_KIND_SHARES)))
    if seated is None:
        seated = subject.kind in _SITTERS and bool(rng.random() < 0.12)
    camera = _draw_camera(rng, subject, shot, seated)
    way = float(rng.choice([-1.0, 1.0]))
    if isinstance(subject, Animal):
        # The head looks where the body goes, or at us.
        heading = 1.0 if np.sin(camera.yaw) > 0 else -1.0
        stance_yaw = heading * float(rng.uniform(-0.25, 1.15))
    else:
        stance_yaw = 0.0
    return Scene(
        subject=subject,
        place=place or str(rng.choice(list(PLACES))),
        style=style or str(rng.choice(STYLES, p=_STYLE_SHARES)),
        camera=camera,
        mood=Mood(
            yaw=float(rng.choice([0.0, way * 0.5], p=(0.5, 0.5)) + rng.uniform(-0.24, 0.24)),
            pitch=float(rng.uniform(-0.12, 0.12)),
            roll=float(rng.normal(0, 0.06)),
            smile=float(rng.choice([-1.0, 0.0, 1.0], p=(0.25, 0.35, 0.4)) * rng.uniform(0.6, 1)),
            gaze=float(rng.uniform(-0.8, 0.8)),
        ),
        stance=Stance(
            pose="sitting" if seated else str(rng.choice(POSES)),
            yaw=stance_yaw,
            pitch=float(rng.uniform(-0.08, 0.22)),
            roll=float(rng.normal(0, 0.10)),
            tail=float(rng.random()),
            happy=float(rng.random()),
        ),
        clothes=draw_clothes(rng),
        seat=draw_thing(rng, "chair") if seated else None,
        seed=int(rng.integers(2**31)),
    )


def _draw_camera(rng: Random, subject: Identity, shot: str | None, seated: bool) -> Camera:
    if isinstance(subject, Person):
        shot = shot or str(rng.choice(SHOTS, p=(0.62, 0.25, 0.13)))
        low, high = {"close-up": (0.50, 0.86), "half": (0.28, 0.42), "whole": (0.175, 0.19)}[shot]
        size = float(rng.uniform(low, high))
        middle = {
            "close-up": 0.47 + 0.25 * (size - 0.5),
            "half": 0.30 + 0.15 * (size - 0.28),
            "whole": 0.14,
        }[shot]
        x, y = float(rng.normal(0.5, 0.03)), middle + float(rng.normal(0, 0.015))
        yaw, pitch = 0.0, 0.0
        blur = {"close-up": 0.020, "half": 0.012, "whole": 0.005}[shot]
    else:
        near = isinstance(subject, Animal) and not seated
        shot = shot or ("close-up" if near and rng.random() < 0.30 else "whole")
        low, high = (1.25, 1.75) if shot == "close-up" else (0.66, 0.92)
        if shot == "whole" and near:
            low, high = 0.58, 0.78  # raised ears and tails need room
        if seated:
            low, high = 0.70, 0.80
        size = float(rng.uniform(low, high))
        x = float(rng.normal(0.5, 0.03))
        y = 0.93 - 0.5 * size + float(rng.uniform(-0.05, 0.01))
        pitch = float(
            rng.uniform(0.10, 0.24) if isinstance(subject, Animal) else rng.uniform(0.2, 0.42)
        )
        yaw = float(rng.uniform(-1.0, 1.0) * (0.8 if subject.kind in ("chair", "cup") else 1.35))
        if subject.kind in ("car", "boat", "dog", "cat", "bird"):
            # These point along x: seen from the side, from a corner, never from behind.
            turn = (
                float(rng.uniform(0.35, 1.45))
                if isinstance(subject, Animal)
                else float(rng.uniform(0.7, 1.5))
            )
            yaw = turn * float(rng.choice([-1.0, 1.0]))
        blur = 0.016 if shot == "close-up" else 0.006
    return Camera(
        shot=shot,
        size=size,
        x=x,
        y=y,
        yaw=yaw,
        pitch=pitch,
        blur=blur * float(rng.uniform(0.5, 1.5)),
        exposure=float(np.clip(rng.normal(0, 0.28), -0.7, 0.6)),
        warmth=float(rng.uniform(-1, 1)),
        grain=float(rng.random() ** 2),
        vignette=float(rng.random()),
        contrast=float(rng.uniform(-1, 1)),
        saturation=float(rng.uniform(0.7, 1.0)),
        softness=float(rng.uniform(0.0, 0.009)),
    )


def render(scene: Scene, size: int = 64) -> Drawing:
    """Paint ``scene`` on ``size``² pixels; the same scene gives the same pixels every time."""
    fine = size * 2
    rng = np.random.default_rng(scene.seed)
    place = draw_place(scene.place, rng, size)
    sheet, owner, skin = _figure(scene, fine)
    lit = shade(sheet, place.light, skin)
    head = _head_frame(scene)
    if isinstance(scene.subject, Person):
        glaze(lit, scene.subject, head, sheet, place.light.way[0])
    layers = Layers(
        setting=place.picture,
        figure=lit,
        sheet=sheet,
        light=place.light,
        owner=owner,
        feet=_feet(scene),
        camera=scene.camera,
        seed=scene.seed,
    )
    picture = STYLE[scene.style](layers, rng)
    mask = halve(owner.astype(np.float32))
    return Drawing(
        Image.fromarray(picture), Image.fromarray((mask * 255 + 0.5).astype(np.uint8)), scene
    )


def _head_frame(scene: Scene) -> Frame:
    mood, camera = scene.mood, scene.camera
    return Frame(
        rotation(mood.yaw, mood.pitch, mood.roll), camera.size, np.array([camera.x, camera.y, 0.0])
    )


def _head_of(animal: Animal, stance: Stance) -> tuple[float, float, float]:
    return (0.2, -0.2, 0.0) if animal.kind == "bird" else head_place(animal, stance.pose)


def face_of(scene: Scene) -> tuple[float, float, float] | None:
    """Middle (x, y) and radius of the face, in picture sides; ``None`` for what has none."""
    subject = scene.subject
    if isinstance(subject, Person):
        x, y, _ = _head_frame(scene).point((0.0, 0.06, 0.15))
        return float(x), float(y), 0.36 * scene.camera.size
    if not isinstance(subject, Animal):
        return None
    frame = _body_frame(scene)
    if scene.seat is not None:
        frame = _on_seat(scene, frame)
    x, y, _ = frame.point(_head_of(subject, scene.stance))
    return float(x), float(y), 0.24 * frame.scale


def _figure(scene: Scene, side: int) -> tuple[Sheet, Array, Array | None]:
    """The relief, where the subject itself shows, and where there is skin."""
    subject = scene.subject
    if isinstance(subject, Person):
        return _person(subject, scene, side)
    frame = _body_frame(scene)
    sheet = Sheet(side)
    if scene.seat is not None:
        sheet = SHEETS["chair"](scene.seat, frame, side)
        frame = _on_seat(scene, frame)
    owner = np.zeros((side, side), bool)
    parts = (
        animal_sheets(subject, scene.stance, frame, side)
        if isinstance(subject, Animal)
        else [SHEETS[subject.kind](subject, frame, side)]
    )
    for part in parts:
        owner |= sheet.lay(part)
    return sheet, owner, None


def _body_frame(scene: Scene) -> Frame:
    camera, subject = scene.camera, scene.subject
    yaw = camera.yaw
    if subject.kind in ("dog", "cat", "bird", "car", "boat") and scene.seat is None:
        # Their x axis is turned to the picture's right (yaw > 0) or left, then towards us.
        yaw = yaw - np.pi / 2
    turn = rotation(pitch=camera.pitch) @ rotation(yaw=yaw)
    frame = Frame(turn, camera.size, np.array([camera.x, camera.y, 0.0]))
    if isinstance(subject, Animal) and camera.shot == "close-up":
        # Bring the head to the middle of the picture.
        head = frame.point(_head_of(subject, scene.stance))
        move = np.array([camera.x, 0.46, 0.0]) - head
        frame = Frame(turn, camera.size, frame.at + np.array([move[0], move[1], 0.0]))
    return frame


def _on_seat(scene: Scene, chair: Frame) -> Frame:
    assert scene.seat is not None
    small = {"cup": 0.34, "bird": 0.42}.get(scene.subject.kind, 0.54)
    seat = seat_height(scene.seat) - 0.03
    turn = rotation(yaw=-np.pi / 2 + 0.35) if isinstance(scene.subject, Animal) else None
    return chair.inside((0, seat - 0.5 * small, 0.06), turn, small)


def _feet(scene: Scene) -> tuple[float, float, float] | None:
    """Where the subject stands (x, y) and how wide its shadow is; ``None``: not in the picture."""
    camera = scene.camera
    if isinstance(scene.subject, Person):
        return (
            (camera.x, camera.y + camera.size * 4.25, camera.size * 0.75)
            if camera.shot == "whole"
            else None
        )
    if camera.shot == "close-up":
        return None
    wide = {"cup": 0.34, "chair": 0.36, "bird": 0.22, "car": 0.52, "boat": 0.42}.get(
        scene.subject.kind, 0.40
    )
    wide = 0.36 if scene.seat is not None else wide
    return camera.x, camera.y + camera.size * 0.485 * np.cos(camera.pitch), wide * camera.size


def _person(person: Person, scene: Scene, side: int) -> tuple[Sheet, Array, Array]:
    head = _head_frame(scene)
    body = Frame(rotation(yaw=scene.mood.yaw * 0.35), scene.camera.size, head.at)
    sheet = torso_sheet(
        person,
        scene.clothes,
        body,
        head.point((0, 0.28, -0.14)),
        side,
        scene.camera.shot != "close-up",
    )
    skin = np.zeros((side, side), np.float32)
    tone = np.asarray(sheet.albedo.max(-1) > 0, np.float32) * 0.3
    skin += tone * sheet.covered
    face = sheet.lay(head_sheet(person, head, scene.mood, side))
    skin[face] = 1.0
    for part in hair_sheets(person, head, side):
        skin[sheet.lay(part)] = 0.0
    if person.glasses != "none":
        skin[sheet.lay(glasses_sheet(person, head, side))] = 0.0
    return sheet, sheet.covered, skin


def with_clothes(scene: Scene, rng: Random) -> Scene:
    """The same scene in other clothes."""
    return replace(scene, clothes=draw_clothes(rng))
