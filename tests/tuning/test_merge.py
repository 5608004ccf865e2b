"""Adapters merged on disk, as plain diffusers then loads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from helpers.bases import BaseModel
from helpers.errors import AdapterError
from helpers.tuning.adapter import WEIGHTS, load_adapter, read_adapter
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.fine_tune import fine_tune
from helpers.tuning.mix import merge_adapters


@pytest.fixture(scope="module")
def two(
    tiny: BaseModel, photos: list[Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Adapters of two subjects, one with a trained text encoder."""
    folder = tmp_path_factory.mktemp("two")
    made = []
    for place, (token, text) in enumerate((("<<ONE>>", True), ("<<TWO>>", False))):
        config = FineTuneConfig.for_base(
            tiny, n_steps=6, learning_rate=0.05, batch_size=1, lora_r=3 + place, seed=place,
            concept_prompt=f"a photo of a {token} person", train_text_encoder=text,
            with_prior_preservation=False,
        )  # fmt: skip
        made.append(fine_tune(photos, config, tiny, folder / token.strip("<>")).folder)
    return made


def _paint(pipe: StableDiffusionPipeline, prompt: str) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    painted = pipe(prompt, num_inference_steps=2, generator=generator, output_type="np")
    return torch.tensor(painted.images)  # type: ignore[attr-defined]


def test_a_merged_adapter_is_loaded_by_plain_diffusers_and_does_what_both_do(
    tiny: BaseModel, two: list[Path], tmp_path: Path
) -> None:
    merged = merge_adapters(two, tmp_path / "both", base=tiny)
    assert [one["token"] for one in merged.manifest.subjects] == ["<<ONE>>", "<<TWO>>"]
    assert read_adapter(merged.folder).manifest.rank == 3 + 4
    pipe = StableDiffusionPipeline.from_pretrained(tiny.folder)
    load_adapter(pipe, merged.folder)
    reference = StableDiffusionPipeline.from_pretrained(tiny.folder)
    for place, folder in enumerate(two):
        reference.load_lora_weights(folder, weight_name=WEIGHTS, adapter_name=f"a{place}")
    load_words = StableDiffusionPipeline.from_pretrained(tiny.folder)
    prompt = "a photo of a person"
    bare = _paint(load_words, prompt)
    reference.set_adapters(["a0", "a1"])
    wanted, found = _paint(reference, prompt), _paint(pipe, prompt)
    assert (wanted - bare).abs().max() > 0.01
    # Half precision in the file.
    assert (found - wanted).abs().max() < 0.05 * (wanted - bare).abs().max()
    for token in ("<<ONE>>", "<<TWO>>"):
        assert len(pipe.tokenizer(token, add_special_tokens=False).input_ids) == 1


def test_a_merged_adapter_can_be_shortened(
    tiny: BaseModel, two: list[Path], tmp_path: Path
) -> None:
    merged = merge_adapters(two, tmp_path / "both", base=tiny, weights=[1, 0.5], rank=2)
    assert merged.manifest.rank == 2
    assert merged.manifest.configuration["weights"] == [1, 0.5]
    assert {value.shape[0] for key, value in load_file(merged.folder / WEIGHTS).items()
            if ".lora_A." in key} == {2}  # fmt: skip


def test_what_cannot_be_merged_is_refused(tiny: BaseModel, two: list[Path], tmp_path: Path) -> None:
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: merge_adapters([], tmp_path / "x", base=tiny), "nothing to merge"),
        (lambda: merge_adapters([two[0]] * 2, tmp_path / "x", base=tiny), "same identifier"),
        (
            lambda: merge_adapters(two, tmp_path / "x", base=replace(tiny, hash="0" * 64)),
            "another base",
        ),
    ]
    for attempt, message in refused:
        with pytest.raises(AdapterError, match=message):
            attempt()
    assert not (tmp_path / "x").exists()
