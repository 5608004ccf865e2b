from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import GenerationError
from helpers.hosting.real_time_request import MOST_PICTURES, RealTimeRequest
from helpers.hosting.request import Limits

LIMITS = Limits(side=64, longest_side=128, guidance=4.0)
KEYS = ["prompt", "inputs", "negative_prompt", "num_images_per_prompt", "seed", "height", "width",
        "num_inference_steps", "guidance_scale"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def request(**asked: object) -> RealTimeRequest:
    return RealTimeRequest.from_json(asked, limits=LIMITS)


def test_the_defaults_are_those_of_the_publication() -> None:
    (one,) = request(prompt="a dog").pictures
    assert (one.num_inference_steps, one.guidance_scale, one.negative_prompt) == (50, 7.5, "")
    assert (one.width, one.height, one.adapter_scale) == (64, 64, 1.0)


def test_the_keys_of_the_publication_are_understood() -> None:
    sizes = {"width": 128, "height": 72}
    sampling = {"num_inference_steps": 20, "guidance_scale": 9, "seed": 4}
    got = request(
        inputs="a dog", negative_prompt="blurry", num_images_per_prompt=2, **sizes, **sampling
    )
    assert [one.seed for one in got.pictures] == [4, 5]
    first = got.pictures[0]
    assert (first.prompt, first.negative_prompt) == ("a dog", "blurry")
    assert (first.num_inference_steps, first.guidance_scale) == (20, 9)
    assert (first.width, first.height) == (128, 72)


def test_several_prompts_share_their_seeds() -> None:
    got = request(prompt=["a dog", "a cat"], num_images_per_prompt=3)
    assert [one.prompt for one in got.pictures] == ["a dog"] * 3 + ["a cat"] * 3
    seeds = [one.seed for one in got.pictures]
    assert seeds[:3] == seeds[3:] and len(set(seeds)) == 3
    assert got.per_prompt == 3


def test_a_missing_seed_is_drawn_anew() -> None:
    assert len({request(prompt="a dog").pictures[0].seed for _ in range(8)}) > 1


def test_seeds_stay_in_range() -> None:
    got = request(prompt="a dog", seed=2**63 - 1, num_images_per_prompt=2)
    assert [one.seed for one in got.pictures] == [2**63 - 1, 0]


def test_null_counts_as_left_out() -> None:
    given_null = request(prompt="a dog", inputs=None, seed=None, width=None, negative_prompt=None)
    assert given_null.pictures[0].width == 64


@given(st.dictionaries(st.sampled_from(KEYS), JSON) | JSON)
def test_any_json_is_either_in_range_or_refused(asked: object) -> None:
    asked = json.loads(json.dumps(asked))
    try:
        got = RealTimeRequest.from_json(asked, limits=LIMITS)
    except GenerationError:
        return
    assert 1 <= len(got.pictures) <= MOST_PICTURES
    for one in got.pictures:
        assert one.prompt.strip() and one.num_inference_steps in range(1, 101)
        assert 0 <= one.guidance_scale <= 30 and 0 <= one.seed < 2**63
        assert all(side in range(64, 129, 8) for side in (one.width, one.height))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({}, "exactly one of prompt and inputs"),
        ({"prompt": "a", "inputs": "b"}, "exactly one of prompt and inputs"),
        ({"prompt": 7}, "prompt is neither text nor a list"),
        ({"inputs": []}, "inputs is neither text nor a list"),
        ({"prompt": ["a", 7]}, "prompt is not text"),
        ({"prompt": ["a", ""]}, "prompt is empty"),
        ({"prompt": "a", "negative_prompt": ["b"]}, "negative_prompt is not text"),
        ({"prompt": "a", "num_images_per_prompt": 0}, "num_images_per_prompt"),
        ({"prompt": "a", "num_images_per_prompt": 33}, "num_images_per_prompt"),
        ({"prompt": "a", "num_images_per_prompt": True}, "num_images_per_prompt"),
        ({"prompt": ["a", "b"], "num_images_per_prompt": 17}, "asks for 34 pictures"),
        ({"prompt": "a", "num_inference_steps": 0}, "num_inference_steps"),
        ({"prompt": "a", "guidance_scale": "7.5"}, "guidance_scale"),
        ({"prompt": "a", "width": 65}, "width"),
        ({"prompt": "a", "height": 136}, "height"),
        ({"prompt": "a", "seed": -1}, "seed"),
        ({"prompt": "a", "adapter_scale": 0}, "a key that is not known.*guidance_scale"),
        ({"prompt": "a", "parameters": {"seed": 1}}, "a key that is not known"),
        (["a dog"], "not a JSON object"),
        ("a dog", "not a JSON object"),
    ],
)
def test_a_refusal_names_the_argument(asked: object, named: str) -> None:
    with pytest.raises(GenerationError, match=named):
        RealTimeRequest.from_json(asked, limits=LIMITS)


@pytest.mark.parametrize("place", ["key", "prompt", "seed", "prompts"])
def test_no_refusal_repeats_the_caller(place: str) -> None:
    said = "MUSHROOM"
    asked = {
        "key": {"prompt": "a", said: 1},
        "prompt": {"prompt": said * 2000},
        "seed": {"prompt": said, "seed": said},
        "prompts": {"prompt": [said, {said: said}]},
    }[place]
    with pytest.raises(GenerationError) as refusal:
        RealTimeRequest.from_json(asked, limits=LIMITS)
    assert said not in str(refusal.value)
