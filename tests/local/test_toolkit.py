"""The Hugging Face host: the toolkit's contract and its model server's answers."""

from __future__ import annotations

import io
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.archives import pack
from helpers.cloud.images import real_time_image
from helpers.cloud.session import Cloud
from helpers.local.hosts import Answer, Host, HostError, Invocation, InvocationTimeout
from helpers.settings import ROOT
from tests.local.planes import own_host
from tests.local.processes import ended

INFERENCE = Path(__file__).with_name("toolkit_inference.py")
JSON = "application/json"
Start = Callable[..., AbstractContextManager[tuple[Host, Path]]]
_numbers = itertools.count(1)


def starter(cloud: Cloud, folder: Path) -> Start:
    def start(source: str | None = None, **environment: str) -> Any:
        place = folder / str(next(_numbers))
        members: dict[str, Path | bytes] = {
            "model_index.json": b"{}",
            "code/inference.py": source.encode() if source is not None else INFERENCE,
            "code/helpers/__init__.py": b"WHOSE = 'the archive'\n",
        }
        archive = pack(members, place / "model.tar.gz")
        model = {
            "Image": real_time_image(cloud.region),
            "ModelDataUrl": cloud.upload(archive, "toolkit", f"{place.name}.tar.gz"),
            "Environment": environment,
        }
        return own_host(cloud, place, model)

    return start


@pytest.fixture
def start(cloud: Cloud, tmp_path: Path) -> Start:
    return starter(cloud, tmp_path)


