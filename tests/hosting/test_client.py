from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from helpers.errors import AdapterError, CourseError, GenerationError, ServiceError
from helpers.hosting.client import AvatarClient, decode_response, encode_request, spoken_error
from helpers.hosting.picture import Painted
from tests.hosting import originals


def test_the_request_is_the_originals() -> None:
    inputs = {
        "prompt": originals.PROMPT,
        "negative_prompt": originals.NEGATIVE_PROMPT,
        "gen_args": json.dumps(originals.GEN_ARGS),
    }
    ours = encode_request(originals.PROMPT, originals.NEGATIVE_PROMPT, originals.GEN_ARGS)
    assert json.loads(ours) == originals.payload(inputs)
    assert len(json.loads(encode_request("a dog"))["inputs"]) == 1, "optional inputs stay away"
    assert encode_request("a dog", None, {}) == encode_request("a dog")


def answer(**changes: object) -> bytes:
    text = Painted(image=Image.new("RGB", (8, 8)), info={"seed": 5}).to_base64()
    tensor = {"name": "generated_image", "datatype": "BYTES", "shape": [1, 1], "data": [text]}
    return json.dumps({"outputs": [tensor | changes]}).encode()


def test_an_answer_is_a_picture_and_what_is_known_of_it() -> None:
    assert decode_response(answer()).info == {"seed": 5}


@pytest.mark.parametrize(
    "body",
    [
        b'{"outputs": []}',
        b"{}",
        b"",
        b"[]",
        answer(name="image"),
        answer(shape=[1]),
        answer(shape=[2, 1]),
        answer(data=[]),
        answer(data=["a", "b"]),
    ],
)
def test_an_answer_without_the_output_is_an_error(body: bytes) -> None:
    with pytest.raises(ServiceError, match="generated_image"):
        decode_response(body)


def refused(code: str, **more: object) -> ClientError:
    fields = {"Error": {"Code": code, "Message": "Received client error"}, **more}
    return ClientError(fields, "InvokeEndpoint")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("GenerationError: seed cannot be used. It is a whole number.", GenerationError),
        ("AdapterError: The adapter was made for another base.", AdapterError),
        ("ServiceError: The shared base is down.", ServiceError),
        ("ValueError: something else", GenerationError),
        ("SystemExitError: not of the course", GenerationError),
    ],
)
def test_a_refusal_is_the_error_that_the_model_raised(said: str, kind: type[CourseError]) -> None:
    error = spoken_error(refused("ModelError", OriginalMessage=json.dumps({"error": said})))
    assert type(error) is kind
    assert said.partition(": ")[2].split(".")[0] in str(error)


def test_a_refusal_of_the_endpoint_itself_is_a_service_error() -> None:
    assert isinstance(spoken_error(refused("ValidationError")), ServiceError)


@pytest.mark.parametrize("said", ["Stub process 'x_0_0' is not healthy.",
    "Request for unknown model: 'x' has no available versions"])  # fmt: skip
def test_a_process_that_ended_or_is_loaded_again_is_a_reason_to_ask_again(said: str) -> None:
    error = spoken_error(refused("ModelError", OriginalMessage=json.dumps({"error": said})))
    assert type(error) is ServiceError and "Ask again" in str(error)


def test_seeds_are_painted_in_their_order_however_many_call() -> None:
    class Runtime:
        def invoke_endpoint(self, **asked: Any) -> dict[str, Any]:
            inputs = {one["name"]: one["data"][0] for one in json.loads(asked["Body"])["inputs"]}
            info = {"seed": json.loads(inputs["gen_args"])["seed"]}
            text = Painted(image=Image.new("RGB", (8, 8)), info=info).to_base64()
            return {"Body": io.BytesIO(answer(data=[text]))}

    painted = AvatarClient(Runtime(), "avatars").paint_seeds("a", "a dog", range(5), callers=3)
    assert [one.info["seed"] for one in painted] == list(range(5))
