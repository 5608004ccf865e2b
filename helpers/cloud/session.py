"""Where the calls go: AWS, or the local SageMaker on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from helpers.cloud.ledger import Ledger
from helpers.cloud.prices import PriceBook, read_price_file
from helpers.cloud.role import execution_role
from helpers.errors import ServiceError
from helpers.settings import Settings

if TYPE_CHECKING:
    from helpers.local.statefile import LocalService

COURSE_TAG, OWNER_TAG = "avatar-course", "avatar-owner"
EXPIRY_TAG = "avatar-expires"
"""When an endpoint counts as forgotten: ISO 8601, UTC."""

_CLIENTS: dict[str, dict[str, Any]] = {
    # A real-time call may take 60 s; sent again, it would cost twice.
    "sagemaker-runtime": {
        "config": Config(read_timeout=75, retries={"total_max_attempts": 1}),
    },
    # Prices of every region are asked in this one, and an estimate does not wait for them long.
    "pricing": {
        "region_name": "us-east-1",
        "config": Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
    },
}


class LocalSession(boto3.Session):
    """A session whose every client talks to the local SageMaker.

    A request that AWS would refuse for its parameters alone is refused, whichever the service.
    Also when a library passes an address of its own, as the SageMaker SDK does for STS; and
    whatever profiles, proxies and credentials this machine has, they are not read.
    """

    def __init__(self, service: LocalService) -> None:
        from helpers.local.recorder import record

        self._url = service.url
        unread = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        super().__init__(
            aws_access_key_id=service.access_key,
            aws_secret_access_key=service.secret_key,
            region_name=service.region,
            botocore_session=botocore.session.Session(session_vars=unread),
        )
        record(self.events, refuse=True)

    def client(self, *arguments: Any, **named: Any) -> Any:
        return super().client(*arguments, **self._local(named))

    def resource(self, *arguments: Any, **named: Any) -> Any:
        return super().resource(*arguments, **self._local(named))

    def _local(self, named: dict[str, Any]) -> dict[str, Any]:
        ours = Config(proxies={}, s3={"addressing_style": "path"}, signature_version="v4")
        given = named.get("config")
        config = given.merge(ours) if given else ours
        credentials = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"}
        kept = {name: value for name, value in named.items() if name not in credentials}
        return {**kept, "endpoint_url": self._url, "use_ssl": False, "config": config}


def _nobody(_: str) -> None:
    """Hears what is announced where nobody else listens."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """An account to work in: its session, region, bucket and the role that SageMaker assumes.

    Every name, key and tag that the course makes in it carries the learner's namespace.
    ``announce`` is told what a create call will cost, before it is made.
    """

    settings: Settings
    session: boto3.Session
    account: str
    region: str
    bucket: str
    role_arn: str
    announce: Callable[[str], None] = field(default=_nobody, repr=False, compare=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def local(self) -> bool:
        return self.settings.backend == "local"

    def pause(self, seconds: float, *, brisk: float = 0.1) -> float:
        """Seconds between two looks at something: ``brisk`` ones here and in a rehearsal."""
        return brisk if self.local or self.settings.fast else seconds

    def client(self, name: str) -> Any:
        """The boto3 client of a service; the same one each time."""
        if name not in self._clients:
            self._clients[name] = self.session.client(name, **_CLIENTS.get(name, {}))
        return self._clients[name]

    @cached_property
    def prices(self) -> PriceBook:
        """What instances cost here. Raises ``SettingsError`` for an unusable ``AVATAR_PRICES``."""
        own = read_price_file(self.settings.prices) if self.settings.prices else None
        return PriceBook(self.region, own=own, api=lambda: self.client("pricing"))

    def name(self, stem: str) -> str:
        """The full name of a resource, at most 63 characters; a full name stays as it is.

        Raises ``ServiceError`` for a stem that makes no valid name.
        """
        full = stem if stem.startswith(self.name_prefix) else f"{self.name_prefix}{stem}"
        if len(full) > 63 or not re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9])*", full):
            raise ServiceError(
                f"{full!r} is no name for a resource",
                "SageMaker takes up to 63 letters, digits and hyphens",
                "choose a shorter or plainer one",
            )
        return full

    @property
    def name_prefix(self) -> str:
        """How the names of this learner's resources begin, and nobody else's.

        No learner has two hyphens in a row: ``ada`` and ``ada-two`` cannot be mixed up.
        """
        return f"avatar-{self.settings.learner}--"

    @property
    def prefix(self) -> str:
        """Where in the bucket everything of this learner lies."""
        return f"avatar-course/{self.settings.learner}"

    def uri(self, *parts: str) -> str:
        """``s3://bucket/prefix/parts…``"""
        return "/".join((f"s3://{self.bucket}", self.prefix, *parts))

    @property
    def tags(self) -> list[dict[str, str]]:
        """Tags of everything that the course creates; clean-up finds it by them."""
        return [
            {"Key": COURSE_TAG, "Value": "personalised-avatars"},
            {"Key": OWNER_TAG, "Value": self.settings.learner},
        ]

    def ledger(self) -> Ledger:
        """The ledger of this learner and backend."""
        name = f"ledger-{self.settings.backend}-{self.settings.learner}.jsonl"
        return Ledger(self.settings.state / name)

    def upload(self, path: Path, *parts: str) -> str:
        """Copy a file to ``uri(*parts)`` and return that."""
        key = "/".join((self.prefix, *parts))
        self.client("s3").upload_file(str(path), self.bucket, key)
        return f"s3://{self.bucket}/{key}"


