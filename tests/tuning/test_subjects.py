"""Several subjects at once, and a style as a subject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from helpers.bases import BaseModel
from helpers.errors import ConfigError, TrainingError
from helpers.tuning.adapter import EMBEDDINGS, WEIGHTS
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from helpers.tuning.subjects import Subject

Make = Callable[..., FineTuneConfig]
Photos = list[Image.Image]
DOG = "a photo of a <<REX>> dog"


def _subject(images: Photos, **changes: Any) -> Subject:
    given = {"concept_prompt": DOG, "class_prompt": "a photo of a dog", **changes}
    return Subject(images=images, **given)


def test_each_subject_gets_a_word_and_its_class_images(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path
) -> None:
    style = _subject(
        photos[2:], concept_prompt="a picture in <<INK>> style", class_prompt="a picture in a style"
    )
    heard: list[tuple[int, int]] = []
    made = fine_tune(
        photos[:1], settings(n_steps=4, class_image_steps=1), tiny, tmp_path / "adapter",
        others=[_subject(photos[1:2]), style], prior_folder=tmp_path / "bank",
        on_class_image=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    assert [one["token"] for one in made.manifest.subjects] == ["<<TOK>>", "<<REX>>", "<<INK>>"]
    assert [one["class_noun"] for one in made.manifest.subjects] == ["person", "dog", "style"]
    assert load_file(made.folder / EMBEDDINGS).keys() == {"<<TOK>>", "<<REX>>", "<<INK>>"}
    # Three classes, so three sets, painted once each.
    assert heard == [(2, 2)] * 3
    assert len(list((tmp_path / "bank").iterdir())) == 3
    assert (made.manifest.metrics["images"], made.manifest.metrics["class_images"]) == (3, 6)


def test_subjects_of_one_class_share_its_images(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path
) -> None:
    config = settings(concept_prompt="a photo of a <<ONE>> dog", class_prompt="a photo of a dog",
                      class_image_steps=1)  # fmt: skip
    heard: list[int] = []
    made = fine_tune(
        photos[:1], config, tiny, tmp_path / "adapter", others=[_subject(photos[1:])],
        on_class_image=lambda done, _: heard.append(done),
    )  # fmt: skip
    assert heard == [2]
    assert made.manifest.metrics["class_images"] == 2


def test_every_subject_is_trained_on(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path
) -> None:
    config = settings(n_steps=2, batch_size=2, with_prior_preservation=False)

    def weights(name: str, *images: Photos) -> dict[str, torch.Tensor]:
        first, second = images
        made = fine_tune(first, config, tiny, tmp_path / name, others=[_subject(second)])
        return load_file(made.folder / WEIGHTS) | load_file(made.folder / EMBEDDINGS)

    red = [Image.new("RGB", (64, 64), "red")]
    both = weights("both", photos[:1], photos[1:])
    for other in (weights("a", red, photos[1:]), weights("b", photos[:1], red)):
        assert any(not torch.equal(both[key], other[key]) for key in both)
    for word in ("<<TOK>>", "<<REX>>"):
        still = config.replace(learning_rate=1e-12, token_learning_rate=1e-12)
        made = fine_tune(photos[:1], still, tiny, tmp_path / "still", others=[_subject(photos[1:])])
        assert not torch.allclose(both[word], load_file(made.folder / EMBEDDINGS)[word])


@pytest.mark.parametrize("prompt", ["a photo of a <<tok>> dog", "a photo of a dog"])
def test_subjects_that_cannot_be_told_apart_are_refused(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path, prompt: str
) -> None:
    other = _subject(photos, concept_prompt=prompt, class_images=photos)
    with pytest.raises(ConfigError, match="told apart"):
        fine_tune(photos, settings(), tiny, tmp_path / "x", class_images=photos, others=[other])


def test_a_subject_s_prompts_are_checked_as_a_request_s(photos: Photos) -> None:
    for text in ("", "a\nb", "x" * 501):
        with pytest.raises(ConfigError, match="concept_prompt"):
            _subject(photos, concept_prompt=text)


def test_a_subject_without_pictures_is_refused(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path
) -> None:
    config = settings(with_prior_preservation=False)
    with pytest.raises(TrainingError, match="nothing to learn"):
        fine_tune(photos, config, tiny, tmp_path / "x", others=[_subject([])])
