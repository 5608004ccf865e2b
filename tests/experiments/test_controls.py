"""Controls that must fail do fail, and honest input passes."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageOps

from helpers.bases import BaseModel
from helpers.errors import ExperimentError
from helpers.experiments.controls import (
    gain,
    held_out_control,
    idle,
    judge_control,
    learned,
    reader_control,
)
from helpers.photos.load import load_folder
from helpers.settings import ROOT
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.lora import attach_lora
from helpers.tuning.networks import load_networks
from helpers.tuning.painting import paint_batch, painting_pipeline
from tests.experiments.colours import COLOURS, ColourJudge, Shuffled, noisy

SUBJECTS = {name: noisy(colour, 5) for name, colour in
            {"a": (200, 60, 40), "b": (60, 190, 50), "c": (40, 70, 210)}.items()}  # fmt: skip
SHIPPED = sorted(path.name for path in (ROOT / "data" / "subjects").iterdir())


def test_a_judge_that_knows_subjects_passes() -> None:
    found = judge_control(ColourJudge(), SUBJECTS).require()
    assert found.value > found.bound


def test_a_judge_with_shuffled_labels_is_caught() -> None:
    found = judge_control(Shuffled(), SUBJECTS)
    assert not found.holds
    with pytest.raises(ExperimentError, match="control 'judge' failed"):
        found.require()


def test_a_judge_that_says_the_same_of_everything_is_caught() -> None:
    same = {name: noisy((90, 90, 90), 1) * 5 for name in "abc"}
    assert not judge_control(ColourJudge(), same).holds


def test_a_reader_passes_and_one_with_shuffled_labels_is_caught() -> None:
    pictures = [one for colour in COLOURS.values() for one in noisy(colour, 6)]
    truth = [name for name in COLOURS for _ in range(6)]
    assert reader_control(ColourJudge(), pictures, "colour", truth).require().value == 1
    assert not reader_control(Shuffled(), pictures, "colour", truth).holds
    with pytest.raises(ExperimentError, match="cannot test the judge"):
        reader_control(ColourJudge(), pictures, "colour", ["red"] * 18)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_subjects_hold_out_other_pictures(name: str) -> None:
    training, heldout = (
        [photo.image for photo in load_folder(ROOT / "data" / "subjects" / name / part)]
        for part in ("instance", "heldout")
    )
    held_out_control(training, heldout).require()


def _encoded(picture: Image.Image) -> Image.Image:
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=40)
    return Image.open(written)


@pytest.mark.parametrize("disguise", [
    lambda one: one,
    lambda one: one.resize((48, 48)),
    ImageOps.mirror,
    _encoded,
    lambda one: _encoded(ImageOps.mirror(one).resize((70, 70))),
])  # fmt: skip
def test_training_pictures_passed_off_as_held_out_are_caught(
    disguise: Callable[[Image.Image], Image.Image],
) -> None:
    home = ROOT / "data" / "subjects" / "doppler"
    training, heldout = (
        [photo.image.resize((128, 128)) for photo in load_folder(home / part)]
        for part in ("instance", "heldout")
    )
    found = held_out_control(training, [*heldout[1:], disguise(training[4])])
    assert not found.holds and found.says.startswith("1 of 6")
    with pytest.raises(ExperimentError, match="control 'held out' failed"):
        found.require()


@pytest.fixture(scope="module")
def painted(tiny: BaseModel) -> tuple[list[Image.Image], list[Image.Image]]:
    """Pictures of a base, and of the same with an adapter that was never trained."""
    networks = load_networks(tiny)
    pictures = []
    for adapted in (False, True):
        if adapted:
            attach_lora(networks, FineTuneConfig.for_base(tiny, lora_r=4, learned_tokens=0))
        pipe = painting_pipeline(networks)
        pictures.append(
            paint_batch(pipe, "a photo of a dog", range(3), side=64, steps=2, guidance=4.0)
        )
    return pictures[0], pictures[1]


def test_an_untrained_adapter_gains_nothing_and_is_caught(
    painted: tuple[list[Image.Image], list[Image.Image]],
) -> None:
    base, untrained = painted
    judge, heldout = ColourJudge(), noisy((200, 60, 40), 4)
    assert idle(gain(judge, [untrained], [base], heldout)).require().value == 0
    found = learned(gain(judge, [untrained, untrained], [base, base], heldout))
    assert not found.holds
    with pytest.raises(ExperimentError, match="control 'learning' failed"):
        found.require()


def test_an_adapter_that_learned_passes_and_is_no_untrained_one() -> None:
    judge, heldout = ColourJudge(), noisy((200, 60, 40), 4)
    base = [noisy((60, 60, 200), 6, seed) for seed in range(3)]
    word = [noisy((100, 60, 150), 6, seed) for seed in range(3)]
    tuned = [noisy((190, 60, 60), 6, seed) for seed in range(3)]
    assert learned(gain(judge, tuned, base, heldout)).require().value > 0.2
    learned(gain(judge, tuned, word, heldout)).require()
    # A word of its own brings likeness before anything is learned.
    assert learned(gain(judge, word, base, heldout)).holds
    assert not learned(gain(judge, word, word, heldout)).holds
    # The protocol's own slip: another noise, or another prompt, than that of the base.
    assert not idle(gain(judge, tuned, base, heldout)).holds
