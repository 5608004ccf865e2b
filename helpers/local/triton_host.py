"""The Triton host: a registered image's model repository behind a multi-model host."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

from helpers.cloud.environment import (
    BASE_MODEL,
    SETUP_REPOSITORY,
    SHARED_MEMORY,
    TRITON_ARGUMENTS,
)
from helpers.errors import CourseError
from helpers.local import images
from helpers.local.context import split_s3
from helpers.local.hosts import (
    Answer,
    HostError,
    Invocation,
    InvocationTimeout,
    Placement,
    TargetNotReady,
    UnknownTarget,
)

MAX_MODELS = "SAGEMAKER_LOCAL_MAX_MODELS"
"""Variable of a model's ``Environment``: how many targets stay loaded; on AWS memory decides."""
DEFAULT_MAX_MODELS = 8
SHARED_MEMORY_BYTES = 64 * 1024**2
"""``/dev/shm`` of an endpoint's container, by reports; Triton gives each model a region of it."""
IMAGE_DEFAULT_BYTES = 16 * 1024**2
"""The size of a region that the image asks for unless ``SHARED_MEMORY`` says another one."""


class TritonHost:
    """One container: a model server with the shared base, and the targets loaded into it."""

    def __init__(self, placement: Placement, files: dict[str, Path]) -> None:
        """``files``: where the files of the image lie, by their place in it."""
        self._placement, self._files = placement, files
        self._ended = threading.Event()

    def start(self) -> None:
        from helpers.local.multi_model import MultiModelHost
        from helpers.local.triton import choose_server

        placement = self._placement
        files = {**self._files, SETUP_REPOSITORY: placement.folder / "server" / "tmp"}
        files[SETUP_REPOSITORY].mkdir(parents=True)
        base = base_repository(files, placement.environment)
        log = placement.folder / "server.log"
        log.touch()
        threading.Thread(target=self._follow, args=(log,), name="triton log", daemon=True).start()
        try:
            self._server = choose_server()
            self._server.start(
                base,
                placement.folder / "server",
                {
                    SHARED_MEMORY: str(IMAGE_DEFAULT_BYTES),
                    "OMP_NUM_THREADS": str(placement.context.threads),
                    **placement.context.container_environment(),
                    **placement.environment,
                },
                log=log,
            )
            self._host = MultiModelHost(
                self._server,
                fetch=self._fetch,
                work=placement.folder / "server",
                max_loaded=most_models(placement.environment),
            )
        except CourseError as trouble:
            raise HostError(str(trouble)) from trouble
        engine = self._server.engine
        placement.log.write(f"[sagemaker] engine: {engine['name']} {engine['version']}")

    def invoke(self, invocation: Invocation, timeout_s: float) -> Answer:
        done: Future[Answer] = Future()
        # The first call of a target downloads and loads it, which may outlast this one call.
        threading.Thread(target=self._ask, args=(invocation, done), daemon=True).start()
        try:
            return done.result(timeout_s)
        except FutureTimeout:
            if invocation.target_model in self._host.metrics["loaded"]:
                raise InvocationTimeout from None
            raise TargetNotReady from None

    def _ask(self, invocation: Invocation, done: Future[Answer]) -> None:
        from helpers.local import multi_model

        try:
            status, body, content_type = self._host.invoke(
                invocation.target_model, invocation.body, invocation.content_type
            )
            done.set_result(Answer(status=status, body=body, content_type=content_type))
        except multi_model.UnknownTarget:
            done.set_exception(UnknownTarget())
        except CourseError as trouble:
            self._placement.log.write(f"[sagemaker] {trouble}")
            said = json.dumps({"error": "the model server is down"}).encode()
            done.set_result(Answer(status=503, body=said))
        except Exception as trouble:
            done.set_exception(trouble)

    def stop(self) -> None:
        self._ended.set()
        if hasattr(self, "_server"):
            self._server.stop()
        shutil.rmtree(self._placement.folder, ignore_errors=True)

    def _fetch(self, key: str) -> bytes | None:
        """A target's archive from below the model's S3 prefix; ``None`` if there is none."""
        context = self._placement.context
        bucket, prefix = split_s3(self._placement.model["ModelDataUrl"])
        s3 = context.client("s3")
        try:
            found = s3.get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{key}".lstrip("/"))
        except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket):
            return None
        return found["Body"].read()

    def _follow(self, path: Path) -> None:
        """Copy what the server writes into the container's log, a line at a time."""
        with open(path, encoding="utf-8", errors="replace") as lines:
            while True:
                if line := lines.readline():
                    self._placement.log.write(line.rstrip())
                elif self._ended.wait(0.2):
                    return


def base_repository(files: dict[str, Path], environment: Mapping[str, str]) -> Path | None:
    """The second model repository that ``SAGEMAKER_TRITON_ADDITIONAL_ARGS`` names, if it does.

    Raises ``HostError`` when the image has no such folder, as Triton would end then.
    """
    found = None
    for argument in environment.get(TRITON_ARGUMENTS, "").split():
        name, _, value = argument.partition("=")
        if name == "--model-repository":
            found = images.inside(files, value)
            if found is None:
                raise HostError(f"Triton finds no model repository at {value} in the image.")
        elif argument != f"--load-model={BASE_MODEL}":
            raise HostError(f"The local Triton host does not know the argument {argument}.")
    return found


def most_models(environment: Mapping[str, str]) -> int:
    """How many targets may be loaded at once; the base takes a region of shared memory too."""
    region = int(environment.get(SHARED_MEMORY, IMAGE_DEFAULT_BYTES))
    fit = SHARED_MEMORY_BYTES // region - 1
    return max(min(int(environment.get(MAX_MODELS, DEFAULT_MAX_MODELS)), fit), 1)
