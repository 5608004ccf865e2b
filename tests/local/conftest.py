"""A small real model for the DJL host, and endpoints made of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers.archives import pack
from helpers.cloud.endpoints import deploy_async, wait_in_service
from helpers.cloud.images import djl_image
from helpers.cloud.ledger import Ledger
from helpers.cloud.session import Cloud
from helpers.cloud.topics import Topics, create_topics
from helpers.local.launch import find, stop
from helpers.settings import Settings

HANDLER = Path(__file__).with_name("handler.py")
_numbers = itertools.count(1)


def model_archive(folder: Path, *, properties: str = "", handler: str | None = None) -> Path:
    """A model archive as a learner would pack it; ``handler`` replaces the handler's source."""
    members: dict[str, Path | bytes] = {
        "model.py": handler.encode() if handler is not None else HANDLER,
        "serving.properties": f"engine=Python\noption.greeting=hello\n{properties}".encode(),
        "helpers/__init__.py": b"WHOSE = 'the archive'\n",
    }
    return pack(members, folder / f"model-{next(_numbers)}.tar.gz")


@pytest.fixture(scope="session")
def ledger(cloud: Cloud) -> Ledger:
    return cloud.ledger()


@pytest.fixture(scope="session")
def topics(cloud: Cloud, ledger: Ledger) -> Topics:
    return create_topics(cloud, ledger, "local-tests")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A state folder of its own, for the tests that end the service."""
    own = Settings(fast=True, threads=1, state=tmp_path / "state", learner="other")
    yield own
    stop(own)


@pytest.fixture(scope="session")
def careless(cloud: Cloud) -> Callable[[str], Any]:
    """Clients that check nothing before they send, so that the service has to."""
    service = find(cloud.settings)
    assert service
    session = boto3.Session(service.access_key, service.secret_key, region_name=service.region)
    config = Config(parameter_validation=False)
    return lambda name: session.client(name, endpoint_url=service.url, config=config)


Deploy = Callable[..., str]


@pytest.fixture
def deploy(cloud: Cloud, ledger: Ledger, topics: Topics, tmp_path: Path) -> Iterator[Deploy]:
    """Deploy an asynchronous endpoint that serves; gone again after the test."""
    yield from _deployer(cloud, ledger, topics, tmp_path)


@pytest.fixture(scope="session")
def shared(
    cloud: Cloud, ledger: Ledger, topics: Topics, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """One endpoint for the tests that leave it as it was."""
    for deploy in _deployer(cloud, ledger, topics, tmp_path_factory.mktemp("shared")):
        yield deploy()


def _deployer(cloud: Cloud, ledger: Ledger, topics: Topics, folder: Path) -> Iterator[Deploy]:
    made: list[str] = []

    def deploy(*, properties: str = "", handler: str | None = None, **named: Any) -> str:
        name = cloud.name(f"local-{next(_numbers)}")
        made.append(name)
        deploy_async(
            cloud,
            ledger,
            name=name,
            image=djl_image(cloud.region),
            model_data=model_archive(folder, properties=properties, handler=handler),
            instance_type="ml.g5.xlarge",
            success_topic=topics.success,
            error_topic=topics.error,
            **named,
        )
        wait_in_service(cloud, name, timeout_s=60)
        return name

    yield deploy
    for name in made:
        with suppress(ClientError):  # a test may have deleted it
            cloud.client("sagemaker").delete_endpoint(EndpointName=name)
