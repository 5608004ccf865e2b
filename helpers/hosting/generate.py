"""One base pipeline, many avatars: paint a request with an adapter swapped in.

The pixels are those of plain diffusers, ``pipe.load_lora_weights(adapter_folder)`` and one call,
for the same seed on the same machine, with noise from a CPU generator. Adapters wait in host memory
(``helpers.hosting.avatars``) and are copied into a slot beside the base's weights, so that changing
the avatar costs about a millisecond. Nothing an avatar brings (weights, learned words) changes what
the base, or another avatar, paints.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from transformers.utils import logging as transformers_logging

from helpers.bases import open_base
from helpers.errors import CourseError, GenerationError, SafetyError
from helpers.hosting.avatars import ROOM, Avatar, AvatarShelf
from helpers.hosting.picture import Painted, labelled
from helpers.hosting.request import GenerationRequest, Limits
from helpers.hosting.safety import Checker, card
from helpers.hosting.slots import Slots
from helpers.hosting.words import MOST, PLACES, Words
from helpers.tuning.networks import load_text_encoder

__all__ = [
    "AvatarPainter", "GenerationRequest", "Limits", "Order", "load_pipeline", "words_past_window",
]  # fmt: skip


NO_CHECKER: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
"""A pipeline that brings a checker would blacken pictures and say nothing to the caller."""
LARGEST_BATCH = PLACES // MOST
"""Pictures painted together; each may bring an avatar with words of its own."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A picture that is asked for: of the avatar whose adapter lies in ``folder``, or of the base.

    ``identity`` is that of the adapter the caller expects (``adapter_identity``): one that is in
    memory already is then used without reading its folder again.
    """

    request: GenerationRequest
    folder: Path | None = None
    identity: str | None = None


class AvatarPainter:
    """Paints with one base and any number of adapters made for it.

    ``threads`` sets torch's threads (for the process); ``room`` are bytes of host memory for
    adapters; ``checker`` says what is not painted or not handed out (``helpers.hosting.safety``).
    Thread-safe: batches are painted one after another.
    """

    def __init__(
        self,
        base_folder: Path,
        *,
        threads: int | None = None,
        room: int = ROOM,
        checker: Checker | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.base = open_base(Path(base_folder))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.float16 if device == "cuda" else torch.float32
        with quiet():
            # Not from_pretrained(dtype=...): an older diffusers ignores it without a word.
            # The text encoder apart: of a weight that is missing, the pipeline would only warn.
            pipe = StableDiffusionPipeline.from_pretrained(
                base_folder,
                text_encoder=load_text_encoder(Path(base_folder) / "text_encoder", torch.float32),
                local_files_only=True,
                **NO_CHECKER,
            )
            pipe = pipe.to(device, dtype)
        pipe.set_progress_bar_config(disable=True)
        self._pipe: Any = pipe
        self._words = Words(pipe)
        self._slots = Slots({"unet": pipe.unet, "text_encoder": pipe.text_encoder})
        self._shelf = AvatarShelf(self.base, dtype, room=room)
        self._schedulers = schedulers(pipe.scheduler)
        self._lock = threading.Lock()
        self.checker = checker
        self.limits = Limits.of(self.base)

    @property
    def attached(self) -> tuple[str, ...]:
        """Identities of the adapters in memory, least recently used first."""
        return tuple(self._shelf)

    def paint(self, request: GenerationRequest, adapter_folder: Path | None = None) -> Image.Image:
        """The picture alone; see ``render``."""
        return self.render(request, adapter_folder).image

    def render(
        self,
        request: GenerationRequest,
        adapter_folder: Path | None = None,
        *,
        identity: str | None = None,
    ) -> Painted:
        """Paint, with the adapter in that folder or, without one, as the base does.

        Raises ``AdapterError`` (damaged, missing, another base, not the expected one),
        ``SafetyError`` (the checker refuses the prompt) and ``GenerationError`` (the accelerator
        has no room).
        """
        folder = Path(adapter_folder) if adapter_folder else None
        (done,) = self.render_all([Order(request=request, folder=folder, identity=identity)])
        if isinstance(done, CourseError):
            raise done
        return done

    def render_all(self, orders: Sequence[Order]) -> list[Painted | CourseError]:
        """Paint several pictures, those that can be together in one batch; an order that cannot
        be painted gets its error, and the others their pictures."""
        answers: dict[int, Painted | CourseError] = {}
        batches: dict[object, list[tuple[int, Avatar | None]]] = {}
        with self._lock, quiet():
            for place, order in enumerate(orders):
                try:
                    self._require_harmless(order.request)
                    avatar = self._avatar(order)
                except CourseError as error:
                    answers[place] = error
                else:
                    batches.setdefault(_alike(order.request, avatar), []).append((place, avatar))
            for batch in _parts(batches.values()):
                requests = [orders[place].request for place, _ in batch]
                avatars = [avatar for _, avatar in batch]
                try:
                    painted = self._paint(requests, avatars)
                except CourseError as error:
                    painted = [error] * len(batch)
                answers.update(zip([place for place, _ in batch], painted, strict=True))
        return [answers[place] for place in range(len(orders))]

    def _require_harmless(self, request: GenerationRequest) -> None:
        if self.checker and (why := self.checker.refuse(request.prompt)):
            raise SafetyError("The picture is not painted", why, "Ask for something else")

    def _avatar(self, order: Order) -> Avatar | None:
        # At scale 0 the adapter is not there at all: learned words and rounding included.
        if not order.folder or not order.request.adapter_scale:
            return None
        avatar = self._shelf.get(Path(order.folder), order.identity)
        self._words.check(avatar)
        return avatar

    def _paint(
        self, requests: Sequence[GenerationRequest], avatars: Sequence[Avatar | None]
    ) -> Sequence[Painted | CourseError]:
        scales = [request.adapter_scale for request in requests]
        self._slots.use(avatars, scales)
        self._words.use(avatars)
        texts = {
            name: [
                self._words.write(getattr(request, name), avatar)
                for request, avatar in zip(requests, avatars, strict=True)
            ]
            for name in ("prompt", "negative_prompt")
        }
        images = self._run(requests, texts, avatars)
        withheld = self.checker.withhold(images) if self.checker else [None] * len(images)
        return [
            Painted(
                image=_handed_out(image, request, why),
                info=self._info(
                    request,
                    avatar,
                    {name: self._unread(written[place], avatar) for name, written in texts.items()},
                )
                | ({"withheld": why} if why else {}),
            )
            for place, (image, request, avatar, why) in enumerate(
                zip(images, requests, avatars, withheld, strict=True)
            )
        ]

    def _run(
        self,
        requests: Sequence[GenerationRequest],
        texts: dict[str, list[str]],
        avatars: Sequence[Avatar | None],
    ) -> list[Image.Image]:
        like = requests[0]
        self._pipe.scheduler = self._schedulers[like.scheduler]
        for last_try in (False, True):
            try:
                return self._pipe(
                    prompt=texts["prompt"],
                    negative_prompt=texts["negative_prompt"],
                    num_inference_steps=like.num_inference_steps,
                    guidance_scale=like.guidance_scale,
                    width=like.width,
                    height=like.height,
                    generator=[torch.Generator("cpu").manual_seed(one.seed) for one in requests],
                ).images
            except (torch.cuda.OutOfMemoryError, MemoryError):
                # Evicting stubs frees no accelerator memory, so this must not read as a 507:
                # give back what is ours to give, and say it in other words.
                if last_try:
                    break
                last = avatars[-1]
                self._shelf.drop(keep=last.identity if last else None)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        raise GenerationError(
            "The picture does not fit on the accelerator",
            "the base and its adapters take the rest",
            "Ask for a smaller picture",
        )

    def _unread(self, written: str, avatar: Avatar | None) -> list[str]:
        return [self._words.read(word, avatar) for word in words_past_window(self._pipe, written)]

    def _info(
        self, request: GenerationRequest, avatar: Avatar | None, unread: dict[str, list[str]]
    ) -> dict[str, Any]:
        return {
            "source": "AI generated",
            "base": self.base.id,
            "base_hash": self.base.hash,
            "adapter_sha256": avatar.sha256 if avatar else None,
            "adapter_scale": request.adapter_scale if avatar else 0.0,
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "num_inference_steps": request.num_inference_steps,
            "scheduler": request.scheduler,
            "guidance_scale": request.guidance_scale,
            "width": request.width,
            "height": request.height,
            "unread": unread,
        }


def _handed_out(image: Image.Image, request: GenerationRequest, why: str | None) -> Image.Image:
    if why:
        return card(image.size, why)
    return labelled(image) if request.label else image


def _parts(batches: Iterable[list[Any]]) -> Iterator[list[Any]]:
    for batch in batches:
        for start in range(0, len(batch), LARGEST_BATCH):
            yield batch[start : start + LARGEST_BATCH]


def _alike(request: GenerationRequest, avatar: Avatar | None) -> object:
    """Pictures of one kind can be painted together: the same loop, and room in one slot."""
    return (
        request.scheduler,
        request.num_inference_steps,
        request.guidance_scale,
        request.width,
        request.height,
        avatar.layout if avatar else (),
    )


def schedulers(own: Any) -> dict[str, Any]:
    """A scheduler for each name of ``SCHEDULERS``, on the noise of ``own``."""
    made = {
        "ddim": DDIMScheduler,
        "pndm": PNDMScheduler,
        "euler": EulerDiscreteScheduler,
        "dpm++": DPMSolverMultistepScheduler,
        "unipc": UniPCMultistepScheduler,
    }
    return {"base": own, **{name: kind.from_config(own.config) for name, kind in made.items()}}


def load_pipeline(base_folder: Path) -> Any:
    """The base's ``StableDiffusionPipeline``: in half precision on a GPU if there is one, in single
    precision on the processor, and without progress bars."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    with quiet():
        # Not from_pretrained(dtype=...): an older diffusers ignores it without a word.
        pipe = StableDiffusionPipeline.from_pretrained(
            base_folder, local_files_only=True, **NO_CHECKER
        )
        pipe = pipe.to(device, dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def words_past_window(pipe: Any, prompt: str) -> list[str]:
    """The words of ``prompt`` that the text encoder does not read to their end.

    A CLIP tokenizer starts a new token at every blank, so words can be counted one by one.
    """
    words = pipe.maybe_convert_prompt(prompt, pipe.tokenizer).split()
    if not words:
        return []
    room = pipe.tokenizer.model_max_length - pipe.tokenizer.num_special_tokens_to_add()
    for place, ids in enumerate(pipe.tokenizer(words, add_special_tokens=False).input_ids):
        room -= len(ids)
        if room < 0:
            return words[place:]
    return []


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back the libraries' progress bars and remarks: on layers that an adapter does not
    touch (``_check_landed`` is stricter) and on words past the window (``unread`` names them)."""
    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers", "peft")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="peft")
            yield
    finally:
        for library in (diffusers_logging, transformers_logging):
            library.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
