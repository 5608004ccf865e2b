"""Notebooks and programs with ``AVATAR_BACKEND=aws``, against an AWS that is this machine.

They run as they would in SageMaker Studio: ``aws`` code paths, clients made from the environment, a
caller that is a role. Only the address leads to a local SageMaker. Every request of the kernel is
written down before it is sent, whichever library makes the client, and nothing leaves the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import nbformat
from nbclient import NotebookClient

from helpers.cloud.permissions import LEARNER, PERMISSIONS
from helpers.local.account import TRUST
from helpers.local.recorder import SentRequest, read_requests
from helpers.local.statefile import LocalService
from helpers.settings import ROOT
from tests.infrastructure.iam import allows
from tests.infrastructure.stack import Stack

LEARNER_NAME = "rehearsal"
WATCHED = Path(__file__).with_name("watched")
LIMIT_S = 300
_ROWS = {row.key: row for row in PERMISSIONS if row.caller == LEARNER}


@dataclass(frozen=True, kw_only=True)
class Account:
    """What the template's stack makes for a learner, in a local SageMaker, and its settings."""

    service: LocalService
    stack: Stack
    folder: Path

    @classmethod
    def open(cls, service: LocalService, folder: Path) -> Account:
        account = cls(service=service, stack=Stack(Learner=LEARNER_NAME), folder=folder)
        made = account.stack.resources
        account.client("s3").create_bucket(Bucket=made["Bucket"]["BucketName"])
        account.client("iam").create_role(
            RoleName=made["ExecutionRole"]["RoleName"], AssumeRolePolicyDocument=TRUST
        )
        account.client("ecr").create_repository(repositoryName=made["Repository"]["RepositoryName"])
        account.client("codebuild").create_project(**_as_parameters(made["BuildProject"]))
        return account

    def client(self, name: str) -> Any:
        """A client of the instructor's, whom nobody watches."""
        session = boto3.Session(
            self.service.access_key, self.service.secret_key, region_name=self.service.region
        )
        return session.client(name, endpoint_url=self.service.url)

    @property
    def requests(self) -> Path:
        return self.folder / "requests.jsonl"

    @property
    def escapes(self) -> Path:
        return self.folder / "escapes.txt"

    def environment(self) -> dict[str, str]:
        """The command of the stack's output, and where AWS is; nothing of this machine's own."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AVATAR_", "AWS_", "SAGEMAKER_"))
            and not name.lower().endswith("_proxy")
        }
        words = self.stack.outputs["Command"].split()
        return {
            **kept,
            **dict(word.split("=", 1) for word in words if word.startswith("AVATAR_")),
            "AVATAR_FAST": "1",
            "AVATAR_THREADS": "1",
            "AVATAR_STATE": str(self.folder / "state"),
            "AVATAR_OUTPUTS": str(self.folder / "outputs"),
            "AWS_ENDPOINT_URL": self.service.url,
            "AWS_ACCESS_KEY_ID": self.service.access_key,
            "AWS_SECRET_ACCESS_KEY": self.service.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "BOTOCORE_EXPERIMENTAL__PLUGINS": "recorder=rehearsal_recorder",
            "PYTHONPATH": os.pathsep.join((str(WATCHED), str(ROOT))),
            "REHEARSAL_REQUESTS": str(self.requests),
            "REHEARSAL_ESCAPES": str(self.escapes),
        }


@dataclass(frozen=True, kw_only=True)
class Played:
    """What one notebook sent, and the names it looked up or called beyond this machine."""

    requests: list[SentRequest]
    escapes: list[str]

    def faults(self) -> list[str]:
        """Requests that AWS would refuse for their parameters."""
        return [
            f"{one.service}.{one.operation}: {fault}"
            for one in self.requests
            for fault in one.faults
        ]

    def refusals(self, stack: Stack, service: LocalService) -> list[str]:
        """Requests that the learner's policy of the stack would not allow."""
        statements = stack.statements("LearnerPolicy")
        return [
            f"{one.service}.{one.operation}: {action} on {arn}"
            for one in self.requests
            for action, arn in _needs(one, service)
            if not allows(statements, action, arn, _context(one.parameters))
        ]


def play(account: Account, notebook: Any) -> Played:
    """Run a notebook; raises ``CellExecutionError`` where a cell does."""
    with _watching(account) as played:
        _execute(account, notebook)
    return played


def run(account: Account, module: str) -> Played:
    """Run a module of Python; raises ``CalledProcessError`` when it fails."""
    with _watching(account) as played:
        command = [sys.executable, "-m", module]
        subprocess.run(command, cwd=ROOT, env=account.environment(), check=True, timeout=LIMIT_S)
    return played


@contextmanager
def _watching(account: Account) -> Iterator[Played]:
    """What is sent within the block; complete when it has ended."""
    played = Played(requests=[], escapes=[])
    before, escaped = len(read_requests(account.requests)), len(_lines(account.escapes))
    yield played
    played.requests.extend(read_requests(account.requests)[before:])
    played.escapes.extend(_lines(account.escapes)[escaped:])


def _execute(account: Account, notebook: Any) -> None:
    client = NotebookClient(
        notebook,
        timeout=LIMIT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client.execute(env={**account.environment(), "PATH": path})


def cells(*code: str) -> Any:
    """A notebook of these cells."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in code])


def _as_parameters(properties: Any) -> Any:
    """A resource's properties as CodeBuild's API takes them: with a small letter first."""
    if not isinstance(properties, dict):
        return properties
    return {name[0].lower() + name[1:]: _as_parameters(one) for name, one in properties.items()}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _needs(request: SentRequest, service: LocalService) -> list[tuple[str, str]]:
    row = _ROWS.get((request.service, request.operation))
    if row is None:
        return [(f"{request.operation}, which is in no learner's row of the table", "*")]
    found = []
    for need in row.needs:
        place = {"region": service.region, "account": service.account}
        arns = need.resources(request.parameters, **place)
        found += [(need.action, arn) for arn in arns or ["what the request does not say"]]
    return found


def _context(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The condition keys that AWS fills in from a request."""
    found = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    if "Prefix" in parameters:
        found["s3:prefix"] = parameters["Prefix"]
    for tag in parameters.get("Tags", []):
        found[f"aws:RequestTag/{tag['Key']}"] = tag["Value"]
    return found
