"""The account behind the local SageMaker: one role, and every caller in a session of it.

That is how a notebook in SageMaker Studio calls AWS, so finding the role is the same code on both.
"""

from __future__ import annotations

import json

from helpers.local.context import ACCOUNT

ROLE = "avatar-course-execution"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
"""The trust policy of a role that SageMaker may assume."""


def open_account(region: str, access_key: str) -> None:
    """Make the role, in moto's memory; ``GetCallerIdentity`` answers that ``access_key`` has it."""
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    role = iam_backends[ACCOUNT]["aws"].create_role(
        role_name=ROLE,
        assume_role_policy_document=TRUST,
        path="/",
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration="3600",
    )
    session = sts_backends[ACCOUNT]["aws"].assume_role(
        region_name=region,
        role_session_name="SageMaker",
        role_arn=role.arn,
        policy="",
        duration=3600,
        external_id="",
    )
    session.access_key_id = access_key
