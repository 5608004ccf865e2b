"""One base pipeline, many avatars: paint a request with an adapter swapped in.

The pixels are those of plain diffusers, ``pipe.load_lora_weights(adapter_folder)`` and one call,
for the same seed on the same machine: one picture at a time, noise from a CPU generator. Adapters
stay attached side by side, so that changing the avatar between two pictures costs milliseconds;
the ones not used for longest are dropped. Nothing an avatar brings (weights, learned words)
changes what the base, or another avatar, paints.
"""

from __future__ import annotations

import copy
import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from safetensors import safe_open
from transformers.utils import logging as transformers_logging

from helpers.bases import open_base
from helpers.errors import AdapterError, GenerationError
from helpers.hosting.identity import adapter_identity
from helpers.hosting.picture import Painted
from helpers.hosting.request import GenerationRequest, Limits
from helpers.tuning.adapter import EMBEDDINGS, WEIGHTS, check_base, read_adapter
from helpers.tuning.networks import load_text_encoder

__all__ = ["AvatarPainter", "GenerationRequest", "Limits", "load_pipeline", "words_past_window"]

_STALE = ""
"""Stands for "set the adapters again before the next picture"."""


@dataclass(frozen=True, kw_only=True)
class _Attached:
    """An adapter that hangs on the pipeline, and the words it brought."""

    name: str
    identity: str
    sha256: str
    tokenizer: Any
    embedding: torch.nn.Module


