"""The SageMaker SDK (version 3, ``sagemaker.core``) on the course's account.

The teaching cells call boto3, the contract itself; the SDK serves where it is the idiom: its tables
of images, its ``Session``. Three things need care when the account is local. Its ``Session`` asks
STS at an address that it builds itself, which ``LocalSession`` redirects; it reports calls home,
which ``open_cloud`` turns off; and its waiters poll every 30 s unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from helpers.cloud.session import Cloud
from helpers.errors import ServiceError

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


def train_on_jumpstart(
    cloud: Cloud,
    model_id: str,
    dataset: str,
    *,
    hyperparameters: Mapping[str, str],
    instance_type: str,
) -> str:
    """Fine-tune a model of AWS's JumpStart hub on ``dataset`` (an S3 prefix); returns the job.

    AWS's own code and weights, by the SDK's ``ModelTrainer``: it looks the model up in the hub,
    whose defaults fill in what ``hyperparameters`` leave out, and makes up the job's name, by whose
    beginning clean-up finds it. The course never ran it: it needs an account, and a model that AWS
    still offers. Raises ``ServiceError`` here, and where the
    SDK's training part (the package ``sagemaker``) is not installed.
    """
    if cloud.local:
        raise ServiceError(
            "the JumpStart hub is AWS's",
            "its models and its training code lie in AWS's buckets, and none of it is here",
            "set AVATAR_BACKEND=aws; the job above did the same with our own code",
        )
    try:
        from sagemaker.core.jumpstart.configs import JumpStartConfig
        from sagemaker.core.shapes import Tag
        from sagemaker.train import ModelTrainer  # type: ignore[import-not-found]
        from sagemaker.train.configs import Compute, InputData  # type: ignore[import-not-found]
    except ImportError as trouble:
        raise ServiceError(
            "the SDK's training part is not installed",
            str(trouble),
            'pip install "sagemaker>=3.27,<4" in an environment of its own',
        ) from trouble
    trainer = ModelTrainer.from_jumpstart_config(
        jumpstart_config=JumpStartConfig(model_id=model_id),
        compute=Compute(instance_type=instance_type, instance_count=1),
        hyperparameters=dict(hyperparameters),
        sagemaker_session=sdk_session(cloud),
        role=cloud.role_arn,
        base_job_name=cloud.name("jumpstart"),
        tags=[Tag(key=one["Key"], value=one["Value"]) for one in cloud.tags],
    )
    trainer.train(
        input_data_config=[InputData(channel_name="training", data_source=dataset)],
        wait=False,
        logs=False,
    )
    return trainer._latest_training_job.training_job_name
