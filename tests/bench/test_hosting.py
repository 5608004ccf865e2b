"""The arithmetic of the hosting bench; its processes are tested where they are used."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.bases import BaseModel, open_base
from helpers.bench import hosting_gpu
from helpers.bench.hosting import chaos_rows, percentile, rate_rows
from helpers.bench.hosting_avatars import RANK, attention, write_random_adapter
from helpers.bench.hosting_chaos import Havoc
from helpers.bench.hosting_stage import Burst
from helpers.bench.report import make_report, read_goals
from helpers.bench.shapes import networks, random_base
from helpers.hosting.avatars import AvatarShelf


def burst(seconds: float, *calls: float) -> Burst:
    return Burst(seconds=seconds, calls=calls)


def test_what_turns_keep_of_the_rate_is_taken_block_by_block() -> None:
    one = [burst(1, 0.1, 0.1), burst(4, 0.4, 0.4)]
    many = [burst(2, 0.2, 0.3), burst(8, 0.8, 0.9)]  # the machine was slower in the second block
    rows = {row.name: row for row in rate_rows("batched", one, many)}
    share = rows["rate.share.batched"]
    assert (share.value, share.spread) == (0.5, (0.5, 0.5))
    assert rows["rate.turns.batched"].value == pytest.approx((1 + 0.25) / 2)
    assert rows["call.p50.batched"].value == pytest.approx(0.55)


def test_percentiles_lie_between_the_values() -> None:
    values = [float(number) for number in range(101)]
    assert percentile(values, 50) == 50 and percentile(values, 95) == 95
    assert percentile([3.0], 99) == 3.0


def test_kills_count_as_survived_only_if_all_is_clear_served_and_gone() -> None:
    good = Havoc(kills=Counter(base=40, stub=60), pictures=5, recovered_s=2.0)
    bad = Havoc(kills=Counter(stub=100), unclear=["200 nothing"], temporary=1)
    goals = {name: goal for name, goal in read_goals("hosting").items() if "chaos" in name}
    for havoc, missed in (
        (good, ()),
        (bad, ("chaos.unclear", "chaos.recovered", "chaos.left")),
    ):
        report = make_report("hosting", chaos_rows(havoc), machine={}, seconds=1, goals=goals)
        assert set(report.missed) == set(missed)


def test_its_adapters_are_those_of_2_1_in_size(tmp_path: Path) -> None:
    layers = attention(networks().unet)
    base = random_base(tmp_path)
    folder = write_random_adapter(tmp_path / "one", base, layers, 0)
    avatar = AvatarShelf(base, torch.float32).get(folder)
    assert len(avatar.layout) == 128 and {layer.rank for layer in avatar.layout} == {RANK}
    assert avatar.size == pytest.approx(6.6e6, rel=0.02), "kept in half precision"


def test_what_a_gpu_measures_is_measured_of_any_base(tiny: BaseModel, tmp_path: Path) -> None:
    given = {"base": str(tiny.folder), "work": str(tmp_path), "avatars": 5, "steps": 1}
    found = hosting_gpu.run(given)
    assert found.keys() == hosting_gpu.UNITS.keys()
    assert all(value > 0 for name, value in found.items() if name != "gpu.memory")
    rows = hosting_gpu.gpu_rows(tmp_path, avatars=5, steps=1, say=print)
    assert {row.name for row in rows} == {"gpu", *found}


def test_random_weights_of_that_shape_open_like_a_base(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny.folder, tmp_path / "base")
    made = replace(random_base(folder), resolution=tiny.resolution)
    monkeypatch.setattr("helpers.bases.shape.Shape.require", lambda *_: None)
    opened = open_base(hosting_gpu.vouched(made))
    assert (opened.id, opened.vouched) == (made.id, made.vouched)
    assert opened.hash == tiny.hash, "its adapters are made for these very weights"
