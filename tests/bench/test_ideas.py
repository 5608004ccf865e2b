"""The ideas by what they promise, the verdicts by their rule, and the walk through all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

from helpers.bases import BaseModel
from helpers.bench import ideas, ideas_job, ideas_page, painted
from helpers.bench.ideas_objectives import Averaged, Distilled, Masked, MinSnr
from helpers.bench.report import make_report
from helpers.errors import TrainingError
from helpers.experiments.intervals import bootstrap
from helpers.pocket.judge import Judge
from helpers.tuning.batches import Batch, Batches
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.diffusion import prediction_errors
from helpers.tuning.loop import Objective, dreambooth, train
from helpers.tuning.networks import Networks, load_networks
from helpers.tuning.precision import choose_precision
from helpers.tuning.subjects import Subject, crops_of
from helpers.tuning.trainable import make_trainable, restore_base

CLASS = "a photo of a dog"


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Six pictures that differ."""
    rng = np.random.default_rng(3)
    small = [Image.fromarray(rng.integers(0, 255, (4, 4, 3), np.uint8)) for _ in range(6)]
    return [one.resize((64, 64), Image.Resampling.BICUBIC) for one in small]


@pytest.fixture(scope="module")
def networks(tiny: BaseModel) -> Networks:
    """Of the tiny base; whoever trains them leaves them bare."""
    torch.set_num_threads(1)
    return load_networks(tiny)


@pytest.fixture(scope="module")
def config(tiny: BaseModel) -> FineTuneConfig:
    return FineTuneConfig.for_base(
        tiny, concept_prompt="a photo of a <<TOK>> dog", class_prompt=CLASS, n_steps=4,
        batch_size=2, crops=2, num_class_images=2, heldout_images=1, heldout_every=2, patience=1,
    )  # fmt: skip


@pytest.fixture
def errors(
    networks: Networks, config: FineTuneConfig, photos: list[Image.Image]
) -> Callable[..., tuple[Batch, torch.Tensor]]:
    """A batch, and what an objective says of it with a fresh adapter on or a moved one."""

    def ask(objective: Objective, draw: int = 0, moved: float = 0.0) -> tuple[Batch, torch.Tensor]:
        subject = Subject(
            images=photos, concept_prompt=config.concept_prompt, class_prompt=CLASS,
            class_images=photos[:2],
        )  # fmt: skip
        groups = make_trainable(networks, config, [subject])
        generator = torch.Generator().manual_seed(5)
        for one in groups[0]["params"]:
            one.data += moved * torch.randn(one.shape, generator=generator)
        batches = Batches(networks, config, [subject])
        batch = batches.draw(draw)
        precision = choose_precision(config, networks.device)
        found = objective(networks, precision, batch, batches.embed(batch.prompts)).detach()
        restore_base(networks)
        return batch, found

    return ask


def test_a_fresh_adapter_agrees_with_the_base_and_one_that_moved_is_pulled_back(
    networks: Networks, tiny: BaseModel, errors: Any
) -> None:
    bare = load_networks(tiny)
    _, fresh = errors(Distilled(bare))
    _, plain = errors(dreambooth)
    assert torch.allclose(fresh[:2], plain[:2])  # the subject's term is as before
    assert fresh[2:].max() < 1e-9 < plain[2:].min()
    _, moved = errors(Distilled(bare), moved=0.3)
    assert moved[2:].min() > 1e-6


def test_a_question_is_answered_once_and_then_known(tiny: BaseModel, errors: Any) -> None:
    bare = load_networks(tiny)
    passes = []
    bare.unet.register_forward_hook(lambda *_: passes.append(1))
    taught = Distilled(bare, noises=1)
    for _ in range(2):
        for draw in range(2):  # two class images, both in every batch
            errors(taught, draw=draw)
    assert len(passes) == 1


def test_a_white_mask_changes_nothing_and_another_weighs_where_it_is_white(
    networks: Networks, config: FineTuneConfig, photos: list[Image.Image], errors: Any
) -> None:
    white = [Image.new("L", (64, 64), 255) for _ in photos]
    _, plain = errors(dreambooth)
    _, same = errors(Masked(networks, config.replace(heldout_images=0), white))
    assert torch.allclose(plain, same)
    left = [Image.new("L", (64, 64)) for _ in photos]
    for one in left:
        one.paste(255, (0, 0, 32, 64))
    masked = Masked(networks, config.replace(heldout_images=0), left)
    weights = masked.weights
    assert torch.allclose(weights.mean(dim=(1, 2, 3)), torch.ones(len(weights)))
    assert torch.allclose(weights[..., 0] / weights[..., -1], torch.tensor(10.0))
    _, halved = errors(masked)
    assert not torch.allclose(halved[:2], plain[:2])
    assert torch.allclose(halved[2:], plain[2:])


def test_masks_are_cut_as_the_photos_are(
    networks: Networks, config: FineTuneConfig, photos: list[Image.Image]
) -> None:
    asked = config.replace(crops=4, heldout_images=0)
    grey = [one.convert("L") for one in photos]
    weights = Masked(networks, asked, grey).weights[:, 0]
    cut = crops_of(photos, asked.resolution, asked.crops, asked.seed)
    side = weights.shape[-1]
    for one, weight in zip(cut, weights, strict=True):
        bright = np.asarray(one.convert("L").resize((side, side), Image.Resampling.BOX), float)
        assert np.corrcoef(bright.ravel(), weight.numpy().ravel())[0, 1] > 0.8


