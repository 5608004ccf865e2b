"""An avatar as in 2023: its own Stable Diffusion, loaded from the shared disk, and its adapter."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from diffusers import StableDiffusionPipeline


class TritonPythonModel:
    def initialize(self, args):
        here = Path(args["model_repository"]) / args["model_version"]
        base = (here / "base.txt").read_text(encoding="utf-8")
        self.pipe = StableDiffusionPipeline.from_pretrained(base, local_files_only=True)
        self.pipe.to("cuda" if torch.cuda.is_available() else "cpu")
        self.pipe.load_lora_weights(here / "adapter")
        self.pipe.set_progress_bar_config(disable=True)

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        prompt, args = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0].decode()
            for name in ("prompt", "gen_args")
        )
        given = json.loads(args)
        generator = torch.Generator("cpu").manual_seed(given.pop("seed"))
        image = self.pipe(prompt, generator=generator, **given).images[0]
        file = io.BytesIO()
        image.save(file, "PNG")
        text = base64.b64encode(file.getvalue())
        tensor = pb_utils.Tensor("generated_image", np.array([[text]], dtype=object))
        return pb_utils.InferenceResponse([tensor])
