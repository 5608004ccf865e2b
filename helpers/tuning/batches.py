"""What a step is made of: which pictures, which embeddings, which random numbers.

Everything is a function of the seed and the number of the draw. What is frozen can be computed
once (``cache_latents``, ``cache_text_embeddings``) or again each time, as the original did; the
numbers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import torch
from PIL import Image

from helpers.tuning.config import FineTuneConfig
from helpers.tuning.networks import Moments, Networks, encode_pictures, token_ids
from helpers.tuning.subjects import Subject, crops_of
from helpers.tuning.weighting import loss_weights
from helpers.tuning.words import words_of


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of a step: instance images first, then as many class images.

    ``latents`` and ``noise`` are ``(rows, channels, side, side)``, ``times`` and ``weights``, what
    an error counts at that noise, are ``(rows,)``; ``prompts`` says by number which prompt belongs
    to each row, ``places`` which picture (or crop) it shows, counted through all instance images
    or all class images.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    times: torch.Tensor
    weights: torch.Tensor
    prompts: list[int]
    places: list[int]


class Batches:
    """The batches of a job and the embeddings of its prompts."""

    def __init__(
        self, networks: Networks, config: FineTuneConfig, subjects: Sequence[Subject]
    ) -> None:
        self._networks, self._config = networks, config
        prompts = [subject.concept_prompt for subject in subjects]
        self._pools = [
            _Pool(
                networks,
                config,
                [
                    crops_of(one.images, config.resolution, config.crops, config.seed)
                    for one in subjects
                ],
                prompts=list(range(len(subjects))),
            )
        ]
        if config.with_prior_preservation:
            # Subjects of one class share its pictures.
            classes = {subject.class_prompt: subject.class_images for subject in subjects}
            numbers = list(range(len(prompts), len(prompts) + len(classes)))
            prompts += classes
            self._pools.append(
                _Pool(networks, config, [list(images) for images in classes.values()], numbers)
            )
        self.embed = PromptEmbedder(networks, config, prompts)
        self._weights = loss_weights(networks.noise, config.loss_weighting)

    def __len__(self) -> int:
        """Parts of a batch: instance images, and class images if there are any."""
        return len(self._pools)

    def draw(self, number: int) -> Batch:
        """Batch ``number``, counted from 0."""
        config, device = self._config, self._networks.device
        generator = torch.Generator().manual_seed((config.seed << 24) + number)
        drawn = [pool.draw(config, number, generator) for pool in self._pools]
        latents = torch.cat([part for part, _, _ in drawn])
        noise = torch.randn(latents.shape, generator=generator)
        times = torch.randint(0, len(self._weights), (len(latents),), generator=generator)
        return Batch(
            latents=latents,
            noise=noise.to(device),
            times=times.to(device),
            weights=self._weights[times].to(device),
            prompts=[prompt for _, prompts, _ in drawn for prompt in prompts],
            places=[place for _, _, places in drawn for place in places],
        )


class _Pool:
    """Pictures in groups, one prompt for each group. Groups take turns, whatever their size."""

    def __init__(
        self,
        networks: Networks,
        config: FineTuneConfig,
        groups: list[list[Image.Image]],
        prompts: list[int],
    ) -> None:
        self._sizes, self._prompts = [len(group) for group in groups], prompts
        pictures = [picture for group in groups for picture in group]
        kind = _encode_once if config.cache_latents else _FreshLatents
        self._latents = kind(networks, pictures, config.resolution)

    def draw(
        self, config: FineTuneConfig, number: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, list[int], list[int]]:
        """Latents, prompts and places of a batch's part."""
        picked = pick(self._sizes, config.batch_size, number, config.seed)
        places = [place for _, place in picked]
        latents = self._latents.draw(torch.tensor(places), generator)
        return latents, [self._prompts[group] for group, _ in picked], places


def _encode_once(networks: Networks, pictures: list[Image.Image], side: int) -> Moments:
    return encode_pictures(networks, pictures, side)


class _FreshLatents:
    """Pictures that are encoded whenever they are drawn."""

    def __init__(self, networks: Networks, pictures: list[Image.Image], side: int) -> None:
        self._networks, self._pictures, self._side = networks, pictures, side

    def draw(self, picks: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        chosen = [self._pictures[place] for place in picks.tolist()]
        encoded = encode_pictures(self._networks, chosen, self._side)
        return encoded.draw(torch.arange(len(chosen)), generator)


class PromptEmbedder:
    """The prompts of a job as embeddings; what cannot change is computed once, if asked for."""

    def __init__(self, networks: Networks, config: FineTuneConfig, prompts: Sequence[str]) -> None:
        self._encoder, self._dtype = networks.text_encoder, networks.dtype
        self._ids = torch.cat([token_ids(networks, prompt) for prompt in prompts])
        words = words_of(networks.text_encoder)
        self._kept: dict[int, torch.Tensor] = {}
        if config.cache_text_embeddings and not config.train_text_encoder:
            for number, ids in enumerate(self._ids):
                if not (words and (ids >= words.first).any()):
                    with torch.no_grad():
                        self._kept[number] = self._encode([number])[0]

    def __call__(self, numbers: Sequence[int]) -> torch.Tensor:
        """One row for each prompt that ``numbers`` name: ``(rows, window, width)``."""
        fresh = sorted(set(numbers) - self._kept.keys())
        rows = dict(self._kept)
        if fresh:
            rows |= zip(fresh, self._encode(fresh), strict=True)
        return torch.stack([rows[number] for number in numbers])

    def _encode(self, numbers: Sequence[int]) -> torch.Tensor:
        return self._encoder(self._ids[list(numbers)])[0].to(self._dtype)


def pick(sizes: Sequence[int], batch: int, draw: int, seed: int) -> list[tuple[int, int]]:
    """Group and place of each picture of batch ``draw``, places counted through all groups.

    Groups of these sizes take turns; each goes through all its pictures, shuffled, one pass after
    another.
    """
    picked = []
    for number in range(draw * batch, (draw + 1) * batch):
        rank, group = divmod(number, len(sizes))
        turn, place = divmod(rank, sizes[group])
        picked.append((group, sum(sizes[:group]) + _shuffled(sizes[group], seed, turn)[place]))
    return picked


@lru_cache(maxsize=64)
def _shuffled(count: int, seed: int, turn: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed((seed << 24) + turn)
    return tuple(torch.randperm(count, generator=generator).tolist())


@contextmanager
def dropout_from(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global numbers: seed them, and give the caller's back."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
