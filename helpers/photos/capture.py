"""Guided capture without a form: photos of one subject come in one by one, or by the folder.

    capture = Capture(settings, subject="me", size=base.resolution)
    record_consent(settings, subject="me", given_by="Ada", purpose="a poster", days=30)
    capture.add(Path("IMG_0815.jpg"), angle="left", expression="smile")
    print(capture.checks)
    capture.frame("img_0815.jpg", Box(left=300, top=120, width=900, height=900))
    photos, heldout = capture.save()

The form of ``helpers.ui.capture`` calls nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from helpers.errors import PhotoError
from helpers.photos.archive import MOST_PHOTOS, packed_photo, server_names
from helpers.photos.checklist import Checklist, Shot, checklist
from helpers.photos.consent import Consent, require_consent
from helpers.photos.faces import Box, FaceFinder, find_faces
from helpers.photos.frames import KEY, SIDECAR, to_shares
from helpers.photos.load import load_folder, load_photo
from helpers.photos.photo import Image, Photo, PhotoSet, Refused
from helpers.photos.prepare import PreparedPhoto, prepare
from helpers.settings import Settings
from helpers.strict_json import parse_object

HELD_OUT_EVERY = 4
"""Of four photos or more, every fourth is put aside to measure with."""
KEPT_SIDE, KEPT_QUALITY = 2048, 95
_SUBJECT = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class Capture:
    """The photos of one ``subject`` (letters, digits, hyphens: it names a folder) as they come in.

    ``size``: the side that the base was trained on. ``person``: faces are looked for, and nothing
    comes in before a consent is recorded. Raises ``PhotoError`` for an unusable subject.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        subject: str,
        size: int,
        person: bool = True,
        finder: FaceFinder = find_faces,
    ) -> None:
        if not _SUBJECT.fullmatch(subject):
            raise PhotoError(
                "the subject names a folder, and this cannot be one", "",
                "use lower-case letters, digits and hyphens, such as me",
            )  # fmt: skip
        self.settings, self.subject, self.size, self.person = settings, subject, size, person
        self.photos = PhotoSet()
        self.shots: dict[str, Shot] = {}
        self._finder, self._faces = finder, {}
        self._prepared: list[PreparedPhoto] | None = None

    @property
    def consent(self) -> Consent | None:
        """The consent to photos of this subject. Raises ``PhotoError`` where one is needed and
        none holds; a pet or a mug needs none."""
        return require_consent(self.settings, self.subject) if self.person else None

    def add(
        self,
        data: bytes | Path,
        name: str | None = None,
        *,
        angle: str | None = None,
        expression: str | None = None,
    ) -> Photo:
        """Take one photo in, without its metadata, and say what it shows.

        A name that is there already gets a number. Raises ``PhotoError`` without a consent, for a
        photo that cannot be used, and above 100 photos.
        """
        _ = self.consent
        shot = Shot(angle=angle, expression=expression)
        if len(self.photos) >= MOST_PHOTOS:
            raise PhotoError(
                "these are photos enough", f"{MOST_PHOTOS} is the limit", "keep the best"
            )
        photo = load_photo(data, name, longest_side=KEPT_SIDE)
        taken = [one.name for one in self.photos]
        photo = replace(photo, name=server_names([*taken, photo.name])[-1])
        self._change([*self.photos, photo])
        self.shots[photo.name] = shot
        return photo

    def add_folder(self, folder: Path) -> tuple[Refused, ...]:
        """Take in every photo of a folder; returns those that cannot be used, each with a reason.

        Raises ``PhotoError`` as ``add`` and ``load_folder`` do.
        """
        _ = self.consent
        found = load_folder(folder)
        for photo in found:
            self.add(folder / photo.name)
        return found.refused

    def say(self, name: str, *, angle: str | None = None, expression: str | None = None) -> None:
        """Say what a photo shows. Raises ``PhotoError`` for no such photo, angle or expression."""
        self.shots[self._photo(name).name] = Shot(angle=angle, expression=expression)

    def frame(self, name: str, box: Box | None) -> None:
        """Cut this photo around ``box``, in its pixels; ``None``: as it was found.

        Raises ``PhotoError`` for no such photo, and for a box outside of it.
        """
        framed = replace(self._photo(name), box=box)
        prepare([framed], size=self.size, finder=lambda _: ())
        self._change([framed if one.name == name else one for one in self.photos])

    def remove(self, name: str) -> None:
        """Leave a photo out. Raises ``PhotoError`` for no such photo."""
        gone = self._photo(name)
        self._change([one for one in self.photos if one is not gone])
        del self.shots[name]

    @property
    def prepared(self) -> list[PreparedPhoto]:
        """What the model will see of each photo."""
        if self._prepared is None:
            self._prepared = prepare(
                self.photos, size=self.size, face=self.person, finder=self._remembered
            ) if self.photos else []  # fmt: skip
        return self._prepared

    @property
    def checks(self) -> Checklist:
        """What the set still lacks."""
        return checklist(self.photos, self.prepared, self.shots, person=self.person)

    def resume(self) -> bool:
        """Take in again what ``save`` wrote, as after a restart; whether there was anything.

        Raises ``PhotoError`` without a consent, and for damaged files.
        """
        if self.photos or not self._home.is_dir():
            return False
        _ = self.consent
        learned, held = self._read(self._home / "photos"), self._read(self._home / "heldout")
        together: list[Photo] = []
        while learned or held:  # what was put aside is put aside again
            aside = len(together) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
            together.append((held if held and (aside or not learned) else learned).pop(0))
        self._change(together)
        return bool(together)

    def save(self) -> tuple[Path, Path] | None:
        """Write the photos below ``outputs/photos/<subject>``, replacing what was there.

        Returns the folders of those to learn from and of those put aside to measure with (the same
        folder where there are fewer than four); ``None`` where no photo came in. Raises
        ``PhotoError`` without a consent.
        """
        if not self.photos:
            return None
        _ = self.consent
        shutil.rmtree(self._home, ignore_errors=True)
        held = self.photos[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
        aside = {photo.name for photo in held}
        learned = [photo for photo in self.photos if photo.name not in aside]
        folder = self._write(self._home / "photos", learned)
        return folder, self._write(self._home / "heldout", held) if held else folder

    @property
    def _home(self) -> Path:
        return self.settings.outputs / "photos" / self.subject

    def _write(self, folder: Path, photos: Sequence[Photo]) -> Path:
        folder.mkdir(parents=True, mode=0o700)
        hashes = []
        for photo in photos:
            content = packed_photo(photo, KEPT_SIDE, KEPT_QUALITY)
            (folder / photo.name).write_bytes(content)
            hashes.append(hashlib.sha256(content).hexdigest())
        about = {
            KEY: {one.name: to_shares(one.box, one.image.size) for one in photos if one.box},
            "shots": {one.name: asdict(self.shots[one.name]) for one in photos},
            "photos": hashes,  # so that it is forgotten with them
        }
        (folder / SIDECAR).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        return folder

    def _read(self, folder: Path) -> list[Photo]:
        if not folder.is_dir():
            return []
        photos = list(load_folder(folder))
        try:
            said = parse_object((folder / SIDECAR).read_bytes())["shots"]
            self.shots |= {photo.name: Shot(**said[photo.name]) for photo in photos}
        except (OSError, ValueError, KeyError, TypeError):  # the words are lost, not the photos
            self.shots |= {photo.name: Shot() for photo in photos}
        return photos

    def _photo(self, name: str) -> Photo:
        for photo in self.photos:
            if photo.name == name:
                return photo
        names = ", ".join(photo.name for photo in self.photos) or "none yet"
        raise PhotoError("no photo has that name", f"the photos are: {names}", "use one of them")

    def _change(self, photos: Sequence[Photo]) -> None:
        self.photos, self._prepared = PhotoSet(photos), None

    def _remembered(self, image: Image) -> Sequence[Box]:
        """Faces are looked for once a photo, for the list is drawn anew at each change."""
        if id(image) not in self._faces:
            self._faces[id(image)] = (image, self._finder(image))  # kept, so that its id is its own
        return self._faces[id(image)][1]
