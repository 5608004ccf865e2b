"""The painter of the real-time container, in this process."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.errors import GenerationError
from helpers.hosting import real_time
from helpers.hosting.generate import AvatarPainter
from helpers.hosting.picture import Painted
from helpers.hosting.real_time import DEADLINE_S, MOST_BYTES, PROMISE_S, RealTimePainter
from helpers.hosting.request import OUT_OF_MEMORY_WORDS, GenerationRequest
from helpers.hosting.speed import Speed

FAST = {"num_inference_steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def painter(small_base: Path) -> RealTimePainter:
    return RealTimePainter(small_base)


@pytest.fixture
def limited(
    painter: RealTimePainter, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RealTimePainter]:
    """The painter with other limits, or another speed, for one test."""

    def limited(**more: Any) -> RealTimePainter:
        for name, value in more.items():
            monkeypatch.setattr(painter, name, value)
        return painter

    return limited


def pictures(answer: dict[str, Any]) -> list[Painted]:
    return [Painted.from_base64(text) for text in answer["generated_images"]]


def test_the_promises_keep_below_the_limits_of_aws() -> None:
    assert PROMISE_S < DEADLINE_S < 60
    assert MOST_BYTES == 6_291_456


def test_starting_measures_the_machine(painter: RealTimePainter) -> None:
    assert 0 < painter.speed.step < 1e-3
    assert "pictures x steps x pixels" in painter.describe()
    assert painter.painter.base.id in painter.describe()


def test_an_answer_is_json_with_jpegs(painter: RealTimePainter) -> None:
    answer = painter.answer({"prompt": ["a dog", "a cat"], "num_images_per_prompt": 2, **FAST})
    assert json.loads(json.dumps(answer)) == answer
    assert base64.b64decode(answer["generated_images"][0])[:3] == b"\xff\xd8\xff"
    assert answer["seeds"] == [3, 4, 3, 4]
    assert answer["num_images_per_prompt"] == 2
    assert answer["seconds"] > 0
    infos = [one.info for one in pictures(answer)]
    assert [(one["prompt"], one["seed"]) for one in infos] == [
        ("a dog", 3), ("a dog", 4), ("a cat", 3), ("a cat", 4)
    ]  # fmt: skip
    assert {one["source"] for one in infos} == {"AI generated"}
    assert {one["base_hash"] for one in infos} == {painter.painter.base.hash}


def test_the_pictures_are_the_painter_s(painter: RealTimePainter, small_base: Path) -> None:
    """A JPEG away from what the multi-model endpoint paints with the same seed."""
    answer = painter.answer({"inputs": "a dog", "guidance_scale": 4, "width": 72, **FAST})
    asked = GenerationRequest.from_json(
        "a dog", None, {"guidance_scale": 4, "width": 72, **FAST}, limits=painter.painter.limits
    )
    exact = AvatarPainter(small_base).render(asked)
    (got,) = pictures(answer)
    assert got.image.size == exact.image.size == (72, 64)
    same = Painted.from_bytes(exact.to_jpeg()).image
    assert np.array_equal(np.asarray(got.image), np.asarray(same))


@pytest.mark.parametrize("scale", [0, 0.5, 1])
def test_without_guidance_the_negative_prompt_is_ignored_too(
    painter: RealTimePainter, scale: float
) -> None:
    def paint(**more: object) -> bytes:
        (one,) = pictures(painter.answer({"prompt": "a dog", **FAST, **more}))
        return one.image.tobytes()

    plain = paint(guidance_scale=1)
    assert paint(guidance_scale=scale) == plain
    assert paint(guidance_scale=scale, negative_prompt="a dog, a cat") == plain
    guided = paint(guidance_scale=7.5)
    assert guided != plain
    assert paint(guidance_scale=7.5, negative_prompt="a dog, a cat") != guided


def test_words_past_the_window_are_named_for_each_prompt(painter: RealTimePainter) -> None:
    long = "a dog " + "red " * 80 + "zebra"
    answer = painter.answer({"prompt": ["a dog", long], "negative_prompt": "blurry", **FAST})
    first, second = answer["unread"]
    assert first == {"prompt": [], "negative_prompt": []}
    assert second["prompt"][-1] == "zebra" and second["negative_prompt"] == []


def test_what_cannot_be_painted_in_time_is_refused_before_it_begins(
    limited: Callable[..., RealTimePainter],
) -> None:
    painter = limited(speed=Speed(step=1e-4, rest=0.0))  # a 64-pixel step takes 0.41 s

    def forbidden(_: object) -> Painted:
        raise AssertionError("it painted")

    painter = limited(painter=_Instead(painter.painter, forbidden))
    with pytest.raises(RuntimeError) as refused:
        painter.answer({"prompt": "a dog", "num_images_per_prompt": 8})
    said = str(refused.value)
    assert said.startswith("GenerationError: The request would take about 164 s here: 8 pictures ")
    assert "2 such pictures fit" in said and "60 s" in said
    assert "Lower num_images_per_prompt, num_inference_steps" in said


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ({"num_images_per_prompt": 2}, True),
        ({"num_images_per_prompt": 3}, False),
        ({"num_images_per_prompt": 3, "num_inference_steps": 30}, True),
        ({"width": 128}, True),
        ({"width": 128, "height": 128}, False),
        ({"prompt": ["a", "b", "c"]}, False),
    ],
)
def test_pictures_steps_and_pixels_count_together(
    limited: Callable[..., RealTimePainter], more: dict[str, Any], fits: bool
) -> None:
    painter = limited(speed=Speed(step=1e-4, rest=0.0))
    image = pictures(painter.answer({"prompt": "a dog", **FAST}))[0].image
    painter = limited(painter=_Instead(painter.painter, lambda _: Painted(image=image)))
    if fits:
        assert painter.answer({"prompt": "a dog", **more})["generated_images"]
        return
    with pytest.raises(RuntimeError, match="The request would take about"):
        painter.answer({"prompt": "a dog", **more})


def test_a_machine_that_became_slow_stops_before_the_call_is_given_up(
    limited: Callable[..., RealTimePainter],
) -> None:
    painter = limited(_deadline_s=0.0)
    with pytest.raises(RuntimeError, match="Time ran out after 1 of 5 pictures"):
        painter.answer({"prompt": "a dog", "num_images_per_prompt": 5, **FAST})
    assert len(painter.answer({"prompt": "a dog", **FAST})["seeds"]) == 1, "one is always tried"


def test_an_answer_that_grows_too_large_says_how_many_fit(
    painter: RealTimePainter, limited: Callable[..., RealTimePainter]
) -> None:
    asked = {"prompt": "a dog", "num_images_per_prompt": 6, **FAST}
    whole = len(json.dumps(painter.answer(asked)))
    painter = limited(_most_bytes=whole // 2 + real_time._ROOM_BYTES)
    with pytest.raises(RuntimeError, match=r"larger than [\d,]+ bytes.*[23] of these pictures"):
        painter.answer(asked)
    limited(_most_bytes=whole + real_time._ROOM_BYTES)
    assert len(painter.answer(asked)["seeds"]) == 6


def test_words_that_were_not_read_count_as_well(
    painter: RealTimePainter, limited: Callable[..., RealTimePainter]
) -> None:
    long = "ë" * 40 + " " + "zebra " * 1200
    asked = {"prompt": [f"{long} {n}" for n in range(2)], "negative_prompt": long, **FAST}
    whole = len(json.dumps(painter.answer(asked), ensure_ascii=False).encode())
    assert whole > 50_000
    limited(_most_bytes=whole - 1)
    with pytest.raises(RuntimeError, match="The answer would be larger"):
        painter.answer(asked)
    limited(_most_bytes=whole + real_time._ROOM_BYTES)
    assert painter.answer(asked)["seeds"] == [3, 3]


def test_refusals_say_their_kind_and_strangers_errors_say_nothing(
    painter: RealTimePainter, limited: Callable[..., RealTimePainter]
) -> None:
    with pytest.raises(RuntimeError, match=r"^GenerationError: The request holds a key"):
        painter.answer({"prompt": "a dog", "MUSHROOM": 1})

    def fail(_: object) -> Painted:
        raise ValueError("a MUSHROOM is out of memory")

    painter = limited(painter=_Instead(painter.painter, fail))
    with pytest.raises(RuntimeError) as refused:
        painter.answer({"prompt": "a dog", **FAST})
    assert str(refused.value).startswith("GenerationError: The picture could not be painted")
    assert not any(words in str(refused.value) for words in OUT_OF_MEMORY_WORDS)


def test_a_picture_that_does_not_fit_the_accelerator_is_said_so(
    limited: Callable[..., RealTimePainter], painter: RealTimePainter
) -> None:
    def full(_: object) -> Painted:
        raise GenerationError("The picture does not fit on the accelerator")

    painter = limited(painter=_Instead(painter.painter, full))
    with pytest.raises(RuntimeError, match="does not fit on the accelerator"):
        painter.answer({"prompt": "a dog", **FAST})


class _Instead:
    """A painter of whom only the brush is exchanged."""

    def __init__(self, painter: AvatarPainter, render: Callable[[Any], Painted]) -> None:
        self.limits, self.base, self.render = painter.limits, painter.base, render
