from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers.errors import AdapterError, GenerationError
from helpers.hosting.base import AvatarBase, error_text
from helpers.hosting.picture import Painted
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
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
        base.answer(prompt="a dog", gen_args=ARGS, adapter_path=str(folder))
    )
    assert painted.info["adapter_sha256"] == json.loads(base.describe())["adapters"][0]
    bare = Painted.from_base64(base.answer(prompt="a dog", negative_prompt="", gen_args=ARGS))
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
        assert isinstance(said, str)
        assert Painted.from_base64(said).info["prompt"] == prompt


def test_only_our_own_words_leave() -> None:
    ours = GenerationError("seed cannot be used", "it is a whole number")
    assert error_text(ours) == "GenerationError: seed cannot be used. It is a whole number."
    for words in (*OUT_OF_MEMORY_WORDS, "a MUSHROOM"):
        for error in (ValueError(words), MemoryError(words), AdapterError(words)):
            said = error_text(error)
            assert words not in said
            assert not any(other in said for other in OUT_OF_MEMORY_WORDS)
