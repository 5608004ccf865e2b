"""A sweep is a value: which subjects, how, how long, from which seeds, painted with what prompts.

``Sweep.trials`` turns it into cells. A cell is one training (or none: the base itself) and all
pictures painted on its way; it knows everything that its pictures depend on, and is named by a hash
of just that. Names of subjects and variants are labels for tables, and no part of it.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from helpers.bases import BaseModel, file_sha256
from helpers.errors import ExperimentError
from helpers.photos.load import SUFFIXES
from helpers.tuning.config import FineTuneConfig

CODE = 1
"""Version of what a cell computes. Raised when training or painting gives other pictures."""

STEADY: Mapping[str, Any] = {"lr_scheduler": "constant", "lr_warmup": 0.0}
"""With a rate that does not depend on the number of steps, step 100 of a training of 800 steps is
the end of a training of 100: one training gives the whole curve."""

TAUGHT = ("alone", "in sequence", "in adapters", "together")
"""How several subjects are taught: each to a base of its own; one after another to one model; each
into an adapter of its own, which are swapped and then combined; all in one training."""
COMBINED = "combined"
"""What the adapters are when all of them are on at once, in tables."""

_PHOTO_OF = "a photo of "


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Someone or something to teach: training pictures, and others to measure with."""

    name: str
    training: tuple[Path, ...]
    heldout: tuple[Path, ...]
    instance_prompt: str
    class_prompt: str

    @classmethod
    def read(
        cls,
        folder: Path,
        *,
        pictures: str = "instance",
        name: str | None = None,
        token: str | None = None,
    ) -> Subject:
        """A subject as ``data/subjects`` holds them.

        ``pictures`` is the folder of the training pictures; ``token`` stands in for ``<<TOK>>``, so
        that two subjects can be taught to one model. Raises ``ExperimentError``.
        """
        try:
            info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
            prompts = {key: str(info[key]) for key in ("instance_prompt", "class_prompt")}
        except (OSError, ValueError, KeyError, TypeError):
            raise ExperimentError(
                f"{folder.name} is no subject",
                "its dataset_info.json is missing or names no instance_prompt and class_prompt",
                "take one of data/subjects, or lay yours out like them",
            ) from None
        if token:
            prompts["instance_prompt"] = prompts["instance_prompt"].replace("<<TOK>>", token)
        return cls(
            name=name or folder.name,
            training=_pictures(folder / pictures),
            heldout=_pictures(folder / "heldout"),
            **prompts,
        )

    def replace(self, **changes: Any) -> Subject:
        """A copy with changes."""
        return replace(self, **changes)

    def words(self) -> dict[str, str]:
        """``subject`` ("a <<TOK>> dog") and ``class`` ("a dog"), for the templates of prompts."""
        return {
            "subject": self.instance_prompt.removeprefix(_PHOTO_OF),
            "class": self.class_prompt.removeprefix(_PHOTO_OF),
        }


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to train: what differs from the settings that suit the base."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt for every subject: ``{subject}`` and ``{class}`` stand for its words.

    ``name`` heads tables and figures. ``expects`` is what the judge should read in the pictures,
    such as ``{"place": "beach"}``.
    """

    name: str
    text: str
    expects: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = {
            part for _, part, _, _ in string.Formatter().parse(self.text) if part is not None
        }
        if unknown - {"subject", "class"}:
            raise ExperimentError(
                f"the prompt '{self.name}' has an unknown place",
                "only {subject} and {class} can be filled in",
            )

    @property
    def about(self) -> str:
        """``subject``, ``class`` or ``other``: whom a picture of it should show."""
        return next((who for who in ("subject", "class") if f"{{{who}}}" in self.text), "other")

    def of(self, subject: Subject) -> str:
        """The words that the model gets."""
        return self.text.format(**subject.words())

    def description(self, subject: Subject) -> str:
        """The words that a judge compares the picture with: the class in the subject's place."""
        noun = subject.words()["class"]
        return self.text.format(**{"subject": noun, "class": noun})


