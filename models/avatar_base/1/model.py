"""Triton's door to ``helpers.hosting.base``: tensors in, tensors out, nothing else.

With a ``prompt`` it answers ``generated_image``, one text for each picture; without one,
``base_info``. It also loads avatars again whose process died.
"""

import os
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

INPUTS = ("prompt", "negative_prompt", "gen_args", "adapter_path", "adapter_identity")


class TritonPythonModel:
    def initialize(self, args):
        here = Path(args["model_repository"]) / args["model_version"]
        # Packages stand beside this file where the container brings none of its own.
        sys.path[:0] = [str(here), str(here / "packages")]
        from helpers.startup import check_start_up, import_libraries

        pb_utils.Logger.log_info(str(check_start_up(here / "requirements.txt")))
        import_libraries()
        from helpers.hosting.base import AvatarBase, error_text
        from helpers.hosting.watch import StubWatch, records

        self.base = AvatarBase(
            here / "base",
            adapter_root=Path(os.environ.get("OPTION_ADAPTER_ROOT", "/opt/ml/models")),
            safety=os.environ.get("OPTION_SAFETY_CHECKER", ""),
        )
        self.error_text = error_text
        StubWatch(records(), pb_utils, say=pb_utils.Logger.log_warn).start()

    def execute(self, requests):
        try:
            asked = [_given(request) for request in requests]
            painted = iter(self.base.answer_all([one for one in asked if "prompt" in one]))
            said = [next(painted) if "prompt" in one else None for one in asked]
            return [self._response(text) for text in said]
        except Exception as error:
            return [self._error(error) for _ in requests]

    def _response(self, said):
        if isinstance(said, Exception):
            return self._error(said)
        if said is None:
            return _response("base_info", self.base.describe())
        return _response("generated_image", *said)

    def _error(self, error):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(self.error_text(error)))


def _given(request):
    return {name: text for name in INPUTS if (text := _text(request, name)) is not None}


def _text(request, name):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy().ravel()[0].decode("utf-8")


def _response(name, *texts):
    rows = np.array([[text.encode("utf-8") for text in texts]], dtype=object)
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, rows)])
