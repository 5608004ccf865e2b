"""Running a sweep: cached, resumed after a real kill, the same in workers, never half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.errors import ExperimentError, TrainingError
from helpers.experiments.measure import measure
from helpers.experiments.measured import Measured
from helpers.experiments.run import SweepProgress, longest_first, run_cells, run_sweep
from helpers.experiments.runner import LocalRunner
from helpers.experiments.similarity import subject_fidelity
from helpers.experiments.store import RECORD, CellResult, Store
from helpers.experiments.sweep import FOUR_PROMPTS, Subject, Sweep, Variant
from helpers.photos.load import load_photo
from helpers.settings import ROOT
from tests.experiments.colours import ColourJudge
from tests.experiments.conftest import SHORT, write_subject

Make = Callable[..., Sweep]
WORDS = tuple(replace(prompt, text=prompt.text + " red", expects={}) for prompt in FOUR_PROMPTS)
"""Prompts that the judge of colours has a word of."""


def here(store: Store) -> LocalRunner:
    return LocalRunner(store=store, workers=0)


def table(sweep: Sweep, results: dict[str, CellResult], store: Store, out: Path) -> list[bytes]:
    """The bytes of the tables that depend on the pictures alone."""
    found: Measured = measure(sweep, results, ColourJudge(), store=store.folder)
    return [
        found.pictures.write_csv(out / "pictures.csv").read_bytes(),
        found.summary.write_csv(out / "summary.csv").read_bytes(),
    ]


@pytest.fixture(scope="module")
def whole(
    make_sweep: Make, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Sweep, Store, list[bytes]]:
    """A sweep that nobody interrupted, its store, and its tables."""
    folder = tmp_path_factory.mktemp("whole")
    sweep, store = make_sweep(prompts=WORDS, seeds=(0, 1, 2)), Store(folder=folder / "store")
    results = run_sweep(sweep, store, runner=here(store))
    return sweep, store, table(sweep, results, store, folder)


def test_in_half_precision_the_base_is_painted_like_all_others(
    make_sweep: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or an adapter that learned nothing would seem to change pictures."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    still = {**SHORT, "learning_rate": 1e-12}
    pictures = {}
    for fp16 in (False, True):
        sweep = make_sweep(
            steps=(1,), seeds=(0,), prompts=WORDS[:1], fp16=fp16,
            variants=(Variant(name="still", changes=still),),
        )  # fmt: skip
        store = Store(folder=tmp_path / str(fp16))
        results = run_sweep(sweep, store, runner=here(store))
        base, still_base = (results[trial.cell.hash] for trial in sweep.trials)
        pictures[fp16] = base.paths(0, 0, base.prompts[0])[0].read_bytes()
        assert still_base.paths(0, 1, base.prompts[0])[0].read_bytes() == pictures[fp16]
    assert pictures[True] != pictures[False]


def test_finished_cells_are_taken_from_the_store(whole: tuple) -> None:
    sweep, store, _ = whole

    class Nobody:
        def run(self, cells: object) -> None:
            raise AssertionError("there is nothing to do")

    said: list[SweepProgress] = []
    results = run_sweep(sweep, store, runner=Nobody(), on_progress=said.append)  # type: ignore[arg-type]
    assert list(results) == list(dict.fromkeys(trial.cell.hash for trial in sweep.trials))
    assert [(one.done, one.kept, one.remaining) for one in said] == [(4, 4, 0.0)]

    heard: list[str] = []
    order = longest_first(sweep)
    nobody: Any = Nobody()
    run_cells(order, store, runner=nobody, on_result=lambda one: heard.append(one.hash))
    assert heard == list(dict.fromkeys(cell.hash for cell in order)), "kept ones are heard of too"
    assert order[-1] == sweep.trials[0].cell, "the base has nothing to train"


def test_a_snapshot_on_the_way_is_the_end_of_a_shorter_training(
    whole: tuple, make_sweep: Make, tmp_path: Path
) -> None:
    """What makes one training enough for a whole curve, to the pixel."""
    sweep, store, _ = whole
    shorter, other = make_sweep(prompts=WORDS, steps=(1,), seeds=(0,)), Store(folder=tmp_path)
    run_sweep(shorter, other, runner=here(other))
    found = other.find(shorter.trials[-1].cell)
    longer = store.find(next(trial.cell for trial in sweep.trials if trial.seed == 0))
    assert found and longer
    prompt = found.prompts[0]
    for one, two in zip(found.paths(0, 1, prompt), longer.paths(0, 1, prompt), strict=True):
        assert one.read_bytes() == two.read_bytes()
    later = longer.paths(0, 2, prompt)[0]
    assert later.read_bytes() != longer.paths(0, 1, prompt)[0].read_bytes()


_SCRIPT = """
import sys, pickle
from pathlib import Path
from helpers.experiments.run import run_sweep
from helpers.experiments.runner import LocalRunner
from helpers.experiments.store import Store
if __name__ == "__main__":
    store = Store(folder=Path(sys.argv[2]))
    sweep = pickle.loads(Path(sys.argv[1]).read_bytes())
    run_sweep(sweep, store, runner=LocalRunner(store=store, workers=1))
