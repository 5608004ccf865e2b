"""DINOv2 and CLIP as judges of photographs, from folders that are on this machine.

Nothing is downloaded: give a folder that holds a published checkpoint as transformers writes it.
With them the functions of ``metrics`` give the numbers that publications report; the pocket judge's
numbers compare with each other only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from helpers.errors import BaseModelError
from helpers.experiments.judges import Pictures

BATCH = 32


class DinoJudge:
    """Embeds pictures by the class token of DINO (ViT-S/16) or DINOv2, as subject fidelity and
    PRES are published. Raises ``BaseModelError`` for a folder without such a network."""

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        from transformers import AutoImageProcessor, AutoModel

        self._prepare = _open(AutoImageProcessor, folder)
        self._network = _open(AutoModel, folder, use_safetensors=True).eval().to(device)

    def embed(self, pictures: Pictures) -> torch.Tensor:
        """Unit vectors (N, width)."""
        return _batched(
            lambda pixels: self._network(pixel_values=pixels).last_hidden_state[:, 0],
            self._prepare, pictures, self._network.device,
        )  # fmt: skip


class ClipJudge:
    """CLIP: ``embed`` for CLIP-I, ``agree`` for CLIP-T. Raises ``BaseModelError``."""

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

        self._prepare = _open(AutoImageProcessor, folder)
        self._tokenizer = _open(AutoTokenizer, folder)
        self._network = _open(CLIPModel, folder, use_safetensors=True).eval().to(device)

    def embed(self, pictures: Pictures) -> torch.Tensor:
        """Unit vectors (N, width) in the space that pictures share with words."""
        return _batched(
            lambda pixels: _features(self._network.get_image_features(pixel_values=pixels)),
            self._prepare, pictures, self._network.device,
        )  # fmt: skip

    @torch.no_grad()
    def agree(self, pictures: Pictures, prompts: Sequence[str]) -> torch.Tensor:
        """Cosines (N, M) of pictures and prompts; longer prompts than CLIP reads are cut."""
        words = self._tokenizer(
            list(prompts), padding=True, truncation=True, return_tensors="pt"
        ).to(self._network.device)
        said = _features(
            self._network.get_text_features(
                input_ids=words.input_ids, attention_mask=words.attention_mask
            )
        )
        return self.embed(pictures) @ normalize(said.float(), dim=1).cpu().T


def _open(kind: Any, folder: Path, **how: Any) -> Any:
    try:
        return kind.from_pretrained(Path(folder), local_files_only=True, **how)
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"the judge in {Path(folder).name} cannot be loaded",
            f"{type(error).__name__}: {str(error).splitlines()[0]}",
            "give the folder of a checkpoint as transformers writes it",
        ) from error


@torch.no_grad()
def _batched(
    look: Callable[[torch.Tensor], torch.Tensor], prepare: Any, pictures: Pictures, device: Any
) -> torch.Tensor:
    parts = []
    for start in range(0, len(pictures), BATCH):
        batch = [picture.convert("RGB") for picture in pictures[start : start + BATCH]]
        pixels = prepare(images=batch, return_tensors="pt")["pixel_values"]
        parts.append(normalize(look(pixels.to(device)).float(), dim=1).cpu())
    return torch.cat(parts)


def _features(found: Any) -> torch.Tensor:
    # Older versions of transformers return the vectors themselves.
    return getattr(found, "pooler_output", found)
