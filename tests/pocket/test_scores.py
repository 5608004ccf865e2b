"""What the base is measured by: prompts that ask for their cell, and measures that can fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.experiments.judges import JUDGE
from helpers.pocket import likeness, scores
from helpers.pocket.judge import Judge
from helpers.pocket.world.astronaut import HELDOUT, INSTANCE, portrait, variant
from helpers.pocket.world.captions import world_words
from helpers.pocket.world.labels import LABELS
from helpers.settings import ROOT


def test_prompts_of_the_scores_ask_for_what_the_cell_says_and_use_known_words() -> None:
    known = world_words()
    for label, asked in scores.cells(8).items():
        assert set(asked) <= set(LABELS[label])
        for value, prompts in asked.items():
            assert len(prompts) >= 8
            assert {word for prompt in prompts for word in prompt.split()} <= known, value
    assert all("red" in p for p in scores.cells(4)["colour"]["red"])


def test_copies_are_noticed_and_different_pictures_are_not_copies() -> None:
    rng = np.random.default_rng(0)
    some = [Image.fromarray(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)) for _ in range(4)]
    assert scores.closest_pair(some) > scores.NEAR_IDENTICAL
    assert scores.closest_pair([*some, some[0]]) < 1e-3


class _Flat:
    """An embedder of mean colours."""

    def embed(self, pictures):
        means = torch.tensor(np.array([np.asarray(p, float).mean((0, 1)) for p in pictures]))
        return torch.nn.functional.normalize(means.float() - 128, dim=1)


def test_halfway_is_none_of_the_way_and_all_of_it_at_its_ends() -> None:
    red, blue = (Image.new("RGB", (8, 8), c) for c in ((250, 20, 20), (20, 20, 250)))
    ends = [likeness.halfway(_Flat(), [blue], tuned, [red], [red])["share"]
            for tuned in ([blue], [red], [red, blue])]  # fmt: skip
    assert ends == pytest.approx([0, 1, 0.5], abs=1e-3)


def test_the_astronaut_ranks_first_and_drawn_strangers_do_not() -> None:
    photograph = portrait()
    hers = [variant(photograph, what, 64) for what in INSTANCE[:3]]
    heldout = [variant(photograph, what, 64) for what in HELDOUT]
    others = likeness.other_faces()
    assert len(others) == likeness.OTHERS
    assert likeness.ranks_first(hers, heldout, others) == 1.0
    rng = np.random.default_rng(2)
    noise = [Image.fromarray(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)) for _ in range(5)]
    assert likeness.ranks_first(noise, heldout, others) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), [("fourier", "lora"), ("astronaut", "full")])
def test_a_subject_is_taught_measured_and_laid_out(name: str, method: str) -> None:
    judge = Judge.load(JUDGE)
    found, pictures = likeness.measure_subject(
        ROOT / "models" / "pocket", judge, name, steps=1, each=16, n_steps=2
    )
    assert (found["method"], found["tuning_steps"]) == (method, 2)
    assert len(pictures) == 5 * 16 and set(found["kept"]) == {"beach", "pencil sketch"}
    assert ("ranks_first" in found) == (name == "astronaut")
    assert not all(found["holds"].values()), "two steps teach nobody"
