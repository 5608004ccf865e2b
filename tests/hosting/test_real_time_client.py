from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from helpers.errors import GenerationError, ServiceError
from helpers.hosting.picture import Painted
from helpers.hosting.real_time_client import RealTimeClient, decode_answer


class Runtime:
    """The runtime's answer, and what it was asked."""

    def __init__(self, answer: bytes | dict[str, Any]) -> None:
        self.answer, self.asked = answer, {}

    def invoke_endpoint(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        if isinstance(self.answer, bytes):
            return {"Body": io.BytesIO(self.answer)}
        raise ClientError(self.answer, "InvokeEndpoint")


def answer(*seeds: int, **more: Any) -> bytes:
    import base64

    pictures = [Painted(image=Image.new("RGB", (8, 8)), info={"seed": seed}) for seed in seeds]
    images = [base64.b64encode(one.to_jpeg()).decode() for one in pictures]
    return json.dumps({"generated_images": images, **more}).encode()


def refused(status: int, message: str) -> dict[str, Any]:
    said = {"code": status, "type": "InternalServerException", "message": message}
    return {
        "Error": {"Code": "ModelError", "Message": f"Received client error ({status})"},
        "OriginalMessage": json.dumps(said, indent=2),
    }


def test_a_request_is_the_publication_s_json() -> None:
    runtime = Runtime(answer(3))
    RealTimeClient(runtime, "first").paint(["a dog", "a cat"], seed=3, guidance_scale=7.5)
    assert runtime.asked["EndpointName"] == "first"
    assert runtime.asked["ContentType"] == runtime.asked["Accept"] == "application/json"
    assert json.loads(runtime.asked["Body"]) == {
        "prompt": ["a dog", "a cat"], "seed": 3, "guidance_scale": 7.5
    }  # fmt: skip


def test_each_picture_knows_its_seed_and_its_prompt_s_unread_words() -> None:
    unread = [{"prompt": []}, {"prompt": ["zebra"]}]
    got = decode_answer(answer(1, 2, 1, 2, num_images_per_prompt=2, unread=unread))
    assert [one.info["seed"] for one in got] == [1, 2, 1, 2]
    assert [one.unread["prompt"] for one in got] == [[], [], ["zebra"], ["zebra"]]


def test_the_answer_of_the_publication_is_read_too() -> None:
    (one,) = decode_answer(answer(5))
    assert (one.info["seed"], one.unread) == (5, {})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", ServiceError),
        (b"[]", ServiceError),
        (b'{"images": []}', ServiceError),
        (b'{"generated_images": ["x"]}', GenerationError),
    ],
)
def test_a_stranger_s_answer_is_said_so(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode_answer(body)


def test_a_refusal_keeps_its_kind_and_words() -> None:
    runtime = Runtime(refused(400, "GenerationError: seed cannot be used. It is a whole number."))
    with pytest.raises(GenerationError, match=r"^seed cannot be used\. It is a whole number\.$"):
        RealTimeClient(runtime, "first").paint("a dog", seed=-1)


@pytest.mark.parametrize(
    ("response", "error", "said"),
    [
        (refused(500, "Worker died."), GenerationError, "Worker died"),
        (
            {"Error": {"Code": "413", "Message": "HTTP content length exceeded 6291456 bytes."}},
            ServiceError,
            "exceeded 6291456 bytes",
        ),
        (
            {"Error": {"Code": "ModelError", "Message": "Your invocation timed out while"}},
            ServiceError,
            "did not answer in 60 seconds.*asynchronous",
        ),
        (
            {"Error": {"Code": "ValidationError", "Message": "Endpoint x of account"}},
            ServiceError,
            "Endpoint x of account",
        ),
    ],
)
def test_every_failure_is_an_error_of_the_course(
    response: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        RealTimeClient(Runtime(response), "first").paint("a dog")


def test_the_caller_s_side_needs_no_torch() -> None:
    code = "import sys, helpers.hosting.real_time_client; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
