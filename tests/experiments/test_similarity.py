"""Subject fidelity: the formula, and a judge that knows identities it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.errors import BaseModelError
from helpers.experiments.similarity import (
    PromptFidelity,
    open_judge,
    prompts_that_rise,
    subject_fidelity,
)
from helpers.photos.load import load_folder
from helpers.photos.prepare import prepare
from helpers.pocket.world.scene import draw_scene, render
from helpers.pocket.world.traits import draw_identity
from helpers.settings import ROOT


class _Grey:
    """Embeds a picture as one of two axes: dark or light."""

    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        light = torch.tensor([np.asarray(p).mean() > 127 for p in pictures])
        return torch.stack([light, ~light], 1).float()


def test_fidelity_is_the_mean_cosine_over_all_pairs() -> None:
    dark, light = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "white")
    assert subject_fidelity(_Grey(), [dark], [dark, dark]) == 1
    assert subject_fidelity(_Grey(), [light], [dark]) == 0
    assert subject_fidelity(_Grey(), [light, dark], [dark, dark, light]) == pytest.approx(0.5)


def test_an_untrained_adapter_never_counts_as_a_rise() -> None:
    same = [PromptFidelity(prompt=str(i), with_adapter=v, without_adapter=v)
            for i, v in enumerate((-0.2, 0.0, 0.4, 0.9))]  # fmt: skip
    assert prompts_that_rise(same) == 0
    better = [*same[:1], *(PromptFidelity(prompt="p", with_adapter=0.6, without_adapter=0.2),) * 3]
    assert prompts_that_rise(better) == 3


def test_a_missing_judge_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="Restore models/pocket_judge"):
        open_judge(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("name", "kind"), [("wren", "person"), ("marlow", "person"), ("doppler", "dog")]
)
def test_the_judge_knows_a_subject_from_strangers(name: str, kind: str) -> None:
    """Held-out photos of a shipped subject are nearer to its photos than other subjects' are."""
    judge = open_judge()
    home = ROOT / "data" / "subjects" / name
    known, held = ([p.image for p in prepare(load_folder(home / part), size=64)]
                   for part in ("instance", "heldout"))  # fmt: skip
    own = subject_fidelity(judge, known, held)
    strangers = []
    for seed in range(20):
        rng = np.random.default_rng([9, seed])
        stranger = draw_identity(rng, kind)
        scenes = [draw_scene(rng, subject=stranger, style="photo") for _ in range(3)]
        strangers.append(subject_fidelity(judge, [render(s, 64).image for s in scenes], held))
    assert own > sorted(strangers)[-2], "at most one of twenty looks more like it"
    assert own > np.mean(strangers) + 0.3
