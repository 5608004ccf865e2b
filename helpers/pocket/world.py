"""Scenes of the drawn world: a subject, a setting and a style, and the picture of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from helpers.pocket.animals import draw_cat_layers, draw_chair_layers, draw_dog_layers
from helpers.pocket.canvas import Layer, View
from helpers.pocket.identity import Animal, Chair, Identity, Person, draw_identity
from helpers.pocket.people import Expression, draw_person_layers
from helpers.pocket.places import PLACES, draw_place

KINDS = ("dog", "cat", "person", "chair")
STYLES = ("photo", "pencil sketch", "watercolour painting")
_KIND_SHARES = (0.25, 0.22, 0.43, 0.10)
_STYLE_SHARES = (0.7, 0.16, 0.14)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that decides a picture, so that the same scene always gives the same pixels."""

    subject: Identity
    place: str
    style: str
    view: View
    mood: Expression
    lift: float  # raised head (dog) or swaying tail (cat), 0..1
    light: float  # side the light comes from, -1..1
    warmth: float  # colour cast, -1..1
    seed: int  # of the setting's details and the grain


@dataclass(frozen=True)
class Drawing:
    """A finished picture, the mask of its subject (0..255) and the scene it shows."""

    image: Image.Image
    mask: Image.Image
    scene: Scene


def draw_scene(
    rng: np.random.Generator,
    *,
    subject: Identity | None = None,
    kind: str | None = None,
    place: str | None = None,
    style: str | None = None,
) -> Scene:
    """A random scene; whatever is given stays as given."""
    if subject is None:
        subject = draw_identity(rng, kind or str(rng.choice(KINDS, p=_KIND_SHARES)))
    return Scene(
        subject=subject,
        place=place or str(rng.choice(list(PLACES))),
        style=style or str(rng.choice(STYLES, p=_STYLE_SHARES)),
        view=_draw_view(rng, subject),
        mood=Expression(
            turn=float(rng.uniform(-1, 1)),
            smile=float(rng.choice([-1.0, 0.0, 1.0]) * rng.uniform(0.6, 1)),
            gaze=float(rng.uniform(-1, 1)),
        ),
        lift=float(rng.random()),
        light=float(rng.uniform(-1, 1)),
        warmth=float(rng.uniform(-1, 1)),
        seed=int(rng.integers(2**31)),
    )


def _draw_view(rng: np.random.Generator, subject: Identity) -> View:
    flip = bool(rng.random() < 0.5)
    if subject.kind == "person":
        # From half a body to a face that fills the frame, as face crops do.
        scale = float(rng.uniform(0.75, 1.7))
        drop = 0.10 + 0.5 * (scale - 0.75) * 0.34
        return View(
            x=float(rng.normal(0.5, 0.03)),
            y=0.52 + drop + float(rng.normal(0, 0.025)),
            scale=scale,
            flip=flip,
            tilt=float(rng.normal(0, 0.04)),
        )
    scale = float(rng.uniform(0.62, 0.98))
    return View(
        x=float(rng.normal(0.5, 0.05)),
        y=0.93 - 0.40 * scale + float(rng.uniform(-0.03, 0.02)),
        scale=scale,
        flip=flip,
        tilt=float(rng.normal(0, 0.025)),
    )


def render(scene: Scene, size: int = 64) -> Drawing:
    """Paint ``scene`` on ``size``² pixels; the same scene gives the same pixels every time."""
    fine = size * (3 if size <= 128 else 2)
    rng = np.random.default_rng(scene.seed)
    picture = draw_place(scene.place, rng, fine)
    if scene.subject.kind == "person" or scene.place == "city":
        picture = picture.filter(ImageFilter.GaussianBlur(fine * 0.004))
    layers = _subject_layers(scene, fine)
    mask = Image.new("L", (fine, fine))
    for layer in layers:
        mask = ImageChops.lighter(mask, layer.image.getchannel("A"))
    if scene.subject.kind != "person":
        picture = _ground_shadow(scene.view, fine).over(picture)
    for layer in layers:
        picture = layer.over(picture)
    picture = _STYLE[scene.style](picture, scene, rng)
    small = picture.resize((size, size), Image.Resampling.BOX)
    if scene.style == "photo":
        small = _grain(small, rng)
    return Drawing(small, mask.resize((size, size), Image.Resampling.BOX), scene)


