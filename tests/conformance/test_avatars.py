"""Ends meet: an adapter, published, served, painted through the client, on either server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from helpers.bases import open_base
from helpers.errors import AdapterError, GenerationError, SafetyError
from helpers.hosting.client import AvatarClient
from helpers.hosting.publisher import build_avatar_archive, build_setup_archive, target_model
from helpers.hosting.repository import build_base_repository
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
from helpers.hosting.safety import OPTION
from helpers.local.multi_model import MultiModelHost
from helpers.local.standin import StandInServer
from helpers.tuning.adapter import read_adapter
from tests.conformance.conftest import triton_or_skip
from tests.conformance.test_recovery import children
from tests.hosting import originals
from tests.hosting.conftest import MakeAdapter

pytestmark = pytest.mark.slow

SMALL = {"num_inference_steps": 4, "seed": 11}


class Body:
    def __init__(self, data: bytes) -> None:
        self.read = lambda: data


@dataclass
class Runtime:
    """``invoke_endpoint`` without HTTP: answers and refuses as boto3's client does."""

    host: MultiModelHost

    def invoke_endpoint(self, **asked: Any) -> dict[str, Any]:
        status, body, _ = self.host.invoke(
            asked["TargetModel"], asked["Body"], asked["ContentType"]
        )
        if status == 200:
            return {"Body": Body(body)}
        code = {"Error": {"Code": "ModelError", "Message": "Received client error"}}
        raise ClientError(
            {**code, "OriginalStatusCode": status, "OriginalMessage": body.decode()},  # type: ignore[typeddict-unknown-key]
            "InvokeEndpoint",
        )


@dataclass
class Stage:
    host: MultiModelHost
    client: AvatarClient
    prefix: dict[str, bytes]
    tmp: Path

    def publish(self, folder: Path) -> str:
        target = target_model(read_adapter(folder))
        self.prefix[target] = build_avatar_archive(folder, self.tmp / "a.tar.gz").read_bytes()
        return target


