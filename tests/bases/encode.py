"""Run by the tests in two worlds: what a base makes of a prompt, by different ways to load.

encode.py BASE SHORT ADAPTER OUT: ``SHORT`` is the same base with short keys. Writes the hidden
states, a picture and a report on keys to ``OUT``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import transformers
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from helpers.tuning.networks import load_text_encoder


def main(base: Path, short: Path, adapter: Path, out: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    ids = tokenizer("a photo of <<TOK>> dog", padding="max_length", return_tensors="pt").input_ids

    def states(encoder: torch.nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return encoder(ids)[0].float().contiguous()

    plain, report = CLIPTextModel.from_pretrained(base / "text_encoder", output_loading_info=True)
    _, amiss = CLIPTextModel.from_pretrained(short / "text_encoder", output_loading_info=True)
    pipe = StableDiffusionPipeline.from_pretrained(base)
    pipe.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(1)
    picture = pipe("a photo of a dog", num_inference_steps=6, generator=noise, output_type="pt")
    pipe.load_lora_weights(adapter, weight_name="pytorch_lora_weights.safetensors")
    told = {
        "version": transformers.__version__,
        "wrong": [*report["missing_keys"], *report["unexpected_keys"]],
        "wrong_when_short": [*amiss["missing_keys"]],
        "layers": sum(
            ".default_0." in name
            for part in (pipe.text_encoder, pipe.unet)
            for name, _ in part.named_parameters()
        ),
    }
    tensors = {
        "plain": states(plain),
        "mapped": states(load_text_encoder(base / "text_encoder", torch.float32)),
        "mapped_short": states(load_text_encoder(short / "text_encoder", torch.float32)),
        "picture": picture.images.float().contiguous(),
        "adapted": states(pipe.text_encoder),
    }
    save_file(tensors, out, metadata={"report": json.dumps(told)})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