def _subject_layers(scene: Scene, size: int) -> list[Layer]:
    subject, view = scene.subject, scene.view
    if isinstance(subject, Person):
        return draw_person_layers(subject, view, size, scene.mood)
    if isinstance(subject, Chair):
        return draw_chair_layers(subject, view, size)
    assert isinstance(subject, Animal)
    draw = draw_dog_layers if subject.kind == "dog" else draw_cat_layers
    return draw(subject, view, size, scene.lift)


def _ground_shadow(view: View, size: int) -> Layer:
    layer = Layer(size, view)
    layer.ellipse(0.5, 0.9, 0.36, 0.045, (30, 28, 40))
    layer.soften(0.015)
    layer.image.putalpha(layer.image.getchannel("A").point(lambda alpha: int(alpha * 0.45)))
    return layer


def _photo(picture: Image.Image, scene: Scene, rng: np.random.Generator) -> Image.Image:
    size = picture.width
    pixels = np.asarray(picture, np.float32)
    across = np.linspace(-1, 1, size, dtype=np.float32)
    lamp = 1 + 0.13 * scene.light * across[None, :, None] - 0.07 * across[:, None, None] ** 2
    cast = np.array([1 + 0.05 * scene.warmth, 1.0, 1 - 0.06 * scene.warmth], np.float32)
    return Image.fromarray(np.clip(pixels * lamp * cast, 0, 255).astype(np.uint8))


def _grain(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    noisy = pixels + rng.normal(0, 2.0, (*pixels.shape[:2], 1)).astype(np.float32)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _pencil(picture: Image.Image, scene: Scene, rng: np.random.Generator) -> Image.Image:
    grey = ImageOps.grayscale(picture)
    size = grey.width
    inverse = ImageOps.invert(grey).filter(ImageFilter.GaussianBlur(size * 0.012))
    # Dodging a picture with its own blurred negative leaves the lines: the classic darkroom sketch.
    base, blurred = np.asarray(grey, np.float32), np.asarray(inverse, np.float32)
    lines = np.clip(base * 255 / np.maximum(255 - blurred, 1), 0, 255)
    tone = 255 - (255 - base) * 0.22
    paper = np.minimum(lines, 250) * 0.8 + tone * 0.2 - 6
    paper = 255 - (255 - paper) * 1.7
    coarse = rng.normal(0, 9, (64, 64)).clip(-20, 20) + 128
    hatch = Image.fromarray(coarse.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    paper += np.asarray(hatch, np.float32) - 128
    return Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8)).convert("RGB")


def _watercolour(picture: Image.Image, scene: Scene, rng: np.random.Generator) -> Image.Image:
    size = picture.width
    washed = picture.filter(ImageFilter.MedianFilter(3)).filter(
        ImageFilter.GaussianBlur(size * 0.003)
    )
    pixels = np.asarray(washed, np.float32)
    pale = 255 - (255 - pixels) * 0.74
    blots = rng.normal(0, 1, (7, 7)).astype(np.float32)
    cloud = Image.fromarray(np.clip(128 + blots * 40, 0, 255).astype(np.uint8))
    wet = np.asarray(cloud.resize((size, size), Image.Resampling.BICUBIC), np.float32) - 128
    edge = np.asarray(ImageOps.grayscale(washed).filter(ImageFilter.FIND_EDGES), np.float32)
    pale += wet[..., None] * 0.3 - np.minimum(edge, 50)[..., None] * 0.9
    across = np.abs(np.linspace(-1, 1, size, dtype=np.float32))
    rim = np.maximum(across[None, :], across[:, None]) + wet / 900
    paper = np.clip((rim - 0.93) / 0.05, 0, 1)[..., None]
    return Image.fromarray(np.clip(pale * (1 - paper) + 250 * paper, 0, 255).astype(np.uint8))


_STYLE = {"photo": _photo, "pencil sketch": _pencil, "watercolour painting": _watercolour}
