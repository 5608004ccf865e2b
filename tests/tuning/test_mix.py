"""Adapters as tensors: weakened, added, shortened and compared, against the full matrices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.tuning.mix import Tensors, add, compare, scale, shorten

LAYERS = {"unet.a.to_q": (7, 5), "unet.b.to_v": (4, 9), "text_encoder.text_model.c.q_proj": (6, 6)}


def _adapter(seed: int, rank: int, layers: tuple[str, ...] = tuple(LAYERS)) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name in layers:
        outputs, inputs = LAYERS[name]
        made[f"{name}.lora_A.weight"] = torch.randn(rank, inputs, generator=generator)
        made[f"{name}.lora_B.weight"] = torch.randn(outputs, rank, generator=generator)
    return made


def _change(tensors: Tensors, layer: str) -> torch.Tensor:
    """What the adapter adds to the layer's weights, multiplied out."""
    if f"{layer}.lora_A.weight" not in tensors:
        return torch.zeros(LAYERS[layer])
    return tensors[f"{layer}.lora_B.weight"] @ tensors[f"{layer}.lora_A.weight"]


steady = settings(deadline=None)
"""How long a busy machine takes says nothing."""
SEEDS, RANKS, WEIGHT = st.integers(0, 99), st.integers(1, 4), st.floats(-2, 2)
SOME = st.lists(st.sampled_from(list(LAYERS)), min_size=1, unique=True).map(tuple)


@steady
@given(SEEDS, RANKS, WEIGHT)
def test_scaling_scales_the_change(seed: int, rank: int, factor: float) -> None:
    one = _adapter(seed, rank)
    for layer in LAYERS:
        expected = factor * _change(one, layer)
        assert torch.allclose(_change(scale(one, factor), layer), expected, atol=1e-4)


@steady
@given(SEEDS, RANKS, RANKS, SOME, SOME, WEIGHT, WEIGHT)
def test_a_sum_does_exactly_what_its_parts_do(
    seed: int, rank: int, other_rank: int, layers: tuple, others: tuple, one: float, two: float
) -> None:
    first, second = _adapter(seed, rank, layers), _adapter(seed + 1, other_rank, others)
    total = add([first, second], [one, two])
    for layer in LAYERS:
        expected = one * _change(first, layer) + two * _change(second, layer)
        assert torch.allclose(_change(total, layer), expected, atol=1e-4)
    for part in ("unet", "text_encoder"):
        ranks = {
            value.shape[0] for key, value in total.items()
            if key.startswith(part) and ".lora_A." in key
        }  # fmt: skip
        assert len(ranks) <= 1


@steady
@given(SEEDS, st.integers(1, 3))
def test_shortening_is_the_best_that_the_rank_allows(seed: int, rank: int) -> None:
    whole = _adapter(seed, 4)
    short = shorten(whole, rank)
    for layer in LAYERS:
        change = _change(whole, layer)
        values = torch.linalg.svdvals(change)
        error = torch.linalg.matrix_norm(change - _change(short, layer)).item()
        assert error == pytest.approx(values[rank:].square().sum().sqrt().item(), rel=1e-3)
        assert short[f"{layer}.lora_A.weight"].shape[0] == rank


def test_a_sum_of_alike_adapters_shortens_without_loss() -> None:
    one = _adapter(3, 2)
    short = shorten(add([one, one], [0.5, 0.5]), 2)
    for layer in LAYERS:
        assert torch.allclose(_change(short, layer), _change(one, layer), atol=1e-4)


@steady
@given(SEEDS, RANKS, RANKS)
def test_comparing_agrees_with_the_full_matrices(seed: int, rank: int, other: int) -> None:
    one, two = _adapter(seed, rank), _adapter(seed + 1, other)
    found = compare(one, two)
    left, right = (
        torch.cat([_change(each, layer).flatten() for layer in LAYERS]) for each in (one, two)
    )
    cosine = torch.nn.functional.cosine_similarity(left, right, dim=0).item()
    assert found.cosine == pytest.approx(cosine, abs=1e-5)
    assert found.norms == pytest.approx((left.norm().item(), right.norm().item()), rel=1e-5)
    assert found.layers.keys() == LAYERS.keys()


@steady
@given(SEEDS, RANKS, st.floats(0.1, 3))
def test_an_adapter_is_like_itself_at_any_strength_and_opposite_to_its_negative(
    seed: int, rank: int, factor: float
) -> None:
    one = _adapter(seed, rank)
    assert compare(one, scale(one, factor)).cosine == pytest.approx(1, abs=1e-5)
    assert compare(one, scale(one, -factor)).cosine == pytest.approx(-1, abs=1e-5)
    assert compare(one, scale(one, 0)).cosine == 0