@pytest.fixture(scope="module", params=["triton", "stand-in"])
def stage(
    request: pytest.FixtureRequest, pocket: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    tmp = tmp_path_factory.mktemp("stage")
    repository = build_base_repository(tmp / "repository", pocket)
    server = triton_or_skip() if request.param == "triton" else StandInServer()
    setup = build_setup_archive(tmp / "model_setup.tar.gz").read_bytes()
    prefix = {"model_setup.tar.gz": setup}
    env = {"OMP_NUM_THREADS": "1", OPTION: "words"}
    with server.start(repository, tmp / "work", env):
        host = MultiModelHost(server, prefix.get, tmp / "work", max_loaded=4)
        yield Stage(host, AvatarClient(Runtime(host), "avatars"), prefix, tmp)


@pytest.fixture(scope="module")
def painter(pocket: Path) -> Any:
    from helpers.hosting.generate import AvatarPainter

    return AvatarPainter(pocket, threads=1)


def locally(painter: Any, prompt: str, adapter: Path, **args: Any) -> Image.Image:
    from helpers.hosting.generate import GenerationRequest

    wish = GenerationRequest.from_json(prompt, None, args, limits=painter.limits)
    return painter.paint(wish, adapter)


def difference(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max())


def test_served_pixels_are_the_local_ones_whoever_painted_before(
    stage: Stage, painter: Any, make_adapter: MakeAdapter
) -> None:
    folders = [make_adapter(1), make_adapter(2, text_encoder=True)]
    targets = [stage.publish(folder) for folder in folders]
    for turn in (0, 1, 0):
        painted = stage.client.paint(targets[turn], "a photo of a dog", **SMALL)
        expected = locally(painter, "a photo of a dog", folders[turn], **SMALL)
        other = locally(painter, "a photo of a dog", folders[1 - turn], **SMALL)
        assert difference(painted.image, expected) <= 2
        assert difference(painted.image, other) > 3 * 2
        assert painted.info["adapter_sha256"] == read_adapter(folders[turn]).manifest.sha256
        assert painted.info["seed"] == 11


def test_the_originals_call_runs_verbatim(stage: Stage, make_adapter: MakeAdapter) -> None:
    target = stage.publish(make_adapter(1))
    args = originals.GEN_ARGS | {"num_inference_steps": 3}
    painted = stage.client.paint(target, originals.PROMPT, originals.NEGATIVE_PROMPT, **args)
    unread = painted.unread["negative_prompt"]
    assert unread and unread == originals.NEGATIVE_PROMPT.split()[-len(unread) :]
    assert painted.info["negative_prompt"] == originals.NEGATIVE_PROMPT


def test_what_the_endpoint_s_checker_refuses_is_heard_with_its_reason(
    stage: Stage, make_adapter: MakeAdapter
) -> None:
    target = stage.publish(make_adapter(1))
    with pytest.raises(SafetyError, match="asks for violence") as heard:
        stage.client.paint(target, "a bloody dog", **SMALL)
    assert "bloody" not in str(heard.value)
    assert stage.client.set_up()["safety"] == "words"


def test_the_setup_target_names_the_base(stage: Stage, pocket: Path) -> None:
    said = stage.client.set_up()
    assert said["base_hash"] == open_base(pocket).hash
    assert said["threads"] == 1


@pytest.mark.promise(
    "No caller's word throws out another's avatar",
    fault="prompts and arguments that read as out of memory",
    outcome="no 507, no eviction, no echo",
)
@pytest.mark.parametrize("said", ["a MUSHROOM", "ZOOM lens", "out of memory"])
def test_no_word_of_the_caller_evicts_anything(
    stage: Stage, make_adapter: MakeAdapter, said: str
) -> None:
    target = stage.publish(make_adapter(1))
    assert stage.client.paint(target, said, said, **SMALL).info["prompt"] == said
    before = stage.host.metrics["evictions"]
    for prompt, args in ((said, {"seed": said}), (said, {said: 1}), (said * 2000, {})):
        with pytest.raises(GenerationError) as refusal:
            stage.client.paint(target, prompt, **args)
        assert said not in str(refusal.value)
        assert not any(words in str(refusal.value) for words in OUT_OF_MEMORY_WORDS)
    assert stage.host.metrics["evictions"] == before


@pytest.mark.promise(
    "An adapter of another base never paints",
    fault="an avatar archive made for another base",
    outcome="`AdapterError`; the next picture is painted",
)
def test_an_adapter_of_another_base_is_refused_and_the_next_picture_painted(
    stage: Stage, make_adapter: MakeAdapter
) -> None:
    stranger = stage.publish(make_adapter(4, base_hash="0" * 64))
    with pytest.raises(AdapterError, match="another base"):
        stage.client.paint(stranger, "a MUSHROOM", **SMALL)
    assert stage.client.paint(stage.publish(make_adapter(1)), "a dog", **SMALL).image


@pytest.mark.promise(
    "A base that died paints the same pictures",
    fault="kill -9 of the base",
    outcome="the next picture is the local one, to 2 grey levels",
)
def test_a_base_that_dies_comes_back_with_the_next_picture(
    stage: Stage, painter: Any, make_adapter: MakeAdapter
) -> None:
    folder = make_adapter(1)
    target = stage.publish(folder)
    stage.client.paint(target, "a dog", **SMALL)
    if stage.host.engine["name"] == "triton":
        for process in children(stage.host.server.pid):
            if "avatar_base" in Path(f"/proc/{process}/cmdline").read_text():
                os.kill(process, signal.SIGKILL)
    else:
        os.kill(stage.host.server.pid, signal.SIGKILL)
    painted = stage.client.paint(target, "a dog", **SMALL)
    assert difference(painted.image, locally(painter, "a dog", folder, **SMALL)) <= 2
