"""An endpoint without a serving image: model_setup brings the base, to either server."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.archives import pack
from helpers.cloud.endpoints import deploy_multi_model, wait_in_service
from helpers.cloud.environment import LATER_BASE, TRITON_ARGUMENTS
from helpers.cloud.images import triton_image, triton_parent
from helpers.cloud.session import Cloud
from helpers.errors import ServiceError
from helpers.hosting.client import AvatarClient, decode_output, encode_request
from helpers.hosting.publisher import build_setup_archive, publish_setup
from helpers.hosting.repository import build_base_repository
from helpers.hosting.request import OUT_OF_MEMORY_WORDS
from helpers.local.multi_model import MultiModelHost
from helpers.local.standin import StandInServer
from helpers.settings import ROOT
from tests.conformance.conftest import make_avatar, triton_or_skip
from tests.conformance.test_avatars import Runtime
from tests.conformance.test_recovery import children

AVATAR = "avatars/one.tar.gz"
SETUP = "model_setup.tar.gz"


@dataclass
class Bare:
    """An endpoint on AWS's own image, and its prefix in S3."""

    host: MultiModelHost
    prefix: dict[str, bytes]

    @property
    def client(self) -> AvatarClient:
        return AvatarClient(Runtime(self.host), "avatars")

    def paint(self) -> tuple[int, bytes]:
        status, body, _ = self.host.invoke(AVATAR, encode_request("a dog"))
        return status, body


@pytest.fixture(params=["triton", "stand-in"])
def bare(request: pytest.FixtureRequest, tmp_path: Path, echo_repository: Path) -> Iterator[Bare]:
    prefix = {
        SETUP: setup(tmp_path, echo_repository),
        AVATAR: pack(make_avatar(tmp_path / "one"), tmp_path / "one.tar.gz").read_bytes(),
    }
    server = triton_or_skip() if request.param == "triton" else StandInServer()
    temporary = tmp_path / "work" / "tmp"  # what /tmp is in a container
    temporary.mkdir(parents=True)
    with server.start(temporary, tmp_path / "work", timeout=60):
        yield Bare(MultiModelHost(server, prefix.get, tmp_path / "work", max_loaded=1), prefix)


def setup(tmp_path: Path, repository: Path) -> bytes:
    path = tmp_path / "made" / SETUP
    return build_setup_archive(path, base_repository=repository).read_bytes()


def test_an_avatar_before_the_set_up_is_told_what_to_do_and_paints_afterwards(bare: Bare) -> None:
    status, body = bare.paint()
    assert status == 400 and b"invoke model_setup first" in body
    assert not any(words.encode() in body for words in OUT_OF_MEMORY_WORDS)
    assert bare.client.set_up() == {"base": "echo"}
    status, body = bare.paint()
    assert status == 200 and '"prompt": "a dog"' in decode_output(body, "generated_image")
    assert SETUP not in bare.host.metrics["loaded"], "set-up itself was evicted by then"
    assert bare.client.set_up() == {"base": "echo"}, "and asked again it changes nothing"
    assert bare.paint()[0] == 200


def test_without_a_base_in_its_archive_it_says_that_none_answers(
    bare: Bare, tmp_path: Path
) -> None:
    bare.prefix[SETUP] = build_setup_archive(tmp_path / SETUP).read_bytes()
    with pytest.raises(ServiceError, match="shared base does not answer"):
        bare.client.set_up()


@pytest.mark.parametrize("bare", ["triton"], indirect=True)  # elsewhere it is no process
def test_a_base_that_dies_after_the_set_up_comes_back(bare: Bare) -> None:
    bare.client.set_up()
    for process in children(bare.host.server.pid):
        if "avatar_base" in Path(f"/proc/{process}/cmdline").read_text():
            os.kill(process, signal.SIGKILL)
    assert bare.paint()[0] == 200
    for process in children(bare.host.server.pid):
        if "avatar_base" in Path(f"/proc/{process}/cmdline").read_text():
            os.kill(process, signal.SIGKILL)
    assert bare.client.set_up() == {"base": "echo"}


