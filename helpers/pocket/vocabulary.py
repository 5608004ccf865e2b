"""The words of the drawn world, as a real ``CLIPTokenizer``.

Byte-pair merges are learned on the list of words itself, so every word of the world is one token
and any other text still encodes, letter by letter, exactly as a large CLIP vocabulary would do it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CONTEXT = 77
"""Positions of the text encoder, start and end tokens included: what Stable Diffusion has."""

IDENTIFIERS = (
    "sks", "tok", "<<", ">>", "doppler", "riobugger", "zwx", "ohwx", "xkq", "vlt", "qrn", "bnha",
)  # fmt: skip
"""Spare words that mean nothing yet: the base saw them as noise, so they can name a subject."""

FILLERS = """
    photo portrait picture image detailed highly ultra realistic hyperrealistic photorealistic
    sharp focus studio lighting soft natural light warm cinematic dramatic beautiful stunning
    elegant masterpiece best quality high resolution hd uhd dslr canon nikon lens bokeh depth of
    field 35mm 85mm film grain professional photography award winning trending artstation
    intricate concept art digital painting illustration smooth vivid vibrant colors color close
    up full body half upper body front view side face eyes hair skin texture symmetrical perfect
    looking at camera fantasy style epic scene background by greg rutkowski alphonse mucha
    artgerm unreal engine render octane rendered hdr golden hour sunset sunrise morning evening
    night day summer winter spring autumn clear sky cloudy happy ugly tiling poorly drawn hands
    feet out frame extra limbs disfigured deformed bad anatomy blurry watermark grainy signature
    cut off draft low lowres jpeg artifacts cropped worst duplicate mutated mutilated missing
    arms legs fused fingers long neck malformed gross proportions cloned username text error
    mutation morbid extremely too many body crooked broken weird distorted noisy noise
    oversaturated underexposed overexposed amateur
""".split()  # noqa: SIM905
"""Words of the prompts that people write everywhere; in the drawn world they change nothing."""


def build_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """A ``CLIPTokenizer`` in which each of ``words`` (lower case) is one token.

    The identifier words and the fillers above are always included.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    words = sorted({word.lower() for word in (*words, *IDENTIFIERS, *FILLERS)})
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    # Far more merges than needed: training stops by itself once every word is one token. Last
    # letters are given in order: left to itself the library numbers them by chance, process by
    # process, ties fall differently, and a word's number would not be the same after a restart.
    trainer = trainers.BpeTrainer(
        special_tokens=[letter + "</w>" for letter in alphabet],
        vocab_size=20_000,
        min_frequency=1,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(words, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    pieces += [left + right for left, right in merges]
    pieces = list(dict.fromkeys([*pieces, "<|startoftext|>", "<|endoftext|>"]))
    with TemporaryDirectory() as folder:
        vocab, rules = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab.write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        rules.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=CONTEXT)
