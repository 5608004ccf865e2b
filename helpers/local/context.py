"""What every part of the service shares: who it is, where it may write, how it calls itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from helpers.local.guard import Guard
from helpers.local.journal import Journal

ACCOUNT = "123456789012"


@dataclass(frozen=True, kw_only=True)
class Context:
    """The running service as its parts see it.

    ``work``     temporary folder of this run, removed when the service ends
    ``logs``     folder of container logs, kept when the service ends
    ``state``    the learner's state folder: state file, registered images
    ``threads``  torch threads that one container may use in all
    ``settle``   seconds that a change of an endpoint takes at least
    ``journal``  what outlives this run; one that forgets unless a file is given
    """

    url: str
    access_key: str
    secret_key: str
    region: str
    work: Path
    logs: Path
    state: Path
    threads: int
    settle: float
    guard: Guard
    account: str = ACCOUNT
    journal: Journal = field(default_factory=Journal)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def client(self, name: str) -> Any:
        """A boto3 client of this very service: its parts use S3 and SNS as any caller would."""
        from botocore.config import Config

        with self._lock:
            if name not in self._clients:
                self._clients[name] = self._session.client(
                    name,
                    endpoint_url=self.url,
                    config=Config(max_pool_connections=50, retries={"total_max_attempts": 2}),
                )
            return self._clients[name]

    @cached_property
    def _session(self) -> Any:
        """One for all clients: each session reads botocore's models and endpoints anew."""
        import boto3

        return boto3.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )

    def arn(self, kind: str, name: str) -> str:
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"

    def container_environment(self) -> dict[str, str]:
        """The variables that let a container reach S3, as a role would on AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def split_s3(uri: str) -> tuple[str, str]:
    """``s3://bucket/key`` as (bucket, key)."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
