"""What an endpoint does not paint, or does not hand out, and why.

Who runs an endpoint chooses, with ``OPTION_SAFETY_CHECKER`` of its container; a caller cannot:

    ""       the base's own checker if it brings one, as Stable Diffusion 1.5 does; else none
    "off"    none
    "own"    the base's own; the container does not start without one
    "words"  a list of words that a prompt must not ask for, before anything is painted
    "own,words"

Nothing is held back in silence. A refused prompt is an error with its reason; a picture held back
is replaced by a card that says so, carries the reason (``Painted.withheld``), and becomes an error
with that reason at the caller's side.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, ImageDraw, ImageFont

from helpers.bases.checker import CHECKER, EXTRACTOR
from helpers.bases.shape import read_config
from helpers.errors import BaseModelError, SetupError

OPTION = "OPTION_SAFETY_CHECKER"
WORDS: Mapping[str, tuple[str, ...]] = {
    "nudity or sex": (
        "nude", "nudes", "nudity", "naked", "nsfw", "porn", "porno", "pornographic", "sex", "sexy",
        "sexual", "erotic", "erotica", "topless", "undressed", "unclothed", "hentai", "genitals",
        "fetish",
    ),
    "violence": (
        "gore", "gory", "blood", "bloody", "bleeding", "corpse", "corpses", "mutilated", "beheaded",
        "decapitated", "dismembered", "torture", "tortured", "murder", "murdered", "suicide",
    ),
    "hate": ("nazi", "nazis", "swastika", "hitler", "kkk", "lynching"),
}  # fmt: skip
"""English words by what they ask for. Somebody who means it will find others: the list is for rooms
in which nobody does, and no replacement for a checker that looks at pictures."""
_KNOWN = ("own", "words")


class Checker(Protocol):
    """Looks at prompts before, and at pictures after they are painted. Reasons are whole clauses
    in our own words: they may leave Triton and never quote the caller."""

    name: str

    def refuse(self, prompt: str) -> str | None:
        """Why this prompt is not painted, or ``None``."""
        ...

    def withhold(self, pictures: Sequence[Image.Image]) -> list[str | None]:
        """For each picture why it is not handed out, or ``None``."""
        ...


def open_checker(asked: str, base_folder: Path) -> Checker | None:
    """The checker that ``asked`` (a value of ``OPTION``) names, for the base in ``base_folder``.

    Raises ``SetupError`` for an unknown value, or when the base brings no checker of its own, and
    ``BaseModelError`` when that is damaged.
    """
    brings = (Path(base_folder) / CHECKER).is_dir()
    names = [name.strip() for name in asked.split(",")] if asked.strip() else ["own"] * brings
    if names in ([], ["off"]):
        return None
    if unknown := [name for name in names if name not in _KNOWN]:
        raise SetupError(
            f"{OPTION} cannot be used",
            f"{len(unknown)} of its values are unknown",
            f"set it to off, or to {' or '.join(_KNOWN)}, or to both with a comma between",
        )
    if "own" in names and not brings:
        raise SetupError(
            f"{OPTION} asks for the base's own safety checker",
            f"this base has no folder {CHECKER}",
            "set it to words, or to off",
        )
    found: list[Checker] = []
    if "words" in names:
        found.append(WordList())
    if "own" in names:
        found.append(OwnChecker(Path(base_folder)))
    return found[0] if len(found) == 1 else Several(found)


class Several:
    """Checkers one after another; the first reason counts."""

    def __init__(self, checkers: Sequence[Checker]) -> None:
        self._checkers = checkers
        self.name = ",".join(one.name for one in checkers)

    def refuse(self, prompt: str) -> str | None:
        return next(filter(None, (one.refuse(prompt) for one in self._checkers)), None)

    def withhold(self, pictures: Sequence[Image.Image]) -> list[str | None]:
        said = [one.withhold(pictures) for one in self._checkers]
        return [next(filter(None, reasons), None) for reasons in zip(*said, strict=True)]


class WordList:
    """Refuses a prompt that holds one of the words, by what the word asks for."""

    name = "words"

    def __init__(self, words: Mapping[str, Sequence[str]] = WORDS) -> None:
        self._of = {word: what for what, listed in words.items() for word in listed}

    def refuse(self, prompt: str) -> str | None:
        # Letters as they look: full-width forms, accents and invisible characters do not hide one.
        plain = unicodedata.normalize("NFKD", prompt).casefold()
        seen = "".join(one for one in plain if unicodedata.category(one) not in ("Mn", "Cf"))
        for word in re.findall(r"[^\W\d_]+", seen):
            if what := self._of.get(word):
                return f"the prompt asks for {what}, which this endpoint's list of words excludes"
        return None

    def withhold(self, pictures: Sequence[Image.Image]) -> list[str | None]:
        return [None] * len(pictures)


class OwnChecker:
    """The checker that came with the Stable Diffusion of 2022: a CLIP that compares a picture with
    17 concepts. They have no names; all are sexual (Rando et al. 2022, arXiv:2210.04610).

    Decides as ``StableDiffusionSafetyChecker.forward`` of diffusers does, which blackens the
    picture and tells nobody which concept it was.
    """

    name = "own"

    def __init__(self, base_folder: Path) -> None:
        import torch
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        kind: Any = StableDiffusionSafetyChecker
        try:
            network, told = kind.from_pretrained(
                base_folder / CHECKER, use_safetensors=True, local_files_only=True,
                output_loading_info=True,
            )  # fmt: skip
            lost = [key for key in told["missing_keys"] if "position_ids" not in key]
            self._look = _Look.of(read_config(base_folder, f"{EXTRACTOR}/preprocessor_config.json"))
        except Exception as trouble:  # loaders answer damaged files with nearly any exception
            raise _damaged(type(trouble).__name__) from trouble
        if lost:  # else they would be random numbers
            raise _damaged(f"{len(lost)} of its tensors are missing")
        self._network = network.to(self._device, torch.float32).eval()

    def refuse(self, prompt: str) -> str | None:
        return None

    def withhold(self, pictures: Sequence[Image.Image]) -> list[str | None]:
        import torch
        from torch.nn.functional import normalize

        net = self._network
        with torch.no_grad():
            seen = self._look.tensor(pictures).to(self._device)
            embedded = normalize(net.visual_projection(net.vision_model(seen)[1]))
            # A concept of special care lowers the other thresholds by a hundredth.
            special = embedded @ normalize(net.special_care_embeds).T
            care = (special - net.special_care_embeds_weights).cpu().double().numpy().round(3) > 0
            scores = embedded @ normalize(net.concept_embeds).T - net.concept_embeds_weights
            over = (scores.cpu().double().numpy() + 0.01 * care.any(1, keepdims=True)).round(3)
        reasons: list[str | None] = []
        for row in over:
            most = int(row.argmax())
            reasons.append(
                f"the base's own safety checker takes it for sexual content (its concept "
                f"{most + 1} of {len(row)}, {row[most]:.3f} above the threshold)"
                if row[most] > 0
                else None
            )
        return reasons


class _Look:
    """How a picture is shown to CLIP: resized, cropped in the middle, normalised."""

    def __init__(self, side: int, crop: int, mean: Sequence[float], std: Sequence[float]) -> None:
        self.side, self.crop, self.mean, self.std = side, crop, mean, std

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> _Look:
        size, crop = config["size"], config["crop_size"]
        return cls(
            side=int(size["shortest_edge"] if isinstance(size, dict) else size),
            crop=int(crop["height"] if isinstance(crop, dict) else crop),
            mean=config["image_mean"],
            std=config["image_std"],
        )

    def tensor(self, pictures: Sequence[Image.Image]) -> Any:
        """(N, 3, crop, crop), as ``CLIPImageProcessor`` makes it."""
        import numpy as np
        import torch

        rows = [np.asarray(self._cropped(one), np.float32) / 255 for one in pictures]
        mean, std = (np.asarray(part, np.float32) for part in (self.mean, self.std))
        plain = (np.stack(rows) - mean) / std
        return torch.from_numpy(plain.transpose(0, 3, 1, 2).copy())

    def _cropped(self, picture: Image.Image) -> Image.Image:
        short = min(picture.size)
        width, height = (side * self.side // short for side in picture.size)
        resized = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - self.crop) // 2, (height - self.crop) // 2
        return resized.crop((left, top, left + self.crop, top + self.crop))


def card(size: tuple[int, int], reason: str) -> Image.Image:
    """What is handed out instead: a plain picture of that size that says so, and why if it fits."""
    image = Image.new("RGB", size, (64, 64, 64))
    draw, width = ImageDraw.Draw(image), size[0]
    for text, height, place in (("not shown", width / 7, 0.25), (reason, width / 24, 0.6)):
        font = ImageFont.load_default(max(height, 6))
        lines = _wrapped(text, lambda line, font=font: draw.textlength(line, font) <= 0.92 * width)
        where = (width / 2, size[1] * place)
        draw.multiline_text(where, lines, (235, 235, 235), font, anchor="mm", align="center")
    return image


def _wrapped(text: str, fits: Any) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if fits(longer) or not lines[-1] else [*lines, word]
    return "\n".join(lines)


def _damaged(why: str) -> BaseModelError:
    return BaseModelError(
        "the base's own safety checker cannot be used", why, "Get the base model again"
    )
