"""What SageMaker checks of a request beyond its shape, before it takes it on."""

from __future__ import annotations

import json
from typing import Any

from helpers.cloud.environment import check_environment
from helpers.cloud.images import MULTI_MODEL_FAMILIES
from helpers.errors import ServiceError
from helpers.local.context import Context, split_s3
from helpers.local.fleet import container_of
from helpers.local.hosts import is_multi_model
from helpers.local.model_source import check_source
from helpers.local.wire import Refusal

Members = dict[str, Any]


def check_model(context: Context, asked: Members) -> None:
    """A model needs one container, model data that exists, and a role SageMaker may assume."""
    if bool(asked.get("PrimaryContainer")) == bool(asked.get("Containers")):
        raise Refusal(
            "ValidationException", "Specify exactly one of PrimaryContainer and Containers."
        )
    if len(asked.get("Containers", [])) > 1:
        raise Refusal("ValidationException", "The local SageMaker runs one container per model.")
    if "ExecutionRoleArn" not in asked:
        raise Refusal("ValidationException", "The model needs an ExecutionRoleArn.")
    container = container_of(asked)
    if not container.get("Image"):
        raise Refusal("ValidationException", "The container names no Image.")
    if "ModelDataSource" in container:
        check_source(context, container)
    try:
        check_environment(container.get("Environment", {}))
    except ServiceError as trouble:
        raise Refusal("ValidationException", str(trouble)) from trouble
    check_role(context, asked["ExecutionRoleArn"])
    url = container.get("ModelDataUrl")
    if is_multi_model(container):
        if not url or not url.startswith("s3://"):
            raise Refusal("ValidationException", "A multi-model container needs an S3 prefix.")
    elif url:
        _check_object(context, url)


def check_variants(
    asked: Members, *, key: str = "InitialInstanceCount", least: int = 1
) -> list[Members]:
    """Variants that the local SageMaker can run: each named once, and on instances."""
    variants = asked["ProductionVariants"]
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise Refusal("ValidationException", "Variant names must be unique.")
    for variant in variants:
        if "ServerlessConfig" in variant or "InstancePools" in variant:
            raise Refusal("ValidationException", "The local SageMaker serves from instances only.")
        if least and ("ModelName" not in variant or "InstanceType" not in variant):
            raise Refusal("ValidationException", "A variant needs a ModelName and an InstanceType.")
        if least:
            variant.setdefault(key, least)
    return variants


def check_instance(container: Members, variant: Members) -> None:
    """A multi-model endpoint on a GPU runs on some families of instances only."""
    family = variant["InstanceType"].removeprefix("ml.").partition(".")[0]
    gpu = family[0] in "gp"
    if is_multi_model(container) and gpu and family not in MULTI_MODEL_FAMILIES:
        raise Refusal(
            "ValidationException",
            f"Instance type {variant['InstanceType']} is not supported for multi-model endpoints. "
            f"Supported GPU families: {', '.join(MULTI_MODEL_FAMILIES)}.",
        )


def check_async(asked: Members) -> None:
    """An asynchronous endpoint has one variant, of one model, and writes to S3."""
    config = asked.get("AsyncInferenceConfig")
    if config is None:
        return
    if len(asked["ProductionVariants"]) > 1:
        raise Refusal("ValidationException", "Asynchronous inference supports one variant.")
    output = config["OutputConfig"]
    for name in ("S3OutputPath", "S3FailurePath"):
        if name in output and not output[name].startswith("s3://"):
            raise Refusal("ValidationException", f"{name} must be an S3 location.")
    if "S3OutputPath" not in output:
        raise Refusal("ValidationException", "The OutputConfig names no S3OutputPath.")


def check_role(context: Context, arn: str) -> None:
    """The role is there, and SageMaker may assume it. Raises ``Refusal``."""
    iam = context.client("iam")
    try:
        role = iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except iam.exceptions.NoSuchEntityException:
        role = None
    if role is None or "sagemaker.amazonaws.com" not in _trusted(role):
        raise Refusal(
            "ValidationException",
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role.",
        )


def _trusted(role: Members) -> set[str]:
    policy = role["AssumeRolePolicyDocument"]
    if isinstance(policy, str):
        policy = json.loads(policy)
    found: set[str] = set()
    statements = policy.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        services = statement.get("Principal", {}).get("Service", [])
        if statement.get("Effect") == "Allow":
            found.update([services] if isinstance(services, str) else services)
    return found


def _check_object(context: Context, url: str) -> None:
    s3 = context.client("s3")
    bucket, key = split_s3(url)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except s3.exceptions.ClientError:
        raise Refusal("ValidationException", f"Could not find model data at {url}.") from None