def open_cloud(
    settings: Settings | None = None, *, announce: Callable[[str], None] = _nobody
) -> Cloud:
    """The account that the settings choose, ready to use: bucket and role are there.

    Locally this starts the local SageMaker, or finds the one that runs. Raises ``ServiceError``
    when there is no account, role or permission, and says which.
    """
    found = find_cloud(settings, announce=announce)
    with _in_words(found.settings):
        role = execution_role(found.session, found.settings, found.account)
        opened = replace(found, role_arn=role)
        _ensure_bucket(opened)
    return opened


def find_cloud(
    settings: Settings | None = None, *, announce: Callable[[str], None] = _nobody
) -> Cloud:
    """The account as it is, to look at and to clean up: no role is needed, nothing is created.

    Raises ``ServiceError`` when there is no account.
    """
    settings = settings or Settings.from_environment()
    _opt_out_of_telemetry(settings)
    session = _local_session(settings) if settings.backend == "local" else _aws_session(settings)
    with _in_words(settings):
        account = session.client("sts").get_caller_identity()["Account"]
    return Cloud(
        settings=settings,
        session=session,
        account=account,
        region=settings.region,
        bucket=_own_bucket(settings) or f"sagemaker-{settings.region}-{account}",
        role_arn="",
        announce=announce,
    )


@contextmanager
def _in_words(settings: Settings) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as trouble:
        raise ServiceError(
            f"the {settings.backend} account cannot be used",
            str(trouble),
            "check the credentials, or set AVATAR_BACKEND=local to work without an account",
        ) from trouble


def _local_session(settings: Settings) -> boto3.Session:
    from helpers.local.launch import start

    session = LocalSession(start(settings))
    # A library that makes its own clients must not reach a real account from a local course.
    boto3.DEFAULT_SESSION = session
    return session


def _aws_session(settings: Settings) -> boto3.Session:
    return boto3.Session(region_name=settings.region)


def _own_bucket(settings: Settings) -> str:
    return settings.bucket if settings.backend == "aws" else ""


def _ensure_bucket(cloud: Cloud) -> None:
    """Create the bucket if it is missing; only then is it the course's to delete."""
    s3 = cloud.client("s3")
    try:
        # HeadBucket names no prefix, so a policy for one learner's prefix would refuse it. And a
        # bucket of the expected name may be somebody else's, put there to catch uploads.
        s3.list_objects_v2(
            Bucket=cloud.bucket,
            Prefix=f"{cloud.prefix}/",
            MaxKeys=1,
            ExpectedBucketOwner=cloud.account,
        )
        return
    except ClientError as trouble:
        if trouble.response["Error"]["Code"] != "NoSuchBucket" or _own_bucket(cloud.settings):
            raise ServiceError(
                f"the bucket {cloud.bucket} cannot be used",
                trouble.response["Error"].get("Message", str(trouble)),
                "set AVATAR_BUCKET to a bucket of yours, BucketName among the stack's outputs",
            ) from trouble
    place = {} if cloud.region == "us-east-1" else {"LocationConstraint": cloud.region}
    with cloud.ledger().creating("bucket", cloud.bucket):
        # Tagged by the same call: killed between two, we would leave a bucket that nobody owns.
        s3.create_bucket(
            Bucket=cloud.bucket, CreateBucketConfiguration={**place, "Tags": cloud.tags}
        )


def _opt_out_of_telemetry(settings: Settings) -> None:
    """The SageMaker SDK reports every call home unless a file of its own says no."""
    if "SAGEMAKER_USER_CONFIG_OVERRIDE" in os.environ:
        return
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = settings.state / "sagemaker-sdk.yaml"
    path.write_text(
        "SchemaVersion: '1.0'\n"
        "SageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
    )
    os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = str(path)
