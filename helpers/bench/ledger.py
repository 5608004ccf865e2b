"""What a fine-tuning job of Stable Diffusion 2.1 costs, from its settings and nothing else.

    job_work(FineTuneConfig.preset("course", ORIGINAL), photos=10, warm=True).total

Every number is a count of passes (what the settings make the trainer do) times the cost of one
(``helpers.bench.flops``). Nothing here was timed: work is what a job needs, not how long it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from helpers.bases.registry import ORIGINAL
from helpers.bench.flops import adapted_passes, base_passes
from helpers.bench.report import Row
from helpers.tuning.config import FineTuneConfig
from helpers.tuning.heldout import LEVELS
from helpers.tuning.presets import AWS_2023, COURSE

PHOTOS = 10
"""Of the job that is compared: what the demo sends."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """TFLOP by what they are for. ``pictures``: encoding them into latents; ``text``: encoding
    prompts, and learning there; ``unet``: the steps themselves; ``class_images``: painting them;
    ``heldout``: the loss on photos put aside."""

    class_images: float = 0.0
    pictures: float = 0.0
    text: float = 0.0
    unet: float = 0.0
    heldout: float = 0.0

    @property
    def total(self) -> float:
        """All of it, in TFLOP."""
        return sum(getattr(self, one.name) for one in fields(self))

    def __add__(self, other: Work) -> Work:
        return Work(
            **{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)}
        )

    def __mul__(self, times: float) -> Work:
        return Work(**{one.name: getattr(self, one.name) * times for one in fields(self)})


def step_work(config: FineTuneConfig) -> Work:
    """One optimizer step."""
    base, adapted = base_passes(config.resolution), adapted_passes(config)
    kinds = 2 if config.with_prior_preservation else 1
    images = config.batch_size * config.gradient_accumulation * kinds
    learning, reading = _prompts_of_a_step(config)
    return Work(
        pictures=0.0 if config.cache_latents else images * base.encode,
        text=config.gradient_accumulation * (learning * adapted.text_step + reading * base.text),
        unet=images * adapted.unet_step,
    )


def _prompts_of_a_step(config: FineTuneConfig) -> tuple[int, int]:
    """How many prompts a pass learns from, and how many it only reads.

    A trained encoder learns from both. A learned word stands in the subject's prompt alone, and
    the other is then read once for all, if it is cached.
    """
    prompts = 2 if config.with_prior_preservation else 1
    if config.train_text_encoder:
        return prompts, 0
    learning = 1 if config.learned_tokens else 0
    return learning, 0 if config.cache_text_embeddings else prompts - learning


def prior_work(config: FineTuneConfig) -> Work:
    """Painting the class images: of each, two prompts and two looks at every step (guidance), and
    decoding."""
    if not config.with_prior_preservation:
        return Work()
    base = base_passes(config.resolution)
    each = 2 * (base.text + config.class_image_steps * base.unet) + base.decode
    return Work(class_images=config.num_class_images * each)


def job_work(config: FineTuneConfig, *, photos: int = PHOTOS, warm: bool = False) -> Work:
    """A whole job on so many photos; ``warm``: another job left its class images in the bank."""
    base = base_passes(config.resolution)
    steps = config.steps_for(photos)
    work = step_work(config) * steps
    if not (warm and config.prior_bank):
        work += prior_work(config)
    aside = config.heldout_of(photos)
    if config.cache_latents:
        class_images = config.num_class_images if config.with_prior_preservation else 0
        shown = (photos - aside) * config.crops + class_images
        work += Work(pictures=(shown + aside) * base.encode)
    return work + _heldout_work(config, aside, steps)


def _heldout_work(config: FineTuneConfig, aside: int, steps: int) -> Work:
    """Every photo put aside at every level, after every so many steps and after the last."""
    if not aside:
        return Work()
    adapted = adapted_passes(config)
    measurements = -(-steps // config.heldout_every)
    return Work(heldout=measurements * aside * (LEVELS * adapted.unet + adapted.text))


def adapter_bytes(config: FineTuneConfig, *, each: int = 2) -> int:
    """Bytes of the adapter's numbers, ``each`` bytes for one (2: as it is written, 4: single)."""
    return each * adapted_passes(config).parameters


def ledger_rows() -> list[Row]:
    """The ledger of both recipes, as rows of a report."""
    original = FineTuneConfig.preset(AWS_2023, ORIGINAL)
    course = FineTuneConfig.preset(COURSE, ORIGINAL)
    base = base_passes(course.resolution)
    before = job_work(original).total
    cold, warm = (job_work(course, warm=warm).total for warm in (False, True))
    counted = {
        "flops.unet": (base.unet, "TFLOP"),
        "flops.vae-encode": (base.encode, "TFLOP"),
        "flops.vae-decode": (base.decode, "TFLOP"),
        "flops.text": (base.text, "TFLOP"),
        f"flops.step.{AWS_2023}": (step_work(original).total, "TFLOP"),
        f"flops.step.{COURSE}": (step_work(course).total, "TFLOP"),
        f"flops.job.{AWS_2023}": (before / 1000, "PFLOP"),
        f"flops.job.{COURSE}.cold": (cold / 1000, "PFLOP"),
        f"flops.job.{COURSE}.warm": (warm / 1000, "PFLOP"),
        "flops.ratio.cold": (cold / before, ""),
        "flops.ratio.warm": (warm / before, ""),
        f"adapter.{AWS_2023}": (adapter_bytes(original, each=4) / 1e6, "MB"),
        f"adapter.{AWS_2023}.half": (adapter_bytes(original) / 1e6, "MB"),
        f"adapter.{COURSE}.single": (adapter_bytes(course, each=4) / 1e6, "MB"),
        f"adapter.{COURSE}": (adapter_bytes(course) / 1e6, "MB"),
    }
    return [Row(name=name, value=value, unit=unit) for name, (value, unit) in counted.items()]
