"""Answers to the exercises of `notebooks/02_prepare_photos.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
from PIL import Image

from helpers.photos.faces import Box
from helpers.ui.lab import start

lab = start("02_prepare_photos")


# %% ex-1
def put_aside(photos, share):
    aside = []
    for latest in sorted({day for _, day in photos}, reverse=True):
        if len(aside) >= share * len(photos):
            break
        aside += [name for name, day in photos if day == latest]
    return aside
    # Same shirt, same light, same sofa: a model that learned one photo of the day knows the others.


# %% ex-1 mistake
def put_aside(photos, share):
    return [name for name, _ in photos[: round(share * len(photos))]]  # whatever comes first


# %% ex-2
import io

from PIL import ImageOps


def travels(photo):
    buffer = io.BytesIO()
    ImageOps.exif_transpose(photo).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


# %% ex-2 mistake
def travels(photo):
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", exif=photo.getexif())  # the place comes along
    return buffer.getvalue()


# %% ex-3
def square_around(face, width, height):
    side = min(2 * max(face.width, face.height), width, height)
    left = face.left + face.width // 2 - side // 2
    top = face.top + face.height // 2 - side // 2
    return Box(
        left=max(0, min(left, width - side)),
        top=max(0, min(top, height - side)),
        width=side,
        height=side,
    )


# %% ex-3 mistake
def square_around(face, width, height):
    side = 2 * max(face.width, face.height)
    return Box(left=face.left - side // 4, top=face.top - side // 4, width=side, height=side)
    # Sticks out of the photo at its edges: what would the model see there?
