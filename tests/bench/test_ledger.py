"""The ledger follows from settings: against numbers that others counted, and by its own logic."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.bases.registry import ORIGINAL
from helpers.bench.flops import adapted_passes, base_passes
from helpers.bench.ledger import (
    Work,
    adapter_bytes,
    job_work,
    ledger_rows,
    prior_work,
    step_work,
)
from helpers.bench.page import PAGE, fill, ledger_section
from helpers.bench.report import holds, read_goals
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.presets import AWS_2023, COURSE

AWS = FineTuneConfig.preset(AWS_2023, ORIGINAL)
OURS = FineTuneConfig.preset(COURSE, ORIGINAL)


def near(value: float) -> object:
    return pytest.approx(value, rel=0.03)


def test_passes_cost_what_others_counted() -> None:
    base = base_passes(512)
    assert base.unet == near(0.804)
    assert base.encode == near(1.117)
    assert base.decode == near(2.515)
    assert base.text == near(0.045)


def test_the_recipe_of_2023_costs_what_others_counted() -> None:
    assert step_work(AWS).total == near(7.2)
    assert prior_work(AWS).total / 1000 == near(4.1)
    assert job_work(AWS).total / 1000 == near(11.3)


def test_our_step_costs_what_others_counted() -> None:
    assert step_work(OURS).unet == near(3.45)
    assert step_work(OURS).pictures == 0


def test_adapters_have_the_size_that_others_counted() -> None:
    assert adapter_bytes(AWS, each=4) == near(77.2e6)
    assert adapter_bytes(OURS.replace(learned_tokens=0)) == 2 * 16 * 207_488
    assert adapter_bytes(OURS) - adapter_bytes(OURS.replace(learned_tokens=0)) == 2 * 1024


def test_recomputing_costs_one_more_look_forward() -> None:
    plain, saving = (
        adapted_passes(OURS.replace(gradient_checkpointing=on)) for on in (0 > 1, True)
    )
    added = saving.unet_step - plain.unet_step
    assert 0.5 * plain.unet < added < plain.unet


def test_an_adapter_adds_little_and_a_higher_rank_adds_more() -> None:
    bare = base_passes(512).unet
    small, large = (adapted_passes(OURS.replace(lora_r=rank)).unet for rank in (16, 128))
    assert bare < small < 1.01 * bare
    assert small < large < 1.06 * bare


def test_latents_that_are_kept_save_the_encoder_s_share_and_nothing_else() -> None:
    fresh, kept = AWS, AWS.replace(cache_latents=True)
    encode = base_passes(512).encode
    saved, before = step_work(kept), step_work(fresh)
    assert before.pictures == pytest.approx(2 * encode)
    assert saved == Work(text=before.text, unet=before.unet)
    # In exchange every picture is encoded once.
    assert job_work(kept, photos=10).pictures == pytest.approx((10 + 50) * encode)


def test_a_frozen_encoder_that_is_asked_once_costs_nothing_in_a_step() -> None:
    frozen = AWS.replace(train_text_encoder=False)
    text = base_passes(512).text
    assert step_work(frozen).text == pytest.approx(2 * text)
    assert step_work(frozen.replace(cache_text_embeddings=True)).text == 0
    learning = frozen.replace(cache_text_embeddings=True, learned_tokens=1)
    assert text < step_work(learning).text < 2.1 * text


def test_without_prior_preservation_a_step_is_half_and_no_class_image_is_painted() -> None:
    alone = AWS.replace(with_prior_preservation=False)
    for one in fields(Work):
        whole, half = getattr(step_work(AWS), one.name), getattr(step_work(alone), one.name)
        assert half == pytest.approx(whole / 2)
    assert job_work(alone).class_images == 0


def test_only_a_bank_that_is_used_makes_the_next_job_cheaper() -> None:
    assert job_work(AWS, warm=True) == job_work(AWS)
    saved = job_work(OURS).total - job_work(OURS, warm=True).total
    assert saved == pytest.approx(prior_work(OURS).total)


@settings(max_examples=25, deadline=None)
@given(steps=st.integers(1, 5000), times=st.integers(2, 4), count=st.integers(1, 100))
def test_twice_the_steps_are_twice_the_work(steps: int, times: int, count: int) -> None:
    for recipe in (AWS, OURS.replace(heldout_images=0, steps_per_photo=0)):
        one = recipe.replace(n_steps=steps, num_class_images=count)
        many = one.replace(n_steps=times * steps)
        around = job_work(one).total - steps * step_work(one).total
        assert job_work(many).total - around == pytest.approx(times * steps * step_work(one).total)
        double = one.replace(num_class_images=2 * count)
        assert prior_work(double).total == pytest.approx(2 * prior_work(one).total)


def test_the_held_out_loss_is_part_of_the_bill() -> None:
    assert job_work(OURS, photos=10).heldout > 0
    often = OURS.replace(heldout_every=OURS.heldout_every // 2)
    assert job_work(often).heldout == pytest.approx(2 * job_work(OURS).heldout)
    assert job_work(OURS.replace(heldout_images=0)).heldout == 0


def test_full_fine_tuning_is_not_counted_as_an_adapter() -> None:
    with pytest.raises(ValueError, match="adapters"):
        step_work(OURS.replace(method="full"))


def test_the_goals_of_the_ledger_hold() -> None:
    rows = {row.name: row.value for row in ledger_rows()}
    goals = {
        name: goal
        for name, goal in read_goals("fine-tune").items()
        if name.startswith(("flops.", "adapter."))
    }
    assert goals
    assert {name for name in goals if not holds(rows[name], goals[name])} == set()


def test_the_page_shows_the_ledger_as_it_is_counted_now() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, "ledger", ledger_section()) == page