def test_min_snr_weighs_subject_and_class_by_the_closed_form(
    networks: Networks, errors: Any
) -> None:
    batch, plain = errors(dreambooth)
    kept = networks.noise.alphas_cumprod[batch.times]
    snr = kept / (1 - kept)
    capped = torch.minimum(snr, torch.tensor(5.0))
    assert networks.noise.config.prediction_type == "v_prediction"
    assert torch.allclose(errors(MinSnr(networks))[1], plain * capped / (snr + 1))
    noise = DDPMScheduler.from_config(networks.noise.config, prediction_type="epsilon")
    of_noise = replace(networks, noise=noise)
    assert torch.allclose(MinSnr(of_noise).weights[batch.times], capped / snr)


def test_finished_jobs_are_not_done_again_unless_what_they_were_asked_changes(
    tiny: BaseModel, tmp_path: Path
) -> None:
    judge = tmp_path / "judge"
    judge.write_bytes(b"one")
    plan = ideas.quick_plan(tiny, tmp_path / "work", judge)
    task = ideas.task(plan, "doppler", 0)
    assert ideas.finished(task) is None
    task.folder.mkdir(parents=True)
    (task.folder / "request.json").write_text(json.dumps({**task.given, "cores": [1]}))
    assert ideas.finished(task) is None
    (task.folder / "answer.json").write_text('{"plain": {}}')
    assert ideas.finished(task) == {"plain": {}}
    assert ideas.finished(ideas.task(replace(plan, pictures=2), "doppler", 0)) is None
    judge.write_bytes(b"another")
    assert ideas.finished(ideas.task(plan, "doppler", 0)) is None


def test_the_average_lies_between_the_weights_and_stops_where_the_trainer_would(
    networks: Networks, config: FineTuneConfig, photos: list[Image.Image]
) -> None:
    def weights() -> list[torch.Tensor]:
        named = [*networks.unet.parameters(), *networks.text_encoder.parameters()]
        return [one.detach().clone() for one in named if one.requires_grad]

    average, seen, held = Averaged(networks), [], []
    for step in train(networks, config, photos, photos[:2]):
        average.take(step)
        seen.append(weights())
        held.append(step.held_out_loss)
    assert any(not torch.equal(a, b) for a, b in zip(*seen[:2], strict=True))
    average.put()
    kept = min((n for n in range(len(seen)) if held[n] is not None), key=lambda n: held[n])
    past = seen[: kept + 1]
    for place, mean in enumerate(weights()):
        column = torch.stack([one[place] for one in past])
        assert (mean >= column.amin(0) - 1e-6).all()
        assert (mean <= column.amax(0) + 1e-6).all()
    restore_base(networks)


def test_an_objective_of_one_s_own_trains_and_the_course_s_is_the_usual(
    networks: Networks, config: FineTuneConfig, photos: list[Image.Image]
) -> None:
    def losses(**how: Any) -> list[float]:
        found = [step.loss for step in train(networks, config, photos, photos[:2], **how)]
        restore_base(networks)
        return found

    def halved(networks: Networks, precision: Any, batch: Batch, text: torch.Tensor):
        parts = batch.latents, batch.noise, batch.times
        return prediction_errors(networks, precision, *parts, text) / 2

    usual = losses()
    assert usual == losses(objective=dreambooth)
    assert losses(objective=halved)[0] == pytest.approx(usual[0] / 2)


def test_photos_that_the_world_does_not_draw_have_no_mask() -> None:
    path = ideas.SUBJECTS / "doppler" / "instance" / "doppler_01.jpg"
    photo = Image.open(path).convert("RGB")
    (mask,) = ideas_job.subject_masks("doppler", [photo])
    assert mask.size == photo.size
    assert 0.05 < np.asarray(mask).mean() / 255 < 0.95
    with pytest.raises(TrainingError, match="photo 1 of doppler"):
        ideas_job.subject_masks("doppler", [photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])


@pytest.mark.parametrize(
    "identity, prompt, said",
    [(0.1, 0.0, "helps"), (0.0, 0.1, "helps"), (0.1, -0.1, "trades"), (0.0, -0.1, "hurts"),
     (0.0, 0.0, "no difference")],
)  # fmt: skip
def test_a_verdict_needs_an_interval_away_from_zero(
    identity: float, prompt: float, said: str
) -> None:
    rng = np.random.default_rng(0)
    gains = [
        bootstrap([middle + rng.normal(0, 0.05, 40) for _ in range(6)])
        for middle in (identity, prompt)
    ]
    assert ideas.verdict(gains) == said


def test_the_quick_bench_walks_every_arm_and_its_page_takes_the_table(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painted, "contexts", lambda prompt: [prompt])  # six cost six times as much
    path = tmp_path / "judge.safetensors"
    Judge().save(path)
    plan = replace(ideas.quick_plan(tiny, tmp_path / "work", path), sampling_steps=1)
    asked = ideas.task(plan, "doppler", 0).given
    found = ideas_job.run({**asked, "cores": [0]})
    assert tuple(sorted(found)) == tuple(sorted(ideas_job.ARMS))
    assert found["distilled"]["identity"] != found["plain"]["identity"]
    rows = ideas.rows_of({("doppler", 0): found, ("doppler", 1): found})
    values = {row.name: row for row in rows}
    for arm in ideas_job.ARMS[1:]:
        one = values[f"{arm}.identity.both"]
        assert one.spread is not None
        assert one.spread[0] <= float(one.value or 0) <= one.spread[1]
        assert values[f"{arm}.step"].value

    report = make_report("ideas", rows, machine={"cores": 2}, seconds=1.0, quick=True)
    page = tmp_path / "performance.md"
    page.write_text(ideas_page.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    for _ in range(2):  # the second time what the first wrote is replaced
        ideas_page.write_page(report, page)
    text = page.read_text(encoding="utf-8")
    assert all(text.count(f"| {title} |") == 1 for title in ideas_page.TITLES.values())
