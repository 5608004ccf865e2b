"""Figures of the notebooks say in words what they show."""

from __future__ import annotations

from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from helpers.ui import alt
from helpers.ui.gallery import gallery
from helpers.ui.sheets import contact_sheet, grid


def tile() -> Image.Image:
    return Image.new("RGB", (8, 8), "navy")


def test_every_sheet_is_described_by_its_own_captions() -> None:
    strip = contact_sheet([tile(), tile()], ["step 1", 'step "2" <b>'], tile=32)
    assert strip.info["alt"] == '2 pictures; step 1; step "2" <b>'
    table = grid([[tile(), None]], ["with"], ["seed 1", "seed 2"], tile=32)
    assert table.info["alt"] == "1 rows of 2 pictures; downwards: with; across: seed 1, seed 2"
    poster = gallery(
        photos=[tile()], prompts=["in the snow"], with_adapter=[[tile()]],
        without_adapter=[[tile()]],
    )  # fmt: skip
    assert "the 1 photos" in poster.info["alt"] and "in the snow" in poster.info["alt"]
    assert len(alt.described(tile(), "word " * 1000).info["alt"]) == alt.LONGEST


def test_a_notebook_shows_the_words_and_leaves_other_pictures_alone(monkeypatch: Any) -> None:
    shell: Any = InteractiveShell()
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    assert alt.install()
    shown, _ = shell.display_formatter.format(contact_sheet([tile()], ['"<b>"'], tile=32))
    assert shown["text/html"].startswith('<img alt="a picture; &quot;&lt;b&gt;&quot;"')
    plain, _ = shell.display_formatter.format(tile())
    assert "text/html" not in plain and "image/png" in plain
