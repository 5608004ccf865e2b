"""Stands for the fine-tuning container: the adapter of a request is the one that it is told."""

import json
import os
import re

import boto3
from djl_python import Input, Output


def handle(inputs: Input):
    if inputs.is_empty():
        return None
    headers = {name.lower(): value for name, value in inputs.get_properties().items()}
    job = headers["x-amzn-sagemaker-inference-id"]
    subject = re.match("[a-z]+", job)[0]
    if subject == "nobody":
        raise ValueError("the photos are blurred")
    with open(os.path.join(os.environ["ADAPTERS"], f"{subject}.tar.gz"), "rb") as adapter:
        body = adapter.read()
    bucket, _, prefix = os.environ["STAGING"].removeprefix("s3://").partition("/")
    key = f"{prefix}/{job}/adapter.tar.gz"
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    answer = {"status": "completed", "inference_id": job, "adapter": f"s3://{bucket}/{key}"}
    print(json.dumps({"job": job}))
    return Output().add_as_json(answer)