@pytest.fixture(scope="module")
def host(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with starter(cloud, tmp_path_factory.mktemp("toolkit"))() as (one, _):
        yield one


def ask(host: Host, asked: object = None, *, timeout_s: float = 30, **more: Any) -> Answer:
    invocation = Invocation(
        **{"body": json.dumps(asked).encode(), "content_type": JSON, "accept": JSON, **more}
    )
    return host.invoke(invocation, timeout_s)


def said(answer: Answer) -> Any:
    return json.loads(answer.body)


def test_json_goes_in_and_comes_out(host: Host) -> None:
    answer = ask(host, {"do": "echo", "word": "Grüße"})
    assert (answer.status, answer.content_type) == (200, JSON)
    assert said(answer)["word"] == "Grüße"
    assert b", " not in answer.body, "the toolkit writes JSON without blanks"


@pytest.mark.parametrize("accept", ["", "*/*"])
def test_who_accepts_anything_gets_json(host: Host, accept: str) -> None:
    assert ask(host, {"do": "echo"}, accept=accept).content_type == JSON


def test_csv_goes_in(host: Host) -> None:
    answer = ask(host, body=b"inputs,more\na dog,1\na cat,2\n", content_type="text/csv")
    assert said(answer)["inputs"] == ["a dog", "a cat"]
    answer = ask(host, body=b"question,context\nwho?,you\n", content_type="text/csv")
    assert said(answer)["inputs"] == [{"question": "who?", "context": "you"}]


def test_csv_without_a_known_column_is_refused(host: Host) -> None:
    answer = ask(host, body=b"a,b\n1,2\n", content_type="text/csv")
    assert answer.status == 400
    assert said(answer)["message"].endswith(" : 400")


def test_arrays_go_in_and_out(host: Host) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(6.0).reshape(2, 3))
    npy = "application/x-npy"
    answer = ask(host, body=buffer.getvalue(), content_type=npy, accept=npy)
    assert answer.content_type == npy
    assert np.load(io.BytesIO(answer.body)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert said(ask(host, body=buffer.getvalue(), content_type=npy)) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.promise(
    "A pickle is never opened",
    fault="a NumPy array of pickled objects",
    outcome="400; nothing is loaded",
)
def test_pickled_objects_are_not_opened(host: Host) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    answer = ask(host, body=buffer.getvalue(), content_type="application/x-npy")
    assert answer.status == 400
    assert "allow_pickle" in said(answer)["message"]


def test_pictures_go_in_and_out(host: Host) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(buffer, "PNG")
    answer = ask(host, body=buffer.getvalue(), content_type="image/png")
    assert answer.status == 200
    assert isinstance(said(answer)["inputs"], str), "a picture is written as base64"


@pytest.mark.parametrize("kind", ["application/x-text", "application/json; charset=utf-8", ""])
def test_a_content_type_that_nobody_reads_is_refused(host: Host, kind: str) -> None:
    answer = ask(host, {"do": "echo"}, content_type=kind)
    assert answer.status == 400
    assert "is not supported by this framework" in said(answer)["message"]


def test_an_accept_that_nobody_writes_is_refused(host: Host) -> None:
    assert ask(host, {"do": "echo"}, accept="image/jpeg").status == 400


def test_an_error_of_the_model_is_the_caller_s(host: Host) -> None:
    answer = ask(host, {"do": "fail"})
    assert answer.status == 400
    assert said(answer) == {"code": 400, "type": "InternalServerException", "message": "boom: k"}
    assert answer.body == (
        b'{\n  "code": 400,\n  "type": "InternalServerException",\n  "message": "boom: k"\n}\n'
    )


@pytest.mark.parametrize("asked", [{"do": "memory"}, {"do": "unheard of"}, {"do": "odd"}])
def test_every_exception_is_the_same_400(host: Host, asked: dict[str, str]) -> None:
    answer = ask(host, asked)
    assert (answer.status, said(answer)["type"]) == (400, "InternalServerException")


def test_what_is_no_json_is_refused(host: Host) -> None:
    answer = ask(host, body=b"{")
    assert answer.status == 400
    assert "Expecting property name" in said(answer)["message"]


@pytest.mark.promise(
    "A dead worker of the real-time endpoint is replaced",
    fault="a worker that is killed, one that leaves",
    outcome="500 for its caller; the next is served",
)
@pytest.mark.parametrize("death", ["kill", "leave"])
def test_a_dead_worker_is_replaced(host: Host, death: str) -> None:
    before = said(ask(host, {"do": "echo"}))["pid"]
    answer = ask(host, {"do": death})
    assert answer.status == 500
    assert said(answer) == {"code": 500, "type": "InternalServerException",
                            "message": "Worker died."}  # fmt: skip
    assert ended(before)
    assert said(ask(host, {"do": "echo"}))["pid"] != before


def test_a_response_beyond_the_server_s_limit_costs_the_worker(start: Start) -> None:
    with start(MMS_MAX_RESPONSE_SIZE="1000") as (host, log):
        before = said(ask(host, {"do": "echo"}))["pid"]
        assert ask(host, {"do": "much", "bytes": 900}).status == 200
        answer = ask(host, {"do": "much", "bytes": 1200})
        assert (answer.status, said(answer)["message"]) == (500, "Worker died.")
        assert said(ask(host, {"do": "echo"}))["pid"] != before
        assert "Message size exceed limit: 1202" in log.read_text()


def test_a_request_beyond_the_server_s_limit_never_arrives(start: Start) -> None:
    with start(MMS_MAX_REQUEST_SIZE="100") as (host, _):
        assert ask(host, body=b" " * 101).status == 413
        assert ask(host, {"do": "echo"}).status == 200


def test_a_worker_that_is_too_slow_is_replaced(start: Start) -> None:
    with start(SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="4") as (host, _):
        before = said(ask(host, {"do": "echo"}))["pid"]
        answer = ask(host, {"do": "sleep", "seconds": 30})
        assert (answer.status, said(answer)["message"]) == (500, "Worker died.")
        assert ended(before)


def test_without_seconds_the_time_out_counts_minutes(start: Start) -> None:
    with start(SAGEMAKER_MODEL_SERVER_TIMEOUT="1") as (host, _):
        assert ask(host, {"do": "sleep", "seconds": 1.5}).status == 200


def test_who_waits_too_long_goes_and_the_model_works_on(host: Host) -> None:
    before = said(ask(host, {"do": "echo"}))["pid"]
    with pytest.raises(InvocationTimeout):
        ask(host, {"do": "sleep", "seconds": 1}, timeout_s=0.2)
    assert said(ask(host, {"do": "echo"}))["pid"] == before


def test_workers_answer_side_by_side(start: Start) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with start(SAGEMAKER_MODEL_SERVER_WORKERS="2") as (host, _), ThreadPoolExecutor() as pool:
        asked = {"do": "sleep", "seconds": 1}
        pids = {said(one)["pid"] for one in pool.map(lambda _: ask(host, asked), range(2))}
        assert len(pids) == 2


@pytest.mark.promise(
    "A full queue says so",
    fault="one request more than fits",
    outcome="503 at once, the others are served",
)
def test_a_full_queue_turns_requests_away(start: Start) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with start(MMS_JOB_QUEUE_SIZE="1") as (host, _), ThreadPoolExecutor() as pool:
        asked = {"do": "sleep", "seconds": 1}
        answers = []
        for _ in range(3):
            answers.append(pool.submit(ask, host, asked))
            time.sleep(0.2)
        statuses = [one.result().status for one in answers]
        assert statuses == [200, 200, 503]
        assert said(answers[2].result())["type"] == "ServiceUnavailableException"


def test_a_model_sees_its_container_and_nothing_of_ours(host: Host) -> None:
    seen = said(ask(host, {"do": "see"}))
    assert seen["helpers"] == "the archive"
    assert str(ROOT) not in seen["path"]
    assert seen["path"][0] == f"{seen['model']['folder']}/code"
    assert not [name for name in seen["environment"] if name.startswith("AVATAR_")]
    assert seen["environment"]["AWS_REGION"]


FORMS = """
def model_fn(model_dir{0}):
    return "model"
def input_fn(data, content_type{0}):
    return [type(data).__name__, content_type{1}]
def predict_fn(data, model{0}):
    return [*data, model{1}]
def output_fn(prediction, accept{0}):
    return repr([*prediction, accept{1}])
"""
HEADER = ", context.get_request_header(0, 'X-Amzn-SageMaker-Custom-Attributes')"


@pytest.mark.parametrize("context", [False, True])
def test_all_four_functions_with_and_without_context(start: Start, context: bool) -> None:
    source = FORMS.format(*((", context", HEADER) if context else ("", "")))
    with start(source) as (host, _):
        answer = ask(host, body=b"x", content_type="text/plain", accept="text/plain",
                     custom_attributes="tag")  # fmt: skip
        more = ["tag"] if context else []
        expected = ["bytes", "text/plain", *more, "model", *more, "text/plain", *more]
        assert answer.body.decode() == repr(expected)
        assert answer.content_type == "text/plain"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [("model, data, content_type, accept", "''"),
     ("model, data, content_type, accept, context", "context.system_properties['model_dir']")],
)  # fmt: skip
def test_transform_fn_does_it_alone(start: Start, arguments: str, answer: str) -> None:
    source = f"""
def model_fn(model_dir): return "m"
def transform_fn({arguments}): return {{"got": [model, data, content_type, accept, {answer}]}}
"""
    with start(source) as (host, _):
        got = said(ask(host, {"a": 1}))["got"]
        assert got[:4] == ["m", '{"a": 1}', JSON, JSON]
        assert bool(got[4]) == ("context" in arguments)


