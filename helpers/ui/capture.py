"""The form for taking one's own photos: consent, the wanted shots, a live checklist, a gallery.

    form = guided_capture(lab, subject="me")
    form
    form.capture.save()

Its code-only twin is ``helpers.photos.capture.Capture``: the form calls nothing else. Core
ipywidgets only; on a phone the upload button opens the camera.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from typing import Any

from helpers.errors import CourseError
from helpers.photos.capture import Capture
from helpers.photos.checklist import ANGLES, EXPRESSIONS, Shot
from helpers.photos.consent import MOST_DAYS, PLACES, record_consent
from helpers.photos.faces import Box
from helpers.photos.photo import Image
from helpers.photos.prepare import CUT_BY
from helpers.ui.lab import Lab
from helpers.ui.sheets import outlined

TILE, LARGE = 150, 320
PURPOSE = "an avatar in this course"
_UNSAID = "not said"


def guided_capture(lab: Lab, *, subject: str = "me", person: bool = True) -> Any:
    """The form for photos of ``subject``, to be shown as a cell's last line.

    Returns a widget with the ``capture`` that it fills; what was saved before is in it again.
    Mistakes are told in the form's own line and change nothing. Raises ``PhotoError`` for a
    subject that cannot name a folder.
    """
    capture = Capture(lab.settings, subject=subject, size=lab.base.resolution, person=person)
    form = _Form(capture)
    form.resume()
    return form.whole


class _Form:
    """The widgets and what they do; ``whole`` holds them all."""

    def __init__(self, capture: Capture) -> None:
        import ipywidgets as widgets

        self.capture = capture
        self._small = ((0, 0), "")
        self._busy = False  # the form itself changes its widgets: nobody has clicked
        self.said: Any = widgets.HTML()
        self.consent = self._consent_part(widgets)
        self.upload = self._upload_part(widgets)
        self.checks: Any = widgets.HTML()
        self.gallery: Any = widgets.HTML()
        self.editor = self._editor_part(widgets)
        self.whole: Any = widgets.VBox(
            [self.consent, self.upload, self.said, self.checks, self.gallery, self.editor]
        )
        for name in ("capture", "said", "checks", "gallery"):
            setattr(self.whole, name, getattr(self, name))
        for name in (
            "who", "purpose", "days", "agreed", "record", "files", "angle", "expression",
            "photo", "is_angle", "is_expression", "across", "down", "use", "back", "leave",
        ):  # fmt: skip
            setattr(self.whole, name, getattr(self, name))
        self._show()

    def _consent_part(self, widgets: Any) -> Any:
        style = {"description_width": "6em"}
        self.who: Any = widgets.Text(
            description="who agrees", placeholder="the name of the one in the photos", style=style
        )
        self.purpose: Any = widgets.Text(PURPOSE, description="to what", style=style)
        self.days: Any = widgets.BoundedIntText(
            value=30, min=1, max=MOST_DAYS, description="for days", style=style
        )
        self.agreed: Any = widgets.Checkbox(
            description="an adult: myself, or somebody who agreed in writing", indent=False,
            layout=widgets.Layout(width="auto"),
        )  # fmt: skip
        self.record: Any = widgets.Button(description="Record consent", button_style="primary")
        self.record.on_click(lambda _: self._try(self._record))
        places = "".join(f"<li>{escape(place)}</li>" for place in PLACES.values())
        where = widgets.HTML(f"Photos will lie in<ul>{places}</ul>")
        part = [self.who, self.purpose, self.days, where, self.agreed, self.record]
        return widgets.VBox([widgets.HTML("<b>1 · Consent</b>"), *part])

    def _upload_part(self, widgets: Any) -> Any:
        self.angle: Any = widgets.Dropdown(options=ANGLES, description="next: from")
        self.expression: Any = widgets.Dropdown(options=EXPRESSIONS, description="with")
        if not self.capture.person:
            self.expression.layout.display = "none"
        self.files: Any = widgets.FileUpload(
            accept="image/*", multiple=True, description="Add photos", button_style="primary"
        )
        self.files.observe(lambda _: self._try(self._add), names="value")
        hint = widgets.HTML(
            "One photo at a time gets the words beside the button; of several say it below. "
            "<i>Left</i> is the left side of the picture, <i>between</i> is half-way to it or to "
            "the right."
        )
        row = widgets.HBox([self.angle, self.expression, self.files])
        return widgets.VBox([widgets.HTML("<b>2 · Photos</b>"), row, hint])

    def _editor_part(self, widgets: Any) -> Any:
        self.photo: Any = widgets.Dropdown(options=[], description="photo")
        self.is_angle: Any = widgets.Dropdown(options=[_UNSAID, *ANGLES], description="from")
        self.is_expression: Any = widgets.Dropdown(
            options=[_UNSAID, *EXPRESSIONS], description="with"
        )
        wide = widgets.Layout(width="30em")
        self.across: Any = widgets.IntRangeSlider(
            value=(25, 75), min=0, max=100, description="across %", layout=wide
        )
        self.down: Any = widgets.IntRangeSlider(
            value=(10, 60), min=0, max=100, description="down %", layout=wide
        )
        self.use: Any = widgets.Button(description="Use this box", button_style="primary")
        self.back: Any = widgets.Button(description="As found")
        self.leave: Any = widgets.Button(description="Leave it out")
        self.preview: Any = widgets.HTML()
        self.photo.observe(lambda _: self._try(lambda: None), names="value")
        for slider in (self.across, self.down):
            slider.observe(lambda _: self._draw_preview(), names="value")
        for word in (self.is_angle, self.is_expression):
            word.observe(lambda _: self._try(self._say), names="value")
        self.use.on_click(lambda _: self._try(lambda: self._frame(self._drawn_box())))
        self.back.on_click(lambda _: self._try(lambda: self._frame(None)))
        self.leave.on_click(lambda _: self._try(lambda: self.capture.remove(self.photo.value)))
        words = [self.photo, self.is_angle, *[self.is_expression] * self.capture.person]
        buttons = widgets.HBox([self.use, self.back, self.leave])
        left = widgets.VBox([*words, self.across, self.down, buttons])
        title = widgets.HTML("<b>3 · Look at each</b>: is the head in the box? If not, frame it.")
        return widgets.VBox([title, widgets.HBox([left, self.preview])])

    def _try(self, do: Callable[[], object]) -> None:
        """Do it, show what came of it, and tell a refusal in its own words."""
        if self._busy:
            return
        self._busy = True
        try:
            told = do()
        except CourseError as error:
            told = str(error)
        try:
            self._show()
            self.said.value = f"<i>{escape(told)}</i>" if isinstance(told, str) else ""
        finally:
            self._busy = False

    def resume(self) -> None:
        """Take in what was saved before, if the consent to it still holds."""
        saved = "These photos were saved before. Leave out what you do not want to keep."
        self._try(lambda: saved if self.capture.resume() else None)

    def _record(self) -> str:
        if not self.agreed.value:
            return "Tick the box first: without permission no photo is taken."
        consent = record_consent(
            self.capture.settings, subject=self.capture.subject, given_by=self.who.value,
            purpose=self.purpose.value, days=self.days.value,
        )  # fmt: skip
        return f"Recorded: {consent}."

    def _add(self) -> str | None:
        files = self.files.value
        if not files:
            return None
        self.files.value = ()
        alone = len(files) == 1
        said = Shot(
            angle=self.angle.value if alone else None,
            expression=self.expression.value if alone and self.capture.person else None,
        )
        refused = []
        for file in files:
            try:
                self.capture.add(
                    bytes(file.content), file.name, angle=said.angle, expression=said.expression
                )
            except CourseError as error:
                refused.append(str(error))
        return " ".join(refused) or None

    def _say(self) -> None:
        if self.photo.value is None:
            return
        angle, expression = (
            None if word.value == _UNSAID else word.value
            for word in (self.is_angle, self.is_expression)
        )
        self.capture.say(self.photo.value, angle=angle, expression=expression)

    def _frame(self, box: Box | None) -> None:
        if self.photo.value is not None:
            self.capture.frame(self.photo.value, box)

    def _show(self) -> None:
        """Bring every part up to date with the capture."""
        try:
            consent = self.capture.consent
            self.files.disabled = False
            told = "" if consent is None else f"<b>1 · Consent</b>: {escape(str(consent))}"
        except CourseError:
            self.files.disabled, told = True, ""
        self.consent.children[0].value = told or "<b>1 · Consent</b>, before any photo comes in"
        for part in self.consent.children[1:]:
            part.layout.display = "none" if told or not self.capture.person else None
        shots = self.capture.shots.values()
        for box, wanted, given in (
            (self.angle, ANGLES, [shot.angle for shot in shots]),
            (self.expression, EXPRESSIONS, [shot.expression for shot in shots]),
        ):
            box.value = min(wanted, key=given.count)  # what there is least of comes next
        table = self.capture.checks._repr_html_() if self.capture.photos else ""
        self.checks.value = f'<div style="line-height:1.3">{table}</div>'
        self._show_gallery()

    def _show_gallery(self) -> None:
        figures = []
        for photo, item in zip(self.capture.photos, self.capture.prepared, strict=True):
            told = f"{photo.name}: {self.capture.shots[photo.name]}; cut {CUT_BY[item.how]}"
            words = [told, *item.notes]
            figures.append(_figure(outlined(photo.image, item, TILE), words, alt="; ".join(words)))
        legend = "blue: the head, or your box; orange: what the model sees" if figures else ""
        self.gallery.value = f"{''.join(figures)}<div>{legend}</div>"
        names = [photo.name for photo in self.capture.photos]
        if list(self.photo.options) != names:
            self.photo.options = names
            # What was added last, or what needs a look most.
            asked = [one.name for one in self.capture.prepared if one.how in ("centre", "set")]
            self.photo.value = next(iter(asked), names[-1]) if names else None
        self.editor.layout.display = None if names else "none"
        self._choose()

    def _choose(self) -> None:
        """Show the words and the box of the photo that is chosen."""
        name = self.photo.value
        if name not in self.capture.shots:
            return
        shot = self.capture.shots[name]
        item = next(one for one in self.capture.prepared if one.name == name)
        image, square = self._image(name), item.square
        width, height = image.size
        small = image.resize((round(LARGE * width / max(width, height)),
                              round(LARGE * height / max(width, height))))  # fmt: skip
        self._small = (small.size, _address(small))
        self.is_angle.value = shot.angle or _UNSAID
        self.is_expression.value = shot.expression or _UNSAID
        self.across.value = _percent(square.left, square.side, width)
        self.down.value = _percent(square.top, square.side, height)
        self._draw_preview()

    def _drawn_box(self) -> Box:
        width, height = self._image(self.photo.value).size
        (left, right), (top, bottom) = self.across.value, self.down.value
        return Box(
            left=round(left / 100 * width), top=round(top / 100 * height),
            width=round((right - left) / 100 * width), height=round((bottom - top) / 100 * height),
        )  # fmt: skip

    def _draw_preview(self) -> None:
        if self.photo.value is None:
            return
        (left, right), (top, bottom) = self.across.value, self.down.value
        edges = f"left:{left}%;top:{top}%;width:{right - left}%;height:{bottom - top}%"
        (width, height), address = self._small
        self.preview.value = (
            f'<div style="position:relative;width:{width}px;height:{height}px">'
            f'<img src="{address}" alt="{escape(self.photo.value)} with your box" '
            f'style="position:absolute;left:0;top:0">'
            f'<div style="position:absolute;box-sizing:border-box;{edges};'
            f'border:3px solid #0072B2;outline:2px solid white"></div></div>'
        )

    def _image(self, name: str) -> Image:
        return next(photo.image for photo in self.capture.photos if photo.name == name)


def _percent(start: int, length: int, whole: int) -> tuple[int, int]:
    low, high = 100 * start / whole, 100 * (start + length) / whole
    return max(round(low), 0), min(round(high), 100)


def _figure(image: Image, words: list[str], *, alt: str) -> str:
    lines = "".join(f"<div>{escape(word)}</div>" for word in words)
    return (
        f'<figure style="display:inline-block;vertical-align:top;margin:4px;width:{TILE}px">'
        f'<img src="{_address(image)}" alt="{escape(alt)}">'
        f'<figcaption style="font-size:11px;line-height:1.25">{lines}</figcaption></figure>'
    )


def _address(image: Image) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
