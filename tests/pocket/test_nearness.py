"""Pictures are as near to drawings as they look: other drawings are, and spoiled ones are not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from helpers.experiments.judges import open_judge
from helpers.pocket.nearness import apart, drawings, kernel_distance


def _sample(seed: int, count: int = 200, middle: float = 0.0) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)).double() + middle


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 40))
def test_the_distance_is_symmetric_and_grows_with_what_is_between(seed: int, count: int) -> None:
    here, there = _sample(seed, count), _sample(seed + 1)
    assert kernel_distance(here, there) == pytest.approx(kernel_distance(there, here))
    far = [kernel_distance(here, _sample(seed + 1, middle=gap)) for gap in (1.0, 2.0, 3.0)]
    assert far == sorted(far)


def test_samples_of_one_thing_are_0_apart_on_the_mean_whatever_their_number() -> None:
    """Unbiased: few pictures do not look worse than many, as they would by a Frechet distance."""
    for count in (4, 100):
        far = [kernel_distance(_sample(i, count), _sample(1000 + i)) for i in range(300)]
        mean, error = torch.tensor(far).mean(), torch.tensor(far).std() / 300**0.5
        assert abs(mean) < 3 * error


def test_the_judge_tells_drawings_from_spoiled_ones_and_a_dog_from_a_cat() -> None:
    judge = open_judge()
    known, captions = drawings("dog", 96, 1, 64)
    assert captions == drawings("dog", 3, 1, 64)[1] + captions[3:]
    others, cats = drawings("dog", 48, 2, 64)[0], drawings("cat", 48, 2, 64)[0]
    soft = [picture.filter(ImageFilter.GaussianBlur(2)) for picture in others]
    flat = [Image.new("RGB", (64, 64), (90, 120, 60))] * 48
    near, blurred, cat, blank = (apart(judge, some, known) for some in (others, soft, cats, flat))
    assert abs(near) < 0.05, near
    assert near + 0.2 < blurred < blank and near + 0.05 < cat, (near, blurred, cat, blank)