def test_the_toolkit_s_own_parts_can_be_imported(start: Start) -> None:
    source = """
from sagemaker_huggingface_inference_toolkit import content_types, decoder_encoder
def model_fn(model_dir): return str.upper
def input_fn(data, kind): return decoder_encoder.decode(data, content_types.JSON)
"""
    with start(source) as (host, _):
        assert said(ask(host, {"inputs": "a dog"})) == "A DOG"


def test_a_response_that_is_nothing_is_503(start: Start) -> None:
    source = """
def model_fn(model_dir): return 1
def transform_fn(model, data, content_type, accept): return object()
"""
    with start(source) as (host, _):
        answer = ask(host, {})
        assert answer.status == 503
        assert said(answer)["message"] == "Unsupported model output data type."


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def model_fn(d): raise OSError('no weights')", "OSError: no weights"),
        ("import not_there", "No module named 'not_there'"),
        ("def predict_fn(data, model): ...", "inference.py has no model_fn"),
        ("def model_fn(a, b, c): ...", "takes 1 or 2 arguments but 3 were given"),
        ("def model_fn(d): ...\ndef predict_fn(data): ...", "predict_fn definition takes 2 or 3"),
        ("def model_fn(d): ...\ndef transform_fn(m, d, c): ...", "transform_fn definition takes 4"),
        ("def model_fn(d): ...\ndef predict_fn(d, m): ...\ndef transform_fn(m, d, c, a): ...",
         "Cannot use transform_fn implementation in conjunction"),
        ("import os\ndef model_fn(d): os._exit(3)", "ended while it loaded the model"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_says_why(start: Start, source: str, why: str) -> None:
    with pytest.raises(HostError) as refused, start(source):
        pass
    assert why in str(refused.value)


def test_a_model_that_loads_too_slowly_does_not_start(start: Start) -> None:
    source = "import time\ndef model_fn(d): time.sleep(30)"
    began = time.monotonic()
    impatient = start(source, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="1")
    with pytest.raises(HostError, match="not loaded within 1 s"), impatient:
        pass
    assert time.monotonic() - began < 20


def test_another_program_can_be_named(start: Start) -> None:
    with pytest.raises(HostError, match=r"no code/serve\.py"), start(SAGEMAKER_PROGRAM="serve.py"):
        pass


def test_stopping_ends_the_processes(start: Start) -> None:
    with start() as (host, _):
        pid = said(ask(host, {"do": "echo"}))["pid"]
        os.kill(pid, 0)
    assert ended(pid)