class AvatarPainter:
    """Paints with one base and any number of adapters made for it.

    ``threads`` sets torch's threads (for the process); ``max_adapters`` are kept attached.
    Thread-safe: pictures are painted one after another.
    """

    def __init__(
        self, base_folder: Path, *, threads: int | None = None, max_adapters: int = 8
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
            )
            pipe = pipe.to(device, dtype)
        pipe.set_progress_bar_config(disable=True)
        self._pipe: Any = pipe
        self._tokenizer, self._embedding = pipe.tokenizer, pipe.text_encoder.get_input_embeddings()
        self._max_adapters = max_adapters
        self._attached: OrderedDict[str, _Attached] = OrderedDict()
        self._active: str | None = None
        self._scale = 1.0
        self._lock = threading.Lock()
        self.limits = Limits.of(self.base)

    @property
    def attached(self) -> tuple[str, ...]:
        """Identities of the adapters on the pipeline, least recently used first."""
        return tuple(one.identity for one in self._attached.values())

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

        ``identity`` is that of the adapter the caller expects (``adapter_identity``): one that is
        attached already is then used without reading its folder again.

        Raises ``AdapterError`` (damaged, missing, another base, not the expected one) and
        ``GenerationError`` (the accelerator has no room).
        """
        # At scale 0 the adapter is not there at all: learned words and rounding included.
        folder = Path(adapter_folder) if adapter_folder and request.adapter_scale else None
        with self._lock, quiet():
            name = self._attach(folder, identity) if folder else None
            self._switch(name, request.adapter_scale)
            unread = {
                name: words_past_window(self._pipe, getattr(request, name))
                for name in ("prompt", "negative_prompt")
            }
            return Painted(image=self._run(request), info=self._info(request, unread))

    def _run(self, request: GenerationRequest) -> Image.Image:
        for last_try in (False, True):
            try:
                return self._pipe(
                    prompt=request.prompt,
                    negative_prompt=request.negative_prompt or None,
                    num_inference_steps=request.num_inference_steps,
                    guidance_scale=request.guidance_scale,
                    width=request.width,
                    height=request.height,
                    generator=torch.Generator("cpu").manual_seed(request.seed),
                ).images[0]
            except (torch.cuda.OutOfMemoryError, MemoryError):
                # Evicting stubs frees no accelerator memory, so this must not read as a 507:
                # give back what is ours to give, and say it in other words.
                if last_try:
                    break
                self._forget([name for name in self._attached if name != self._active])
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        raise GenerationError(
            "The picture does not fit on the accelerator",
            "the base and its adapters take the rest",
            "Ask for a smaller picture",
        )

    def _attach(self, folder: Path, expected: str | None) -> str:
        """Make sure the adapter hangs on the pipeline; returns its name there."""
        if expected and (name := _name(expected)) in self._attached:
            self._attached.move_to_end(name)
            return name
        adapter = read_adapter(folder)
        check_base(adapter, self.base)
        identity = adapter_identity(adapter.manifest)
        if expected and expected != identity:
            raise AdapterError(
                "The adapter is not the one its archive announces",
                "its hash differs",
                "Publish the avatar again",
            )
        if (name := _name(identity)) in self._attached:
            self._attached.move_to_end(name)
            return name
        self._forget(list(self._attached)[: max(0, len(self._attached) + 1 - self._max_adapters)])
        self._restore_words()
        try:
            self._pipe.load_lora_weights(folder, weight_name=WEIGHTS, adapter_name=name)
            _check_landed(self._pipe, folder / WEIGHTS, name)
            if (folder / EMBEDDINGS).exists():
                tokenizer = copy.deepcopy(self._tokenizer)
                embedding = copy.deepcopy(self._embedding)
                self._use_words(tokenizer, embedding)
                self._pipe.load_textual_inversion(folder, weight_name=EMBEDDINGS)
            self._attached[name] = _Attached(
                name=name,
                identity=identity,
                sha256=adapter.manifest.sha256,
                tokenizer=self._pipe.tokenizer,
                embedding=self._pipe.text_encoder.get_input_embeddings(),
            )
        except Exception as error:
            self._forget([name])
            self._restore_words()
            if isinstance(error, AdapterError):
                raise
            raise AdapterError(
                "The adapter does not fit this base",
                f"attaching it ended in {type(error).__name__}",
                "Fine-tune again on this base",
            ) from error
        finally:
            self._active = _STALE if self._attached else None
        return name

    def _switch(self, name: str | None, scale: float) -> None:
        if name == self._active and (name is None or scale == self._scale):
            return
        if name is None:
            if self._attached:
                self._pipe.disable_lora()
            self._restore_words()
        else:
            self._pipe.enable_lora()
            self._pipe.set_adapters([name], [scale])
            self._scale = scale
            self._use_words(self._attached[name].tokenizer, self._attached[name].embedding)
        self._active = name

    def _forget(self, names: Iterable[str]) -> None:
        present = {name for part in self._pipe.get_list_adapters().values() for name in part}
        for name in names:
            self._attached.pop(name, None)
            if name in present:
                self._pipe.delete_adapters([name])
            if name == self._active:
                self._active = _STALE

    def _use_words(self, tokenizer: Any, embedding: torch.nn.Module) -> None:
        self._pipe.tokenizer = tokenizer
        self._pipe.text_encoder.set_input_embeddings(embedding)

    def _restore_words(self) -> None:
        self._use_words(self._tokenizer, self._embedding)

    def _info(self, request: GenerationRequest, unread: dict[str, list[str]]) -> dict[str, Any]:
        active = self._attached[self._active].sha256 if self._active else None
        return {
            "source": "AI generated",
            "base": self.base.id,
            "base_hash": self.base.hash,
            "adapter_sha256": active,
            "adapter_scale": request.adapter_scale if active else 0.0,
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "num_inference_steps": request.num_inference_steps,
            "guidance_scale": request.guidance_scale,
            "width": request.width,
            "height": request.height,
            "unread": unread,
        }


def load_pipeline(base_folder: Path) -> Any:
    """The base's ``StableDiffusionPipeline``: in half precision on a GPU if there is one, in single
    precision on the processor, and without progress bars."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    with quiet():
        # Not from_pretrained(dtype=...): an older diffusers ignores it without a word.
        pipe = StableDiffusionPipeline.from_pretrained(base_folder, local_files_only=True)
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


def _name(identity: str) -> str:
    # peft makes a module of this name, so it must start with a letter and hold no dot.
    return f"a{identity[:16]}"


def _check_landed(pipe: Any, weights: Path, name: str) -> None:
    """Every tensor of the file must have found its layer: diffusers only logs the ones that
    did not, and the avatar would quietly look like nobody."""
    with safe_open(weights, "pt") as file:
        expected = sum(not key.endswith(".alpha") for key in file.keys())  # noqa: SIM118
    landed = sum(
        f".{name}." in key
        for part in (pipe.unet, pipe.text_encoder)
        for key, _ in part.named_parameters()
    )
    if landed != expected:
        raise AdapterError(
            "The adapter does not fit this base",
            f"{landed} of its {expected} tensors have a layer here",
            "Fine-tune again on this base",
        )
