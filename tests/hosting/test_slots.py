"""Adapters in slots: in any order, in any company, an avatar's picture is its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from helpers.bases import open_base
from helpers.errors import AdapterError
from helpers.hosting.avatars import AvatarShelf
from helpers.hosting.generate import LARGEST_BATCH, AvatarPainter, Order
from helpers.hosting.picture import Painted
from helpers.hosting.request import GenerationRequest
from helpers.hosting.slots import LAYOUTS
from helpers.tuning.adapter import WEIGHTS
from tests.hosting.conftest import MakeAdapter

STEPS = 2


@pytest.fixture(scope="module")
def painter(pocket: Path) -> AvatarPainter:
    return AvatarPainter(pocket, threads=1)


@pytest.fixture(scope="module")
def folders(make_adapter: MakeAdapter) -> list[Path | None]:
    """The base, and avatars of two layouts; two of them mean different things by one word."""
    return [
        None,
        make_adapter(1),
        make_adapter(11),
        make_adapter(2, text_encoder=True, rank=8),
        make_adapter(3, token="<dog>", words=2),
        make_adapter(13, token="<dog>", words=2),
    ]


def order(painter: AvatarPainter, folder: Path | None, seed: int = 5, **args: object) -> Order:
    given_args = {"seed": seed, "num_inference_steps": STEPS, **args}
    request = GenerationRequest.from_json(
        "a photo of <dog> in the park", "blurry", given_args, limits=painter.limits
    )
    return Order(request=request, folder=folder)


def pixels(done: object) -> np.ndarray:
    assert isinstance(done, Painted), done
    return np.asarray(done.image).astype(int)


@pytest.fixture(scope="module")
def alone(painter: AvatarPainter, folders: list[Path | None]) -> list[np.ndarray]:
    """What each paints when nothing was painted before."""
    fresh = [AvatarPainter(painter.base.folder, threads=1) for _ in folders]
    return [pixels(each.render_all([order(painter, one)])[0])
            for each, one in zip(fresh, folders, strict=True)]  # fmt: skip


def test_the_avatars_differ(alone: list[np.ndarray]) -> None:
    for place, one in enumerate(alone):
        assert all(np.abs(one - other).max() > 6 for other in alone[:place])


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(turns=st.lists(st.integers(0, 5), min_size=2, max_size=6))
def test_after_any_order_of_swaps_the_pixels_are_those_of_a_fresh_process(
    painter: AvatarPainter, folders: list[Path | None], alone: list[np.ndarray], turns: list[int]
) -> None:
    for turn in turns:
        painted = pixels(painter.render_all([order(painter, folders[turn])])[0])
        assert np.array_equal(painted, alone[turn]), turn


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(turns=st.lists(st.integers(0, 5), min_size=2, max_size=LARGEST_BATCH + 1))
def test_in_any_company_a_picture_is_its_own(
    painter: AvatarPainter, folders: list[Path | None], alone: list[np.ndarray], turns: list[int]
) -> None:
    painted = painter.render_all([order(painter, folders[turn]) for turn in turns])
    for turn, done in zip(turns, painted, strict=True):
        assert np.abs(pixels(done) - alone[turn]).max() <= 1


def test_neighbours_do_not_matter_at_one_shape_of_the_batch(
    painter: AvatarPainter, folders: list[Path | None]
) -> None:
    """Bit for bit: another avatar beside it, another seed, another prompt's words."""
    mine = order(painter, folders[4])
    beside = [order(painter, folders[5], seed) for seed in (1, 2)]
    first, second = (pixels(painter.render_all([mine, one])[0]) for one in beside)
    assert np.array_equal(first, second)


def test_scales_of_a_batch_are_each_pictures_own(
    painter: AvatarPainter, folders: list[Path | None]
) -> None:
    asked = [order(painter, folders[place], adapter_scale=scale)
             for place, scale in ((1, 0.5), (1, 1.0), (2, 0.5), (1, 0.0))]  # fmt: skip
    together = painter.render_all(asked)
    for one, done in zip(asked, together, strict=True):
        assert np.abs(pixels(done) - pixels(painter.render_all([one])[0])).max() <= 1


def test_sizes_and_steps_that_differ_are_painted_apart(
    painter: AvatarPainter, folders: list[Path | None]
) -> None:
    asked = [order(painter, folders[1]), order(painter, folders[1], width=96),
             order(painter, folders[1], num_inference_steps=3)]  # fmt: skip
    shapes = [pixels(done).shape for done in painter.render_all(asked)]
    assert shapes == [(64, 64, 3), (64, 96, 3), (64, 64, 3)]


def test_an_error_is_one_pictures_alone(
    painter: AvatarPainter, folders: list[Path | None], tmp_path: Path, alone: list[np.ndarray]
) -> None:
    broken = Path(shutil.copytree(folders[1] or "", tmp_path / "broken"))
    (broken / WEIGHTS).write_bytes(b"nothing")
    good, bad = painter.render_all([order(painter, folders[1]), order(painter, broken)])
    assert isinstance(bad, AdapterError)
    assert np.array_equal(pixels(good), alone[1])


def test_more_layouts_than_slots_still_paint(
    painter: AvatarPainter, make_adapter: MakeAdapter, alone: list[np.ndarray],
    folders: list[Path | None],
) -> None:  # fmt: skip
    for rank in range(1, LAYOUTS + 2):
        pixels(painter.render_all([order(painter, make_adapter(100 + rank, rank=rank))])[0])
    assert np.array_equal(pixels(painter.render_all([order(painter, folders[1])])[0]), alone[1])
    assert np.array_equal(pixels(painter.render_all([order(painter, None)])[0]), alone[0])


def test_the_shelf_has_room_for_so_many_bytes_and_drops_the_oldest(
    pocket: Path, make_adapter: MakeAdapter
) -> None:
    base, made = open_base(pocket), [make_adapter(seed) for seed in (1, 11, 21)]
    shelf = AvatarShelf(base, torch.float32)
    sizes = [shelf.get(folder).size for folder in made]
    small = AvatarShelf(base, torch.float32, room=sizes[0] + sizes[1])
    first, second, _ = (small.get(folder).identity for folder in made)
    assert first not in small and second in small and len(list(small)) == 2
    assert small.get(made[0]).identity == first


def test_the_flat_vector_holds_every_number_of_the_file(
    pocket: Path, make_adapter: MakeAdapter
) -> None:
    folder = make_adapter(2, text_encoder=True, rank=8)
    avatar = AvatarShelf(open_base(pocket), torch.float32).get(folder)
    tensors, start = load_file(folder / WEIGHTS), 0
    assert avatar.flat.numel() == sum(tensor.numel() for tensor in tensors.values())
    for layer in avatar.layout:
        end = start + layer.rank * layer.inputs
        stored = tensors[f"{layer.part}.{layer.name}.lora_A.weight"]
        assert torch.equal(avatar.flat[start:end].view_as(stored), stored.float())
        start += layer.size
