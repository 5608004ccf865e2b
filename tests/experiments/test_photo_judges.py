"""DINOv2 and CLIP fit the same functions: tried on random networks of their kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
)

from helpers.errors import BaseModelError
from helpers.experiments.metrics import pres_change, prompt_fidelity
from helpers.experiments.photo_judges import ClipJudge, DinoJudge
from helpers.experiments.similarity import subject_fidelity
from helpers.pocket.vocabulary import build_tokenizer
from helpers.pocket.world.captions import world_words
from tests.experiments.colours import noisy

SIDE = 28
PICTURES = [*noisy((200, 60, 40), 3), *noisy((40, 70, 210), 2)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("judges")
    prepare = CLIPImageProcessorPil(size={"shortest_edge": SIDE},
                                    crop_size={"height": SIDE, "width": SIDE})  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        Dinov2Model(Dinov2Config(**small, image_size=SIDE, patch_size=14)).save_pretrained(
            home / "dino"
        )
        tokenizer = build_tokenizer(world_words())
        sizes = {**small, "intermediate_size": 32}
        CLIPModel(CLIPConfig(
            text_config={**sizes, "vocab_size": len(tokenizer), "eos_token_id":
                         tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id},
            vision_config={**sizes, "image_size": SIDE, "patch_size": 14}, projection_dim=12,
        )).save_pretrained(home / "clip")  # fmt: skip
    tokenizer.save_pretrained(home / "clip")
    for name in ("dino", "clip"):
        prepare.save_pretrained(home / name)
    return home / "dino", home / "clip"


def test_both_measure_with_the_same_functions(folders: tuple[Path, Path]) -> None:
    dino, clip = DinoJudge(folders[0]), ClipJudge(folders[1])
    for judge, width in ((dino, 16), (clip, 12)):
        assert judge.embed(PICTURES).shape == (5, width)
        assert subject_fidelity(judge, PICTURES[:1], PICTURES[:1]) == pytest.approx(1, abs=1e-5)
        assert pres_change(judge, PICTURES[:2], PICTURES[:2], PICTURES[3:]) == 0
    cosines = clip.agree(PICTURES, ["a photo of a dog", "a photo of a cat on the beach"])
    assert cosines.shape == (5, 2) and cosines.abs().max() <= 1 + 1e-5
    assert not torch.allclose(cosines[:, 0], cosines[:, 1])
    fidelity = prompt_fidelity(clip, PICTURES, "a photo of a dog")
    assert fidelity == pytest.approx(float(cosines[:, 0].mean()), abs=1e-5)


def test_a_picture_s_place_among_others_changes_nothing(folders: tuple[Path, Path]) -> None:
    judge = DinoJudge(folders[0])
    alone = torch.cat([judge.embed([picture]) for picture in PICTURES])
    assert torch.allclose(judge.embed(PICTURES * 8)[:5], alone, atol=1e-5)


def test_a_folder_without_a_judge_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "no_weights.png")
    for kind in (DinoJudge, ClipJudge):
        with pytest.raises(BaseModelError, match="cannot be loaded"):
            kind(tmp_path)
