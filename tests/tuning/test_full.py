"""Full fine-tuning: every weight moves, and a whole model comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from helpers.bases import REGISTRY, BaseModel, base_hash, open_base
from helpers.bases.registry import POCKET
from helpers.errors import ConfigError
from helpers.tuning.checkpoint import Checkpoints
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune, fine_tune_model
from helpers.tuning.loop import train
from helpers.tuning.networks import encode_text, load_networks
from helpers.tuning.shelf import BaseShelf
from helpers.tuning.tuned_model import MANIFEST

Make = Callable[..., FineTuneConfig]
Photos = list[Image.Image]
FULL = {"method": "full", "learning_rate": 1e-3, "n_steps": 4, "batch_size": 1}


def test_every_weight_of_the_unet_moves_and_nothing_else_unless_asked(
    tiny: BaseModel, settings: Make, photos: Photos
) -> None:
    for text in (False, True):
        networks = load_networks(tiny)
        before = {
            name: {key: value.clone() for key, value in part.state_dict().items()}
            for name, part in (("unet", networks.unet), ("text", networks.text_encoder),
                               ("vae", networks.vae))
        }  # fmt: skip
        list(train(networks, settings(**FULL, train_text_encoder=text), photos, photos))
        for name, part in (("unet", networks.unet), ("text", networks.text_encoder),
                           ("vae", networks.vae)):  # fmt: skip
            moved = {
                key for key, value in part.named_parameters()
                if not torch.equal(value, before[name][key])
            }  # fmt: skip
            everything = {key for key, _ in part.named_parameters()}
            if name == "unet":
                assert moved == everything
            elif name == "text" and text:
                # Positions and words that no prompt of the job uses have no gradient.
                assert len(moved) > 0.8 * len(everything)
            else:
                assert not moved


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_model_is_what_was_trained_and_plain_diffusers_reads_it(
    copy_base: Callable[[], Path], settings: Make, photos: Photos, tmp_path: Path, kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(REGISTRY, POCKET.id, replace(POCKET, prediction_type=kind))
    folder = copy_base()
    schedule = folder / "scheduler/scheduler_config.json"
    schedule.write_text(json.dumps(json.loads(schedule.read_text()) | {"prediction_type": kind}))
    base = open_base(folder)
    config = settings(**FULL, train_text_encoder=True)
    made = fine_tune_model(photos, config, base, tmp_path / "model", class_images=photos)
    networks = load_networks(base)
    list(train(networks, config, photos, photos))
    pipe = StableDiffusionPipeline.from_pretrained(made.folder)
    noise, time = torch.randn(1, 4, 16, 16), torch.tensor([300])
    with torch.no_grad():
        text = encode_text(networks, "a photo")
        wanted = networks.unet(noise, time, text).sample
        ids = pipe.tokenizer("a photo", padding="max_length", return_tensors="pt").input_ids
        found = pipe.unet(noise, time, pipe.text_encoder(ids)[0]).sample
    assert torch.allclose(found, wanted, atol=1e-5)
    assert pipe.scheduler.config["prediction_type"] == kind
    manifest = made.manifest
    assert manifest.hash == base_hash(made.folder) != manifest.base_hash == base.hash
    assert json.loads((made.folder / MANIFEST).read_text())["configuration"]["method"] == "full"
    assert made.size > 1e6


def test_only_the_pipeline_s_parts_and_the_licence_are_taken_over(
    copy_base: Callable[[], Path], settings: Make, photos: Photos, tmp_path: Path
) -> None:
    folder = copy_base()
    for name in ("LICENSE", "README.md", "scores.json", "unet/old.bin", "vae/.hidden"):
        (folder / name).write_text("x")
    config = settings(**FULL, with_prior_preservation=False)
    made = fine_tune_model(photos, config, open_base(folder), tmp_path / "model").folder
    assert {path.name for path in made.iterdir()} == {
        "LICENSE", "model_index.json", MANIFEST, "scheduler", "text_encoder", "tokenizer", "unet",
        "vae",
    }  # fmt: skip
    assert not [*made.rglob("*.bin"), *made.rglob(".*")]


def test_each_method_has_its_own_call(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r'method is "full".*an adapter'):
        fine_tune(photos, settings(method="full"), tiny, tmp_path / "out")
    with pytest.raises(ConfigError, match=r'method is "lora".*a whole model'):
        fine_tune_model(photos, settings(), tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_base_whose_weights_moved_is_not_kept(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path
) -> None:
    shelf, config = BaseShelf(), settings(**FULL, with_prior_preservation=False)
    fine_tune_model(photos, config, tiny, tmp_path / "model", shelf=shelf)
    with shelf.lend(tiny, device=torch.device("cpu"), dtype=torch.float32) as networks:
        fresh = load_networks(tiny).unet.state_dict()
        assert all(
            torch.equal(value, fresh[key]) for key, value in networks.unet.state_dict().items()
        )


def test_it_can_go_on_after_a_stop(
    tiny: BaseModel, settings: Make, photos: Photos, tmp_path: Path
) -> None:
    config = settings(**FULL, with_prior_preservation=False)
    checkpoints = Checkpoints(folder=tmp_path / "state", every=2)
    training = train(load_networks(tiny), config, photos, checkpoints=checkpoints)
    assert [next(training).step for _ in range(3)] == [1, 2, 3]
    training.close()
    whole = fine_tune_model(photos, config, tiny, tmp_path / "whole")
    resumed = fine_tune_model(photos, config, tiny, tmp_path / "resumed", checkpoints=checkpoints)
    assert resumed.manifest == whole.manifest
