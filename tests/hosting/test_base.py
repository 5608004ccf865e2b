from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.errors import AdapterError, GenerationError
from helpers.hosting.base import AvatarBase, error_text
from helpers.hosting.picture import Painted
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
from helpers.hosting.speed import Speed
from tests.hosting.conftest import MakeAdapter

ARGS = json.dumps({"num_inference_steps": 2, "seed": 3})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def base(pocket: Path, models: Path) -> AvatarBase:
    return AvatarBase(pocket, adapter_root=models)


def test_the_text_tensors_become_a_picture(
    base: AvatarBase, models: Path, make_adapter: MakeAdapter
) -> None:
    folder = shutil.copytree(make_adapter(1), models / "a" / "adapter")
    painted = Painted.from_base64(
        base.answer(prompt="a dog", gen_args=ARGS, adapter_path=str(folder))[0]
    )
    assert painted.info["adapter_sha256"] == json.loads(base.describe())["adapters"][0]
    bare = Painted.from_base64(base.answer(prompt="a dog", negative_prompt="", gen_args=ARGS)[0])
    assert bare.info["adapter_sha256"] is None
    assert bare.image.tobytes() != painted.image.tobytes()


def test_adapters_outside_the_model_folder_are_not_read(
    base: AvatarBase, models: Path, make_adapter: MakeAdapter
) -> None:
    folder = make_adapter(1)
    (models / "link").symlink_to(folder)
    outside = (folder, models / "link", models / ".." / folder.parent.name / folder.name, "/")
    for path in outside:
        with pytest.raises(AdapterError, match="outside"):
            base.answer(prompt="a dog", gen_args=ARGS, adapter_path=str(path))


def test_one_bad_request_does_not_cost_the_others_their_pictures(base: AvatarBase) -> None:
    asked = [
        {"prompt": "a dog", "gen_args": ARGS},
        {"prompt": " "},
        {"prompt": "a dog", "gen_args": ARGS, "adapter_path": "/"},
        {"prompt": "a cat", "gen_args": ARGS},
    ]
    dog, empty, outside, cat = base.answer_all(asked)
    assert isinstance(empty, GenerationError) and isinstance(outside, AdapterError)
    for said, prompt in ((dog, "a dog"), (cat, "a cat")):
        assert isinstance(said, list)
        assert Painted.from_base64(said[0]).info["prompt"] == prompt


def test_several_pictures_are_those_of_the_seeds_that_follow(base: AvatarBase) -> None:
    args = json.loads(ARGS)
    both = base.answer(prompt="a dog", gen_args=json.dumps(args | {"num_images_per_prompt": 2}))
    alone = base.answer(prompt="a dog", gen_args=json.dumps(args | {"seed": args["seed"] + 1}))
    first, second = (Painted.from_base64(text) for text in both)
    assert (first.info["seed"], second.info["seed"]) == (3, 4)
    expected = np.asarray(Painted.from_base64(alone[0]).image).astype(int)
    assert np.abs(np.asarray(second.image).astype(int) - expected).max() <= 1


def test_what_would_outlast_the_call_is_refused_before_it_is_painted(
    base: AvatarBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "speed", Speed(step=1e-3, rest=0.0))
    with pytest.raises(GenerationError, match="would take about 41 s"):
        base.answer(prompt="a dog", gen_args=json.dumps({"num_inference_steps": 10}))


def test_an_answer_too_large_to_pass_is_said_so(
    base: AvatarBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helpers.hosting.base.MOST_CHARACTERS", 100)
    with pytest.raises(GenerationError, match="6,291,456"):
        base.answer(prompt="a dog", gen_args=ARGS)


def test_the_label_is_seen_where_it_is_asked_for(base: AvatarBase) -> None:
    args = json.loads(ARGS)
    plain, marked = (
        Painted.from_base64(base.answer(prompt="a dog", gen_args=json.dumps(given))[0]).image
        for given in (args, args | {"label": True})
    )
    above = (0, 0, marked.width, marked.height * 7 // 8)
    assert marked.crop(above).tobytes() == plain.crop(above).tobytes()
    foot = np.asarray(marked.convert("L"))[-marked.height // 8 :]
    assert foot.min() < 20 and foot.max() > 150


@pytest.mark.promise(
    "An error that leaves Triton holds our words alone",
    fault="errors that quote the caller",
    outcome="the kind of the error and nothing of the text",
)
def test_only_our_own_words_leave() -> None:
    ours = GenerationError("seed cannot be used", "it is a whole number")
    assert error_text(ours) == "GenerationError: seed cannot be used. It is a whole number."
    for words in (*OUT_OF_MEMORY_WORDS, "a MUSHROOM"):
        for error in (ValueError(words), MemoryError(words), AdapterError(words)):
            said = error_text(error)
            assert words not in said
            assert not any(other in said for other in OUT_OF_MEMORY_WORDS)
