"""A base without a pipeline, which takes its time to load and to answer, and watches the stubs."""

import time

import numpy as np
import triton_python_backend_utils as pb_utils
from stub_watch import StubWatch, records

LOADS_S, PAINTS_S = 0.3, 0.05


class TritonPythonModel:
    def initialize(self, args):
        time.sleep(LOADS_S)
        StubWatch(records(), pb_utils, say=pb_utils.Logger.log_warn).start()

    def execute(self, requests):
        time.sleep(PAINTS_S)
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        prompt = pb_utils.get_input_tensor_by_name(request, "prompt")
        name = "base_info" if prompt is None else "generated_image"
        said = b"{}" if prompt is None else prompt.as_numpy().ravel()[0]
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.array([[said]], dtype=object))])
