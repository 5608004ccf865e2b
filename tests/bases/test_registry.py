from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from helpers.bases import REGISTRY, BaseModel, accept_licence, open_base, registered
from helpers.bases.__main__ import listing
from helpers.bases.folder import POCKET
from helpers.bases.registry import PARTS, UNSUPPORTED
from helpers.errors import BaseModelError, ConfigError
from helpers.settings import Settings
from helpers.tuning.adapter import WEIGHTS, check_base, read_adapter
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from tests.bases.conftest import Register, pins_of

ENTRIES = list(REGISTRY.values())


def test_one_entry_is_all_that_a_new_base_takes(
    tiny: BaseModel, register: Register, settings: Settings, tmp_path: Path
) -> None:
    """It is listed, opened, configured, fine-tuned on its own layers; its adapter is its own."""
    entry = register(
        weights={"fp16": pins_of(tiny)},
        training={"resolution": 64, "n_steps": 2, "lora_r": 2, "lora_text_encoder_r": 2},
        unet_targets=("to_k", "to_v"),
        text_targets=("k_proj",),
    )
    accept_licence(entry.id)
    assert entry.id in listing()
    base = open_base(tiny.folder)
    config = FineTuneConfig.for_base(
        base, with_prior_preservation=False, fp16=False, train_text_encoder=True
    )
    assert (config.base_model, config.n_steps, config.lora_r) == (entry.id, 2, 2)
    adapter = fine_tune([Image.new("RGB", (64, 64))], config, base, tmp_path / "adapter")
    assert adapter.manifest.base_model == entry.id
    assert adapter.manifest.targets == {"unet": ["to_k", "to_v"], "text_encoder": ["k_proj"]}
    layers = {
        key.split(".lora_")[0].rpartition(".")[2] for key in load_file(adapter.folder / WEIGHTS)
    }
    assert layers == {"to_k", "to_v", "k_proj"}
    check_base(read_adapter(adapter.folder), base)
    with pytest.raises(ConfigError, match=f"Choose from: .*{entry.id}"):
        FineTuneConfig(base_model="nobody/knows")


def test_the_shipped_base_is_the_pocket_and_asks_for_no_licence() -> None:
    assert open_base(POCKET).id == "pocket"
    assert REGISTRY["pocket"].licence.spdx == "MIT-0"
    assert not REGISTRY["pocket"].licence.to_accept


@pytest.mark.parametrize("name", UNSUPPORTED)
@pytest.mark.parametrize("ask", [registered, lambda name: FineTuneConfig(base_model=name)])
def test_a_base_that_cannot_work_is_refused_with_the_reason(
    name: str, ask: Callable[[str], object]
) -> None:
    assert name not in REGISTRY
    with pytest.raises((BaseModelError, ConfigError), match="two text encoders"):
        ask(name)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_every_entry_says_what_a_learner_must_know(entry) -> None:
    assert entry.publisher and entry.licence.name and entry.licence.restrictions
    assert entry.confirmed, "who vouches for its weights, or why nobody has to"
    assert entry.ours == (not entry.weights)
    assert entry.ours or (entry.gpu_gib and entry.licence.to_accept)
    assert entry.ours or entry.sources
    for source in entry.sources:
        assert source.revision is None or re.fullmatch("[0-9a-f]{40}", source.revision)
    assert entry.resolution % entry.latent_side == 0
    assert FineTuneConfig.for_base(entry.id).resolution == entry.resolution
    for pins in entry.weights.values():
        assert set(pins) == set(PARTS)
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pins.values())


def test_no_two_bases_share_a_unet() -> None:
    pins = [weights["unet"] for entry in ENTRIES for weights in entry.weights.values()]
    assert len(pins) == len(set(pins)) > 0


def test_two_bases_of_one_shape_differ_in_their_pins() -> None:
    """What recognition falls back on where shapes agree."""
    for one in ENTRIES:
        same = [
            other
            for other in ENTRIES
            if replace(other, id=one.id) != one
            and (other.text_width, other.latent_side, other.prediction_type)
            == (one.text_width, one.latent_side, one.prediction_type)
        ]
        assert all(one.weights and other.weights for other in same)
