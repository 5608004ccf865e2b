"""The note beside a saved picture: whole, true, and found out when it is another picture's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.errors import GenerationError
from helpers.hosting.picture import Painted
from helpers.hosting.provenance import FORMATS, note_path, read_note, save_picture

INFO = {"base": "pocket", "adapter_sha256": "5a" * 32, "seed": 7, "prompt": "a dog – 犬"}


def picture(seed: int, **info: object) -> Painted:
    values = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return Painted(image=Image.fromarray(values, "RGB"), info={**INFO, **info})


@pytest.mark.parametrize("ending", [*FORMATS, ".PNG"])
def test_file_and_note_say_the_same_in_every_format(tmp_path: Path, ending: str) -> None:
    path = save_picture(picture(1), tmp_path / "new" / f"me{ending}")
    note, inside = read_note(path), Painted.from_bytes(path.read_bytes())
    assert INFO.items() <= note.items() and INFO.items() <= inside.info.items()
    assert note["source"] == "AI generated" and note["file"] == path.name
    assert note["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.json"]


def test_a_tool_that_drops_what_the_file_says_does_not_part_picture_and_note(
    tmp_path: Path,
) -> None:
    path = save_picture(picture(1), tmp_path / "me.png")
    Image.open(path).convert("RGB").save(path)  # without chunks
    assert Painted.from_bytes(path.read_bytes()).info == {}
    assert read_note(path)["seed"] == INFO["seed"]


def test_another_picture_a_changed_one_and_a_lost_note_are_found_out(tmp_path: Path) -> None:
    path, other = (save_picture(picture(n), tmp_path / f"{n}.png") for n in (1, 2))
    changed = Image.open(path).convert("RGB")
    changed.putpixel((0, 0), (255 - changed.getpixel((0, 0))[0], 0, 0))  # type: ignore[index]
    changed.save(path)
    with pytest.raises(GenerationError, match="belongs to another picture"):
        read_note(path)
    note_path(other).unlink()
    with pytest.raises(GenerationError, match="has no note"):
        read_note(other)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.text(max_size=80), st.sampled_from(list(FORMATS)))
def test_no_prompt_breaks_a_note(tmp_path: Path, prompt: str, ending: str) -> None:
    path = save_picture(picture(1, prompt=prompt), tmp_path / f"me{ending}")
    assert read_note(path)["prompt"] == prompt


def test_what_a_picture_says_of_itself_cannot_take_the_note_s_own_words(tmp_path: Path) -> None:
    lie = picture(1, source="made by hand", file_sha256="0" * 64, file="other.png")
    note = json.loads(note_path(save_picture(lie, tmp_path / "me.png")).read_text("utf-8"))
    assert note["source"] == "AI generated" and note["file"] == "me.png"
    assert read_note(tmp_path / "me.png")["file_sha256"] != "0" * 64


def test_an_ending_without_a_format_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=r"\.webp"):
        save_picture(picture(1), tmp_path / "me.gif")
    assert not list(tmp_path.iterdir())
