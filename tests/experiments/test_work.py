"""A cell's training: undisturbed by the painter, and carried over into the next lesson."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers.bases import BaseModel
from helpers.experiments.store import CellResult
from helpers.experiments.sweep import Prompt, Sweep, Variant
from helpers.experiments.work import absorb_adapter, run_cell
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.loop import train
from helpers.tuning.networks import load_networks
from tests.experiments.colours import noisy
from tests.experiments.conftest import SHORT

PICTURES: list[Image.Image] = noisy((200, 60, 40), 2)


def test_painting_on_the_way_changes_nothing_in_the_training(
    make_sweep: Callable[..., Sweep], tmp_path: Path
) -> None:
    """With dropout, which a painter must neither see nor disturb."""
    rough = Variant(name="rough", changes={**SHORT, "lora_dropout": 0.5, "learning_rate": 0.01})
    prompts = (Prompt(name="subject", text="a photo of {subject}"),)
    often, once = (
        run_cell(
            make_sweep(
                steps=steps, seeds=(0,), variants=(rough,), pictures=1, prompts=prompts
            ).trials[-1].cell,
            tmp_path,
        )
        for steps in ((1, 2, 3), (3,))
    )  # fmt: skip

    def picture(result: CellResult, step: int) -> bytes:
        return result.paths(0, step, result.prompts[0])[0].read_bytes()

    assert picture(often, 3) == picture(once, 3)
    assert picture(often, 1) != picture(often, 3), "nothing was learned: the test says nothing"


@pytest.mark.parametrize("train_text_encoder", [False, True])
def test_an_absorbed_adapter_stays_in_the_weights(
    tiny: BaseModel, train_text_encoder: bool
) -> None:
    networks = load_networks(tiny)
    changes = {**SHORT, "n_steps": 2, "learning_rate": 0.01, "lora_text_encoder_r": 2,
               "train_text_encoder": train_text_encoder,
               "with_prior_preservation": False}  # fmt: skip
    config = FineTuneConfig.for_base(tiny, **changes)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def answer() -> torch.Tensor:
        text = networks.text_encoder(torch.arange(1, 9)[None])[0]
        return networks.unet(latents, 500, text).sample

    bare = answer()
    list(train(networks, config, PICTURES))
    tuned = answer()
    absorb_adapter(networks)
    assert not any("lora" in name for name, _ in networks.unet.named_modules())
    assert torch.allclose(answer(), tuned, atol=1e-5)
    assert not torch.allclose(answer(), bare, atol=1e-5)
    # Another adapter can be trained on top, which attach_lora refuses while one is there.
    list(train(networks, config.replace(seed=1), PICTURES))
    assert not torch.allclose(answer(), tuned, atol=1e-5)
