from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.networks import load_networks
from helpers.tuning.priors import class_images, set_name
from tests.tuning.children import in_child

Make = Callable[..., FineTuneConfig]


@pytest.fixture(scope="module")
def paint(tiny: BaseModel) -> Callable[..., tuple[list[bytes], int]]:
    """Class images as bytes, and how many of them had to be painted."""
    networks = load_networks(tiny)

    def paint(
        config: FineTuneConfig, folder: Path | None = None, base: BaseModel = tiny
    ) -> tuple[list[bytes], int]:
        painted = [0]

        def hear(done: int, total: int) -> None:
            painted[0] = done

        pictures = class_images(networks, config, base, folder=folder, on_image=hear)
        assert {picture.size for picture in pictures} == {(config.resolution,) * 2}
        return [picture.tobytes() for picture in pictures], painted[0]

    return paint


def test_a_set_is_painted_once(paint: Callable, settings: Make, tmp_path: Path) -> None:
    first, painted = paint(settings(), tmp_path)
    again, repainted = paint(settings(n_steps=9, concept_prompt="another person"), tmp_path)
    assert (painted, repainted) == (2, 0)
    assert first == again


@pytest.mark.parametrize(
    "changes",
    [
        {"class_prompt": "a photo of a dog"},
        {"seed": 1},
        {"num_class_images": 1},
        {"resolution": 32},
        {"class_image_steps": 9},
    ],
)
def test_a_set_belongs_to_all_it_depends_on(
    paint: Callable, settings: Make, tmp_path: Path, changes: dict
) -> None:
    paint(settings(), tmp_path)
    _, painted = paint(settings(**changes), tmp_path)
    assert painted == settings(**changes).num_class_images


def test_another_base_has_a_set_of_its_own(
    paint: Callable, tiny: BaseModel, settings: Make, tmp_path: Path
) -> None:
    paint(settings(), tmp_path)
    assert paint(settings(), tmp_path, replace(tiny, hash="0" * 64))[1] == 2


@pytest.mark.parametrize("damage", ["cut", "garbage", "another set"])
def test_a_damaged_set_is_painted_again(
    paint: Callable, settings: Make, tmp_path: Path, damage: str
) -> None:
    first, _ = paint(settings(), tmp_path)
    (file,) = tmp_path.iterdir()
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "garbage":
        file.write_bytes(b"not a set")
    else:
        paint(settings(seed=5), tmp_path / "other")
        (other,) = (tmp_path / "other").iterdir()
        other.rename(file)
        (tmp_path / "other").rmdir()
    assert paint(settings(), tmp_path) == (first, 2)


def test_a_picture_does_not_depend_on_its_neighbours(paint: Callable, settings: Make) -> None:
    few, _ = paint(settings(num_class_images=2))
    many, _ = paint(settings(num_class_images=9))
    assert len(many) == 9
    for one, other in zip(few, many, strict=False):
        pixels = (np.frombuffer(data, np.uint8).astype(int) for data in (one, other))
        assert abs(next(pixels) - next(pixels)).max() <= 1
    assert len(set(many)) == 9


def test_jobs_at_the_same_time_find_a_whole_set(
    tiny: BaseModel, settings: Make, tmp_path: Path
) -> None:
    found: list[list[Image.Image]] = []

    def job() -> None:
        found.append(class_images(load_networks(tiny), settings(), tiny, folder=tmp_path))

    jobs = [threading.Thread(target=job) for _ in range(3)]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join()
    assert len({tuple(picture.tobytes() for picture in pictures) for pictures in found}) == 1
    assert len(found) == 3
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


@examples(deadline=None)
@given(st.data())
def test_no_two_jobs_share_a_set_unless_all_it_depends_on_is_the_same(
    data: st.DataObject,
) -> None:
    """The file's name is all that a job knows of the bank."""
    jobs = st.fixed_dictionaries(
        {
            "class_prompt": st.sampled_from(["a photo of a dog", "a photo of a dog ", "a dog"]),
            "seed": st.sampled_from([0, 1, 10]),
            "num_class_images": st.sampled_from([1, 10]),
            "resolution": st.sampled_from([32, 64]),
            "class_image_steps": st.sampled_from([1, 10]),
        }
    )
    bases = st.sampled_from(["a" * 64, "b" * 64])
    one, other = ((data.draw(jobs), data.draw(bases)) for _ in range(2))
    names = [
        set_name(FineTuneConfig.from_mapping(config), _base(digest))
        for config, digest in (one, other)
    ]
    assert (names[0] == names[1]) == (one == other)


def _base(digest: str) -> BaseModel:
    return BaseModel(
        id="pocket", folder=Path(), hash=digest, resolution=64, prediction_type="epsilon"
    )


@pytest.mark.promise(
    "Class images are a whole set or none",
    fault="a kill while they are stored",
    outcome="the next job paints them, the one after uses them",
)
def test_a_writer_that_is_killed_leaves_no_set_and_no_harm(
    paint: Callable, settings: Make, tmp_path: Path
) -> None:
    first, _ = paint(settings(), tmp_path / "whole")
    in_child(lambda: paint(settings(), tmp_path / "bank"), killed_at="replace")
    assert [path.suffix for path in (tmp_path / "bank").iterdir()] == [""]
    assert paint(settings(), tmp_path / "bank") == (first, 2)
    assert paint(settings(), tmp_path / "bank") == (first, 0)


def test_a_killed_writer_s_file_is_removed_once_it_is_old(
    paint: Callable, settings: Make, tmp_path: Path
) -> None:
    in_child(lambda: paint(settings(), tmp_path), killed_at="replace")
    (left,) = tmp_path.iterdir()
    paint(settings(seed=1), tmp_path)
    assert left.exists()
    os.utime(left, (0, 0))
    paint(settings(seed=2), tmp_path)
    assert not left.exists()


@pytest.mark.promise(
    "Two jobs may fill one bank",
    fault="two processes that write the same set at once",
    outcome="one whole set",
)
def test_two_processes_that_write_at_once_leave_one_whole_set(
    paint: Callable, settings: Make, tmp_path: Path
) -> None:
    first, _ = paint(settings(), tmp_path / "whole")
    in_child(lambda: paint(settings(), tmp_path / "bank"), beside=lambda: paint(
        settings(), tmp_path / "bank"))  # fmt: skip
    assert len(list((tmp_path / "bank").iterdir())) == 1
    assert paint(settings(), tmp_path / "bank") == (first, 0)


def test_the_deadline_holds_while_class_images_are_painted(
    tiny: BaseModel, settings: Make, tmp_path: Path
) -> None:
    late = time.monotonic() - 1
    with pytest.raises(TrainingError, match="0 of 2 class images"):
        class_images(load_networks(tiny), settings(), tiny, folder=tmp_path, deadline=late)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("given_count", "painted"), [(0, 3), (2, 1), (3, 0), (5, 0)])
def test_given_class_images_count_and_only_missing_ones_are_painted(
    tiny: BaseModel, given_count: int, painted: int, tmp_path: Path
) -> None:
    config = FineTuneConfig.for_base(tiny, num_class_images=3, class_image_steps=1)
    own = [Image.new("RGB", (80, 60), (place, 0, 0)) for place in range(given_count)]
    heard: list[tuple[int, int]] = []
    found = class_images(
        load_networks(tiny), config, tiny, given=own, folder=tmp_path,
        on_image=lambda *done: heard.append(done),
    )  # fmt: skip
    assert found[:given_count] == own
    assert len(found) == max(3, given_count) == given_count + painted
    assert (heard[-1] if heard else (0, 0)) == (painted, painted)
