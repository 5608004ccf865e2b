"""JumpStart's format and hyperparameters: read as it writes them, and doing what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.bases import REGISTRY, BaseModel, open_base
from helpers.bases.prepare import prepare_base
from helpers.bases.registry import PARTS, POCKET
from helpers.errors import BaseModelError, ConfigError, PhotoError
from helpers.hosting.generate import AvatarPainter
from helpers.tuning.jumpstart import (
    HYPERPARAMETERS,
    SCHEDULERS,
    DataSet,
    default_hyperparameters,
    hyperparameter_table,
    read_dataset,
    read_hyperparameters,
    steps_of,
    to_config,
    write_dataset,
    written,
)
from helpers.tuning.progress import read_progress
from helpers.tuning.train_job import CHECKPOINT_STEPS, Container, run

Photos = list[Image.Image]
PROMPTS = {
    "instance_prompt": "a photo of a <<TOK>> dog",
    "class_prompt": "a photo of a dog",
}
DOCUMENTED = {
    "with_prior_preservation": "False", "num_class_images": "100", "epochs": "20",
    "max_steps": "None", "batch_size": "1", "learning_rate": "2e-06", "prior_loss_weight": "1.0",
    "center_crop": "False", "lr_scheduler": "constant", "adam_weight_decay": "0.01",
    "adam_beta1": "0.9", "adam_beta2": "0.999", "adam_epsilon": "1e-08",
    "gradient_accumulation_steps": "1", "max_grad_norm": "1.0", "seed": "0",
}  # fmt: skip


@pytest.fixture
def files(photos: Photos, tmp_path: Path) -> list[Path]:
    """The photos as files of the three kinds that JumpStart reads."""
    (tmp_path / "mine").mkdir()
    paths = [tmp_path / "mine" / name for name in ("a.jpg", "b.PNG", "c.jpeg")]
    for photo, path in zip(photos, paths, strict=True):
        photo.save(path, format="PNG" if path.suffix == ".PNG" else "JPEG")
    return paths


@pytest.fixture
def container(tiny: BaseModel, files: list[Path], tmp_path: Path) -> Container:
    """``/opt/ml`` of a job on the tiny base, without hyperparameters yet."""
    root = tmp_path / "ml"
    write_dataset(root / "input/data/training", files, **PROMPTS)
    (root / "input/config").mkdir(parents=True)
    (root / "input/data/model").symlink_to(tiny.folder)
    return Container(root=root)


def tell(container: Container, **hyperparameters: str) -> None:
    path = container.root / "input/config/hyperparameters.json"
    path.write_text(json.dumps(hyperparameters))


def test_defaults_are_the_documented_ones_in_jumpstart_s_spelling() -> None:
    assert default_hyperparameters() == DOCUMENTED
    values = read_hyperparameters(DOCUMENTED)
    assert values == {one.name: one.default for one in HYPERPARAMETERS.values()}
    table = str(hyperparameter_table())
    assert all(name in table for name in HYPERPARAMETERS)


VALUES = {
    "switch": st.booleans(),
    "number": st.integers(1, 500),
    "number or None": st.none() | st.integers(1, 500),
    "decimal": st.floats(0, 1, allow_subnormal=False),
    "|".join(SCHEDULERS): st.sampled_from(sorted(SCHEDULERS)),
}


@given(st.fixed_dictionaries({one.name: VALUES[one.kind] for one in HYPERPARAMETERS.values()}))
def test_what_is_written_is_read_back(values: dict[str, Any]) -> None:
    told = {name: written(value) for name, value in values.items()}
    assert read_hyperparameters(told) == values


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("with_prior_preservation", "yes", "switch"),
        ("max_steps", "many", "whole number"),
        ("max_steps", "400.5", "whole number"),
        ("max_steps", "0", "at least 1"),
        ("epochs", "None", "whole number"),
        ("learning_rate", "nan", "at least"),
        ("learning_rate", "-1e-6", "at least 0"),
        ("lr_scheduler", "cosines", "cosine_with_restarts"),
        ("max_step", "400", "Did you mean max_steps"),
        ("compute_fid", "True", "handful of images"),
    ],
)
def test_a_wrong_hyperparameter_is_refused_by_name(name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){name}.*{words}"):
        read_hyperparameters({name: text})


def test_every_hyperparameter_reaches_the_job(tiny: BaseModel, photos: Photos) -> None:
    data = DataSet(images=tuple(photos), class_images=(), **PROMPTS)
    plain = to_config(read_hyperparameters({}), data, tiny)
    assert plain.method == "full" and plain.concept_prompt == PROMPTS["instance_prompt"]
    assert (plain.learning_rate, plain.n_steps, plain.batch_size) == (2e-6, 60, 1)
    assert not plain.with_prior_preservation and not plain.train_text_encoder
    other = {
        "with_prior_preservation": "True", "num_class_images": "7", "epochs": "3",
        "max_steps": "9", "batch_size": "2", "learning_rate": "1e-3", "prior_loss_weight": "0.5",
        "center_crop": "True", "lr_scheduler": "linear", "adam_weight_decay": "0.1",
        "adam_beta1": "0.8", "adam_beta2": "0.99", "adam_epsilon": "1e-6",
        "gradient_accumulation_steps": "2", "max_grad_norm": "0.5", "seed": "3",
        "heldout_images": "1", "heldout_every": "5",
    }  # fmt: skip
    assert other.keys() == HYPERPARAMETERS.keys()
    for name, text in other.items():
        changed = to_config(read_hyperparameters({name: text}), data, tiny)
        assert changed != plain, name


def test_steps_come_from_epochs_unless_max_steps_says() -> None:
    def steps(images: int = 8, class_images: int = 0, **told: str) -> int:
        return steps_of(read_hyperparameters(told), images, class_images)

    assert steps() == 160
    assert steps(max_steps="400") == 400
    assert steps(batch_size="3") == 20 * 3
    assert steps(batch_size="3", gradient_accumulation_steps="2") == 20 * 2
    assert steps(with_prior_preservation="True") == 20 * 100, "an epoch sees the class images too"
    assert steps(with_prior_preservation="True", num_class_images="2", epochs="1") == 8


def test_a_data_set_survives_the_way_through_a_folder(files: list[Path], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", files, class_images=files[:2], **PROMPTS)
    assert json.loads((folder / "dataset_info.json").read_text()) == PROMPTS
    data = read_dataset(folder)
    assert (len(data.images), len(data.class_images)) == (3, 2)
    assert data.class_prompt == "a photo of a dog"
    write_dataset(folder, files[:1], **PROMPTS)
    assert (len(read_dataset(folder).images), len(read_dataset(folder).class_images)) == (1, 0)


def test_a_data_set_that_is_none_says_why(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="slash at its end"):
        read_dataset(write_dataset(tmp_path / "deep" / "dogs", files, **PROMPTS).parent)
    with pytest.raises(PhotoError, match="holds nothing"):
        read_dataset(tmp_path / "absent")
    folder = write_dataset(tmp_path / "set", files, **PROMPTS)
    for text in ("{", "[]", '{"instance_prompt": "a dog"}', '{"instance_prompt": 1}'):
        (folder / "dataset_info.json").write_text(text)
        with pytest.raises(ConfigError, match=r"dataset_info\.json"):
            read_dataset(folder)
    with pytest.raises(PhotoError, match="each name once"):
        write_dataset(tmp_path / "twice", [files[0], files[0]], **PROMPTS)
    with pytest.raises(PhotoError, match="JumpStart reads"):
        write_dataset(tmp_path / "other", [Path(__file__)], **PROMPTS)


def test_a_job_leaves_a_whole_model_that_paints(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(container, max_steps="3", learning_rate="1e-3", heldout_images="0")
    said: list[str] = []
    assert run(container, log=said.append) == 0
    assert [one.done for one in read_progress(said)] == [1, 2, 3]
    base = open_base(container.model)
    before = open_base(container.channel("model"))
    assert base.id == before.id and base.hash != before.hash
    manifest = json.loads((container.model / "tuned.json").read_text())
    assert manifest["base_hash"] == before.hash and manifest["hash"] == base.hash
    assert manifest["prompt"] == PROMPTS["instance_prompt"] and manifest["token"] == "<<TOK>>"
    AvatarPainter(container.model)
    assert base.vouched == f"a training job made it from pocket {before.hash[:12]}"
    prepared = prepare_base(container.model)
    assert prepared.base.hash == base.hash and "tuned.json" in prepared.files
    monkeypatch.setitem(
        REGISTRY, "pocket", replace(POCKET, ours=False, weights={"fp32": dict.fromkeys(PARTS, "0")})
    )
    assert open_base(container.model).hash == base.hash, "the base's pins are not its own"
    (container.model / "base.json").unlink()
    with pytest.raises(BaseModelError, match="is not pocket"):
        open_base(container.model)
    assert not container.failure.exists() and not container.checkpoints.exists()


def test_missing_class_images_are_painted_and_kept_for_the_next_run(
    container: Container, files: list[Path]
) -> None:
    write_dataset(container.channel("training"), files, class_images=files[:1], **PROMPTS)
    tell(container, with_prior_preservation="True", num_class_images="3", max_steps="2")
    said: list[str] = []
    kept = Container(root=container.root, checkpoint_steps=1)
    assert run(kept, log=said.append) == 0
    painted = [one for one in read_progress(said) if one.stage == "class-images"]
    assert painted[-1].done == painted[-1].total == 2
    manifest = json.loads((container.model / "tuned.json").read_text())
    assert manifest["metrics"]["class_images"] == 3
    assert manifest["metrics"]["prior_loss_last"] > 0
    again: list[str] = []
    assert run(kept, log=again.append) == 0
    assert not [one for one in read_progress(again) if one.stage == "class-images"]
    assert [one.done for one in read_progress(again)] == [1, 2], "told again, not done"


@pytest.mark.parametrize(
    ("told", "words"),
    [({"max_stepz": "3"}, "Did you mean max_steps"), ({"learning_rate": "1e9"}, "learning_rate")],
)
def test_a_job_that_cannot_be_done_says_why_and_leaves_no_model(
    container: Container, told: dict[str, str], words: str
) -> None:
    tell(container, **told)
    assert run(container, log=lambda _: None) == 1
    assert words in container.failure.read_text()
    assert not container.model.exists()


def test_a_container_is_where_its_variables_say() -> None:
    assert Container.from_environment({}).root == Path("/opt/ml")
    told = {"SM_MODEL_DIR": "/x/ml/model", CHECKPOINT_STEPS: "20"}
    found = Container.from_environment(told)
    assert found.root == Path("/x/ml")
    assert found.kept() is not None and Container.from_environment({}).kept() is None
