"""The stub of one avatar: adds its adapter's place and hash to the request, asks the shared base.

It imports nothing heavy (about 20 MB of memory each). A base whose process died stays "ready" and
answers "not healthy" for ever in the Triton of 2024; so one stub at a time, under a file lock,
unloads and loads it again, while the other stubs wait for that and go on. The base does the same
for a stub that died, by the record that each leaves (``helpers.hosting.watch``).
"""

import fcntl
import hashlib
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

BASE = "avatar_base"
INPUTS = ("prompt", "negative_prompt", "gen_args")
TRIES = 3
ANSWER_SECONDS, PROBE_SECONDS, UNLOAD_SECONDS = 55, 20, 20
DEAD = ("not healthy",)
DOWN = (*DEAD, "not ready", "is not found", "no available versions")
BUSY = ("Exceeds maximum queue size", "Request timeout expired")
SAID = {
    "prompt": "GenerationError: The request has no prompt. Say what the picture should show.",
    "batch": "GenerationError: The request holds several prompts. Send one at a time.",
    "down": "ServiceError: The shared base is down. Ask again in a minute; on an endpoint "
    "without a serving image, invoke model_setup first.",
    "busy": "ServiceError: The shared base has more to paint than a call may wait for. Ask again "
    "in a few seconds.",
}


class TritonPythonModel:
    def initialize(self, args):
        adapter = Path(args["model_repository"]) / args["model_version"] / "adapter"
        manifest = json.loads((adapter / "adapter.json").read_text(encoding="utf-8"))
        self.avatar = [
            _tensor("adapter_path", str(adapter)),
            _tensor("adapter_identity", _identity(manifest)),
        ]
        # All stubs of one server share a parent process, and so the lock and the records.
        shared = Path(tempfile.gettempdir())
        self.lock = shared / f"{BASE}-{os.getppid()}.lock"
        name = args["model_name"]
        self.record = shared / f"avatar-stubs-{os.getppid()}" / _sha256(name)[:16]
        self.record.parent.mkdir(exist_ok=True)
        fresh = self.record.with_name(f".{os.getpid()}")
        fresh.write_text(f"{os.getpid()} {name}", encoding="utf-8")
        os.replace(fresh, self.record)

    def finalize(self):
        try:
            if self.record.read_text(encoding="utf-8").startswith(f"{os.getpid()} "):
                self.record.unlink()
        except OSError:
            pass

    def execute(self, requests):
        # All at once: the base paints together what waits for it at one time. In threads, since
        # async_exec ends the whole server of 2024 when the base is not loaded.
        if len(requests) == 1:
            return [self._answer(requests[0])]
        from concurrent.futures import ThreadPoolExecutor  # a megabyte, for those who need it

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(self._answer, requests))

    def _answer(self, request):
        # Triton counts the required inputs but does not look at their names.
        prompt = pb_utils.get_input_tensor_by_name(request, "prompt")
        if prompt is None:
            return _error(SAID["prompt"])
        if prompt.as_numpy().size != 1:
            return _error(SAID["batch"])
        end = time.monotonic() + ANSWER_SECONDS
        answer = self._ask(request, end)
        for _ in range(TRIES - 1):
            if not _says(answer, DOWN):
                break
            self._heal()
            answer = self._ask(request, end)
        if answer is None:
            return _error(SAID["busy"])
        if not answer.has_error():
            return pb_utils.InferenceResponse(answer.output_tensors())
        if _says(answer, DOWN):
            return _error(SAID["down"])
        if _says(answer, BUSY):
            return _error(SAID["busy"])
        return pb_utils.InferenceResponse(error=answer.error())

    def _ask(self, request, end):
        texts = [pb_utils.get_input_tensor_by_name(request, name) for name in INPUTS]
        given = [tensor for tensor in texts if tensor is not None] + self.avatar
        return _answer_of("generated_image", given, end - time.monotonic())

    def _heal(self):
        with open(self.lock, "a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            half_done = lock.read()  # the mark of a stub that died between unloading and loading
            answer = _probe()
            # A load that fails can end the whole server of 2024 (it frees the error's text while
            # the stub reads it); so none is tried of a base that was never there.
            if not _says(answer, DOWN if half_done else DEAD):
                return
            pb_utils.Logger.log_warn(f"{BASE} does not answer: loading it again")
            lock.write("unloaded")
            lock.flush()
            try:
                pb_utils.unload_model(model_name=BASE)
                end = time.monotonic() + UNLOAD_SECONDS
                while pb_utils.is_model_ready(model_name=BASE) and time.monotonic() < end:
                    time.sleep(0.05)
                pb_utils.load_model(model_name=BASE)
                lock.truncate(0)
            except pb_utils.TritonModelException as error:
                pb_utils.Logger.log_error(f"{BASE} could not be loaded: {error}")


def _identity(manifest):
    # The same as helpers.hosting.identity.
    words = manifest.get("embeddings_sha256")
    return manifest["sha256"] if words is None else _sha256(manifest["sha256"] + words)


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _probe():
    return _answer_of("base_info", [_tensor("gen_args", "{}")], PROBE_SECONDS)


def _answer_of(name, inputs, seconds):
    """The base's answer, or None after so long.

    A request that a base was killed over at a bad moment is never answered in the Triton of 2024,
    and a stub that waits for it can neither be asked nor unloaded again.
    """
    asked = pb_utils.InferenceRequest(model_name=BASE, requested_output_names=[name], inputs=inputs)
    answers = []
    if seconds > 0:
        waiting = threading.Thread(target=lambda: answers.append(asked.exec()), daemon=True)
        waiting.start()
        waiting.join(seconds)
    return answers[0] if answers else None


def _says(answer, words):
    return (
        answer is not None
        and answer.has_error()
        and any(said in answer.error().message() for said in words)
    )


def _error(text):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))


def _tensor(name, text):
    return pb_utils.Tensor(name, np.array([[text.encode("utf-8")]], dtype=object))
