"""From pictures to tables: every number is that of the metric it is named after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.errors import ExperimentError
from helpers.experiments import metrics
from helpers.experiments.charts import curves, forgetting_chart, picture_grid
from helpers.experiments.effects import div_difference
from helpers.experiments.measure import measure
from helpers.experiments.measured import Measured
from helpers.experiments.perceptual import diversity, perceptual_distances
from helpers.experiments.run import run_sweep
from helpers.experiments.runner import LocalRunner
from helpers.experiments.similarity import subject_fidelity
from helpers.experiments.store import CellResult, Store
from helpers.experiments.sweep import Prompt, Sweep, Variant
from helpers.photos.load import load_photo
from tests.experiments.colours import ColourJudge


class StructureJudge(ColourJudge):
    """Embeds what is where in a picture: a random base paints one mean colour all the time."""

    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        small = [one.convert("RGB").resize((8, 8), Image.Resampling.BOX) for one in pictures]
        flat = torch.tensor(np.stack([np.asarray(one, float).reshape(-1) for one in small]))
        return torch.nn.functional.normalize(flat - flat.mean(1, keepdim=True), dim=1)

    def agree(self, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> torch.Tensor:
        return ColourJudge().agree(pictures, prompts)

    def read(self, pictures: Sequence[Image.Image]) -> dict[str, list[str]]:
        return ColourJudge().read(pictures)


JUDGE = StructureJudge()
PROMPTS = (
    Prompt(name="subject", text="a red {subject}", expects={"colour": "red"}),
    Prompt(name="class", text="a blue {class}"),
    Prompt(name="a cat", text="a green cat"),
)
Finished = tuple[Sweep, dict[str, CellResult], Measured, Path]


@pytest.fixture(scope="module")
def finished(
    make_sweep: Callable[..., Sweep], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    store = Store(folder=tmp_path_factory.mktemp("store"))
    # In full and at a rate at which a random base moves within two steps.
    changes = {"batch_size": 1, "method": "full", "learning_rate": 0.02}
    sweep = make_sweep(
        prompts=PROMPTS, pictures=3, variants=(Variant(name="lora", changes=changes),)
    )
    results = run_sweep(sweep, store, runner=LocalRunner(store=store, workers=0))
    return sweep, results, measure(sweep, results, JUDGE, store=store.folder), store.folder


def value(found: Measured, metric: str, prompt: str, step: int) -> float:
    rows = found.summary.where(metric=metric, prompt=prompt, step=step)
    assert len(rows) == 1
    return rows.column("value")[0]


def test_each_summary_is_the_mean_over_seeds_of_its_metric(finished: Finished) -> None:
    sweep, results, found, _ = finished
    subject = sweep.subjects[0]
    training = [load_photo(path).image for path in subject.training]
    heldout = [load_photo(path).image for path in subject.heldout]
    bare = results[sweep.trials[0].cell.hash]
    tuned = [results[trial.cell.hash] for trial in sweep.trials[1:]]
    assert len(tuned) == 2
    texts = {prompt.name: prompt.of(subject) for prompt in PROMPTS}

    def expect(metric: Callable, prompt: str) -> float:
        base = bare.images(0, 0, texts[prompt])
        return float(np.mean([metric(one.images(0, 2, texts[prompt]), base) for one in tuned]))

    expected = {
        ("subject_fidelity", "subject"): lambda g, b: subject_fidelity(JUDGE, g, heldout),
        ("gain", "subject"): lambda g, b: (
            subject_fidelity(JUDGE, g, heldout) - subject_fidelity(JUDGE, b, heldout)
        ),
        ("prompt_fidelity", "subject"): lambda g, b: metrics.prompt_fidelity(
            JUDGE, g, "a red a dog"
        ),
        ("memorisation_gap", "subject"): lambda g, b: metrics.memorisation_gap(
            JUDGE, g, training, heldout
        ),
        ("attribute_accuracy", "subject"): lambda g, b: metrics.attribute_accuracy(
            JUDGE, g, "colour", "red"
        ),
        ("pres", "class"): lambda g, b: metrics.pres(JUDGE, g, heldout),
        ("pres_change", "class"): lambda g, b: metrics.pres_change(JUDGE, g, b, heldout),
        ("div", "class"): lambda g, b: diversity(perceptual_distances(JUDGE, g)),
        ("language_drift", "class"): lambda g, b: metrics.language_drift(JUDGE, g, b),
        ("language_drift", "a cat"): lambda g, b: metrics.language_drift(JUDGE, g, b),
        ("prompt_fidelity_change", "a cat"): lambda g, b: metrics.agreement_change(
            JUDGE, g, b, "a green cat"
        ),
    }
    for (metric, prompt), by_hand in expected.items():
        assert value(found, metric, prompt, 2) == pytest.approx(expect(by_hand, prompt), abs=2e-6)
    assert value(found, "language_drift", "class", 2) > 1e-5, "nothing moved: the test says nothing"


def test_the_base_is_step_0_and_differs_from_itself_by_nothing(finished: Finished) -> None:
    _, _, found, _ = finished
    base = found.pictures.where(step=0)
    assert base.values("seed") == [None] and base.values("after") == [""]
    for column in ("likeness_change", "agreement_change", "drift"):
        assert base.column(column) == pytest.approx([0] * len(base), abs=2e-6)
    rows = list(found.summary.records())
    assert {row["over"] for row in rows if row["step"] == 0} == {"pictures only"}
    assert {row["over"] for row in rows if row["step"]} == {"seeds and pictures"}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_there_is_a_row_for_every_picture_and_its_file_is_there(finished: Finished) -> None:
    sweep, _, found, folder = finished
    trainings, snapshots = len(sweep.seeds), len(sweep.steps)
    assert len(found.pictures) == (1 + trainings * snapshots) * len(PROMPTS) * sweep.pictures
    assert len(set(found.pictures.column("file"))) == len(found.pictures)
    assert all((folder / name).is_file() for name in found.pictures.column("file"))


def test_tables_read_back_as_they_were_and_give_the_same_intervals(
    finished: Finished, tmp_path: Path
) -> None:
    _, _, found, _ = finished
    found.save(tmp_path)
    read = Measured.read(tmp_path)
    assert (read.pictures, read.summary, read.costs) == (found.pictures, found.summary, found.costs)
    classes = {key: one for key, one in found.distances.items() if key[-1] == "class"}
    assert len(classes) == 5, "the base, and two marks of two trainings"
    assert read.distances.keys() == classes.keys()
    assert all((read.distances[key] == matrix).all() for key, matrix in classes.items())
    arms = [{"prompt": "class", "step": step} for step in (2, 0)]
    assert div_difference(read, *arms) == div_difference(found, *arms)
    (tmp_path / "costs.csv").unlink()
    with pytest.raises(ExperimentError, match=r"costs\.csv cannot be read"):
        Measured.read(tmp_path)


def test_a_picture_is_known_by_its_digest(finished: Finished) -> None:
    _, _, found, folder = finished
    for row in found.pictures.records():
        content = (folder / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest().startswith(row["digest"])


def test_metrics_of_the_subject_are_left_empty_for_other_prompts(finished: Finished) -> None:
    _, _, found, _ = finished
    other = found.pictures.where(about="other")
    assert other.values("nearest_gap") == other.values("right") == [None]
    assert found.pictures.values("identified") == [None], "alone, nobody is mistaken for another"
    assert "pres" not in found.summary.where(about="subject").values("metric")


def test_costs_tell_losses_and_seconds(finished: Finished) -> None:
    _, _, found, _ = finished
    trained = found.costs.where(step=2)
    assert len(trained) == 2 and all(loss > 0 for loss in trained.column("instance_loss"))
    assert all(spent > 0 for spent in trained.column("training_s"))
    assert found.costs.where(step=0).column("instance_loss") == [None]


def test_curves_and_grid_can_be_drawn_of_it(finished: Finished) -> None:
    _, _, found, folder = finished
    figure = curves(found.summary)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 5, "all panels but the beach, for which there was no prompt"
    sheet = picture_grid(found.pictures, folder, each=3)
    assert sheet.width > sheet.height


def test_a_sequence_gives_a_forgetting_matrix(finished: Finished) -> None:
    """Of rows as a sweep in sequence makes them: the last step of each lesson counts."""
    _, _, found, _ = finished
    label = {"variant": "lora", "prompt": "subject", "about": "subject", "low": 0, "high": 1,
             "metric": "subject_fidelity", "seeds": 1, "pictures": 1, "over": ""}  # fmt: skip
    scores = {("a", ""): (0, 0.1), ("b", ""): (0, 0.2), ("a", "a"): (2, 0.8), ("b", "a"): (2, 0.3),
              ("a", "b"): (2, 0.5), ("b", "b"): (2, 0.9)}  # fmt: skip
    rows = [
        {**label, "subject": subject, "after": after, "step": at, "value": value}
        for (subject, after), (step, value) in scores.items()
        for at, value in ((max(step - 1, 0), 0.0), (step, value))
    ]
    tables = Measured(
        pictures=found.pictures, summary=found.summary.of(found.summary.columns, rows),
        costs=found.costs,
    )  # fmt: skip
    matrix = tables.forgetting("lora", "subject")
    assert matrix.subjects == ("a", "b")
    assert matrix.scores == pytest.approx(np.array([[0.8, 0.3], [0.5, 0.9]]))
    assert forgetting_chart(matrix).axes[0].get_title(loc="left") == "Average forgetting 0.30"
