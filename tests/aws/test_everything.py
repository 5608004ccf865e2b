"""All that the course does on AWS, in one run: valid, allowed, and every row of the table used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.cloud.permissions import LEARNER, PERMISSIONS
from helpers.cloud.session import find_cloud
from helpers.settings import Settings
from tests.aws.rehearsal import LEARNER_NAME, Account, Played, run
from tests.cloud.accounts import add_scaling_and_leftovers

NOT_HERE = {
    ("iam", "GetRole"): "the stack's role is set; test_rehearsal does without",
}
"""Rows that this run leaves out, and why."""


@pytest.fixture(scope="module")
def played(account: Account) -> Played:
    """On an account in which somebody has made what the course does not make by itself."""
    settings = Settings(fast=True, threads=1, state=account.folder / "aws", learner=LEARNER_NAME)
    instructor = replace(find_cloud(settings), bucket=account.stack.outputs["BucketName"])
    add_scaling_and_leftovers(instructor, instructor.name("everything"))
    return run(account, "tests.aws.everything")


def test_aws_would_take_every_request(played: Played) -> None:
    assert len(played.requests) > 100
    assert played.faults() == []
    assert played.escapes == []


def test_the_stack_s_policy_allows_every_request(account: Account, played: Played) -> None:
    assert sorted(set(played.refusals(account.stack, account.service))) == []


def test_every_row_of_the_table_is_used(played: Played) -> None:
    """The scan of the source says what may be called; this is what is."""
    used = {(one.service, one.operation) for one in played.requests}
    rows = {row.key for row in PERMISSIONS if row.caller == LEARNER}
    assert rows - used == set(NOT_HERE)


def test_clean_from_a_shell_may_do_what_it_does(account: Account, played: Played) -> None:
    """``course.py clean`` after all is gone: it looks everywhere once more."""
    cleaned = run(account, "helpers.cloud.clean")
    assert len(cleaned.requests) > 10
    assert (cleaned.faults(), cleaned.escapes) == ([], [])
    assert cleaned.refusals(account.stack, account.service) == []
