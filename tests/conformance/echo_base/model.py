"""A base without a pipeline: answers what it was asked, or does what the prompt tells it."""

import json
import os
import time

import numpy as np
import triton_python_backend_utils as pb_utils

NAMES = ("prompt", "negative_prompt", "gen_args", "adapter_path", "adapter_identity")


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        given = {}
        for name in NAMES:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is not None:
                given[name] = tensor.as_numpy().ravel()[0].decode()
        prompt = given.get("prompt")
        if prompt is None:
            return _response("base_info", json.dumps({"base": "echo"}))
        if prompt.startswith("say "):
            error = pb_utils.TritonError(prompt.removeprefix("say "))
            return pb_utils.InferenceResponse(error=error)
        if prompt == "raise":
            raise ValueError("as asked")
        if prompt == "sleep":
            time.sleep(1)
        if prompt == "die":
            os._exit(9)
        name = "misspelled" if prompt == "wrong name" else "generated_image"
        return _response(name, json.dumps(given))


def _response(name, text):
    tensor = pb_utils.Tensor(name, np.array([[text.encode()]], dtype=object))
    return pb_utils.InferenceResponse([tensor])
