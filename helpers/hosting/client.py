"""The caller's side of the multi-model endpoint: V2 JSON, as the original notebook sends it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from helpers import errors
from helpers.errors import CourseError, GenerationError, SafetyError, ServiceError
from helpers.hosting.picture import Painted
from helpers.strict_json import parse

CONTENT_TYPE = "application/octet-stream"
ASK_AGAIN_S = 2
NOT_UP = ("not healthy", "is not ready", "is not found", "no available versions")
"""What Triton says of a model whose process ended, or that is being loaded again."""
SHARED_MEMORY_FULL = (
    "Unable to initialize shared memory key",
    "Failed to increase the shared memory pool size",
)
"""What Triton says when ``/dev/shm`` has no room for another region, or for a larger one. The
status is 507: SageMaker unloads avatars that are idle and asks again before a caller hears it."""
_SPOKEN = re.compile(r"\b([A-Z][A-Za-z]*Error): (.+)", re.DOTALL)


def encode_request(
    prompt: str,
    negative_prompt: str | None = None,
    gen_args: Mapping[str, Any] | str | None = None,
) -> bytes:
    """Body of an invocation. ``gen_args`` are generation arguments or their JSON."""
    if isinstance(gen_args, Mapping):
        gen_args = json.dumps(dict(gen_args)) if gen_args else None
    given = {"prompt": prompt, "negative_prompt": negative_prompt, "gen_args": gen_args}
    return encode_inputs({name: text for name, text in given.items() if text is not None})


def encode_inputs(inputs: Mapping[str, str]) -> bytes:
    """V2 JSON of text tensors, each of shape [1, 1]."""
    tensors = [
        {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [text]}
        for name, text in inputs.items()
    ]
    return json.dumps({"inputs": tensors}).encode("utf-8")


def decode_output(body: bytes, name: str) -> str:
    """The text of an output tensor that has one; see ``decode_outputs``."""
    texts = decode_outputs(body, name)
    if len(texts) != 1:
        raise ServiceError(f"The endpoint's output {name} has {len(texts)} texts", "one was asked")
    return texts[0]


def decode_outputs(body: bytes, name: str) -> list[str]:
    """The texts of one output tensor.

    Raises ``ServiceError`` when it is not there: Triton answers 200 with an empty list if a model
    names its output wrongly, and does not compare shapes with the model's configuration.
    """
    try:
        outputs = {one["name"]: one for one in parse(body, finite=False)["outputs"]}
        tensor = outputs[name]
        if not tensor["data"] or tensor["shape"] != [1, len(tensor["data"])]:
            raise KeyError(name)
        return [str(text) for text in tensor["data"]]
    except (ValueError, KeyError, TypeError):
        raise ServiceError(
            f"The endpoint's answer has no output {name}",
            "the target's model names or shapes its output otherwise",
            "Check which target model you invoked",
        ) from None


def decode_response(body: bytes) -> Painted:
    """The picture of an answer, with what its PNG says about it."""
    return Painted.from_base64(decode_output(body, "generated_image"))


def shown(painted: Sequence[Painted]) -> list[Painted]:
    """The pictures of one call, cards for those that a safety checker held back among them.

    Raises ``SafetyError`` with its reason when it held back all.
    """
    if painted and all(one.withheld for one in painted):
        raise SafetyError(
            "The endpoint does not hand the picture out",
            str(painted[0].withheld),
            "Ask for something else, or try another seed",
        )
    return list(painted)


class AvatarClient:
    """Paints through ``invoke_endpoint``; ``runtime`` is a boto3 ``sagemaker-runtime`` client."""

    def __init__(self, runtime: Any, endpoint_name: str) -> None:
        self._runtime, self.endpoint_name = runtime, endpoint_name

    def paint(
        self, target_model: str, prompt: str, negative_prompt: str | None = None, **gen_args: Any
    ) -> Painted:
        """One picture by the avatar ``target_model``.

        ``gen_args`` are those of ``GenerationRequest``: ``seed``, ``num_inference_steps``,
        ``guidance_scale``, ``width``, ``height``, ``scheduler``, ``format``, ``label``,
        ``adapter_scale`` (0 paints as the base does).
        Raises ``GenerationError`` (a refused request), ``SafetyError`` (held back, and why),
        ``AdapterError`` (another base, damaged) and ``ServiceError`` (endpoint down, unknown
        target).
        """
        body = self._invoke(target_model, encode_request(prompt, negative_prompt, gen_args))
        return shown([decode_response(body)])[0]

    def paint_several(
        self,
        target_model: str,
        prompt: str,
        negative_prompt: str | None = None,
        *,
        count: int,
        **gen_args: Any,
    ) -> list[Painted]:
        """``count`` pictures in one call, whose seeds follow one another; see ``paint``.

        A picture that a safety checker held back is a card (``Painted.withheld`` says why); when
        all are, ``SafetyError`` is raised.
        """
        gen_args["num_images_per_prompt"] = count
        body = self._invoke(target_model, encode_request(prompt, negative_prompt, gen_args))
        texts = decode_outputs(body, "generated_image")
        return shown([Painted.from_base64(text) for text in texts])

    def paint_seeds(
        self, target_model: str, prompt: str, seeds: Iterable[int], *, callers: int, **gen_args: Any
    ) -> list[Painted]:
        """A picture for each seed, each in a call of its own, ``callers`` of them at a time."""
        with ThreadPoolExecutor(callers) as pool:
            return list(
                pool.map(
                    lambda seed: self.paint(target_model, prompt, seed=seed, **gen_args), seeds
                )
            )

    def set_up(
        self, target_model: str = "model_setup.tar.gz", *, patience_s: float = 0
    ) -> dict[str, Any]:
        """Ask ``model_setup`` which base the endpoint shares; it sets the base up if it has to.

        Laying out and loading a large base takes longer than one call may: with ``patience_s`` it
        asks again for so many seconds, while the endpoint works on. Raises ``ServiceError``.
        """
        ends, body = time.monotonic() + patience_s, encode_inputs({"input_args": "hello"})
        while True:
            try:
                answer = self._invoke(target_model, body)
                return json.loads(decode_output(answer, "output_message"))
            except ServiceError:
                if time.monotonic() > ends:
                    raise
            time.sleep(ASK_AGAIN_S)

    def _invoke(self, target_model: str, body: bytes) -> bytes:
        try:
            answer = self._runtime.invoke_endpoint(
                EndpointName=self.endpoint_name,
                ContentType=CONTENT_TYPE,
                Body=body,
                TargetModel=target_model,
            )
        except ClientError as error:
            raise spoken_error(error) from error
        return answer["Body"].read()


def spoken_error(error: ClientError) -> CourseError:
    """The course's error for a refused invocation, of the kind that the model announced."""
    said = str(error.response.get("OriginalMessage") or error)
    try:
        answer = parse(said, finite=False)
        said = str(answer["error"] if "error" in answer else answer["message"])
    except (ValueError, KeyError, TypeError):
        pass
    if match := _SPOKEN.search(said):
        kind = getattr(errors, match[1], None)
        if isinstance(kind, type) and issubclass(kind, CourseError):
            return kind(match[2].rstrip('"}\n '))
    if any(words in said for words in NOT_UP):
        return ServiceError(
            "The avatar is not up",
            "its process ended, or it is being loaded",
            "Ask again in a few seconds",
        )
    if any(words in said for words in SHARED_MEMORY_FULL):
        return ServiceError(
            "The endpoint's shared memory is full",
            "each avatar that is up holds a region of /dev/shm, and all of them were busy",
            "Ask again in a few seconds; for more room, set SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE"
            " to 1048576, or take more instances",
        )
    code = error.response.get("Error", {}).get("Code", "")
    if code == "ModelError":
        if "timed out" in said:
            return ServiceError(
                "The endpoint did not answer in 60 seconds",
                "that is all that a real-time call has; the container may work on, unheard",
                "Ask for fewer pictures or steps, or use an asynchronous endpoint",
            )
        return GenerationError("The endpoint could not paint", said)
    return ServiceError("The endpoint refused the invocation", said)