@pytest.mark.promise(
    "A stub that dies between unloading and loading the base leaves that to the next",
    fault="a reload of the base that was begun and never ended",
    outcome="the base is loaded; a base that was never there is left alone",
)
@pytest.mark.parametrize("bare", ["triton"], indirect=True)
def test_only_a_reload_that_was_begun_is_ended_by_the_next_stub(
    bare: Bare, echo_repository: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "work" / "tmp"
    shutil.copytree(echo_repository, temporary, dirs_exist_ok=True)
    status, body = bare.paint()
    assert status == 400 and b"The shared base is down" in body
    mark = temporary / f"avatar_base-{bare.host.server.pid}.lock"
    mark.write_text("unloaded")
    assert bare.paint()[0] == 200
    assert mark.read_text() == ""


@pytest.fixture
def poor_repository(pocket: Path, tmp_path: Path) -> Callable[[], Path]:
    """The real base, in a container where an install failed."""

    def make() -> Path:
        repository = build_base_repository(tmp_path / "poor", pocket)
        asked = repository / "avatar_base" / "1" / "requirements.txt"
        asked.write_text("diffusers==0.30.0\nxformers==0.0.29\n")
        return repository

    return make


def test_a_failed_install_is_named_by_the_set_up(
    bare: Bare, poor_repository: Callable[[], Path], tmp_path: Path
) -> None:
    bare.prefix[SETUP] = setup(tmp_path, poor_repository())
    with pytest.raises(ServiceError, match=r"diffusers is 0\.42\.1, wanted 0\.30\.0") as refused:
        bare.client.set_up()
    assert "xformers is missing, wanted 0.0.29" in str(refused.value)


def test_why_a_base_could_not_be_loaded_is_said_to_who_asked(
    bare: Bare, echo_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "broken"
    shutil.copytree(echo_repository, repository)
    (repository / "avatar_base" / "1" / "model.py").write_text("raise OSError('half a disk')\n")
    bare.prefix[SETUP] = setup(tmp_path, repository)
    with pytest.raises(ServiceError, match=r"does not answer\. OSError: half a disk"):
        bare.client.set_up()


@pytest.mark.parametrize("bare", ["triton"], indirect=True)  # elsewhere helpers is the course's
def test_packages_beside_the_base_are_the_ones_it_uses(
    bare: Bare, echo_repository: Path, tmp_path: Path
) -> None:
    """The door puts them on the path before it checks anything."""
    repository = tmp_path / "own"
    shutil.copytree(echo_repository, repository)
    version = repository / "avatar_base" / "1"
    shutil.copy(ROOT / "models" / "avatar_base" / "1" / "model.py", version)
    for name in ("startup", "hosting"):
        (version / "helpers" / name).mkdir(parents=True)
    (version / "helpers" / "startup" / "__init__.py").write_text(
        "def check_start_up(path):\n    import carried\n    return carried.WORDS\n"
        "def import_libraries(): pass\n"
    )
    (version / "helpers" / "hosting" / "base.py").write_text(
        "error_text = str\n"
        "class AvatarBase:\n"
        "    def __init__(self, folder, adapter_root, safety): pass\n"
        "    def answer_all(self, asked): return []\n"
        "    def describe(self):\n"
        "        import carried\n"
        '        return \'{"base": "%s"}\' % carried.WORDS\n'
    )
    shutil.copy(ROOT / "helpers" / "hosting" / "watch.py", version / "helpers" / "hosting")
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "carried.py").write_text("WORDS = 'from the packages'\n")
    bare.prefix[SETUP] = build_setup_archive(
        tmp_path / SETUP, base_repository=repository, packages=packages
    ).read_bytes()
    assert bare.client.set_up() == {"base": "from the packages"}


@pytest.mark.slow
def test_the_whole_way_on_aws_s_own_image(cloud: Cloud, pocket: Path, tmp_path: Path) -> None:
    repository = build_base_repository(tmp_path / "repository", pocket)
    target = publish_setup(
        cloud.client("s3"), cloud.uri("bare"), work=tmp_path, base_repository=repository
    )
    made = deploy_multi_model(
        cloud,
        cloud.ledger(),
        name="bare",
        image=triton_parent(cloud.region),
        model_prefix=cloud.uri("bare"),
        instance_type="ml.g5.xlarge",
        shared_base="setup",
    )
    wait_in_service(cloud, made.endpoint, timeout_s=240)
    model = cloud.client("sagemaker").describe_model(ModelName=made.model)
    assert model["PrimaryContainer"]["Environment"][TRITON_ARGUMENTS] == LATER_BASE
    client = AvatarClient(cloud.client("sagemaker-runtime"), made.endpoint)
    said = client.set_up(target, patience_s=120)
    assert said["versions"]["diffusers"] == "0.42.1"
    cloud.client("sagemaker").delete_endpoint(EndpointName=made.endpoint)


def test_model_setup_is_for_one_instance(cloud: Cloud) -> None:
    with pytest.raises(ServiceError, match="more than one instance"):
        deploy_multi_model(
            cloud, cloud.ledger(), name="two", image=triton_image(cloud.account, cloud.region),
            model_prefix=cloud.uri("bare"), instance_type="ml.g5.xlarge", instance_count=2,
            shared_base="setup",
        )  # fmt: skip
