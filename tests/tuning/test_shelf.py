from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers.bases import BaseModel
from helpers.errors import TrainingError
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from helpers.tuning.loop import train
from helpers.tuning.networks import Networks, load_networks
from helpers.tuning.shelf import BaseShelf

Make = Callable[..., FineTuneConfig]
CPU = torch.device("cpu")


def _weights(networks: Networks) -> dict[str, torch.Tensor]:
    parts = {"unet": networks.unet, "text": networks.text_encoder, "vae": networks.vae}
    return {
        f"{name}.{key}": value.clone()
        for name, part in parts.items()
        for key, value in part.state_dict().items()
    }


@pytest.fixture
def lend(tiny: BaseModel) -> Callable[..., Networks]:
    """Borrow networks, do something with them, and bring them back."""

    def lend(
        shelf: BaseShelf,
        use: Callable[[Networks], object] = lambda _: None,
        base: BaseModel = tiny,
        dtype: torch.dtype = torch.float32,
    ) -> Networks:
        with shelf.lend(base, device=CPU, dtype=dtype) as networks:
            use(networks)
        return networks

    return lend


def test_a_base_that_comes_back_is_the_base_bit_for_bit(
    tiny: BaseModel, lend: Callable, settings: Make, photos: list[Image.Image]
) -> None:
    shelf = BaseShelf()
    config = settings(learning_rate=0.05, train_text_encoder=True)
    first = lend(shelf, lambda networks: list(train(networks, config, photos, photos)))
    assert lend(shelf) is first
    kept, fresh = _weights(first), _weights(load_networks(tiny))
    assert kept.keys() == fresh.keys()
    assert all(torch.equal(kept[key], fresh[key]) for key in kept)
    assert not any(one.requires_grad for one in first.unet.parameters())


def test_a_job_on_a_kept_base_makes_what_it_makes_alone(
    tiny: BaseModel, settings: Make, photos: list[Image.Image], tmp_path: Path
) -> None:
    shelf, config = BaseShelf(), settings(lora_dropout=0.2, train_text_encoder=True)

    def run(name: str, shelf: BaseShelf | None, seed: int) -> dict[str, bytes]:
        adapter = fine_tune(
            photos, config.replace(seed=seed), tiny, tmp_path / name, class_images=photos,
            shelf=shelf,
        )  # fmt: skip
        return {file.name: file.read_bytes() for file in adapter.folder.iterdir()}

    run("before", shelf, 1)
    assert run("kept", shelf, 2) == run("alone", None, 2)


def test_each_borrower_has_networks_of_its_own(tiny: BaseModel, lend: Callable) -> None:
    shelf = BaseShelf(most=2)
    with (
        shelf.lend(tiny, device=CPU, dtype=torch.float32) as one,
        shelf.lend(tiny, device=CPU, dtype=torch.float32) as other,
    ):
        assert one.unet is not other.unet
    assert lend(shelf) in (one, other)


def test_bases_and_kinds_of_numbers_are_not_mistaken(tiny: BaseModel, lend: Callable) -> None:
    shelf = BaseShelf(most=4)
    first = lend(shelf)
    assert lend(shelf, base=replace(tiny, hash="0" * 64)) is not first
    assert lend(shelf, dtype=torch.bfloat16) is not first
    assert lend(shelf) is first


def test_no_more_are_kept_than_asked_for(lend: Callable) -> None:
    shelf = BaseShelf(most=0)
    assert lend(shelf) is not lend(shelf)


def test_a_failed_job_gives_nothing_back(
    lend: Callable, settings: Make, photos: list[Image.Image]
) -> None:
    shelf = BaseShelf()
    kept = lend(shelf)
    config = settings(n_steps=2, with_prior_preservation=False)

    def fail(networks: Networks) -> None:
        next(train(networks, config, photos))
        raise TrainingError("It went wrong")

    with pytest.raises(TrainingError):
        lend(shelf, fail)
    assert lend(shelf) is not kept
