"""Says which base this endpoint shares and on which libraries; sets it up where it is missing.

With a serving image the base is there from the start, and this only asks it. On an endpoint that
runs AWS's own image, this archive carries base and packages, as the original of 2023 did: the first
invocation lays them below the temporary folder, which the endpoint names to Triton as a second
model repository, and loads the base from there. That prepares the one instance that answered.
"""

import fcntl
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

BASE = "avatar_base"
UNLOAD_SECONDS = 20


class TritonPythonModel:
    def initialize(self, args):
        here = Path(args["model_repository"]) / args["model_version"]
        self.carried = here / "repository" / BASE
        # The lock of the avatars' stubs: none of them may touch a base that is being loaded.
        self.lock = Path(tempfile.gettempdir()) / f"{BASE}-{os.getppid()}.lock"

    def execute(self, requests):
        return [self._answer() for _ in requests]

    def _answer(self):
        why = "It may be loading: ask again in a minute, then look into the endpoint's log."
        answer = _ask()
        if answer.has_error() and self.carried.is_dir():
            try:
                self._set_up()
            except pb_utils.TritonModelException as error:
                pb_utils.Logger.log_error(f"{BASE} could not be loaded: {error}")
                said = re.search(r"state: (?:\w+: )?([^\n]+)", str(error))
                why = said[1] if said else f"It could not be loaded: {error}"
            answer = _ask()
        if answer.has_error():
            said = f"ServiceError: The shared base does not answer. {why}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(said))
        info = pb_utils.get_output_tensor_by_name(answer, "base_info").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("output_message", info)])

    def _set_up(self):
        with open(self.lock, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _ask().has_error():
                return
            home = Path(tempfile.gettempdir()) / BASE
            if not home.is_dir():
                fresh = home.with_name(f"{BASE}.{os.getpid()}")
                shutil.rmtree(fresh, ignore_errors=True)
                shutil.copytree(self.carried, fresh, copy_function=_link_or_copy)
                os.rename(fresh, home)
            if pb_utils.is_model_ready(model_name=BASE):  # ready, and dead: Triton never notices
                pb_utils.unload_model(model_name=BASE)
                end = time.monotonic() + UNLOAD_SECONDS
                while pb_utils.is_model_ready(model_name=BASE) and time.monotonic() < end:
                    time.sleep(0.05)
            pb_utils.load_model(model_name=BASE)


def _link_or_copy(source, target):
    """Without a second copy of the weights if both lie on one disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _ask():
    return pb_utils.InferenceRequest(
        model_name=BASE,
        requested_output_names=["base_info"],
        inputs=[pb_utils.Tensor("gen_args", np.array([[b"{}"]], dtype=object))],
    ).exec()
