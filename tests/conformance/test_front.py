"""What SageMaker may rely on, whichever server answers."""

from __future__ import annotations

import json
import shutil
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.errors import ServiceError
from helpers.hosting.client import decode_output, encode_inputs, encode_request
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
from helpers.local import model_server
from helpers.local.loopback import listening_addresses
from helpers.local.model_server import Answer, ModelServer, ServerTimeout
from helpers.local.standin import StandInServer
from helpers.settings import ROOT
from tests.conformance.conftest import SHA256, make_avatar, triton_or_skip

Avatar = Callable[..., Path]


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def target(name: str) -> str:
    return f"avatars/dog-{name[:8]}.tar.gz"


@dataclass(frozen=True)
class Loaded:
    """An avatar that stays loaded for the whole suite: an unload takes Triton two seconds."""

    server: ModelServer
    name: str
    target: str
    url: Path

    def invoke(self, body: bytes) -> Answer:
        return self.server.invoke(self.name, body, self.target)


@pytest.fixture(scope="session")
def loaded(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    one = Loaded(
        server=server,
        name="0" * 32,
        target="avatars/stays.tar.gz",
        url=make_avatar(tmp_path_factory.mktemp("avatar")),
    )
    assert server.load(one.name, one.url, one.target).status == 200
    return one


def asked(server: ModelServer, name: str, target: str | None, **inputs: str) -> dict[str, str]:
    answer = server.invoke(name, encode_inputs(inputs), target)
    assert answer.status == 200, answer.body
    return json.loads(decode_output(answer.body, "generated_image"))


def test_ready_and_honest_about_its_name(server: ModelServer) -> None:
    assert server.ping()
    expected = {"TritonServer": "triton", "StandInServer": "stand-in"}[type(server).__name__]
    assert server.engine["name"] == expected
    assert server.engine["version"]


def test_listens_on_the_loopback_address_only(server: ModelServer) -> None:
    assert listening_addresses(server.pid) == {f"127.0.0.1:{server.port}"}


def test_the_stub_adds_its_adapter_and_asks_the_base(server: ModelServer, loaded: Loaded) -> None:
    given = {"prompt": "a dog", "negative_prompt": "grün, 猫", "gen_args": '{"seed": 1}'}
    said = asked(server, loaded.name, loaded.target, **given)
    assert said == given | {
        "adapter_path": str(loaded.url / "sd_lora" / "1" / "adapter"),
        "adapter_identity": SHA256,
    }


def test_optional_inputs_stay_absent(server: ModelServer, loaded: Loaded) -> None:
    assert set(asked(server, loaded.name, loaded.target, prompt="a dog")) == {
        "prompt", "adapter_path", "adapter_identity",
    }  # fmt: skip


def test_any_content_type_is_read_as_v2_json(server: ModelServer, loaded: Loaded) -> None:
    answer = server.invoke(
        loaded.name,
        encode_request("a dog", None, {"seed": 3}),
        loaded.target,
        content_type="application/octet-stream",
    )
    assert json.loads(decode_output(answer.body, "generated_image"))["gen_args"] == '{"seed": 3}'
    assert answer.content_type.startswith("application/json")


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"{}",
        encode_inputs({"negative_prompt": "a required input is missing"}),
        encode_inputs({"prompt": "a dog", "colour": "an input nobody declared"}),
        json.dumps(
            {
                "inputs": [
                    {"name": "prompt", "shape": [2, 1], "datatype": "BYTES", "data": ["a", "b"]}
                ]
            }
        ).encode(),
        json.dumps(
            {"inputs": [{"name": "prompt", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
        ).encode(),
        json.dumps(
            {"inputs": [{"name": "prompt", "shape": [1, 1], "datatype": "INT32", "data": [1]}]}
        ).encode(),
    ],
    ids=["not-json", "no-inputs", "missing", "unknown", "batch-of-2", "wrong-shape", "wrong-type"],
)
def test_malformed_requests_are_400(loaded: Loaded, body: bytes) -> None:
    answer = loaded.invoke(body)
    assert answer.status == 400
    assert answer.error
    assert asked(loaded.server, loaded.name, loaded.target, prompt="the next one is served")


def test_an_error_of_the_model_is_400_with_its_text(loaded: Loaded) -> None:
    answer = loaded.invoke(encode_request("say seed cannot be used"))
    assert (answer.status, answer.error) == (400, "seed cannot be used")
    assert loaded.invoke(encode_request("raise")).status == 400


@pytest.mark.parametrize("words", [*OUT_OF_MEMORY_WORDS, "a MUSHROOM", "ZOOM lens"])
def test_an_error_that_reads_as_out_of_memory_is_507(loaded: Loaded, words: str) -> None:
    assert loaded.invoke(encode_request(f"say {words}")).status == 507


def test_an_output_of_another_name_is_lost(loaded: Loaded) -> None:
    answer = loaded.invoke(encode_request("wrong name"))
    assert answer.status == 200, "Triton takes no offence, so the client has to look"
    with pytest.raises(ServiceError, match="generated_image"):
        decode_output(answer.body, "generated_image")


def test_unknown_models_are_404(server: ModelServer, name: str, target: str) -> None:
    assert server.invoke(name, encode_request("a dog"), target).status == 404
    assert server.model(name).status == 404
    assert server.unload(name, target).status == 404


def test_what_is_loaded_is_409(server: ModelServer, avatar: Avatar, loaded: Loaded) -> None:
    assert server.load(loaded.name, loaded.url, loaded.target).status == 409
    other = server.load(uuid.uuid4().hex, avatar("other"), loaded.target)
    assert other.status == 409
    assert "conflicting" in other.error


def test_a_model_answers_to_its_own_target_only(server: ModelServer, loaded: Loaded) -> None:
    assert server.invoke(loaded.name, encode_request("a dog"), None).status == 400
    assert server.invoke(loaded.name, encode_request("a dog"), "avatars/cat.tar.gz").status == 400


def test_models_with_a_target_are_listed_as_empty(
    server: ModelServer, avatar: Avatar, name: str, target: str
) -> None:
    with_target, without = avatar("with"), avatar("without")
    plain = uuid.uuid4().hex
    assert server.load(name, with_target, target).status == 200
    assert server.load(plain, without).status == 200
    listed = server.models()
    assert {} in listed
    assert {"modelName": plain, "modelUrl": str(without)} in listed
    assert json.loads(server.model(name).body)["modelName"] == name
    assert asked(server, plain, None, prompt="a dog")["prompt"] == "a dog"
    server.unload(name, target)
    server.unload(plain)
    assert all(one.get("modelName") not in (plain, name) for one in server.models())


def test_unloaded_models_can_be_loaded_again(
    server: ModelServer, avatar: Avatar, name: str, target: str
) -> None:
    url = avatar()
    for _ in range(2):
        assert server.load(name, url, target).status == 200
        assert asked(server, name, target, prompt="a dog")["prompt"] == "a dog"
        assert server.unload(name, target).status == 200
        assert server.invoke(name, encode_request("a dog"), target).status == 404


def test_an_avatar_without_its_adapter_does_not_load(
    server: ModelServer, avatar: Avatar, name: str, target: str
) -> None:
    url = avatar("bare", adapter=False)
    assert server.load(name, url, target).status == 400
    assert server.load(name, url, target).status == 400, "a failed load leaves nothing behind"
    shutil.copytree(avatar("whole") / "sd_lora" / "1" / "adapter", url / "sd_lora/1/adapter")
    assert server.load(name, url, target).status == 200
    server.unload(name, target)


@pytest.mark.parametrize("damage", ["model.py", "config.pbtxt", "second", "everything", "broken"])
def test_what_would_hang_or_confuse_the_server_is_refused(
    server: ModelServer, avatar: Avatar, name: str, target: str, damage: str
) -> None:
    url = avatar()
    if damage == "model.py":
        (url / "sd_lora" / "1" / "model.py").unlink()
    elif damage == "config.pbtxt":
        (url / "sd_lora" / "config.pbtxt").unlink()
    elif damage == "second":
        (url / "sd_base").mkdir()
    elif damage == "broken":
        (url / "sd_lora" / "config.pbtxt").write_text("name: {")
    else:
        shutil.rmtree(url)
    answer = server.load(name, url, target)
    assert answer.status == 400
    assert answer.error


@pytest.mark.parametrize("key", ["$(touch x).tar.gz", "a b.tar.gz", "../a.tar.gz", "/a", "OOM", ""])
def test_odd_targets_never_reach_the_server(
    server: ModelServer, avatar: Avatar, name: str, key: str
) -> None:
    assert server.load(name, avatar(), key).status == 400


def test_a_gpu_model_is_refused_without_a_gpu(
    server: ModelServer, avatar: Avatar, name: str, target: str
) -> None:
    url = avatar()
    config = url / "sd_lora" / "config.pbtxt"
    config.write_text(config.read_text().replace("KIND_CPU", "KIND_GPU"))
    answer = server.load(name, url, target)
    if answer.status == 200:
        pytest.skip("this machine has a GPU that Triton can use")
    assert answer.status == 400
    assert "KIND_GPU" in answer.error


def test_the_setup_target_describes_the_base(
    server: ModelServer, name: str, tmp_path: Path
) -> None:
    url = tmp_path / "model"
    shutil.copytree(ROOT / "models" / "model_setup", url / "model_setup")
    assert server.load(name, url, "model_setup.tar.gz").status == 200
    answer = server.invoke(name, encode_inputs({"input_args": "hello"}), "model_setup.tar.gz")
    assert json.loads(decode_output(answer.body, "output_message")) == {"base": "echo"}
    server.unload(name, "model_setup.tar.gz")


def test_other_paths_are_400(server: ModelServer) -> None:
    assert server.request("GET", "/nonsense").status == 400
    assert server.request("PUT", "/models", b"{}").status == 400
    assert server.request("POST", "/models/x/foo", b"{}").status == 400


def test_binary_mode_carries_texts_as_bytes(loaded: Loaded) -> None:
    text = "grün, 猫".encode()
    data = len(text).to_bytes(4, "little") + text
    asked = {
        "inputs": [
            {
                "name": "prompt",
                "shape": [1, 1],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(data)},
            }
        ],
        "outputs": [{"name": "generated_image", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(asked).encode()
    kind = "application/vnd.sagemaker-triton.binary+json;json-header-size="
    answer = loaded.server.invoke(
        loaded.name, head + data, loaded.target, content_type=f"{kind}{len(head)}"
    )
    assert answer.status == 200, answer.body
    assert answer.content_type.startswith(kind)
    size = int(answer.content_type.removeprefix(kind))
    (told,) = json.loads(answer.body[:size])["outputs"]
    behind = answer.body[size:]
    assert told["parameters"]["binary_data_size"] == len(behind)
    assert int.from_bytes(behind[:4], "little") == len(behind) - 4
    assert json.loads(behind[4:])["prompt"] == "grün, 猫"


def test_one_call_carries_one_prompt(loaded: Loaded) -> None:
    two = {"name": "prompt", "shape": [2, 1], "datatype": "BYTES", "data": ["a", "b"]}
    answer = loaded.invoke(json.dumps({"inputs": [two]}).encode())
    assert answer.status == 400 and "one at a time" in answer.error


def test_a_silent_server_is_not_waited_for(loaded: Loaded) -> None:
    body = encode_request("sleep")
    with pytest.raises(ServerTimeout):
        loaded.server.invoke(loaded.name, body, loaded.target, timeout=0.2)


@pytest.mark.promise(
    "A port that somebody takes first costs a start and no more",
    fault="a stranger listens on the port that was chosen",
    outcome="another port; where all are taken, `ServiceError`",
)
@pytest.mark.parametrize("kind", ["triton", "stand-in"])
def test_a_port_that_was_taken_is_left_to_whoever_has_it(
    kind: str, echo_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = triton_or_skip() if kind == "triton" else StandInServer()
    free = model_server._free_port
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        chosen = iter([taken, free()])
        monkeypatch.setattr(model_server, "_free_port", lambda: next(chosen))
        with one.start(echo_repository, tmp_path / "server", timeout=60):
            assert one.port != taken and one.ping()
        monkeypatch.setattr(model_server, "_free_port", lambda: taken)
        with pytest.raises(ServiceError, match="did not start"):
            one.start(echo_repository, tmp_path / "server", timeout=60)
