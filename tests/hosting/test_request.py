from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import GenerationError
from helpers.hosting.request import (
    FORMATS,
    OUT_OF_MEMORY_WORDS,
    SCHEDULERS,
    GenerationRequest,
    Limits,
)

LIMITS = Limits(side=64, longest_side=128, guidance=4.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = ["num_inference_steps", "guidance_scale", "seed", "width", "height", "adapter_scale"]
NAMES = {"scheduler": SCHEDULERS, "format": FORMATS}


def request(prompt: str = "a dog", negative: str | None = None, args: object = None):
    return GenerationRequest.from_json(prompt, negative, args, limits=LIMITS)  # type: ignore[arg-type]


def test_the_call_of_the_original_is_accepted() -> None:
    got = request(args='{"num_inference_steps": 50, "guidance_scale": 10, "seed": 731}')
    assert (got.num_inference_steps, got.guidance_scale, got.seed) == (50, 10.0, 731)
    assert (got.width, got.height) == (64, 64)


def test_what_is_not_given_comes_from_the_base() -> None:
    got = request()
    assert (got.num_inference_steps, got.guidance_scale, got.negative_prompt) == (25, 4.0, "")
    seeds = {request().seed for _ in range(8)}
    assert len(seeds) > 1, "a missing seed is drawn anew for every picture"
    assert all(0 <= seed < 2**63 for seed in seeds)


@given(st.dictionaries(st.sampled_from([*KEYS, *NAMES]), JSON) | JSON)
def test_any_json_is_either_in_range_or_refused(args: object) -> None:
    try:
        got = request(args=json.dumps(args))
    except GenerationError:
        return
    assert 1 <= got.num_inference_steps <= 100
    assert 0 <= got.guidance_scale <= 30
    assert 0 <= got.seed < 2**63
    assert all(side in range(64, 129, 8) for side in (got.width, got.height))
    assert all(type(getattr(got, key)) in (int, float) for key in KEYS)
    assert all(getattr(got, key) in known for key, known in NAMES.items())


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_inference_steps": 101}, "num_inference_steps"),
        ({"num_inference_steps": 2.5}, "num_inference_steps"),
        ({"num_inference_steps": "50"}, "num_inference_steps"),
        ({"guidance_scale": -0.1}, "guidance_scale"),
        ({"guidance_scale": 30.1}, "guidance_scale"),
        ({"guidance_scale": True}, "guidance_scale"),
        ({"adapter_scale": 2.1}, "adapter_scale"),
        ({"adapter_scale": "all"}, "adapter_scale"),
        ('{"guidance_scale": NaN}', "guidance_scale"),
        ({"scheduler": "magic"}, "scheduler"),
        ({"scheduler": ["ddim"]}, "scheduler"),
        ({"format": "gif"}, "format"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": False}, "seed"),
        ({"width": 65}, "width"),
        ({"height": 136}, "height"),
        ({"height": 56}, "height"),
        ({"steps": 5}, "num_inference_steps"),
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "object"),
    ],
)
def test_a_refusal_names_the_argument(args: object, named: str) -> None:
    with pytest.raises(GenerationError, match=named):
        request(args=args if isinstance(args, str) else json.dumps(args))


@pytest.mark.parametrize(
    "edge",
    [
        {"seed": 0},
        {"seed": 2**63 - 1},
        {"guidance_scale": 0},
        {"num_inference_steps": 100.0},
        {"width": 128, "height": 72},
        {"scheduler": "dpm++", "format": "webp"},
    ],
)
def test_the_edges_are_accepted(edge: dict[str, object]) -> None:
    got = request(args=edge)
    assert {key: getattr(got, key) for key in edge} == edge


@pytest.mark.parametrize("prompt", ["", "  \n", "x" * 8_001, None])
def test_a_prompt_is_needed_and_finite(prompt: str) -> None:
    with pytest.raises(GenerationError, match="prompt"):
        request(prompt)


@pytest.mark.parametrize("said", ["a MUSHROOM", "ZOOM lens", "out of memory"])
@pytest.mark.parametrize(
    "place", ["key", "value", "args", "prompt", "negative", "number"], ids=lambda p: f"in-{p}"
)
def test_no_refusal_repeats_the_caller(said: str, place: str) -> None:
    calls = {
        "key": ("a dog", None, {said: 1}),
        "value": ("a dog", None, {"seed": said}),
        "args": ("a dog", None, said),
        "prompt": (said * 1000, None, None),
        "negative": ("a dog", said * 1000, None),
        "number": (said, said, {"width": 1, said: said}),
    }
    with pytest.raises(GenerationError) as refusal:
        request(*calls[place])
    assert said not in str(refusal.value)
    assert not any(words in str(refusal.value) for words in OUT_OF_MEMORY_WORDS)
