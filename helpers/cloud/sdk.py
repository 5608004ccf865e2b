"""The SageMaker SDK (version 3, ``sagemaker.core``) on the course's account.

The teaching cells call boto3, the contract itself; the SDK serves where it is the idiom: its tables
of images, its ``Session``. Three things need care when the account is local. Its ``Session`` asks
STS at an address that it builds itself, which ``LocalSession`` redirects; it reports calls home,
which ``open_cloud`` turns off; and its waiters poll every 30 s unless told otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.cloud.session import Cloud

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session


def sdk_session(cloud: Cloud) -> Session:
    """The SDK's session on the account, region and bucket of ``cloud``, and on no other."""
    from sagemaker.core.helper.session_helper import Session

    return Session(
        boto_session=cloud.session,
        sagemaker_client=cloud.client("sagemaker"),
        sagemaker_runtime_client=cloud.client("sagemaker-runtime"),
        default_bucket=cloud.bucket,
        default_bucket_prefix=cloud.prefix,
    )
