from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import TrainingError
from helpers.tuning.checkpoint import NAME, Checkpoints
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from helpers.tuning.loop import Step, train
from helpers.tuning.networks import load_networks
from tests.tuning.children import in_child

Make = Callable[..., FineTuneConfig]
Photos = list[Image.Image]
# Everything with a state of its own: dropout, two networks, a learned word, a schedule, the best.
ALL: dict[str, Any] = {
    "n_steps": 9, "lora_dropout": 0.3, "train_text_encoder": True, "gradient_accumulation": 2,
    "batch_size": 1, "heldout_images": 1, "heldout_every": 2, "patience": 3,
}  # fmt: skip


@pytest.fixture
def run(tiny: BaseModel, photos: Photos) -> Callable[..., Iterator[Step]]:
    def run(config: FineTuneConfig, folder: Path, every: int = 2) -> Iterator[Step]:
        checkpoints = Checkpoints(folder=folder, every=every)
        return train(load_networks(tiny), config, photos * 2, photos, checkpoints=checkpoints)

    return run


def _tune(base: BaseModel, config: FineTuneConfig, photos: Photos, out: Path, **more: Any) -> dict:
    adapter = fine_tune(photos * 2, config, base, out, class_images=photos, **more)
    return {file.name: file.read_bytes() for file in adapter.folder.iterdir()}


@pytest.mark.parametrize("done", [1, 5, 9])
def test_a_stopped_training_ends_in_the_bytes_of_one_that_was_not(
    tiny: BaseModel, settings: Make, photos: Photos, run: Callable, tmp_path: Path, done: int
) -> None:
    config = settings(**ALL)
    whole = _tune(tiny, config, photos, tmp_path / "whole")
    stopped = list(islice(run(config, tmp_path / "state"), done))
    again: list[Step] = []
    resumed = _tune(
        tiny, config, photos, tmp_path / "resumed", on_step=again.append,
        checkpoints=Checkpoints(folder=tmp_path / "state", every=2),
    )  # fmt: skip
    assert resumed == whole
    assert [step.step for step in again] == list(range(1, 10))
    assert [step.loss for step in again[:done]] == [step.loss for step in stopped]
    # What was done before the stop is told again as it was, times included.
    kept = done // 2 * 2
    assert again[:kept] == stopped[:kept]
    assert all(one.seconds < two.seconds for one, two in pairwise(again))


@pytest.mark.promise(
    "A checkpoint is whole or not there",
    fault="a kill while it is written",
    outcome="the one before stands, byte for byte; the training goes on from it",
)
def test_a_kill_while_writing_leaves_the_checkpoint_before(
    settings: Make, run: Callable, tmp_path: Path
) -> None:
    config = settings(n_steps=6)
    list(islice(run(config, tmp_path), 2))
    before = (tmp_path / NAME).read_bytes()
    in_child(lambda: list(run(config, tmp_path)), killed_at="replace")
    assert (tmp_path / NAME).read_bytes() == before
    assert [step.step for step in run(config, tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_an_early_stop_stays_one(settings: Make, run: Callable, tmp_path: Path) -> None:
    config = settings(**{**ALL, "n_steps": 60, "learning_rate": 0.1, "patience": 1})
    first = list(run(config, tmp_path, every=1))
    assert len(first) < 60
    assert list(run(config, tmp_path, every=1)) == first


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 0.02}, {"n_steps": 7}])
def test_another_job_s_checkpoint_is_refused(
    settings: Make, run: Callable, tmp_path: Path, change: dict
) -> None:
    list(islice(run(settings(n_steps=6), tmp_path), 2))
    with pytest.raises(TrainingError, match="another job"):
        next(run(settings(**{"n_steps": 6, **change}), tmp_path))


def test_other_photos_are_another_job(
    tiny: BaseModel, settings: Make, photos: Photos, run: Callable, tmp_path: Path
) -> None:
    list(islice(run(settings(), tmp_path), 2))
    other = [Image.new("RGB", one.size, "red") for one in photos * 2]
    with pytest.raises(TrainingError, match="another job"):
        next(train(load_networks(tiny), settings(), other, photos,
                   checkpoints=Checkpoints(folder=tmp_path)))  # fmt: skip


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda _: b"", lambda _: b"x" * 99])
def test_a_damaged_checkpoint_is_named(
    settings: Make, run: Callable, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    list(islice(run(settings(), tmp_path), 2))
    (tmp_path / NAME).write_bytes(damage((tmp_path / NAME).read_bytes()))
    with pytest.raises(TrainingError, match=rf"{NAME} is damaged.*Delete it"):
        next(run(settings(), tmp_path))


def test_a_checkpoint_holds_tensors_and_json_alone(
    settings: Make, run: Callable, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    list(run(settings(), tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    names = load_file(tmp_path / NAME)
    assert {name.split(".")[0] for name in names} == {"parameter", "optimizer"}
    assert all(isinstance(value, torch.Tensor) for value in names.values())