"""


@pytest.mark.promise(
    "A sweep can be killed",
    fault="kill -9 in the middle of a cell",
    outcome="finished cells are kept; the table is the same, byte for byte; no orphan",
)
@pytest.mark.slow
def test_a_sweep_killed_in_the_middle_goes_on_and_gives_the_same_table(
    whole: tuple, tmp_path: Path
) -> None:
    import pickle

    sweep, _, tables = whole
    store = Store(folder=tmp_path / "store")
    (tmp_path / "sweep").write_bytes(pickle.dumps(sweep))
    (tmp_path / "script.py").write_text(_SCRIPT)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", tmp_path / "sweep", store.folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        worker = _in_the_middle(store.folder)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = len(list(store.folder.glob(f"*/{RECORD}")))
    assert 1 <= finished < 4
    _ended(worker)
    assert list(store.folder.glob(".draft-*"))

    said: list[SweepProgress] = []
    results = run_sweep(sweep, store, runner=here(store), on_progress=said.append)
    assert said[0].kept >= finished
    assert said[-1].done == said[-1].total == 4
    assert table(sweep, results, store, tmp_path) == tables
    assert not list(store.folder.glob(".draft-*"))


def _in_the_middle(folder: Path) -> int:
    """Wait until a cell is finished and another begun; returns the worker at it."""
    for _ in range(6000):
        drafts = list(folder.glob(".draft-*/cell/*/*.png"))
        if drafts and list(folder.glob(f"*/{RECORD}")):
            return int(drafts[0].parents[2].name.split("-")[1])
        time.sleep(0.02)
    raise AssertionError("no cell was finished")


def _ended(process: int) -> None:
    """The worker must not outlive whoever started it."""
    for _ in range(500):
        home = Path(f"/proc/{process}")
        try:
            state = (home / "stat").read_text().rsplit(")", 1)[1].split()[0]
            # A dead process whose threads still end holds its locks until the last of them.
            if state == "Z" and len(list((home / "task").iterdir())) == 1:
                return
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError(f"worker {process} lives on")


def test_a_damaged_cell_is_made_again(whole: tuple, make_sweep: Make, tmp_path: Path) -> None:
    sweep, store = make_sweep(prompts=WORDS[:1], seeds=(0,)), Store(folder=tmp_path)
    results = run_sweep(sweep, store, runner=here(store))
    tuned = results[sweep.trials[1].cell.hash]
    picture = tuned.paths(0, 2, tuned.prompts[0])[1]
    before = picture.read_bytes()
    Image.new("RGB", (64, 64)).save(picture)
    assert store.find(sweep.trials[1].cell) is None
    assert store.find(sweep.trials[0].cell) is not None
    run_sweep(sweep, store, runner=here(store))
    assert picture.read_bytes() == before


def test_a_cell_that_fails_leaves_nothing_and_keeps_the_others(
    make_sweep: Make, tmp_path: Path
) -> None:
    wild = {**SHORT, "learning_rate": 0.9, "lora_alpha": 1000}
    sweep = make_sweep(prompts=WORDS[:1], seeds=(0,), steps=(30,), pictures=1,
                       variants=(Variant(name="wild", changes=wild),))  # fmt: skip
    store = Store(folder=tmp_path)
    base = sweep.trials[0].cell
    list(here(store).run([base]))
    with pytest.raises(TrainingError, match="no longer a number"):
        run_sweep(sweep, store, runner=here(store))
    assert [path.name for path in tmp_path.iterdir()] == [base.hash]


def test_progress_says_how_long_it_will_take(make_sweep: Make, tmp_path: Path) -> None:
    sweep, store = make_sweep(prompts=WORDS[:1], seeds=(0,), steps=(1,)), Store(folder=tmp_path)
    said: list[SweepProgress] = []
    run_sweep(sweep, store, runner=here(store), on_progress=said.append)
    assert [one.done for one in said] == [0, 1, 2]
    assert said[0].remaining is None and said[2].remaining == 0
    assert said[1].remaining is not None and 0 < said[1].remaining < said[1].seconds
    assert "about" in str(replace(said[1], remaining=75.0)) and "1 min 15 s left" in str(
        replace(said[1], remaining=75.0)
    )


def test_prior_preservation_is_a_variant_like_any_other(make_sweep: Make, tmp_path: Path) -> None:
    kept = {**SHORT, "with_prior_preservation": True}
    sweep = make_sweep(prompts=WORDS[:1], seeds=(0,), steps=(2,),
                       variants=(Variant(name="kept", changes=kept),))  # fmt: skip
    store = Store(folder=tmp_path)
    results = run_sweep(sweep, store, runner=here(store))
    snapshot = results[sweep.trials[1].cell.hash].snapshots[0]
    assert snapshot.prior_loss is not None and snapshot.instance_loss is not None
    assert list(store.class_images.iterdir())


def test_full_fine_tuning_and_sequences_run_and_forgetting_is_measured(
    make_sweep: Make, subject: Subject, tmp_path: Path
) -> None:
    cat = Subject.read(write_subject(tmp_path / "riobugger", "blue", "cat", "riobugger"))
    full = {"batch_size": 1, "method": "full", "learning_rate": 1e-4}
    sweep = make_sweep(
        subjects=(subject, cat), taught="in sequence", seeds=(0,), prompts=WORDS[:1], steps=(2,),
        variants=(Variant(name="lora", changes=SHORT), Variant(name="full", changes=full)),
    )  # fmt: skip
    store = Store(folder=tmp_path / "store")
    results = run_sweep(sweep, store, runner=here(store))
    found = measure(sweep, results, ColourJudge(), store=store.folder)
    for variant in ("lora", "full"):
        matrix = found.forgetting(variant, "subject")
        assert matrix.subjects == ("doppler", "riobugger")
    # What a picture of one is like, the other subject's held-out pictures are the rivals of.
    for row in found.pictures.records():
        rival = cat if row["subject"] == subject.name else subject
        shown = [load_photo(store.folder / row["file"]).image]
        real = [load_photo(path).image for path in rival.heldout]
        named = row["likeness"] > subject_fidelity(ColourJudge(), shown, real)
        assert row["identified"] == float(named)
    tuned = results[next(t.cell.hash for t in sweep.trials if t.seed == 0)]
    prompt = tuned.prompts[0]
    first, second = (tuned.paths(lesson, 2, prompt)[0].read_bytes() for lesson in (0, 1))
    assert first != second


QUICK = {**SHORT, "learning_rate": 0.01}


def test_a_swapped_adapter_forgets_nothing_and_worn_together_they_are_another_model(
    make_sweep: Make, subject: Subject, tmp_path: Path
) -> None:
    cat = Subject.read(write_subject(tmp_path / "riobugger", "blue", "cat", "riobugger"))
    words = {"learned_tokens": 1, "token_learning_rate": 0.01}
    sweep = make_sweep(
        subjects=(subject, cat), taught="in adapters", seeds=(0,), prompts=WORDS[:1], steps=(2,),
        variants=(Variant(name="lora", changes={**QUICK, **words}),),
    )  # fmt: skip
    store = Store(folder=tmp_path / "store")
    results = run_sweep(sweep, store, runner=here(store))
    tuned = results[sweep.trials[-1].cell.hash]
    first, second = tuned.prompts
    bare = results[sweep.trials[0].cell.hash].paths(0, 0, first)[0].read_bytes()

    def picture(lesson: int, prompt: str) -> bytes:
        return tuned.paths(lesson, 2, prompt)[0].read_bytes()

    assert picture(0, first) == picture(1, first), "swapped in again it paints the same"
    assert picture(2, first) != picture(0, first) != bare
    assert picture(0, second) != picture(1, second)
    found = measure(sweep, results, ColourJudge(), store=store.folder)
    assert found.forgetting("lora", "subject").forgotten == {"doppler": 0.0}
    assert found.summary.values("after") == ["", "doppler", "riobugger", "combined"]


def test_subjects_taught_together_are_both_measured_with_class_images_of_both(
    make_sweep: Make, subject: Subject, tmp_path: Path
) -> None:
    cat = Subject.read(write_subject(tmp_path / "riobugger", "blue", "cat", "riobugger"))
    kept = Variant(name="kept", changes={**SHORT, "with_prior_preservation": True})
    sweep = make_sweep(subjects=(subject, cat), taught="together", seeds=(0,), prompts=WORDS[:1],
                       steps=(1,), variants=(kept,))  # fmt: skip
    store = Store(folder=tmp_path / "store")
    found = measure(sweep, run_sweep(sweep, store, runner=here(store)), ColourJudge(),
                    store=store.folder)  # fmt: skip
    rows = found.summary.where(metric="subject_fidelity", step=2)
    assert rows.values("subject") == ["doppler", "riobugger"]
    assert rows.values("after") == ["doppler and riobugger"]
    assert len(list(store.class_images.iterdir())) == 2


@pytest.mark.slow
def test_workers_of_their_own_give_the_same_cells_and_end_when_broken_off(
    whole: tuple, tmp_path: Path
) -> None:
    sweep, store, _ = whole
    other = Store(folder=tmp_path)
    cells = [trial.cell for trial in sweep.trials[:3]]
    iterator = LocalRunner(store=other, workers=2).run(cells)
    result = next(iterator)
    twin = store.find(next(cell for cell in cells if cell.hash == result.hash))
    assert twin and twin.snapshots == result.snapshots
    for prompt in twin.prompts:
        one, two = (
            [path.read_bytes() for path in found.paths(*_last(found), prompt)]
            for found in (twin, result)
        )
        assert one == two
    began = time.monotonic()
    iterator.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 10


def _last(result: CellResult) -> tuple[int, int]:
    return result.snapshots[-1].lesson, result.snapshots[-1].step


def test_copies_among_the_held_out_pictures_stop_the_measuring(
    whole: tuple, subject: Subject
) -> None:
    sweep, store, _ = whole
    cheat = replace(subject, heldout=subject.training[:2])
    spoiled = replace(sweep, subjects=(cheat,))
    results = {t.cell.hash: store.find(t.cell) for t in spoiled.trials}
    assert None not in results.values()
    with pytest.raises(ExperimentError, match="control 'held out' failed"):
        measure(spoiled, results, ColourJudge(), store=store.folder)  # type: ignore[arg-type]
