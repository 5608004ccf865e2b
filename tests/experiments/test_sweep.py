"""A sweep as a value: which cells it has, and what their hashes depend on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.errors import ConfigError, ExperimentError
from helpers.experiments.sweep import (
    COMBINED,
    FOUR_PROMPTS,
    TAUGHT,
    Prompt,
    Subject,
    Sweep,
    Variant,
)
from helpers.settings import ROOT
from tests.experiments.colours import plain
from tests.experiments.conftest import SHORT, write_subject

Make = Callable[..., Sweep]


def hashes(sweep: Sweep) -> list[str]:
    return [trial.cell.hash for trial in sweep.trials]


def test_one_training_gives_all_steps_and_the_base_is_painted_once(make_sweep: Make) -> None:
    sweep = make_sweep(
        steps=(4, 2),
        variants=(
            Variant(name="a", changes=SHORT),
            Variant(name="b", changes={**SHORT, "lora_r": 1}),
        ),
    )
    base, tuned = sweep.trials[:2], sweep.trials[2:]
    assert {trial.cell.snapshots for trial in base} == {((0, 0),)}
    assert {trial.cell.snapshots for trial in tuned} == {((0, 2), (0, 4))}
    assert len({trial.cell.hash for trial in base}) == 1
    assert len({trial.cell.hash for trial in tuned}) == len(tuned) == 4
    assert {lesson.config.n_steps for t in tuned for lesson in t.cell.lessons} == {4}


@pytest.mark.parametrize("changes", [
    {"steps": (1, 3)},
    {"seeds": (7, 8)},
    {"pictures": 1},
    {"sampling_steps": 2},
    {"guidance": 2.0},
    {"fp16": True},
    {"prompts": FOUR_PROMPTS[:3]},
    {"variants": (Variant(name="lora", changes={**SHORT, "learning_rate": 1e-5}),)},
])  # fmt: skip
def test_what_determines_the_pictures_is_in_the_hash(make_sweep: Make, changes: dict) -> None:
    before, after = make_sweep(), make_sweep(**changes)
    assert not set(hashes(before)[1:]) & set(hashes(after)[1:])


def test_another_base_or_another_picture_gives_another_cell(
    make_sweep: Make, subject: Subject, tmp_path: Path
) -> None:
    sweep = make_sweep()
    other = replace(sweep.base, hash="0" * 64)
    assert not set(hashes(sweep)) & set(hashes(replace(sweep, base=other)))
    home = Path(shutil.copytree(subject.training[0].parent.parent, tmp_path / "copy"))
    assert hashes(make_sweep(subjects=(Subject.read(home),))) == hashes(sweep)
    plain("green")[0].resize((64, 64)).save(home / "instance" / "1.png")
    changed = hashes(make_sweep(subjects=(Subject.read(home),)))
    assert changed[0] == hashes(sweep)[0] and changed[1:] != hashes(sweep)[1:]


def test_labels_and_places_are_no_part_of_the_hash(make_sweep: Make, subject: Subject) -> None:
    renamed = make_sweep(
        subjects=(replace(subject, name="rex"),), variants=(Variant(name="x", changes=SHORT),)
    )
    assert hashes(renamed) == hashes(make_sweep())
    # Held-out pictures matter to the scores, which are made from the pictures each time.
    fewer = replace(subject, heldout=subject.heldout[:1])
    assert hashes(make_sweep(subjects=(fewer,))) == hashes(make_sweep())


def test_prompts_say_whom_they_are_about_and_how_to_describe_them() -> None:
    doppler = Subject.read(ROOT / "data" / "subjects" / "doppler", token="doppler")
    assert [prompt.about for prompt in FOUR_PROMPTS] == ["subject", "subject", "class", "other"]
    beach = FOUR_PROMPTS[1]
    assert beach.of(doppler) == "a photo of a doppler dog on the beach"
    assert beach.description(doppler) == "a photo of a dog on the beach"
    assert FOUR_PROMPTS[3].of(doppler) == FOUR_PROMPTS[3].description(doppler) == "a photo of a cat"
    with pytest.raises(ExperimentError, match="unknown place"):
        Prompt(name="wrong", text="a photo of {dog}")


def test_sizes_of_a_set_are_subjects_of_their_own() -> None:
    home = ROOT / "data" / "subjects" / "doppler"
    eight = Subject.read(home, pictures="instance_8", name="doppler, 8 pictures")
    assert (len(eight.training), len(Subject.read(home).training)) == (8, 16)
    assert eight.heldout == Subject.read(home).heldout


def test_a_sequence_teaches_one_model_and_asks_for_every_subject(
    make_sweep: Make, subject: Subject, tmp_path: Path
) -> None:
    cat = Subject.read(write_subject(tmp_path / "riobugger", "blue", "cat", "riobugger"))
    sweep = make_sweep(subjects=(subject, cat), taught="in sequence", seeds=(0,))
    base, tuned = sweep.trials
    assert tuned.cell.snapshots == ((0, 1), (0, 2), (1, 1), (1, 2))
    assert base.cell.prompts == tuned.cell.prompts
    assert "a photo of a riobugger cat" in base.cell.prompts
    assert base.cell.prompts.count("a photo of a cat") == 1
    other_order = make_sweep(subjects=(cat, subject), taught="in sequence", seeds=(0,))
    assert hashes(other_order)[1] != tuned.cell.hash


def test_subjects_taught_together_share_one_training_of_all_their_steps(
    make_sweep: Make, subject: Subject, tmp_path: Path
) -> None:
    cat = Subject.read(write_subject(tmp_path / "riobugger", "blue", "cat", "riobugger"))
    _, tuned = make_sweep(subjects=(subject, cat), taught="together", seeds=(0,)).trials
    (lesson,) = tuned.cell.lessons
    assert tuned.cell.snapshots == ((0, 2), (0, 4))
    assert lesson.config.n_steps == 4
    assert [one.instance_prompt for one in lesson.others] == [cat.instance_prompt]
    assert tuned.after(0) == f"{subject.name} and {cat.name}"


def test_every_way_of_teaching_is_a_cell_of_its_own(
    make_sweep: Make, subject: Subject, tmp_path: Path
) -> None:
    cat = Subject.read(write_subject(tmp_path / "riobugger", "blue", "cat", "riobugger"))
    kept = {"variants": (Variant(name="plain", changes={"learned_tokens": 0}),), "seeds": (0,)}
    found = [
        make_sweep(subjects=(subject, cat), taught=way, **kept).trials[-1] for way in TAUGHT
    ]  # fmt: skip
    assert len({trial.cell.hash for trial in found}) == len(TAUGHT)
    adapters = found[TAUGHT.index("in adapters")]
    assert [adapters.after(lesson) for lesson, _ in adapters.cell.snapshots] == [
        subject.name, cat.name, COMBINED,
    ]  # fmt: skip


@pytest.mark.parametrize(("changes", "why"), [
    ({"subjects": ()}, "subjects of the sweep is empty"),
    ({"seeds": (1, 1)}, "seeds of the sweep names something twice"),
    ({"steps": (0, 5)}, "step 0, the base, is always painted"),
    ({"pictures": 0}, "less than one"),
    ({"taught": "at random"}, "cannot be taught"),
    ({"taught": "in adapters", "variants": (Variant(name="full", changes={"method": "full"}),)},
     "makes no adapters"),
])  # fmt: skip
def test_impossible_sweeps_are_refused(make_sweep: Make, changes: dict, why: str) -> None:
    with pytest.raises(ExperimentError, match=f"(?i){why}"):
        make_sweep(**changes)


def test_a_variant_with_an_unknown_setting_is_refused_before_anything_runs(
    make_sweep: Make,
) -> None:
    with pytest.raises(ConfigError, match="lora_rank"):
        _ = make_sweep(variants=(Variant(name="typo", changes={"lora_rank": 8}),)).trials


def test_a_folder_that_is_no_subject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"dataset_info.json"):
        Subject.read(tmp_path)
    home = write_subject(tmp_path / "rex")
    with pytest.raises(ExperimentError, match="no pictures in rex/instance_8"):
        Subject.read(home, pictures="instance_8")
