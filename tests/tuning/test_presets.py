"""The two recipes of one trainer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from helpers.bases import REGISTRY, BaseModel
from helpers.bases.registry import ORIGINAL
from helpers.errors import ConfigError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.presets import LEAST_STEPS, RECIPES, step_budget

STOPPING = ("steps_per_photo", "heldout_images", "patience")


def test_the_defaults_are_the_recipe_of_2023() -> None:
    assert FineTuneConfig.preset("aws-2023", ORIGINAL) == FineTuneConfig()


@pytest.mark.parametrize("base_id", REGISTRY)
def test_the_recipe_of_2023_is_the_same_on_every_base_but_for_its_size(base_id: str) -> None:
    there = FineTuneConfig.preset("aws-2023", base_id)
    own = {"base_model": base_id, "resolution": REGISTRY[base_id].resolution}
    assert there == FineTuneConfig().replace(**own)


@pytest.mark.parametrize("base_id", REGISTRY)
def test_the_course_computes_once_what_is_frozen_and_trains_at_full_strength(base_id: str) -> None:
    course = FineTuneConfig.for_base(base_id)
    assert course == FineTuneConfig.preset("course", base_id)
    assert course.lora_alpha == course.lora_r
    assert course.cache_latents and course.cache_text_embeddings and course.prior_bank
    assert not course.train_text_encoder and course.learned_tokens
    original = FineTuneConfig.preset("aws-2023", base_id)
    # Under Adam an adapter learns at a speed of alpha times rate.
    assert course.lora_alpha * course.learning_rate > 10 * original.learning_rate


def test_changes_win_over_both_recipes(tiny: BaseModel) -> None:
    changes: dict[str, Any] = {"lora_r": 3, "cache_latents": False, "recipe": "course"}
    for name in RECIPES:
        config = FineTuneConfig.preset(name, tiny, **changes)
        assert changes.items() <= config.to_mapping().items()


def test_a_request_may_ask_for_the_recipe_of_2023(tiny: BaseModel) -> None:
    config = FineTuneConfig.from_mapping({"recipe": "aws-2023"}, base=tiny)
    assert config == FineTuneConfig.preset("aws-2023", tiny)


@pytest.mark.parametrize("name", ["aws", "", "../course", 3, ["course"]])
def test_an_unknown_recipe_is_refused_by_name(tiny: BaseModel, name: Any) -> None:
    with pytest.raises(ConfigError, match=r"^recipe is"):
        FineTuneConfig.from_mapping({"recipe": name}, base=tiny)


def test_who_gives_the_number_of_steps_gets_exactly_those(tiny: BaseModel) -> None:
    given_steps = FineTuneConfig.for_base(tiny, n_steps=37)
    assert given_steps.steps_for(10) == 37
    assert [getattr(given_steps, name) for name in STOPPING] == [0, 0, 0]
    named = FineTuneConfig.for_base(tiny, n_steps=37, patience=2, heldout_images=1)
    assert (named.patience, named.heldout_images, named.steps_per_photo) == (2, 1, 0)
    left = FineTuneConfig.for_base(tiny)
    assert all(getattr(left, name) for name in STOPPING)


@examples(deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 5000))
def test_more_photos_never_get_fewer_steps_and_never_more_than_the_most(
    photos: int, each: int, most: int
) -> None:
    steps = step_budget(photos, each, most)
    assert min(LEAST_STEPS, most) <= steps <= most
    assert steps <= step_budget(photos + 1, each, most)
    assert step_budget(photos, 0, most) == most


@examples(deadline=None)
@given(st.integers(1, 500), st.integers(0, 64))
def test_at_least_four_fifths_of_the_photos_are_trained_on(photos: int, wanted: int) -> None:
    aside = FineTuneConfig(heldout_images=wanted).heldout_of(photos)
    assert 5 * aside <= photos
    assert aside <= wanted