FOUR_PROMPTS = (
    Prompt(name="subject", text="a photo of {subject}"),
    Prompt(
        name="on the beach", text="a photo of {subject} on the beach", expects={"place": "beach"}
    ),
    Prompt(name="class", text="a photo of {class}"),
    Prompt(name="a cat", text="a photo of a cat", expects={"kind": "cat"}),
)
"""The four questions of overfitting: is it the subject, does it still go to the beach, is its class
still a class, and is another class left alone?"""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How pictures are painted. Picture k of every prompt grows from noise ``noise + k``, in every
    cell the same, so that pictures can be compared one by one."""

    steps: int
    guidance: float
    side: int
    noise: int = 10_000
    fp16: bool = False


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A subject that is learned in the same training as another."""

    pictures: tuple[Path, ...]
    hashes: tuple[str, ...]
    instance_prompt: str
    class_prompt: str


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One training: pictures in their order with the SHA-256 of each, settings, and the steps at
    which pictures are painted; the last of them is its end. ``others`` are learned with it."""

    pictures: tuple[Path, ...]
    hashes: tuple[str, ...]
    config: FineTuneConfig
    marks: tuple[int, ...]
    others: tuple[Companion, ...] = ()

    @property
    def known(self) -> dict[str, Any]:
        """All that its result depends on, as JSON can hold it."""
        found = {"pictures": self.hashes, "config": self.config.to_mapping(), "marks": self.marks}
        if self.others:
            found["others"] = [
                [one.hashes, one.instance_prompt, one.class_prompt] for one in self.others
            ]
        return found


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The unit of work: lessons one after another on one model, and pictures at their marks.

    Without lessons it is the base, painted once at step 0. ``speakers`` says by number which
    lesson taught the subject of each prompt, where every lesson makes an adapter of its own: after
    each lesson a prompt is painted with the adapter of its subject, or the last one while it has
    none, and in the end with all of them at once.
    """

    base: BaseModel
    lessons: tuple[Lesson, ...]
    prompts: tuple[str, ...]
    pictures: int
    sampling: Sampling
    speakers: tuple[int, ...] = ()

    @cached_property
    def hash(self) -> str:
        """SHA-256 over all that the pictures depend on; where files lie does not count.

        Machine and library versions do not either: the store writes them down beside the pictures.
        """
        known = {
            "code": CODE,
            "base": self.base.hash,
            "prediction_type": self.base.prediction_type,
            "lessons": [lesson.known for lesson in self.lessons],
            "prompts": self.prompts,
            "pictures": self.pictures,
            "sampling": asdict(self.sampling),
        }
        if self.speakers:
            known["speakers"] = self.speakers
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    @property
    def snapshots(self) -> tuple[tuple[int, int], ...]:
        """``(lesson, step)`` at which pictures are painted; ``(0, 0)`` is the base.

        Of adapters combined the lesson is one more than there are.
        """
        if self.speakers:
            ends = [(k, lesson.marks[-1]) for k, lesson in enumerate(self.lessons)]
            return (*ends, (len(ends), ends[-1][1]))
        marks = [(k, step) for k, lesson in enumerate(self.lessons) for step in lesson.marks]
        return tuple(marks) or ((0, 0),)

    @property
    def work(self) -> int:
        """About how much it costs, in passes of the U-Net; backward counts as two."""
        painting = len(self.prompts) * self.pictures * self.sampling.steps * 2
        training = 0
        for config in (lesson.config for lesson in self.lessons):
            batches = config.n_steps * config.gradient_accumulation
            pictures = config.batch_size * (2 if config.with_prior_preservation else 1)
            training += 3 * batches * pictures
        return training + len(self.snapshots) * painting


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A cell with its labels. ``seed`` is that of the training, ``None`` for the base."""

    subjects: tuple[Subject, ...]
    variant: Variant
    seed: int | None
    cell: Cell

    def after(self, lesson: int) -> str:
        """Who was taught last when the pictures of that lesson were painted; "" for the base."""
        if not self.cell.lessons:
            return ""
        if lesson >= len(self.cell.lessons):
            return COMBINED
        if self.cell.lessons[lesson].others:
            return " and ".join(subject.name for subject in self.subjects)
        return self.subjects[lesson].name


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Every subject with every variant from every seed, painted at every one of ``steps``.

    ``seeds`` are those of the training; ``pictures`` a prompt are painted at each step. ``taught``
    is one of ``TAUGHT``; each subject gets the same number of steps, those of a training together
    being added up. The rate stays constant, at what suits the base then, unless a variant says
    otherwise (``STEADY``), and class images are off unless it asks for them. ``guidance`` is the
    base's own unless given, and so is ``fp16``: train and paint in half precision where the machine
    computes in it.
    """

    base: BaseModel
    subjects: tuple[Subject, ...]
    steps: tuple[int, ...]
    seeds: tuple[int, ...]
    pictures: int
    prompts: tuple[Prompt, ...] = FOUR_PROMPTS
    variants: tuple[Variant, ...] = (Variant(name="lora"),)
    taught: str = "alone"
    sampling_steps: int = 25
    guidance: float | None = None
    fp16: bool | None = None

    def __post_init__(self) -> None:
        for name in ("subjects", "steps", "seeds", "prompts", "variants"):
            values = getattr(self, name)
            labels = [getattr(value, "name", value) for value in values]
            if not values or len(set(labels)) < len(labels):
                what = "is empty" if not values else "names something twice"
                raise ExperimentError(f"{name} of the sweep {what}", "", "name each once")
        if self.taught not in TAUGHT:
            raise ExperimentError(
                f"subjects cannot be taught {self.taught!r}", "", f"use {', '.join(TAUGHT)}"
            )
        if self.taught == "in adapters" and any(
            one.changes.get("method") == "full" for one in self.variants
        ):
            raise ExperimentError(
                "full fine-tuning makes no adapters",
                "every weight of the base has moved",
                "teach the subjects in sequence or together, or use the method lora",
            )
        if min(self.steps) < 1 or self.pictures < 1 or self.sampling_steps < 1:
            raise ExperimentError(
                "the sweep asks for less than one step or picture",
                "step 0, the base, is always painted",
                "use 1 or more",
            )

    def replace(self, **changes: Any) -> Sweep:
        """A copy with changes. Raises ``ExperimentError``."""
        return replace(self, **changes)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """All cells with their labels; the base's first, one for each subject or sequence.

        Raises ``ConfigError`` for a variant that asks for something impossible.
        """
        alone = self.taught == "alone"
        groups = [(one,) for one in self.subjects] if alone else [self.subjects]
        found = []
        for subjects in groups:
            for variant in self.variants:
                found.append(self._trial(subjects, variant, None))
                found += [self._trial(subjects, variant, seed) for seed in self.seeds]
        return tuple(sorted(found, key=lambda trial: trial.seed is not None))

    @property
    def _halved(self) -> bool:
        return FineTuneConfig.for_base(self.base).fp16 if self.fp16 is None else self.fp16

    def _trial(self, subjects: tuple[Subject, ...], variant: Variant, seed: int | None) -> Trial:
        # A prompt of several subjects, such as "a photo of a cat", belongs to the last of them.
        texts = {
            prompt.of(subject): number
            for number, subject in enumerate(subjects)
            for prompt in self.prompts
        }
        lessons = [] if seed is None else self._lessons(subjects, variant, seed)
        cell = Cell(
            base=self.base,
            lessons=tuple(lessons),
            prompts=tuple(texts),
            speakers=tuple(texts.values()) if lessons and self.taught == "in adapters" else (),
            pictures=self.pictures,
            sampling=Sampling(
                steps=self.sampling_steps,
                guidance=self.guidance or self.base.registered.guidance,
                side=self.base.resolution,
                fp16=self._halved,
            ),
        )
        return Trial(subjects=subjects, variant=variant, seed=seed, cell=cell)

    def _lessons(self, subjects: tuple[Subject, ...], variant: Variant, seed: int) -> list[Lesson]:
        if self.taught != "together":
            return [self._lesson(one, variant, seed) for one in subjects]
        first, *rest = subjects
        others = [
            Companion(
                pictures=one.training,
                hashes=tuple(map(_hash, one.training)),
                instance_prompt=one.instance_prompt,
                class_prompt=one.class_prompt,
            )
            for one in rest
        ]
        return [self._lesson(first, variant, seed, tuple(others))]

    def _lesson(
        self, subject: Subject, variant: Variant, seed: int, others: tuple[Companion, ...] = ()
    ) -> Lesson:
        marks = sorted(step * (1 + len(others)) for step in self.steps)
        settings = {
            "concept_prompt": subject.instance_prompt,
            "class_prompt": subject.class_prompt,
            "with_prior_preservation": False,
            **STEADY,
            **self.base.registered.steady,
            "fp16": self._halved,
            **variant.changes,
            "n_steps": marks[-1],
            "seed": seed,
        }
        if self.taught == "in sequence":
            # Words learned for one subject would not outlast the next.
            settings["learned_tokens"] = 0
        return Lesson(
            pictures=subject.training,
            hashes=tuple(map(_hash, subject.training)),
            config=FineTuneConfig.for_base(self.base, **settings),
            marks=tuple(marks),
            others=others,
        )


def _pictures(folder: Path) -> tuple[Path, ...]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in found if path.suffix.lower() in SUFFIXES]
    if not found:
        raise ExperimentError(
            f"there are no pictures in {folder.parent.name}/{folder.name}", "", "put some there"
        )
    return tuple(found)


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise ExperimentError(
            f"the picture {path.name} cannot be read", error.strerror or ""
        ) from error
