"""A fine-tuning job as SageMaker runs it: JumpStart's data and hyperparameters in, a model out.

``training_service/train.py`` is its thin door. Whatever goes wrong is written where SageMaker looks
for it (``/opt/ml/output/failure``, which becomes the job's ``FailureReason``), and then no model is
left. Checkpoints and painted class images lie in the folder that SageMaker keeps for a job on Spot
instances, so that one that was interrupted goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from helpers.bases import BaseModel, file_sha256, open_base
from helpers.bases.folder import MANIFEST as BASE_MANIFEST
from helpers.bases.prepared import manifest_of
from helpers.errors import ConfigError, CourseError
from helpers.startup import import_libraries
from helpers.strict_json import parse_object
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.jumpstart import DataSet, read_dataset, read_hyperparameters, to_config
from helpers.tuning.progress import Teller

if TYPE_CHECKING:
    from helpers.tuning.checkpoint import Checkpoints
    from helpers.tuning.tuned_model import TunedModel

TRAINING, BASE = "training", "model"
"""JumpStart's names for the channels of the data set and of the model that is fine-tuned."""
NAME = "training"
"""How the job calls itself in its log, which is no other's."""
MOST_WORDS = 1000
CHECKPOINT_STEPS = "CHECKPOINT_STEPS"
"""The environment variable that asks for checkpoints. Each is three times the size of what is
trained: every weight, and what the optimizer remembers of it."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """``/opt/ml`` of a training container, and after how many steps it writes a checkpoint; 0:
    never."""

    root: Path
    checkpoint_steps: int = 0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Container:
        """Where ``SM_MODEL_DIR`` says, or the usual place: not every image has that variable."""
        return cls(
            root=Path(environ.get("SM_MODEL_DIR", "/opt/ml/model")).parent,
            checkpoint_steps=int(environ.get(CHECKPOINT_STEPS, "0")),
        )

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def failure(self) -> Path:
        return self.root / "output" / "failure"

    def kept(self) -> Checkpoints | None:
        """The folder that outlives an interruption, for a job that writes checkpoints."""
        from helpers.tuning.checkpoint import Checkpoints

        every = self.checkpoint_steps
        return Checkpoints(folder=self.checkpoints, every=every) if every else None

    def channel(self, name: str) -> Path:
        return self.root / "input" / "data" / name

    def hyperparameters(self) -> dict[str, str]:
        name = "input/config/hyperparameters.json"
        try:
            return parse_object((self.root / name).read_bytes())
        except (OSError, ValueError) as trouble:
            raise ConfigError(
                f"{name} cannot be read",
                getattr(trouble, "strerror", None) or str(trouble),
                "give hyperparameters as texts by name",
            ) from None


def run(
    container: Container,
    *,
    log: Callable[[str], None] = print,
    work: Callable[..., object] | None = None,
) -> int:
    """Do ``work`` (by default ``train``); returns the exit status, 0 or 1. Raises nothing."""
    try:
        (work or train)(container, log=log)
        return 0
    except Exception as trouble:
        ours = isinstance(trouble, CourseError)
        traceback.print_exc()
        container.failure.parent.mkdir(parents=True, exist_ok=True)
        words = str(trouble) if ours else f"{type(trouble).__name__}: {trouble}"
        container.failure.write_text(words[:MOST_WORDS], encoding="utf-8")
        return 1


def train(container: Container, *, log: Callable[[str], None] = print) -> TunedModel:
    """Fine-tune the base of the channel ``model`` on the data set of the channel ``training``.

    The model, a diffusers folder, lies in the container's model folder afterwards. Raises a
    ``CourseError``.
    """
    base = open_base(container.channel(BASE))
    data = read_dataset(container.channel(TRAINING))
    values = read_hyperparameters(container.hyperparameters())
    config = to_config(values, data, base)
    import_libraries()  # only now: what cannot be done costs no time
    from helpers.tuning.fine_tune import fine_tune_model
    from helpers.tuning.tuned_model import TunedModel

    log(f"[job] {len(data.images)} images of {data.instance_prompt!r} on {base.id}")
    teller = Teller(NAME, log)
    work = Path(tempfile.mkdtemp(prefix="fine-tuning-"))
    try:
        made = fine_tune_model(
            list(data.images),
            config,
            base,
            work / "model",
            class_images=_class_images(container, config, base, data, teller),
            checkpoints=container.kept(),
            on_step=teller.step,
        )
        vouch(made, base)
        # The model folder itself is a mount: its contents can be replaced, it cannot.
        container.model.mkdir(parents=True, exist_ok=True)
        for item in made.folder.iterdir():
            shutil.move(item, container.model / item.name)
        done = TunedModel(folder=container.model, manifest=made.manifest)
        log(f"[job] {made.manifest.metrics['steps']} steps, {done.size / 1e6:.0f} MB of model")
        return done
    finally:
        shutil.rmtree(work, ignore_errors=True)


def vouch(made: TunedModel, base: BaseModel) -> None:
    """Write ``base.json`` beside a tuned model, so that it opens as what it is.

    Its weights are nobody's published ones: without a manifest the pins of its base refuse it. The
    base's licence goes along, with whoever accepted it.
    """
    files = {
        file.relative_to(made.folder).as_posix(): file
        for file in sorted(made.folder.rglob("*"))
        if file.is_file()
    }
    accepted = None
    if (base.folder / BASE_MANIFEST).is_file():
        told = json.loads((base.folder / BASE_MANIFEST).read_text(encoding="utf-8"))["licence"]
        accepted = told if told["by"] else None
    tuned = replace(
        base,
        folder=made.folder,
        hash=made.manifest.hash,
        vouched=f"a training job made it from {base.id} {base.hash[:12]}",
    )
    sums = {name: file_sha256(file) for name, file in files.items()}
    text = manifest_of(tuned, files, sums, accepted)
    (made.folder / BASE_MANIFEST).write_bytes(text)


def _class_images(
    container: Container, config: FineTuneConfig, base: BaseModel, data: DataSet, teller: Teller
) -> list[Image.Image] | None:
    """The given ones and, where they are too few, others that the base paints."""
    if not config.with_prior_preservation:
        return None
    from helpers.tuning.networks import default_device, load_networks
    from helpers.tuning.precision import choose_precision
    from helpers.tuning.priors import class_images

    device = default_device()
    return class_images(
        load_networks(base, device=device, dtype=choose_precision(config, device).weights),
        config,
        base,
        given=data.class_images,
        folder=container.checkpoints / "class-images" if container.kept() else None,
        on_image=teller.class_image,
    )


def channels(dataset: str, base: str, code: str) -> dict[str, str]:
    """The channels of a job by name, each an S3 prefix that ends with a slash."""
    return {"code": code, BASE: base, TRAINING: dataset}


def metric_definitions() -> list[dict[str, Any]]:
    """How SageMaker finds this job's numbers in its log: the loss, and the loss on images that were
    put aside, which a search over hyperparameters makes small."""
    number = r"([0-9.]+(?:e[+-]?\d+)?)"
    return [
        {"Name": "train:loss", "Regex": rf" loss {number}"},
        {"Name": "heldout:loss", "Regex": rf" held-out {number}"},
    ]
